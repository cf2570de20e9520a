"""`ztproxy login`, `token`, `curl` and `logout`: what people do on their own computer, at applications behind a proxy.

They need no configuration: an application's host says everything. Exit status: 0 when it was done; 1 when there is no
token, it has ended, or the person said no; 2 when it could not be done; that of `curl` is curl's own.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

if TYPE_CHECKING:
    from proxy.cli.application import Application, Token
    from proxy.cli.tokens import Tokens

NO: Final = 1
CANNOT: Final = 2
# What stands behind the URL is curl's.
ARGUMENTS_OF_CURL: Final = {"ignore_unknown_options": True, "allow_interspersed_args": False}
_PATIENCE: Final = 600.0  # as long as a sign-in may take

Url = Annotated[str, typer.Argument(metavar="URL", help="The application, or any page of it; https.")]
Ca = Annotated[
    Path | None,
    typer.Option("--ca", metavar="FILE", help="Certificates of a private CA, PEM, instead of the system's."),
]


def login(
    url: Url,
    ca: Ca = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address to open.")] = False,
) -> None:
    """Sign in to an application in the browser, and keep a token for this computer's commands.

    The token is good for this application alone, and ends with the session in the browser.

    Example: ztproxy login https://wiki.example.org
    """
    import secrets
    import webbrowser

    from proxy.cli.application import Refusal, Unreachable
    from proxy.cli.loopback import Loopback
    from proxy.cli.tokens import CannotKeep

    application, tokens = _begin(url, ca)
    try:
        application.greet()
    except Unreachable as error:
        _fail(CANNOT, str(error))
    verifier, state = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    with Loopback(state, application.done) as loopback:
        page = application.page(loopback.redirect_uri, verifier, state)
        typer.echo(f"sign in on this page of your browser:\n\n    {page}\n", err=True)
        if not no_browser:
            webbrowser.open(page)
        answer = loopback.wait(_PATIENCE)
    if answer is None:
        _fail(CANNOT, f"nobody signed in within {_PATIENCE / 60:g} minutes")
    if not answer.code:
        _fail(NO, "it was not allowed in the browser")
    try:
        token = application.redeem(answer.code, loopback.redirect_uri, verifier)
        _keep(application, tokens, token)
    except (Refusal, Unreachable, CannotKeep) as error:
        _fail(CANNOT, str(error))
    until = datetime.fromtimestamp(token.expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    typer.echo(f"signed in to {application.origin} as {token.user}, until {until} at most", err=True)
    typer.echo(f"the token is in {tokens.place}", err=True)


def token(url: Url, ca: Ca = None) -> None:
    """Print the token of an application, for programs that send it as a bearer token.

    Example: ztproxy token https://wiki.example.org
    """
    from proxy.cli.application import Unreachable

    application, tokens = _begin(url, ca)
    kept = _kept(application, tokens)
    try:
        _require_good(application, tokens, kept)
    except Unreachable as error:
        _fail(CANNOT, str(error))
    typer.echo(kept.text)


def curl(
    url: Url,
    words: Annotated[list[str] | None, typer.Argument(metavar="OPTION", help="Options of curl.")] = None,
    ca: Ca = None,
) -> None:
    """Run curl with the token of an application; behind the URL stand options of curl.

    The token is in no argument, and goes nowhere else: not along a redirect to another host, nor to a second URL.

    Example: ztproxy curl https://wiki.example.org/pages -sS --json '{"title": "New"}'
    """
    from contextlib import suppress

    from proxy.cli.application import Unreachable
    from proxy.cli.curl import Curl, CurlRefused, run

    application, tokens = _begin(url, ca)
    kept = _kept(application, tokens)
    try:
        Curl.ask().require(words or [])
        with suppress(Unreachable):  # curl may have been told another way there, and says best what it has met
            _require_good(application, tokens, kept)
        run(url, kept.text, ca, words or [])
    except CurlRefused as error:
        _fail(CANNOT, str(error))


def logout(url: Url, ca: Ca = None) -> None:
    """Give the token of an application back, and forget it; the session in the browser goes on.

    Example: ztproxy logout https://wiki.example.org
    """
    from proxy.cli.application import Unreachable
    from proxy.cli.tokens import CannotKeep

    application, tokens = _begin(url, ca)
    kept = _kept(application, tokens)
    try:
        application.revoke(kept.text)
        tokens.drop(application.origin)
    except (Unreachable, CannotKeep) as error:
        _fail(CANNOT, str(error))
    typer.echo(f"the token of {application.origin} is revoked", err=True)


def _begin(url: str, ca: Path | None) -> tuple[Application, Tokens]:
    from proxy.cli.application import Application
    from proxy.cli.tokens import CannotKeep, find_tokens

    try:
        return Application(url, ca), find_tokens()
    except (ValueError, CannotKeep) as error:
        _fail(CANNOT, str(error))


def _keep(application: Application, tokens: Tokens, token: Token) -> None:
    """Keep a token, and give the one before it back; one that cannot be kept is given back itself."""
    from contextlib import suppress

    from proxy.cli.application import Unreachable
    from proxy.cli.tokens import CannotKeep

    before = None
    try:
        before = tokens.get(application.origin)
        tokens.put(application.origin, token)
    except CannotKeep:
        before = token
        raise
    finally:
        if before is not None:
            with suppress(Unreachable):
                application.revoke(before.text)


def _kept(application: Application, tokens: Tokens) -> Token:
    from proxy.cli.tokens import CannotKeep

    try:
        kept = tokens.get(application.origin)
    except CannotKeep as error:
        _fail(CANNOT, str(error))
    if kept is None:
        _fail(NO, f"there is no token of {application.origin}: run ztproxy login {application.origin}")
    return kept


def _require_good(application: Application, tokens: Tokens, kept: Token) -> None:
    """Leave with a sentence where a token has ended. Raise Unreachable where nobody says so."""
    from contextlib import suppress

    from proxy.cli.tokens import CannotKeep

    if application.look(kept.text) is None:
        with suppress(CannotKeep):
            tokens.drop(application.origin)
        _fail(NO, f"the token of {application.origin} has ended: run ztproxy login {application.origin}")


def _fail(status: int, line: str) -> NoReturn:
    typer.echo(line, err=True)
    raise typer.Exit(status)
