"""What a person types: a file a command group, put together here.

These files are read to answer `--help`, which must not wait for a gateway: what a command works with is imported when
it works.
"""

from __future__ import annotations

from typing import Annotated

import typer

from proxy.cli import certs, check, configuration, demo, login, policy, run, sessions

app = typer.Typer(
    name="ztproxy",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"ztproxy {version('ztproxy')}")
        raise typer.Exit


@app.callback()
def ztproxy(
    _: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """A zero-trust identity-aware proxy: mTLS, SPIFFE, OIDC and a Rego decision on every request.

    Example: ztproxy demo

    Example: ztproxy check -c ztproxy.yaml && ztproxy run -c ztproxy.yaml
    """


app.command("run")(run.run)
app.command("check")(check.check)
app.command("demo")(demo.demo)
app.command("login")(login.login)
app.command("logout")(login.logout)
app.command("token")(login.token)
app.command("curl", context_settings=login.ARGUMENTS_OF_CURL)(login.curl)
app.add_typer(configuration.app, name="config")
app.add_typer(certs.app, name="certs")
app.add_typer(policy.app, name="policy")
app.add_typer(sessions.sessions, name="sessions")
app.add_typer(sessions.service_tokens, name="service-token")


def main() -> None:
    """Run the command line; the console script `ztproxy` is this function."""
    app()
