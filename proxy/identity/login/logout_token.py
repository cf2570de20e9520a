"""A logout token: a provider's order to end sessions (OpenID Connect Back-Channel Logout 1.0 section 2.6)."""

from __future__ import annotations

from typing import Any, Final

from proxy.identity.claims import TokenRules, require_ours
from proxy.identity.keys import KeySource
from proxy.identity.login.id_token import prove
from proxy.identity.login.outcome import LogoutToken
from proxy.identity.token import InvalidToken

# `logout+jwt` is what the specification wants, `JWT` or nothing what many providers send.
_TYPES: Final = frozenset({"logout+jwt", "application/logout+jwt", "jwt"})
_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
_LONGEST: Final = 3600.0  # seconds from issue to end: the id of an accepted token has to be kept that long


async def verify_logout_token(text: str, rules: TokenRules, keys: KeySource, now: float) -> LogoutToken:
    """Return what a logout token orders. The caller accepts its `jti` once.

    Args:
        text: the token.
        rules: the issuer's; the audience is our client.
        keys: the issuer's.
        now: POSIX seconds.

    Raises:
        LoginRefused: it breaks a rule.
        LoginUnavailable: the issuer's keys cannot be had.
    """

    def require(claims: dict[str, Any], _algorithm: str) -> None:
        ours = require_ours(claims, rules, now)
        if ours.issued is None:
            raise InvalidToken("token must say when it was issued")
        if ours.expires - ours.issued > _LONGEST:
            raise InvalidToken(f"token must be good for at most {_LONGEST:g} s")
        _require_order(claims)

    claims = await prove(text, _TYPES, require, rules, keys, "logout token")
    return LogoutToken(
        issuer=rules.name,
        issuer_url=rules.url,
        subject=claims.get("sub", ""),
        provider_sid=claims.get("sid", ""),
        jti=claims["jti"],
        expires_at=claims["exp"] + rules.skew,
    )


def _require_order(claims: dict[str, Any]) -> None:
    if "nonce" in claims:
        raise InvalidToken("token must not be an ID token")
    events = claims.get("events")
    if type(events) is not dict or type(events.get(_EVENT)) is not dict:
        raise InvalidToken("token must be a logout event")
    for name in ("jti", "sub", "sid"):
        if name in claims and (type(claims[name]) is not str or not 0 < len(claims[name]) <= 255):
            raise InvalidToken(f"{name} must be a string of 1 to 255 characters")
    if "jti" not in claims:
        raise InvalidToken("token must have an id")
    if "sub" not in claims and "sid" not in claims:
        raise InvalidToken("token must say whose session ends")
