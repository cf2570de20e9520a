"""Service tokens: what a program shows where a person would sign in.

A token is `ztst_` and 43 characters; its digest alone is kept. It says who the program is and in which groups, and it
always ends.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import Final

from proxy.config.staff import SERVICES
from proxy.identity.principal import Principal

PREFIX: Final = b"ztst_"
ISSUER: Final = SERVICES
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)
_TOKEN: Final = re.compile(rb"ztst_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """What is kept of a service token.

    Args:
        name: the service's; the principal is `service:NAME`.
        digest: SHA-256 of the token.
        groups: the service's groups.
        created_at, expires_at: POSIX seconds.
        used_at: POSIX seconds of its last use, to the minute, or None.
        derived: what other rooms make of it, each under its own name.
    """

    name: str
    digest: bytes = field(repr=False)
    groups: tuple[str, ...]
    created_at: float
    expires_at: float
    used_at: float | None = None
    derived: dict[str, Principal] = field(default_factory=dict, init=False, compare=False, repr=False)


def new_service_token() -> bytes:
    """Return a token of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32).encode("ascii")


def is_service_name(text: str) -> bool:
    """Tell whether a service may be called like this."""
    return _NAME.fullmatch(text) is not None


def is_service_token(text: bytes) -> bool:
    """Tell whether a credential has the shape of a service token; the store is asked about no other."""
    return _TOKEN.fullmatch(text) is not None


def principal_of_service(token: ServiceToken) -> Principal:
    """Return the user that a service token makes its caller; of one token always the same."""
    principal = token.derived.get("principal")
    if principal is None:
        principal = token.derived["principal"] = Principal(
            kind="user",
            id=f"service:{token.name}",
            issuer=ISSUER,
            groups=token.groups,
            method="service_token",
            authenticated_at=token.created_at,
            expires_at=token.expires_at,
        )
    return principal
