"""Options by which several commands of the workbench say what they work on, and which request is meant.

What these words mean is the workbench's, which is loaded when a command works.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

if TYPE_CHECKING:
    from proxy.workbench.case import Case
    from proxy.workbench.desk import Desk

FAILED: Final = 1
CANNOT_RUN: Final = 2


class Format(StrEnum):
    """How an answer is told."""

    PRETTY = "pretty"
    JSON = "json"


Config = Annotated[Path | None, typer.Option("--config", "-c", metavar="FILE", help="The configuration.")]
Policy = Annotated[
    Path | None,
    typer.Option("--policy", metavar="PATH", help="A policy in place of the configuration's, or without one."),
]
Decision = Annotated[
    str | None, typer.Option("--decision", metavar="RULE", help="The rule that decides, such as shop/authz/decision.")
]
As = Annotated[
    str | None,
    typer.Option("--as", metavar="WHO", help="user:NAME, workload:SPIFFE-ID or anonymous, which is the default."),
]
Groups = Annotated[list[str] | None, typer.Option("--groups", metavar="A,B", help="The user's groups.")]
Claims = Annotated[list[str] | None, typer.Option("--claim", metavar="NAME=VALUE", help="A claim of the user's.")]
Issuer = Annotated[
    str | None, typer.Option("--issuer", metavar="NAME", help="The user's issuer, where there are several.")
]
Email = Annotated[str | None, typer.Option("--email", metavar="ADDRESS", help="The user's verified address.")]
Device = Annotated[str | None, typer.Option("--device", metavar="NAME:ID", help="The device on the connection.")]
Workload = Annotated[str | None, typer.Option("--workload", metavar="ID", help="The workload beside a user.")]
Age = Annotated[str | None, typer.Option("--age", metavar="TIME", help="How long ago the user signed in, such as 10m.")]
Amr = Annotated[list[str] | None, typer.Option("--amr", metavar="A,B", help="By what: pwd, otp, hwk …")]
Acr = Annotated[str | None, typer.Option("--acr", metavar="CLASS", help="How strongly: the context class.")]
Header = Annotated[
    list[str] | None, typer.Option("--header", "-H", metavar="FIELD", help="A header field, NAME: VALUE.")
]
Source = Annotated[str | None, typer.Option("--source", metavar="ADDRESS", help="The client's address.")]
At = Annotated[
    str | None, typer.Option("--at", metavar="TIME", help="When, such as 2026-11-24T09:30:00Z; now if left out.")
]
Curl = Annotated[
    Path | None, typer.Option("--curl", metavar="FILE", help="A saved curl command, in place of a request.")
]
Request = Annotated[list[str] | None, typer.Argument(metavar="[METHOD] URL", help="The request.", show_default=False)]
Form = Annotated[Format, typer.Option("--format", help="pretty for people, json for programs.")]


def stop(*lines: object) -> NoReturn:
    """Say on stderr why a command cannot run, a line each, and end."""
    for line in lines:
        typer.echo(line, err=True)
    raise typer.Exit(CANNOT_RUN)


def open_desk(config: Path | None, policy: Path | None, decision: str | None) -> Desk:
    """Return the desk that a command works at, or say why there is none, and end."""
    from proxy.workbench.desk import CannotRun, Desk

    try:
        return Desk.open(config, policy, decision)
    except CannotRun as reasons:
        stop(*reasons.args)


def read_case(
    request: list[str] | None,
    curl: Path | None,
    *,
    who: str | None = None,
    groups: list[str] | None = None,
    claims: list[str] | None = None,
    issuer: str | None = None,
    email: str | None = None,
    device: str | None = None,
    workload: str | None = None,
    age: str | None = None,
    amr: list[str] | None = None,
    acr: str | None = None,
    headers: list[str] | None = None,
    source: str | None = None,
    at: str | None = None,
) -> Case:
    """Return the case that the words of a command say, or say what is wrong with them, and end."""
    from proxy.workbench.asking import Words, read_curl, read_header, read_request, read_time

    lists = tuple(groups or ()), tuple(claims or ()), tuple(amr or ())
    words = Words(who, lists[0], lists[1], issuer, email, device, workload, age, lists[2], acr)
    try:
        if curl is None:
            case = read_request(request or [], headers or (), source, at)
        elif request:
            stop("a request must not stand beside --curl")
        else:
            case = read_curl(read_text(curl))
            more = tuple(map(read_header, headers or ()))
            case = replace(case, headers=(*case.headers, *more), source=source or case.source)
            case = case if at is None else replace(case, time=read_time(at))
        return replace(case, who=words.read())
    except ValueError as wrong:
        stop(wrong if curl is None else f"{curl}: {wrong}")


def read_text(path: Path) -> str:
    """Return a file's text, `-` being stdin, or say why it cannot be read, and end."""
    import sys

    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        stop(f"{path}: must be utf-8")
    except OSError as error:
        stop(f"{path}: cannot be read: {(error.strerror or '').lower()}")
