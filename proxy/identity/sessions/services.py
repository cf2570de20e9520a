"""Service tokens as requests ask for them: from memory without waiting, else from the store."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from proxy.identity.principal import Principal
from proxy.identity.sessions.following import Following
from proxy.identity.sessions.service import ServiceToken, is_service_token, principal_of_service
from proxy.identity.sessions.store import Store

_CAPACITY: Final = 10_000
_TOUCH_SECONDS: Final = 60.0


class ServiceTokens:
    """What requests that carry a service token ask.

    Args:
        store: where they are kept.
        following: of the same store; somebody runs it.
    """

    def __init__(self, store: Store, following: Following) -> None:
        self._store = store
        self._following = following
        self._tokens: dict[bytes, ServiceToken] = {}
        self._noted: dict[str, float] = {}
        following.tell_changes(self._forget)

    def recall(self, text: bytes, now: float) -> Principal | None:
        """Return the user that a service token makes, if memory can tell; None: `read` must.

        Args:
            text: the token, whatever it looks like.
            now: POSIX seconds.
        """
        token = self._tokens.get(sha256(text).digest())
        if token is None or now >= token.expires_at or not self._following.is_believed:
            return None
        if now - self._noted.get(token.name, 0.0) >= _TOUCH_SECONDS:
            return None  # its use is to be written down
        return principal_of_service(token)

    async def read(self, text: bytes, now: float) -> Principal | None:
        """Return the user that a service token makes, or None where it makes nobody one.

        Raises:
            StoreUnavailable: nobody knows.
        """
        if not is_service_token(text):
            return None
        digest = sha256(text).digest()
        told = self._following.told
        token = await self._store.find_service_token(digest)
        if token is None or now >= token.expires_at:
            return None
        await self._note(token, now)
        if told == self._following.told and len(self._tokens) < _CAPACITY:
            token = self._tokens.setdefault(digest, token)
        return principal_of_service(token)

    async def _note(self, token: ServiceToken, now: float) -> None:
        if now - max(token.used_at or 0.0, self._noted.get(token.name, 0.0)) < _TOUCH_SECONDS:
            self._noted.setdefault(token.name, token.used_at or now)
            return
        self._noted[token.name] = now
        await self._store.touch_service_token(token.name, now)

    def _forget(self, ids: frozenset[str] | None) -> None:
        """Drop what has been revoked."""
        if ids is None:
            self._tokens.clear()
            return
        for digest in [each for each, token in self._tokens.items() if f"service:{token.name}" in ids]:
            del self._tokens[digest]
