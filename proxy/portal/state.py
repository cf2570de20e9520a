"""A sign-in under way, which lies with the browser, sealed, and never in the store: strangers could fill that.

    Asked   from an application host to the sign-in host, in the URL: where to come back to, and for which browser
    Begun   from the sign-in host to the provider and back, in a cookie: what was asked, and what only it knows

Both are sealed for one purpose each and hold the moment they were made: a sealed text of another purpose, another key
or another time is none. The `state` parameter itself says nothing; it names its cookie, which proves it.
"""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from proxy.http.cookies import BEGUN, clear_cookie, set_cookie
from proxy.http.message import Headers
from proxy.identity.sealed import Keyring, SealBroken
from proxy.policy.decision import StepUp
from proxy.portal.returning import Return

SIGN_IN_SECONDS = 600
BEGUN_COOKIES = 5
_ASKED, _BEGUN = "sign-in asked", "sign-in begun"
_LONGEST_SEALED = 8192
_ACR_BYTES = 256  # of all values together: what is begun must fit into a cookie of 4096 bytes
_ADVANCE = 60  # seconds by which the clocks of two hosts may differ


@dataclass(frozen=True, slots=True)
class Asked:
    """What the way to the sign-in host carries.

    Args:
        back: where to come back to.
        nonce: digest of what binds the hand-over to the browser; empty where none is needed, on the sign-in host.
        at: POSIX seconds.
        step_up: what policy requires of the sign-in, or None.
        another: the person wants to be somebody else, so that no session is used that is there already.
    """

    back: Return
    nonce: str
    at: float
    step_up: StepUp | None = None
    another: bool = False

    def expired(self, now: float) -> bool:
        """Tell whether it has become too old to go on; it was sealed by us all the same."""
        return not self.at - _ADVANCE <= now < self.at + SIGN_IN_SECONDS

    def renewed(self, now: float, *, another: bool) -> Asked:
        """Return the same wish, made now."""
        return Asked(self.back, self.nonce, now, self.step_up, another)


@dataclass(frozen=True, slots=True)
class Begun:
    """What a browser that was sent to a provider comes back with.

    Args:
        state: the `state` parameter.
        provider: the issuer's name.
        nonce: the ID token's.
        verifier: of PKCE.
        asked: what it is all for.
        at: POSIX seconds.
    """

    state: str
    provider: str
    nonce: str
    verifier: str
    asked: Asked
    at: float


def seal_asked(keyring: Keyring, asked: Asked) -> str:
    """Return what was asked as a URL parameter. It does not expire by itself: an old one still says where to go on."""
    return keyring.seal(_ASKED, _encode(_asked_row(asked)), expires=None)


def open_asked(keyring: Keyring, text: str, now: float) -> Asked | None:
    """Return what a URL parameter says was asked, or None where we did not seal it."""
    row = _open(keyring, _ASKED, text, now)
    return None if row is None else _read_asked(row)


def begin(provider: str, asked: Asked, now: float) -> Begun:
    """Return a new sign-in: 256 random bits each for state, nonce and verifier."""
    return Begun(random_secret(), provider, random_secret(), random_secret(), asked, now)


def begun_cookies(keyring: Keyring, begun: Begun, cookies: dict[bytes, bytes], now: float) -> Headers:
    """Return the fields that keep a new sign-in in the browser, and make room for it.

    Args:
        cookies: ours that the request carried; the oldest sign-ins beyond `BEGUN_COOKIES` are given up.
    """
    sealed = keyring.seal(_BEGUN, _encode(_begun_row(begun)), expires=now + SIGN_IN_SECONDS)
    name = _cookie_name(begun.state)
    fields = [set_cookie(name, sealed.encode("ascii"), SIGN_IN_SECONDS)]
    others = sorted(
        ((_age_of(keyring, value, now), other) for other, value in cookies.items() if _is_begun(other, name)),
        reverse=True,
    )
    dead = [other for at, other in others if at < 0]
    return fields + [clear_cookie(other) for other in dead + [o for at, o in others if at >= 0][BEGUN_COOKIES - 1 :]]


def open_begun(keyring: Keyring, state: str, cookies: dict[bytes, bytes], now: float) -> Begun | None:
    """Return the sign-in that a `state` names and this browser began, or None.

    Raises nothing: whatever is wrong with it, this browser has begun no such sign-in.
    """
    sealed = cookies.get(_cookie_name(state), b"")
    row = _open(keyring, _BEGUN, sealed.decode("ascii"), now)
    if row is None:
        return None
    begun = Begun(row[0], row[1], row[2], row[3], _read_asked(row[5:]), row[4])
    if not secrets.compare_digest(begun.state.encode(), state.encode()) or now >= begun.at + SIGN_IN_SECONDS:
        return None
    return begun


def forget_begun(state: str) -> tuple[bytes, bytes]:
    """Return the field that makes a browser forget a sign-in: it is tried once."""
    return clear_cookie(_cookie_name(state))


def digest(secret: str) -> str:
    """Return the digest of a random secret, as 43 characters of base64url."""
    return urlsafe_b64encode(sha256(secret.encode("ascii")).digest()).rstrip(b"=").decode("ascii")


def random_secret() -> str:
    """Return 256 random bits of the operating system's, as 43 characters of base64url."""
    return secrets.token_urlsafe(32)


def _cookie_name(state: str) -> bytes:
    return BEGUN + sha256(state.encode()).hexdigest()[:8].encode("ascii")


def _is_begun(name: bytes, new: bytes) -> bool:
    return name.startswith(BEGUN) and name != new


def _age_of(keyring: Keyring, sealed: bytes, now: float) -> float:
    """Return when a sign-in was begun, or -1 where it is none."""
    row = _open(keyring, _BEGUN, sealed.decode("ascii"), now)
    return -1.0 if row is None else float(row[4])


def _encode(row: list[Any]) -> bytes:
    return json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode()


def _open(keyring: Keyring, purpose: str, text: str, now: float) -> list[Any] | None:
    if not text or len(text) > _LONGEST_SEALED:
        return None
    try:
        row: list[Any] = json.loads(keyring.open(purpose, text, now))
    except SealBroken:
        return None
    return row


def _asked_row(asked: Asked) -> list[Any]:
    require = asked.step_up
    acr = _bounded(require.acr) if require is not None else []
    max_age = require.max_age if require is not None else None
    back = asked.back
    return [back.authority, back.path, asked.nonce, asked.at, require is not None, max_age, acr, asked.another]


def _read_asked(row: list[Any]) -> Asked:
    authority, path, nonce, at, required, max_age, acr, another = row
    return Asked(Return(authority, path), nonce, at, StepUp(max_age, tuple(acr)) if required else None, another)


def _begun_row(begun: Begun) -> list[Any]:
    return [begun.state, begun.provider, begun.nonce, begun.verifier, begun.at, *_asked_row(begun.asked)]


def _bounded(values: tuple[str, ...]) -> list[str]:
    """Return the first values that are short enough together; any of them would do."""
    kept: list[str] = []
    for value in values:
        if sum(len(each.encode()) for each in (*kept, value)) > _ACR_BYTES:
            break
        kept.append(value)
    return kept
