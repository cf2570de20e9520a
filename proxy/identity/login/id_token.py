"""An ID token: what it must be signed with and claim before it says who signed in (OpenID Connect Core 3.1.3.7).

It is proven by the machinery of bearer tokens, and read by other rules: neither is ever taken for the other.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from proxy.errors import Refused
from proxy.identity.claims import TokenRules, past_of, require_ours
from proxy.identity.keys import KeySource, UnknownKey
from proxy.identity.login.outcome import KeyUnknown, LoginRefused, LoginUnavailable
from proxy.identity.token import InvalidToken, parse_token

# A token that comes straight from its issuer is young whatever the clocks say, so that they may differ by more than
# those of a bearer token that may have been on its way for minutes.
SKEW: Final = 120.0  # seconds
_TYPES: Final = frozenset({"jwt"})  # not `at+jwt`: an access token says nothing about who signed in

_STALE = "Your organisation's sign-in did not ask you to prove again who you are, which this needs."
_WEAK = "Your organisation's sign-in was not as strong as this needs."

# OpenID Connect Core 3.1.3.6: the hash of the signature's algorithm; for EdDSA that of Ed25519.
_HASHES: dict[str, Callable[[bytes], Any]] = {
    "256": hashlib.sha256,
    "384": hashlib.sha384,
    "512": hashlib.sha512,
    "DSA": hashlib.sha512,
}


@dataclass(frozen=True, slots=True)
class Expected:
    """What a sign-in asked for, which its ID token must show.

    Args:
        nonce: the one that was sent, or None at a refresh, where nothing was.
        max_age: seconds for which the proof may be old, or None.
        acr: the context classes of which one will do; empty: any.
    """

    nonce: str | None = None
    max_age: float | None = None
    acr: Sequence[str] = ()


async def verify_id_token(
    text: str, access_token: str, expected: Expected, rules: TokenRules, keys: KeySource, now: float
) -> dict[str, Any]:
    """Return the claims of an ID token.

    Args:
        text: the token.
        access_token: that came with it, of which `at_hash` must be the hash where it is there.
        expected: what was asked for.
        rules: the issuer's; the audience is our client.
        keys: the issuer's.
        now: POSIX seconds.

    Raises:
        LoginRefused: it breaks a rule.
        LoginUnavailable: the issuer's keys cannot be had.
    """

    def require(claims: dict[str, Any], algorithm: str) -> None:
        ours = require_ours(claims, rules, now)
        if ours.issued is None:
            raise InvalidToken("token must say when it was issued")
        subject = claims.get("sub")
        if type(subject) is not str or not 0 < len(subject) <= 255:
            raise InvalidToken("subject must be a string of 1 to 255 characters")
        _require_party(claims, ours.audience, rules)
        _require_nonce(claims, expected.nonce)
        _require_hash(claims, access_token, algorithm)
        if "events" in claims:
            raise InvalidToken("token must not be a security event")

    claims = await prove(text, _TYPES, require, rules, keys, "id token")
    try:
        signed_in = past_of(claims, "auth_time", rules, now)
    except InvalidToken as broken:
        raise LoginRefused(f"id token: {broken}") from None
    if expected.max_age is not None and (signed_in is None or now - signed_in > expected.max_age + rules.skew):
        raise LoginRefused("id token: auth_time must be within the max_age that was asked for", _STALE)
    if expected.acr and claims.get("acr") not in expected.acr:
        raise LoginRefused("id token: acr must be one that was asked for", _WEAK)
    return claims


async def prove(
    text: str,
    types: frozenset[str],
    require: Callable[[dict[str, Any], str], None],
    rules: TokenRules,
    keys: KeySource,
    called: str,
) -> dict[str, Any]:
    """Return the claims of a token of a provider's that is signed by it.

    Args:
        text: the token.
        types: the values of `typ` that it may have; none is `jwt`.
        require: raises InvalidToken unless the claims, under the signature's algorithm, are what they must be. What
            it looks at costs less than a signature, so it comes first.
        rules, keys: the issuer's.
        called: what the token is called in reasons.

    Raises:
        LoginRefused: it breaks a rule; KeyUnknown where that is to be signed with a key of the issuer's.
        LoginUnavailable: the issuer's keys cannot be had.
    """
    try:
        token = parse_token(text.encode("ascii", "replace"), types)
        _require_algorithm(token.algorithm, rules)
        require(token.claims, token.algorithm)
        key = await keys.find(token)
        key.verify(token)
    except UnknownKey as unknown:
        raise KeyUnknown(f"{called}: {unknown}") from None
    except InvalidToken as broken:
        raise LoginRefused(f"{called}: {broken}") from None
    except Refused as refused:
        raise LoginUnavailable(f"{called}: {refused.detail}") from None
    return token.claims


def _require_algorithm(algorithm: str, rules: TokenRules) -> None:
    if algorithm not in rules.algorithms:
        raise InvalidToken("algorithm must be one of the login's")


def _require_party(claims: dict[str, Any], audience: list[str], rules: TokenRules) -> None:
    """Steps 3 to 5: a token for several says to whom it was issued, and that must be us."""
    if len(audience) > 1 and "azp" not in claims:
        raise InvalidToken("token for several must name its authorized party")
    if "azp" in claims and claims["azp"] not in list(rules.audiences):
        raise InvalidToken("authorized party must be our client")


def _require_nonce(claims: dict[str, Any], nonce: str | None) -> None:
    if nonce is None:
        return  # at a refresh: a provider may leave it out or repeat it, and it proves nothing there (section 12.2)
    stated = claims.get("nonce")
    if type(stated) is not str or not hmac.compare_digest(stated.encode(), nonce.encode()):
        raise InvalidToken("nonce must be the one that was sent")


def _require_hash(claims: dict[str, Any], access_token: str, algorithm: str) -> None:
    stated = claims.get("at_hash")
    if stated is None:
        return  # optional in the code flow
    digest = _HASHES[algorithm[-3:]](access_token.encode()).digest()
    expected = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=")
    if type(stated) is not str or not hmac.compare_digest(stated.encode(), expected):
        raise InvalidToken("at_hash must be that of the access token")
