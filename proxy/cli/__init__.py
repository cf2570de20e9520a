"""What a person types: a file a command group, put together here."""

from __future__ import annotations

import typer

from proxy.cli import certs, check, configuration, demo, policy, run

app = typer.Typer(
    name="ztproxy",
    help="A zero-trust identity-aware proxy: mTLS, SPIFFE, OIDC and a Rego decision on every request.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("run")(run.run)
app.command("check")(check.check)
app.command("demo")(demo.demo)
app.add_typer(configuration.app, name="config")
app.add_typer(certs.app, name="certs")
app.add_typer(policy.app, name="policy")


def main() -> None:
    """Run the command line; the console script `ztproxy` is this function."""
    app()
