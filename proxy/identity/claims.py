"""What a token must claim to be for us, and whom its claims make the caller (RFC 7519, 9068, OpenID Connect Core 1.0).

It knows an issuer's rules and a payload: no key, no signature, no clock of its own. The caller has the signature
verified before it believes a principal that comes from here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from proxy.identity.principal import Principal
from proxy.identity.token import ACCESS_TYPES, InvalidToken

# Claims that only another kind of token has (RFC 8725 section 2.8), or that bind it to what is not verified here.
_REFUSED = {
    "nonce": "token must not be an ID token",
    "at_hash": "token must not be an ID token",
    "c_hash": "token must not be an ID token",
    "events": "token must not be a security event",  # RFC 8417; a logout token is one
    "cnf": "token must not be bound to a key",  # RFC 7800: its bearer would be believed without the proof
}


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What the config says of one issuer's tokens.

    Args:
        name: the issuer's name in the config.
        url: what `iss` must be, to the letter.
        audiences: of which `aud` must hold one.
        algorithms: of which `alg` must be one.
        skew: seconds by which clocks may differ.
        email_domains: lower-case domains that the issuer vouches for; empty: any.
        email_claim, groups_claim: a claim's name, or a dotted path into objects.
        clients: by which people sign in here; a bearer token for one of them is an ID token, unless it says otherwise.
    """

    name: str
    url: str
    audiences: frozenset[str]
    algorithms: frozenset[str]
    skew: float = 60.0
    email_domains: frozenset[str] = frozenset()
    email_claim: str = "email"
    groups_claim: str = "groups"
    clients: frozenset[str] = frozenset()


def read_principal(claims: dict[str, Any], rules: TokenRules, now: float, kind: str = "jwt") -> Principal:
    """Return the user that a token's claims make.

    Args:
        claims: the payload.
        rules: those of its issuer.
        now: POSIX seconds.
        kind: the token's `typ` in lower case.

    Raises:
        InvalidToken: the token is not for us, not now, or no access token.
    """
    refuse_other_kinds(claims)
    ours = require_ours(claims, rules, now)
    _refuse_id_token(ours.audience, rules, kind)
    signed_in = past_of(claims, "auth_time", rules, now)
    subject = claims.get("sub")
    if type(subject) is not str or not subject:
        raise InvalidToken("subject must be a string that is not empty")
    return Principal(
        kind="user",
        id=subject,
        issuer=rules.name,
        issuer_url=rules.url,
        email=vouched_email(claims, rules),
        groups=groups_of(claims, rules),
        claims=claims,
        method="bearer",
        authenticated_at=ours.issued if signed_in is None else signed_in,
        expires_at=ours.expires + rules.skew,
    )


def refuse_other_kinds(claims: dict[str, Any]) -> None:
    """Raise InvalidToken for a token that has a claim which only those of another kind have."""
    for claim, rule in _REFUSED.items():
        if claim in claims:
            raise InvalidToken(rule)


def _refuse_id_token(audience: list[str], rules: TokenRules, kind: str) -> None:
    """Raise InvalidToken where a token is for a client of ours, as ID tokens are; a refreshed one has no `nonce`.

    An operator may have access tokens for the same name all the same: then they must say that they are such, which an
    ID token never does (RFC 9068 section 2.1).
    """
    for name in rules.clients.intersection(audience):
        if name not in rules.audiences or kind not in ACCESS_TYPES:
            raise InvalidToken("token must not be an ID token")


@dataclass(frozen=True, slots=True)
class Ours:
    """What every token for us states: whom it is for, and POSIX seconds of its end and its making (or None)."""

    audience: list[str]
    expires: float
    issued: float | None


def require_ours(claims: dict[str, Any], rules: TokenRules, now: float) -> Ours:
    """Return what a token states that is its issuer's, for us, and good now. Raise InvalidToken for any other."""
    if claims.get("iss") != rules.url:
        raise InvalidToken("issuer must be the configured one, to the letter")
    audience = _require_audience(claims, rules)
    expires = time_of(claims, "exp")
    if expires is None:
        raise InvalidToken("token must expire")
    if now >= expires + rules.skew:
        raise InvalidToken("token must not be expired")
    issued = past_of(claims, "iat", rules, now)
    past_of(claims, "nbf", rules, now)
    return Ours(audience, expires, issued)


def _require_audience(claims: dict[str, Any], rules: TokenRules) -> list[str]:
    """Return whom a token is for. Raise InvalidToken unless one of them is one of the rules' audiences."""
    audience = claims.get("aud")
    named = [audience] if type(audience) is str else audience
    if type(named) is not list or not all(type(name) is str for name in named):
        raise InvalidToken("audience must be a string or a list of strings")
    if rules.audiences.isdisjoint(named):
        raise InvalidToken("audience must be ours")
    return named


def time_of(claims: dict[str, Any], claim: str) -> float | None:
    """Return a NumericDate, or None where there is none. `true` is a number to Python and none to RFC 7519."""
    if claim not in claims:
        return None
    value = claims[claim]
    if type(value) not in (int, float) or not math.isfinite(value):
        raise InvalidToken(f"{claim} must be a number of seconds")
    return float(value)


def past_of(claims: dict[str, Any], claim: str, rules: TokenRules, now: float) -> float | None:
    """Return a NumericDate that has come, or None where there is none. Raise InvalidToken where it is in the future."""
    value = time_of(claims, claim)
    if value is not None and value > now + rules.skew:
        raise InvalidToken(f"{claim} must not be in the future")
    return value


def _at(claims: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """Return the object that holds a claim, and the claim's name in it; an empty object where there is none.

    A claim that is called like the whole path comes first: names such as `https://example.org/groups` have dots.
    """
    holder, name = claims, path
    while name not in holder and "." in name:
        step, name = name.split(".", 1)
        inner = holder.get(step)
        holder = inner if type(inner) is dict else {}
    return holder, name


def has_claim(claims: dict[str, Any], path: str) -> bool:
    """Whether there is a claim of this name, or along this dotted path."""
    holder, name = _at(claims, path)
    return name in holder


def vouched_email(claims: dict[str, Any], rules: TokenRules) -> str:
    """Return the e-mail address if its issuer vouches for it, else an empty string.

    That is: the flag beside it says so (`email_verified` for `email`), with the JSON value `true` alone; and its domain
    is one of the issuer's. Domains are compared, and returned, in lower case; what stands before the `@` is a name
    that only its issuer can compare, so it stays as it is.
    """
    holder, name = _at(claims, rules.email_claim)
    address = holder.get(name)
    if holder.get(f"{name}_verified") is not True or type(address) is not str:
        return ""
    local, _, domain = address.partition("@")
    plain = address.isascii() and address.isprintable() and " " not in address
    if not plain or not local or not domain or "@" in domain:  # CVE-2026-40574: two `@`, two readings of the domain
        return ""
    domain = domain.lower()
    if rules.email_domains and domain not in rules.email_domains:
        return ""
    return f"{local}@{domain}"


def groups_of(claims: dict[str, Any], rules: TokenRules) -> tuple[str, ...]:
    """Return the groups: a list of strings, or one string that is one group. Anything else is no group at all."""
    holder, name = _at(claims, rules.groups_claim)
    value = holder.get(name)
    if type(value) is str:
        return (value,)
    if type(value) is list and all(type(group) is str for group in value):
        return tuple(value)
    return ()
