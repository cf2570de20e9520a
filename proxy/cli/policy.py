"""`ztproxy policy`: the policy workbench."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli import (
    policy_eval,
    policy_explain,
    policy_input,
    policy_new,
    policy_parity,
    policy_replay,
    policy_schema,
    policy_test,
)
from proxy.cli.policy_case import CANNOT_RUN

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")


@app.callback()
def policy() -> None:
    """Ask and test policies, and write what an OPA server needs.

    Example: ztproxy policy test policies/
    """


app.command("eval")(policy_eval.evaluate)
app.command("explain")(policy_explain.explain)
app.command("input")(policy_input.show)
app.command("new")(policy_new.write)
app.command("parity")(policy_parity.compare)
app.command("replay")(policy_replay.replay)
app.command("schema")(policy_schema.show)
app.command("test")(policy_test.run)


@app.command()
def export(
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration.")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; made if it is missing.")],
) -> None:
    """Write the default policy and the data of FILE's routes, for an OPA server.

    DIR gets authz.rego and data.json, which replace what has these names there. Exit status: 0, or 2 when FILE has a
    mistake or DIR cannot be written.

    Example: ztproxy policy export -c ztproxy.yaml opa/ && opa run --server opa/
    """
    from proxy.config.load import read, render
    from proxy.policy.allow import allow_mistakes, route_data
    from proxy.policy.sources import default_policy

    file = read(config)
    if file.config is not None:
        file = file.with_mistakes(allow_mistakes(file.config))
    for line in render(file.mistakes, config):
        typer.echo(line, err=True)
    if file.config is None:
        raise typer.Exit(CANNOT_RUN)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        rego, data = directory / "authz.rego", directory / "data.json"
        rego.write_text(default_policy().read_text(encoding="utf-8"), encoding="utf-8")
        data.write_text(json.dumps(route_data(file.config), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        typer.echo(f"{error.filename}: cannot be written: {(error.strerror or '').lower()}", err=True)
        raise typer.Exit(CANNOT_RUN) from None
    typer.echo(f"{rego}\n{data}")
