"""Who is calling, once it is proven.

`Principal` is whom the decision is about: the token's user, else the workload, else nobody. `Peer` is the client
certificate's identity on the connection; a user on a known device has both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

# Clocks differ; more than this many seconds in the future is no time at which anybody signed in.
_CLOCK_SKEW: Final = 60.0


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What policy, XFCC and RFC 9440 say of a client certificate.

    Args:
        der: the leaf, DER.
        sha256: lower-case hexadecimal SHA-256 of `der`.
        subject: the subject in RFC 4514 form.
        serial: lower-case hexadecimal serial number.
        not_before, not_after: POSIX seconds.
        dns: DNS names of the SAN.
        uri: the one URI of the SAN, or empty.
        chain: the intermediates that were verified, DER, leaf and root left out.
    """

    der: bytes
    sha256: str
    subject: str
    serial: str
    not_before: float
    not_after: float
    dns: tuple[str, ...]
    uri: str
    chain: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Peer:
    """The workload or the device at the other end of an mTLS connection.

    Args:
        id: its SPIFFE ID, such as `spiffe://example.org/ns/ci/sa/runner`; a device's begins with the name of its
            authorities in the config, such as `mdm:C02XL0GTJGH5`, which is never `spiffe`.
        trust_domain: a workload's trust domain; of a device empty.
        path: the path of a workload's ID, beginning with `/`, or empty.
        expires_at: POSIX seconds after which it is nobody: the earliest end in its verified chain.
        certificate: facts for policy and for the upstream.
        derived: what other rooms make of it, each under its own name: it is worked out once, and goes with the peer.
    """

    id: str
    trust_domain: str
    path: str
    expires_at: float
    certificate: CertificateFacts
    kind: Literal["workload", "device"] = "workload"
    derived: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom the decision is about.

    Args:
        kind: `user`, `workload` or `anonymous`.
        id: the token's `sub`, the SPIFFE ID, or empty.
        issuer: the issuer's *name* in the config for a user, the trust domain for a workload, or empty.
        issuer_url: the token's `iss`, or empty.
        email: the e-mail address where its issuer vouches for it (verified, and of one of its domains), or empty.
        groups: the groups of the token.
        claims: every claim of the token.
        method: `bearer`, `session`, `service_token`, `assertion` (another gateway vouches), `mtls` or `none`.
        authenticated_at: POSIX seconds (`auth_time`, else `iat`), or None.
        expires_at: POSIX seconds after which it is nobody; infinity for anonymous.
        amr: how the user proved to be it (RFC 8176), where its session says so.
        acr: the authentication context class of its session, or empty.
        session: the public id of its session, or empty.
        derived: what other rooms make of it, each under its own name: it is worked out once, and goes with it.
    """

    kind: Literal["user", "workload", "anonymous"]
    id: str
    issuer: str = ""
    issuer_url: str = ""
    email: str = ""
    groups: tuple[str, ...] = ()
    claims: Mapping[str, Any] = field(default_factory=dict)
    method: Literal["bearer", "session", "service_token", "assertion", "mtls", "none"] = "none"
    authenticated_at: float | None = None
    expires_at: float = float("inf")
    amr: tuple[str, ...] = ()
    acr: str = ""
    session: str = ""
    derived: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)


ANONYMOUS = Principal(kind="anonymous", id="")


class SignIn(NamedTuple):
    """How somebody signed in, as far as it is known.

    Args:
        at: POSIX seconds, or None.
        amr: by what they proved to be it (RFC 8176).
        acr: the authentication context class, or empty.
    """

    at: float | None
    amr: tuple[str, ...]
    acr: str

    def age(self, now: float) -> float | None:
        """Return how many seconds ago it was; None where nobody knows, or where it lies in the future."""
        return None if self.at is None or self.at > now + _CLOCK_SKEW else now - self.at


_NO_SIGN_IN: Final = SignIn(None, (), "")


def sign_in_of(principal: Principal) -> SignIn:
    """Return how a user signed in; of everybody else nothing is known, for they do not.

    `auth_time` alone says when. `iat` is when a token was made, which a refresh renews without anybody signing in.
    """
    if principal.kind != "user":
        return _NO_SIGN_IN
    claims = principal.claims
    methods, level = claims.get("amr"), claims.get("acr")
    if not isinstance(methods, list) or not all(isinstance(method, str) for method in methods):
        methods = ()
    return SignIn(
        principal.authenticated_at if "auth_time" in claims else None,
        principal.amr or tuple(methods),
        principal.acr or (level if isinstance(level, str) else ""),
    )


def principal_of(peer: Peer) -> Principal:
    """Return the principal that a peer is when no user rides along; of one peer always the same.

    A device is nobody: it says where somebody is, and not who.
    """
    if peer.kind == "device":
        return ANONYMOUS
    principal: Principal | None = peer.derived.get("principal")
    if principal is None:
        principal = peer.derived["principal"] = _principal_of(peer)
    return principal


def _principal_of(peer: Peer) -> Principal:
    return Principal(
        kind="workload",
        id=peer.id,
        issuer=peer.trust_domain,
        method="mtls",
        authenticated_at=peer.certificate.not_before,
        expires_at=peer.expires_at,
    )
