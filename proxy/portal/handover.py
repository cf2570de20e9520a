"""The hand-over: how a session of the sign-in host becomes one of an application host, once, within 30 seconds.

    application host   `begin` keeps a random nonce in the browser, and sends its digest along, sealed
    sign-in host       `issue` writes down, under a random code, for which host, nonce and session the code is
    application host   `redeem` takes the code back, once, and gives the host a handle of its own

The code is worth nothing on another host, nor in a browser without the nonce: a link that somebody else made signs
nobody in as him, and a host whose name was hijacked gets no code that another host would take.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from secrets import compare_digest

from proxy.errors import SIGN_IN_EXPIRED
from proxy.http.cookies import NONCE, is_handle, set_cookie
from proxy.identity.sealed import Keyring, SealBroken
from proxy.identity.sessions.session import Session
from proxy.identity.sessions.store import Store
from proxy.portal.request import PREFIX, Stopped
from proxy.portal.returning import Return
from proxy.portal.state import SIGN_IN_SECONDS, digest, random_secret

CODE_SECONDS = 30
PATH = PREFIX + "handover"
_PURPOSE = "hand-over"
_ROUNDS = 3
_ROUNDS_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Nonce:
    """What binds a hand-over to a browser, kept in a cookie of the application host.

    Args:
        value: 256 random bits, base64url.
        rounds: how many hand-overs have succeeded since `since`. The browser could change it, to its own harm alone.
        since: POSIX seconds.
    """

    value: str
    rounds: int
    since: int

    def is_loop(self, now: float) -> bool:
        """Tell whether this browser is sent round and round: signed in each time, and never through."""
        return self.rounds >= _ROUNDS and now < self.since + _ROUNDS_SECONDS

    def after_a_round(self, now: float) -> Nonce:
        """Return it as it is once a hand-over has succeeded."""
        if now >= self.since + _ROUNDS_SECONDS:
            return Nonce(self.value, 1, int(now))
        return Nonce(self.value, self.rounds + 1, self.since)

    def field(self) -> tuple[bytes, bytes]:
        """Return the field that keeps it for as long as a sign-in may take."""
        return set_cookie(NONCE, f"{self.value}.{self.rounds}.{self.since}".encode(), SIGN_IN_SECONDS)


def nonce_of(cookies: dict[bytes, bytes], now: float) -> Nonce | None:
    """Return the nonce that a browser holds. Two tabs share it, so that both come back."""
    value, _, rest = cookies.get(NONCE, b"").partition(b".")
    rounds, _, since = rest.partition(b".")
    if not (is_handle(value) and rounds.isdigit() and since.isdigit() and len(rounds) <= 3 and len(since) <= 11):
        return None
    return Nonce(value.decode("ascii"), int(rounds), min(int(since), int(now)))


def new_nonce(now: float) -> Nonce:
    """Return a nonce for a browser that holds none."""
    return Nonce(random_secret(), 0, int(now))


@dataclass(frozen=True, slots=True)
class Handed:
    """What a code was good for, and the nonce that it was redeemed with."""

    session_id: str
    back: Return
    nonce: Nonce


class HandOvers:
    """Issues codes and takes them back.

    Args:
        store: where codes lie; only somebody who has signed in makes it write one.
        keyring: seals them, for the address to come back to may hold what is secret.
    """

    def __init__(self, store: Store, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring

    async def issue(self, session: Session, back: Return, nonce: str, now: float) -> str:
        """Return the URL that carries a code to an application host.

        Args:
            nonce: digest of the nonce that the browser holds there.

        Raises:
            StoreUnavailable: the code could not be kept.
        """
        code = random_secret()
        row = json.dumps([session.id, back.authority, back.path, nonce]).encode()
        expires = now + CODE_SECONDS
        sealed = self._keyring.seal(_PURPOSE, row, expires=expires)
        await self._store.put_code(_key(code), sealed.encode("ascii"), expires)
        return f"https://{back.authority}{PATH}?code={code}"

    async def redeem(self, code: str, authority: str, nonce: Nonce | None, now: float) -> Handed:
        """Take a code back, whatever comes of it.

        Args:
            authority: of the host that is asked.
            nonce: what the browser holds there.

        Raises:
            Stopped: the code is spent, too old, another host's or another browser's.
            StoreUnavailable: nobody knows.
        """
        sealed = await self._store.take_code(_key(code)) if is_handle(code.encode()) else None
        if sealed is None:
            raise Stopped(SIGN_IN_EXPIRED, "a hand-over code must be used once, within 30 seconds")
        try:
            session_id, host, path, digested = json.loads(self._keyring.open(_PURPOSE, sealed.decode("ascii"), now))
        except SealBroken:
            raise Stopped(SIGN_IN_EXPIRED, "a hand-over code must be used within 30 seconds") from None
        if host != authority:
            raise Stopped(SIGN_IN_EXPIRED, "a hand-over code must be used on the host that it is for")
        if nonce is None or not compare_digest(digest(nonce.value), digested):
            raise Stopped(SIGN_IN_EXPIRED, "a hand-over code must be used by the browser that asked for it")
        return Handed(session_id, Return(host, path), nonce)


def _key(code: str) -> bytes:
    return sha256(code.encode("ascii")).digest()
