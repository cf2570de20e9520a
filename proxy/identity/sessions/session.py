"""A session: who signed in, where and until when; and the handles by which browsers name it.

Values alone. What is secret is no part of them: a handle is kept as its digest, and tokens of the provider as sealed
text.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from proxy.identity.principal import Principal

_HANDLE_BYTES: Final = 32
_COMMAND_LINE: Final = " (command line)"
_PROGRAM: Final = re.compile(rb"ztcl_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in of one person, until it ends.

    Args:
        id: 32 hexadecimal digits; public, for people and records to name it by.
        issuer: the issuer's name in the config.
        issuer_url: the `iss` of its tokens.
        subject: the `sub`, which only together with its issuer says who it is.
        email: the vouched e-mail address, or empty.
        groups: the person's groups.
        claims: every claim that the provider gave.
        amr: how the person proved to be it (RFC 8176).
        acr: the authentication context class, or empty.
        authenticated_at: POSIX seconds of the proof.
        provider_sid: the provider's own name for its session (`sid`), or empty.
        device: id of the peer that it was made with, or empty.
        source: the address that it was last seen at.
        user_agent: what the browser called itself at sign-in.
        created_at, seen_at, expires_at: POSIX seconds; `expires_at` is the absolute end.
        refresh_at: POSIX seconds from which its claims are to be read again, or None.
        version: how often it has changed.
        refresh_token, id_token: sealed text, or empty.
        derived: what other rooms make of it, each under its own name: it is worked out once, and goes with it.
    """

    id: str
    issuer: str
    issuer_url: str
    subject: str
    authenticated_at: float
    created_at: float
    seen_at: float
    expires_at: float
    email: str = ""
    groups: tuple[str, ...] = ()
    claims: Mapping[str, Any] = field(default_factory=dict)
    amr: tuple[str, ...] = ()
    acr: str = ""
    provider_sid: str = ""
    device: str = ""
    source: str = ""
    user_agent: str = ""
    refresh_at: float | None = None
    version: int = 0
    refresh_token: str = field(default="", repr=False)
    id_token: str = field(default="", repr=False)
    derived: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class HandleRecord:
    """What is kept of a handle.

    Args:
        digest: SHA-256 of the handle.
        session_id: the session that it names.
        host: authority at which alone it is good: lower case, without a default port; `host_of_program` for a program.
        created_at: POSIX seconds.
        device: id of the peer that it was given to, or empty.
    """

    digest: bytes = field(repr=False)
    session_id: str
    host: str
    created_at: float
    device: str = ""


def new_session_id() -> str:
    """Return an id that nobody has had."""
    return secrets.token_hex(16)


def new_handle() -> bytes:
    """Return a handle: 256 random bits, base64url without padding, 43 characters."""
    return secrets.token_urlsafe(_HANDLE_BYTES).encode("ascii")


def new_program_token() -> bytes:
    """Return a handle that a program on a person's computer shows as a bearer token: `ztcl_` and 43 characters."""
    return b"ztcl_" + new_handle()


def is_program_token(text: bytes) -> bool:
    """Tell whether a credential has the shape of a program's token; the store is asked about no other."""
    return _PROGRAM.fullmatch(text) is not None


def host_of_program(authority: str) -> str:
    """Return the `host` of a program's token. It is no authority, so that no cookie is ever good for it."""
    return f"{authority}{_COMMAND_LINE}"


def programs_of(handles: Iterable[HandleRecord]) -> list[str]:
    """Return the authorities at which programs hold a token, each once, in order."""
    return sorted({each.host.removesuffix(_COMMAND_LINE) for each in handles if each.host.endswith(_COMMAND_LINE)})


def digest_of(handle: bytes) -> bytes:
    """Return what is kept of a handle, or of a service token. Both are random, so that a plain hash suffices."""
    return sha256(handle).digest()


def principal_of_session(session: Session) -> Principal:
    """Return the user that a session makes its caller; of one session always the same, for decisions go by it."""
    principal: Principal | None = session.derived.get("principal")
    if principal is None:
        principal = session.derived["principal"] = _principal_of(session)
    return principal


def _principal_of(session: Session) -> Principal:
    return Principal(
        kind="user",
        id=session.subject,
        issuer=session.issuer,
        issuer_url=session.issuer_url,
        email=session.email,
        groups=session.groups,
        claims=session.claims,
        method="session",
        authenticated_at=session.authenticated_at,
        expires_at=session.expires_at,
        amr=session.amr,
        acr=session.acr,
        session=session.id,
    )


# What a store keeps beside the rest, because it changes by itself.
_APART = ("seen_at", "source", "version", "derived")


def encode_session(session: Session) -> str:
    """Return a session as JSON, without what a store keeps beside it: `seen_at`, `source` and `version`."""
    values = {name: value for name, value in _values(session).items() if name not in _APART}
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False)


def decode_session(text: str, *, seen_at: float, source: str, version: int) -> Session:
    """Return the session of a text that `encode_session` made. Raise ValueError where it is none."""
    try:
        values = json.loads(text)
        for name in ("groups", "amr"):
            values[name] = tuple(values[name])
        return Session(**values, seen_at=seen_at, source=source, version=version)
    except (TypeError, KeyError) as wrong:
        raise ValueError("session must have the fields of one") from wrong


def _values(session: Session) -> dict[str, Any]:
    return {name: getattr(session, name) for name in Session.__slots__}
