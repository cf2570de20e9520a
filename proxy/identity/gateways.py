"""Users that another gateway vouches for: whom its assertion names, on a connection that is proven to be its own.

A gateway that stands before this one has signed people in already, and tells of each request whose it is
(`X-Ztproxy-Assertion`, made by `identity/assertion`). The field counts on a connection with the gateway's certificate
and on no other: an application that was sent an assertion must not be able to spend it. It knows heads, peers and keys:
no socket, and no clock but the moments that it is given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from proxy.http.header_sets import ASSERTED
from proxy.http.message import RequestHead, Target
from proxy.identity.claims import TokenRules, groups_of, past_of, refuse_other_kinds, require_ours, vouched_email
from proxy.identity.keys import KeySource
from proxy.identity.principal import Peer, Principal
from proxy.identity.spiffe import Pattern, SpiffeID
from proxy.identity.token import InvalidToken, Token, parse_token

SKEW: Final = 30.0  # seconds that clocks of gateways may differ by; an assertion lasts minutes
ALGORITHM: Final = "ES256"
_TYPES: Final = frozenset({"jwt"})
_FIELD: Final = ASSERTED["ztproxy"]


@dataclass(frozen=True, slots=True)
class Gateway:
    """Another gateway, or the users of one of its issuers.

    Args:
        rules: for its assertions; whom they are for is known with the request alone.
        idp: the name, in its config, of the issuer whose users these are; None: of all of them.
        workloads: who the other end of the connection must be.
        source: its keys.
    """

    rules: TokenRules
    idp: str | None
    workloads: tuple[Pattern, ...]
    source: KeySource


class Gateways:
    """Every gateway that may vouch for users.

    Args:
        gateways: no two for the same users.
    """

    __slots__ = ("_gateways",)

    def __init__(self, gateways: Iterable[Gateway] = ()) -> None:
        self._gateways = tuple(gateways)

    def __bool__(self) -> bool:
        return bool(self._gateways)

    def at(self, peer: Peer | None) -> tuple[Gateway, ...]:
        """Return those that the other end of a connection is; worked out once for each peer."""
        if peer is None or peer.kind != "workload":
            return ()
        known: tuple[Gateways, tuple[Gateway, ...]] | None = peer.derived.get("gateways")
        if known is None or known[0] is not self:
            workload = SpiffeID(peer.trust_domain, peer.path)
            found = tuple(each for each in self._gateways if any(one.match(workload) for one in each.workloads))
            known = peer.derived["gateways"] = self, found
        return known[1]


def assertion_of(head: RequestHead) -> bytes | None:
    """Return the assertion of a request, or None where there is none; an empty field tells of nobody.

    Two of them are one text (RFC 9110 section 5.2), which is no assertion.
    """
    return b", ".join(head.values(_FIELD)) or None


def audience_of(target: Target) -> str:
    """Return whom an assertion must be for: the application that is asked, as the gateway before us called it."""
    return f"https://{target.host}"


def read_assertion(text: bytes, gateways: Iterable[Gateway], audience: str, now: float) -> tuple[Token, Gateway]:
    """Return an assertion, whose signature is still to be verified, and whose it is.

    Args:
        text: the assertion.
        gateways: those that the connection is.
        audience: as of `audience_of`.
        now: POSIX seconds.

    Raises:
        InvalidToken: it is none, is none of theirs, is for another application, or not good now.
    """
    token = parse_token(text, _TYPES)
    claims = token.claims
    if token.algorithm != ALGORITHM:
        raise InvalidToken(f"an assertion must be signed with {ALGORITHM}")
    named = [each for each in gateways if each.rules.url == claims.get("iss")]
    found = next((each for each in named if each.idp is None or each.idp == claims.get("idp")), None)
    if found is None:
        raise InvalidToken("an assertion must be that of the gateway on whose connection it comes, and of its users")
    refuse_other_kinds(claims)
    require_ours(claims, replace(found.rules, audiences=frozenset({audience})), now)
    return token, found


def user_of(claims: dict[str, Any], gateway: Gateway, now: float) -> Principal:
    """Return the user that the claims of an assertion make. Raise InvalidToken where they are a gateway's no more."""
    rules, subject = gateway.rules, claims.get("sub")
    if type(subject) is not str or not subject or type(claims.get("idp")) is not str:
        raise InvalidToken("an assertion must name its user by idp and sub")
    vouched = {"email": claims.get("email"), "email_verified": True}  # it tells of no other address
    return Principal(
        kind="user",
        id=subject,
        issuer=rules.name,
        issuer_url=rules.url,
        email=vouched_email(vouched, rules),
        groups=groups_of(claims, rules),
        claims=claims,
        method="assertion",
        authenticated_at=past_of(claims, "auth_time", rules, now),
        expires_at=float(claims["exp"]) + rules.skew,
    )
