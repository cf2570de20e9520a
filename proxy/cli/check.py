"""`ztproxy check`: everything that would stop or worry `ztproxy run`, without opening a port."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

BAD_CONFIGURATION: Final = 2


class Format(StrEnum):
    """How findings are told."""

    TEXT = "text"
    JSON = "json"


def check(
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration.")],
    form: Annotated[Format, typer.Option("--format", help="text for people, json for programs.")] = Format.TEXT,
) -> None:
    """Find every mistake in FILE, and in the certificates, keys and policies that it names.

    All of them at once, each with its line, as `ztproxy run` would say them. Issuers and upstreams that cannot be
    reached are warnings. Of a policy of your own it also says which decisions cannot be remembered, and why.
    Exit status: 0 when FILE is good, 2 when it has a mistake.

    Example: ztproxy check -c /etc/ztproxy/ztproxy.yaml
    """
    from proxy.cli.findings import find

    findings = find(config)
    if form is Format.JSON:
        typer.echo(json.dumps(findings.report(), indent=2))
    else:
        for line in findings.mistakes():
            typer.echo(line, err=True)
        for line in findings.verdict():
            typer.echo(line)
    raise typer.Exit(0 if findings.good else BAD_CONFIGURATION)
