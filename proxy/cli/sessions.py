"""`ztproxy sessions` and `ztproxy service-token`: what an administrator sees and ends, straight on the store.

Running proxies follow the store's changes, so that what is revoked here is gone everywhere within a second. Exit
status: 0 when it was done, 1 when there is no such session or token, 2 when it could not be done.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from proxy.identity.sessions.session import Session
    from proxy.identity.sessions.store import Store

NOT_THERE: Final = 1
CANNOT: Final = 2
_LISTED: Final = 10_000
_REVOKED: Final = "revoked by an administrator"
_T = TypeVar("_T")

sessions = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
service_tokens = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")


class Format(StrEnum):
    """How what is found is told."""

    TEXT = "text"
    JSON = "json"


Config = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration.")]
Form = Annotated[Format, typer.Option("--format", help="text for people, json for programs.")]
User = Annotated[str | None, typer.Option("--user", metavar="USER", help="An e-mail address, or a subject.")]


@sessions.callback()
def of_sessions() -> None:
    """List, show and end the sessions of people who have signed in.

    Example: ztproxy sessions list -c ztproxy.yaml --user alice@example.org
    """


@service_tokens.callback()
def of_service_tokens() -> None:
    """Create, list and revoke tokens for programs, which cannot sign in.

    Example: ztproxy service-token create backup -c ztproxy.yaml --group jobs
    """


@sessions.command("list")
def list_sessions(config: Config, user: User = None, form: Form = Format.TEXT) -> None:
    """Say who is signed in, last seen first: user, device, address, last seen.

    Example: ztproxy sessions list -c ztproxy.yaml
    """
    found = _ask(config, lambda store: store.sessions(user=user, limit=_LISTED))
    if form is Format.JSON:
        typer.echo(json.dumps([_facts(each) for each in found], indent=2))
        return
    rows = [(each.id, _name(each), each.device or "-", each.source or "-", _moment(each.seen_at)) for each in found]
    _table(("SESSION", "USER", "DEVICE", "ADDRESS", "LAST SEEN"), rows)


@sessions.command("show")
def show_session(
    session_id: Annotated[str, typer.Argument(metavar="SESSION", help="Its id.")],
    config: Config,
    form: Form = Format.TEXT,
) -> None:
    """Say everything of one session that is no secret.

    Example: ztproxy sessions show 0123456789abcdef0123456789abcdef -c ztproxy.yaml
    """

    async def look(store: Store) -> dict[str, Any] | None:
        session = await store.get(session_id)
        if session is not None:
            hosts = sorted({each.host for each in await store.handles(session_id)})
            return _facts(session) | {"hosts": hosts}
        ended = await store.ended(session_id)
        return None if ended is None else {"id": session_id, "ended": _moment(ended.at), "reason": ended.reason}

    facts = _ask(config, look)
    if facts is None:
        _fail(NOT_THERE, "there is no such session")
    if form is Format.JSON:
        typer.echo(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        said = _plain(", ".join(value) if isinstance(value, list) else value)
        typer.echo(f"{name.replace('_', ' '):<14} {said}".rstrip())


@sessions.command("revoke")
def revoke_sessions(
    config: Config,
    session_id: Annotated[str | None, typer.Argument(metavar="SESSION", help="Its id.")] = None,
    user: User = None,
) -> None:
    """End one session, or every session of a user and the sign-ins that are under way; what is open is cut.

    Example: ztproxy sessions revoke -c ztproxy.yaml --user alice@example.org
    """
    if (session_id is None) == (user is None):
        _fail(CANNOT, "either a session or --user must be given")

    async def end(store: Store) -> int:
        if session_id is not None:
            return int(await store.end(session_id, _REVOKED))
        people = {(each.issuer_url, each.subject) for each in await store.sessions(user=user, limit=_LISTED)}
        return sum([len(await store.end_matching(*person, None, _REVOKED)) for person in people])

    count = _ask(config, end)
    if not count:
        _fail(NOT_THERE, "there is no such session")
    typer.echo(f"{count} session{'s' if count != 1 else ''} ended")


@service_tokens.command("create")
def create_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The service's; it calls as service:NAME.")],
    config: Config,
    group: Annotated[list[str] | None, typer.Option(metavar="GROUP", help="A group; may be repeated.")] = None,
    expires: Annotated[str, typer.Option(metavar="DURATION", help="Such as 12h, 30d or 365d.")] = "90d",
) -> None:
    """Make a token and print it, once: only its hash is kept. It goes where a bearer token goes.

    Example: ztproxy service-token create backup -c ztproxy.yaml --group jobs --expires 30d
    """
    from proxy.config.units import parse_duration
    from proxy.identity.sessions.service import ServiceToken, is_service_name, new_service_token
    from proxy.identity.sessions.session import digest_of

    try:
        seconds = parse_duration(expires)
    except ValueError as error:
        _fail(CANNOT, f"--expires {error}")
    if not seconds:
        _fail(CANNOT, "--expires must be longer than 0s")
    if not is_service_name(name):
        _fail(CANNOT, "a name must be 1 to 63 letters, digits, `_`, `.` or `-`, and begin with a letter or digit")
    token, now = new_service_token(), time.time()
    kept = ServiceToken(name, digest_of(token), tuple(group or ()), now, now + seconds)
    if not _ask(config, lambda store: store.add_service_token(kept)):
        _fail(CANNOT, f"there is a token of {name}; revoke it first")
    typer.echo(token.decode("ascii"))
    typer.echo(f"expires {_moment(kept.expires_at)}; it will not be shown again", err=True)


@service_tokens.command("list")
def list_tokens(config: Config, form: Form = Format.TEXT) -> None:
    """Say which tokens there are, and when they were last used.

    Example: ztproxy service-token list -c ztproxy.yaml
    """
    found = _ask(config, lambda store: store.service_tokens())
    facts = [
        {
            "name": each.name,
            "groups": list(each.groups),
            "created": _moment(each.created_at),
            "expires": _moment(each.expires_at),
            "last_used": None if each.used_at is None else _moment(each.used_at),
        }
        for each in found
    ]
    if form is Format.JSON:
        typer.echo(json.dumps(facts, indent=2))
        return
    rows = [(each.name, ", ".join(each.groups) or "-", _moment(each.expires_at), _used(each.used_at)) for each in found]
    _table(("NAME", "GROUPS", "EXPIRES", "LAST USED"), rows)


@service_tokens.command("revoke")
def revoke_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The service's.")],
    config: Config,
) -> None:
    """Forget a token: it opens nothing any more.

    Example: ztproxy service-token revoke backup -c ztproxy.yaml
    """
    if not _ask(config, lambda store: store.revoke_service_token(name)):
        _fail(NOT_THERE, "there is no such token")
    typer.echo(f"the token of {name} is revoked")


def _ask(path: Path, question: Callable[[Store], Awaitable[_T]]) -> _T:
    """Ask the store of a config one thing."""
    import asyncio

    from proxy.config.load import read, render
    from proxy.identity.sessions.keeping import find_origin, open_store

    file = read(path)
    if file.config is None:
        _fail(CANNOT, *render(file.mistakes, path))
    origin, mistakes = find_origin(file.config.session, file.config.state_directory)
    if origin is not None and not origin.url and not origin.path.exists():  # made by us, it might not be the proxy's
        _fail(CANNOT, f"{origin.path}: there is no such file; ztproxy makes it when it starts")
    store = None
    if origin is not None:
        store, mistakes = open_store(origin)
    if store is None:
        _fail(CANNOT, *(f"{'.'.join(map(str, mistake.location))}: {mistake.rule}" for mistake in mistakes))
    return asyncio.run(_asked(store, question))


async def _asked(store: Store, question: Callable[[Store], Awaitable[_T]]) -> _T:
    from proxy.identity.sessions.store import StoreUnavailable

    try:
        return await question(store)
    except StoreUnavailable as down:
        _fail(CANNOT, f"sessions cannot be asked: {down.detail}")
    finally:
        await store.close()


def _facts(session: Session) -> dict[str, Any]:
    """Return what may be told of a session: neither its claims, which are the person's, nor a token."""
    return {
        "id": session.id,
        "user": _name(session),
        "issuer": session.issuer,
        "subject": session.subject,
        "email": session.email,
        "groups": list(session.groups),
        "device": session.device,
        "address": session.source,
        "browser": session.user_agent,
        "signed_in": _moment(session.created_at),
        "authenticated": _moment(session.authenticated_at),
        "methods": list(session.amr),
        "class": session.acr,
        "last_seen": _moment(session.seen_at),
        "ends": _moment(session.expires_at),
    }


def _name(session: Session) -> str:
    return session.email or session.subject


def _used(at: float | None) -> str:
    return "never" if at is None else _moment(at)


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns; what a browser or a provider has said cannot move the cursor of a terminal."""
    plain = [head, *([_plain(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in plain) for column in range(len(head))]
    for row in plain:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _plain(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)


def _fail(status: int, *lines: str) -> NoReturn:
    for line in lines:
        typer.echo(line, err=True)
    raise typer.Exit(status)
