"""Whom a provider's claims make: the ID token's, with userinfo's where it was asked, and the groups file's groups.

It knows claims that are verified already, and no token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from proxy.identity.claims import TokenRules, has_claim
from proxy.identity.login.outcome import LoginRefused

# What the ID token alone may say: userinfo speaks of the person, and of no sign-in (OpenID Connect Core 5.1).
_OF_THE_TOKEN: Final = frozenset(
    {"iss", "sub", "aud", "azp", "exp", "iat", "nbf", "auth_time", "acr", "amr", "sid", "nonce", "at_hash", "c_hash"}
)
# What belongs to one answer and would tell a policy, or an application, nothing.
_OF_ONE_ANSWER: Final = frozenset({"nonce", "at_hash", "c_hash", "s_hash", "jti"})

_OVERAGE = (
    "You are in more groups than your organisation's sign-in passes on, so what you may open cannot be told. "
    "Its administrator can have only the groups of this application passed on."
)


def of_the_token(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims that speak of the sign-in, not of the person."""
    return {name: value for name, value in claims.items() if name in _OF_THE_TOKEN}


def lacks_claims(claims: dict[str, Any], rules: TokenRules) -> bool:
    """Whether userinfo could add to what an ID token says: a vouched e-mail address, or the groups."""
    return not has_claim(claims, f"{rules.email_claim}_verified") or not has_claim(claims, rules.groups_claim)


def with_userinfo(claims: Mapping[str, Any], userinfo: Mapping[str, Any]) -> dict[str, Any]:
    """Return an ID token's claims and userinfo's in one.

    Userinfo's are taken where both have one: they are what is true now. A value and the flag that vouches for it come
    from the same place, for a flag says nothing about somebody else's value.
    """
    told = {name: value for name, value in userinfo.items() if name not in _OF_THE_TOKEN}
    merged = {**claims, **told}
    for flag in [name for name in merged if name.endswith("_verified")]:
        if (flag in told) != (flag.removesuffix("_verified") in told):
            del merged[flag]
    return merged


def refuse_overage(claims: dict[str, Any], rules: TokenRules) -> None:
    """Raise LoginRefused where a provider says that there are more groups than it tells.

    Microsoft Entra names a place to ask instead (`_claim_names`), or says `hasgroups`. To go on without the groups
    would be to decide on half of what policy asks for.
    """
    if has_claim(claims, rules.groups_claim):
        return
    elsewhere = claims.get("_claim_names")
    referred = isinstance(elsewhere, Mapping) and rules.groups_claim in elsewhere
    if referred or claims.get("hasgroups") in (True, "true"):
        raise LoginRefused(
            "provider must pass on the groups themselves: there are too many of them (overage)", _OVERAGE
        )


def lasting(claims: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims that say something beyond the one answer that they came in."""
    return {name: value for name, value in claims.items() if name not in _OF_ONE_ANSWER}


def methods_of(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Return `amr`: a list of strings; anything else is nothing."""
    amr = claims.get("amr")
    return tuple(amr) if type(amr) is list and all(type(method) is str for method in amr) else ()


def text_of(claims: Mapping[str, Any], claim: str) -> str:
    """Return a claim that is text of a sane length, else an empty string."""
    value = claims.get(claim)
    return value if type(value) is str and len(value) <= 255 else ""
