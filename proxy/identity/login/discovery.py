"""Where a provider's endpoints are, and what it can do: its discovery document (OpenID Connect Discovery 1.0).

The last good document serves while the provider cannot be reached. It knows documents, and that somebody fetches them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proxy.identity.login.outcome import LoginUnavailable
from proxy.identity.oidc import Fetch, FetchFailed, discovery_url, parse_document, place_of

_FRESH = 3600.0  # seconds for which a document is taken as it is: endpoints move seldom, and are announced before
_SERVES = 24 * 3600.0  # seconds for which the last good one serves a provider that is away
_RETRY = 30.0  # seconds between two attempts, so that a provider that is slow does not slow every sign-in


@dataclass(frozen=True, slots=True)
class Metadata:
    """A provider's endpoints and abilities.

    Args:
        authorization_endpoint, token_endpoint: where browsers are sent, and where codes are redeemed.
        userinfo_endpoint, end_session_endpoint: where there are such, else None.
        names_itself: its answers carry `iss` (RFC 9207), so that one without is none of its.
        challenge_methods: of PKCE; None: not told.
        authentication: how clients may authenticate at the token endpoint; None: not told.
    """

    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    names_itself: bool = False
    challenge_methods: tuple[str, ...] | None = None
    authentication: tuple[str, ...] | None = None


def parse_metadata(body: bytes, issuer: str) -> Metadata:
    """Return what a discovery document says.

    Raises:
        FetchFailed: it is no such document, it is another issuer's, or it names a place that must not be asked.
    """
    document = parse_document(body, issuer)
    return Metadata(
        authorization_endpoint=place_of(document, "authorization_endpoint", issuer),
        token_endpoint=place_of(document, "token_endpoint", issuer),
        userinfo_endpoint=_place_if_any(document, "userinfo_endpoint", issuer),
        end_session_endpoint=_place_if_any(document, "end_session_endpoint", issuer),
        names_itself=document.get("authorization_response_iss_parameter_supported") is True,
        challenge_methods=_names(document, "code_challenge_methods_supported"),
        authentication=_names(document, "token_endpoint_auth_methods_supported"),
    )


class Directory:
    """One provider's metadata, kept.

    Args:
        issuer: its URL.
        fetch: gets a document, or raises FetchFailed.
        clock: monotonic seconds.
    """

    def __init__(self, issuer: str, fetch: Fetch, clock: Callable[[], float] = time.monotonic) -> None:
        self.known: Metadata | None = None
        self._issuer = issuer
        self._fetch = fetch
        self._clock = clock
        self._lock = asyncio.Lock()
        self._ask_at = self._serves_until = clock()

    async def metadata(self) -> Metadata:
        """Return the metadata, fetched where there is none or it is old.

        Raises:
            LoginUnavailable: the provider could not be asked, and what was known of it is too old.
        """
        if (known := self._usable()) is not None and (self._lock.locked() or self._clock() < self._ask_at):
            return known
        async with self._lock:
            if (known := self._usable()) is not None and self._clock() < self._ask_at:
                return known  # somebody else has fetched it meanwhile
            return await self._renew()

    def _usable(self) -> Metadata | None:
        return self.known if self._clock() < self._serves_until else None

    async def _renew(self) -> Metadata:
        try:
            document = await self._fetch(discovery_url(self._issuer))
            self.known = parse_metadata(document.body, self._issuer)
        except FetchFailed as failed:
            self._ask_at = self._clock() + _RETRY
            if (known := self._usable()) is not None:
                return known
            raise LoginUnavailable(f"provider must be reachable: {failed}") from None
        now = self._clock()
        self._ask_at, self._serves_until = now + _FRESH, now + _SERVES
        return self.known


def _place_if_any(document: dict[str, Any], member: str, issuer: str) -> str | None:
    return place_of(document, member, issuer) if member in document else None


def _names(document: dict[str, Any], member: str) -> tuple[str, ...] | None:
    value = document.get(member)
    if type(value) is not list:
        return None
    return tuple(name for name in value if type(name) is str)
