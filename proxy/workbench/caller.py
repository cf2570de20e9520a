"""Whom a case makes the caller, by every rule of the gateway that needs no signature.

A token or a certificate that a case stands for is taken as signed; what the config says of issuers, audiences, e-mail
domains, trust domains and devices holds as it does for a real one. It knows the config's identities and no request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from proxy.config.mistake import did_you_mean
from proxy.config.routing import issuer_names
from proxy.config.schema import Authenticate, Config, Issuer
from proxy.errors import TOKEN_INVALID, Refused
from proxy.identity.authenticate import challenge
from proxy.identity.claims import TokenRules, groups_of, read_principal, vouched_email
from proxy.identity.device import check_id
from proxy.identity.principal import ANONYMOUS, CertificateFacts, Peer, Principal, principal_of
from proxy.identity.sessions.service import ISSUER as SERVICES
from proxy.identity.sessions.service import ServiceToken, principal_of_service
from proxy.identity.spiffe import SpiffeID, parse_pattern, parse_spiffe_id
from proxy.identity.token import InvalidToken, parse_token
from proxy.workbench.case import Method, Who

_HOUR: Final = 3600.0
_SESSION: Final = 12 * _HOUR
_NOWHERE: Final = "0" * 64


class Callers:
    """Makes principals and peers.

    Args:
        config: whose identities there are.
        any_identity: take every issuer, trust domain and device: there is no config that would name them.
    """

    def __init__(self, config: Config, *, any_identity: bool) -> None:
        self._config = config
        self._any = any_identity
        self._rules: dict[str, TokenRules] = {}

    def peer(self, who: Who, now: float) -> Peer | None:
        """Return the peer of a connection, or None.

        Raises:
            ValueError: nobody could show such a certificate.
        """
        if who.workload is not None and who.device is not None:
            raise ValueError("a connection has one client certificate: a workload's or a device's")
        if who.workload is not None:
            return self._workload(who.workload, now)
        return None if who.device is None else self._device(who.device, now)

    def _workload(self, text: str, now: float) -> Peer:
        spiffe_id, known = parse_spiffe_id(text), self._config.identity.trust_bundles
        if not self._any and spiffe_id.trust_domain not in known:
            meant = did_you_mean(spiffe_id.trust_domain, known)
            raise ValueError(f'no trust bundle is of "{spiffe_id.trust_domain}"{meant}')
        name = spiffe_id.path.rpartition("/")[2] or spiffe_id.trust_domain
        return Peer(text, spiffe_id.trust_domain, spiffe_id.path, now + _HOUR, _facts(name, text, now))

    def _device(self, text: str, now: float) -> Peer:
        name, _, device = text.partition(":")
        authorities = {authority.name: authority for authority in self._config.identity.client_certificates}
        if not device:
            raise ValueError(f"{text!r} must be NAME:ID, with a name of identity.client_certificates")
        if not self._any:
            if name not in authorities:
                raise ValueError(f'no client certificates are called "{name}"{did_you_mean(name, authorities)}')
            check_id(device, authorities[name].id)
        return Peer(text, "", "", now + _HOUR, _facts(device, "", now), "device")

    def principal(
        self, who: Who, method: Method | None, route: Authenticate, peer: Peer | None, now: float
    ) -> Principal:
        """Return whom the decision is about.

        Args:
            who: who asks.
            method: how the route lets it be proven; None: it does not read such a thing.
            route: what the route says of credentials.
            peer: the certificate of the connection.
            now: POSIX seconds.

        Raises:
            Refused: TOKEN_INVALID, as the gateway has it.
            ValueError: nobody could be this user.
        """
        nobody = ANONYMOUS if peer is None else principal_of(peer)
        if who.user is None or method is None:
            return nobody
        if method == "service_token":
            _require_issuer(route, SERVICES)
            if not self._any and SERVICES not in issuer_names(self._config):
                raise _invalid("token must be a compact JWS")
            name = who.user.removeprefix("service:")
            return principal_of_service(ServiceToken(name, b"", who.groups, now, now + _HOUR))
        name = self._issuer_of(who, route)
        issuer = self._config.identity.issuers.get(name)
        if method == "session":
            if issuer is not None and issuer.login is None and not self._any:
                raise ValueError(f"nobody has a session of {name}: it has no login")
            if route.issuers is not None and name not in route.issuers:
                return nobody
            return self._said(who, name, "session", now)
        if method == "assertion" and not self._vouches(name, peer):
            return nobody
        _require_issuer(route, name)
        if method == "assertion":
            return self._said(who, name, "assertion", now)
        if issuer is not None and issuer.bearer is None:
            raise _invalid("issuer must be a configured one, to the letter")
        rules = self._rules_of(name)
        claims = _claims(who, rules, now) | {"aud": next(iter(rules.audiences)), "exp": int(now + _HOUR)}
        return self._by_token(claims, rules, now, "at+jwt")

    def by_token(self, text: bytes, route: Authenticate, now: float) -> Principal:
        """Return whom a token makes the caller, its signature unseen. Raise Refused(TOKEN_INVALID)."""
        try:
            token = parse_token(text)
        except InvalidToken as broken:
            raise _invalid(str(broken)) from None
        issuers = self._config.identity.issuers
        names = [name for name, issuer in issuers.items() if issuer.url == token.claims.get("iss") and issuer.bearer]
        if not names:
            raise _invalid("issuer must be a configured one, to the letter")
        _require_issuer(route, names[0])
        rules = self._rules_of(names[0])
        if token.algorithm not in rules.algorithms:
            raise _invalid("algorithm must be one of the issuer's")
        return self._by_token(token.claims, rules, now, token.kind)

    def _by_token(self, claims: dict[str, Any], rules: TokenRules, now: float, kind: str) -> Principal:
        try:
            return read_principal(claims, rules, now, kind)
        except InvalidToken as broken:
            raise _invalid(str(broken)) from None

    def asserts(self, who: Who, route: Authenticate) -> bool:
        """Tell whether the case's user is one whom another gateway vouches for."""
        issuers = self._config.identity.issuers
        names = [who.issuer] if who.issuer is not None else [*(route.issuers or issuers)]
        return len(names) == 1 and names[0] in issuers and issuers[names[0]].kind == "assertion"

    def _vouches(self, name: str, peer: Peer | None) -> bool:
        """Tell whether a connection is one of the gateway that vouches for an issuer's users."""
        if peer is None or peer.kind != "workload":
            return False
        workload, issuer = SpiffeID(peer.trust_domain, peer.path), self._config.identity.issuers.get(name)
        return issuer is not None and any(parse_pattern(text).match(workload) for text in issuer.from_ or ())

    def _said(self, who: Who, name: str, method: Literal["session", "assertion"], now: float) -> Principal:
        """Return the user that an issuer has told of at a sign-in, or a gateway in its assertion."""
        rules = self._rules_of(name)
        claims = _claims(who, rules, now)
        return Principal(
            kind="user",
            id=str(claims["sub"]),
            issuer=name,
            issuer_url=rules.url,
            email=vouched_email(claims, rules),
            groups=groups_of(claims, rules),
            claims=claims,
            method=method,
            authenticated_at=claims.get("auth_time", claims["iat"]),
            expires_at=now + _SESSION,
            amr=who.amr,
            acr=who.acr,
        )

    def require_known(self, who: Who) -> None:
        """Raise ValueError where the config does not know the issuer that a case names."""
        names = issuer_names(self._config)
        if not self._any and who.issuer is not None and who.issuer not in names:
            raise ValueError(f'no issuer is called "{who.issuer}"{did_you_mean(who.issuer, names)}')

    def _issuer_of(self, who: Who, route: Authenticate) -> str:
        issuers = self._config.identity.issuers
        if who.issuer is not None:
            return who.issuer
        names = [name for name in route.issuers or issuers if name in issuers]
        if len(names) != 1:
            raise ValueError(f"the user's issuer must be named: one of {', '.join(sorted(names))}" if names else _NONE)
        return names[0]

    def _rules_of(self, name: str) -> TokenRules:
        rules = self._rules.get(name)
        if rules is None:
            issuers = self._config.identity.issuers
            issuer = issuers.get(name) or Issuer(issuer=f"https://{name}.example.org")
            rules = self._rules[name] = _token_rules(name, issuer)
        return rules


_NONE: Final = "nobody can be a user: identity.issuers has no issuer"


def _token_rules(name: str, issuer: Issuer) -> TokenRules:
    """Return the rules of an issuer's tokens; of one whose bearer tokens are not taken, those of a session's claims."""
    bearer = issuer.bearer
    return TokenRules(
        name=name,
        url=issuer.url,
        audiences=frozenset(bearer.audiences if bearer is not None else ("ztproxy",)),
        algorithms=frozenset(bearer.algorithms if bearer is not None else ()),
        skew=bearer.skew if bearer is not None else 60.0,
        email_domains=frozenset(domain.lower() for domain in issuer.email_domains),
        email_claim=issuer.claims.email,
        groups_claim=issuer.claims.groups,
    )


def _claims(who: Who, rules: TokenRules, now: float) -> dict[str, Any]:
    """Return what the issuer would claim of somebody."""
    claims: dict[str, Any] = {"iat": int(now), **who.claims, "iss": rules.url, "sub": who.user}
    if who.email:
        _put(claims, rules.email_claim, who.email)
        _put(claims, f"{rules.email_claim}_verified", True)
    if who.groups:
        _put(claims, rules.groups_claim, list(who.groups))
    signed_in = who.signed_in_at if who.signed_in_at is not None or who.age is None else now - who.age
    optional = {"auth_time": signed_in, "amr": list(who.amr) or None, "acr": who.acr or None}
    return claims | {name: value for name, value in optional.items() if value is not None}


def _put(claims: dict[str, Any], path: str, value: object) -> None:
    """Set a claim by its name, or by a dotted path into objects; names that are URLs have dots, and are names."""
    holder: Any = claims
    steps = [path] if "/" in path else path.split(".")
    for step in steps[:-1]:
        inner = holder.get(step)
        holder[step] = dict(inner) if isinstance(inner, Mapping) else {}
        holder = holder[step]
    holder[steps[-1]] = value


def _require_issuer(route: Authenticate, name: str) -> None:
    if route.issuers is not None and name not in route.issuers:
        raise _invalid("issuer must be one of the route's")


def _invalid(rule: str) -> Refused:
    return Refused(TOKEN_INVALID, rule, headers=challenge(TOKEN_INVALID))


def _facts(name: str, uri: str, now: float) -> CertificateFacts:
    """Return what a certificate would say that is made for the case."""
    return CertificateFacts(
        der=b"",
        sha256=_NOWHERE,
        subject=f"CN={name}",
        serial="1",
        not_before=now - _HOUR,
        not_after=now + _HOUR,
        dns=(),
        uri=uri,
    )
