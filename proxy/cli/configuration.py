"""`ztproxy config`: about the configuration file itself."""

from __future__ import annotations

import json

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")


@app.callback()
def config() -> None:
    """About the configuration file.

    Example: ztproxy config schema > ztproxy.schema.json
    """


@app.command()
def schema() -> None:
    """Print the JSON Schema (draft 2020-12) of the file, for editors.

    Example: ztproxy config schema > ztproxy.schema.json
    """
    from proxy.config.editors import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))
