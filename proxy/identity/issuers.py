"""The issuers whose tokens are believed: what the config says of each, and its keys.

It turns the section of the config into rules and key sources, and names every mistake in it. It reads no token.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from types import MappingProxyType

from proxy.config.limits import Limits
from proxy.config.mistake import Location, Mistake
from proxy.config.schema import Bearer, Identity, Issuer
from proxy.identity.claims import TokenRules
from proxy.identity.gateways import ALGORITHM, SKEW, Gateway, Gateways
from proxy.identity.jwks import InvalidKey
from proxy.identity.keys import KeySource, Observe, Origin, read_jwks_file
from proxy.identity.oidc import FetchFailed, url_rule
from proxy.identity.spiffe import parse_pattern
from proxy.identity.token import InvalidToken

SKEW_LIMIT = 300.0  # seconds (RFC 7519 section 4.1.4: no more than a few minutes)
REFRESH_FLOOR = 1.0  # seconds


class Issuers:
    """Every configured issuer: the rules for its tokens, and its keys.

    Args:
        issuers: pairs of both, no two of one URL.
        sources: of every issuer, those too whose bearer tokens are not believed.
        gateways: that vouch for users by assertions, which are no bearer tokens.
    """

    def __init__(
        self,
        issuers: list[tuple[TokenRules, KeySource]],
        sources: Mapping[str, KeySource] | None = None,
        gateways: Gateways | None = None,
    ) -> None:
        self.gateways = gateways or Gateways()
        self._by_url = {rules.url: (rules, source) for rules, source in issuers}
        named = {rules.name: source for rules, source in issuers} if sources is None else sources
        self.sources: Mapping[str, KeySource] = MappingProxyType(dict(named))

    def find(self, url: object) -> tuple[TokenRules, KeySource]:
        """Return what belongs to the issuer that a token claims. Raise InvalidToken where it is not configured."""
        found = self._by_url.get(url) if type(url) is str else None
        if found is None:
            raise InvalidToken("issuer must be a configured one, to the letter")
        return found


def build_issuers(
    identity: Identity, limits: Limits, previous: Issuers | None, observe: Observe
) -> tuple[Issuers, list[Mistake]]:
    """Return the issuers of a config, and every mistake in it. Nothing is fetched; a local key file is read.

    Args:
        identity: the section of the config.
        limits: the budgets.
        previous: the issuers that serve now: a key source whose origin is unchanged goes on with the keys it has.
        observe: told of `keys_fetched` and `keys_failed`.
    """
    issuers: list[tuple[TokenRules, KeySource]] = []
    sources: dict[str, KeySource] = {}
    mistakes: list[Mistake] = []
    gateways: list[Gateway] = []
    for name, config in identity.issuers.items():
        location: Location = ("identity", "issuers", name)
        found = [Mistake((*location, *where), rule) for where, rule in _broken_rules(config)]
        if (other := _rival(name, config, identity)) is not None:
            found.append(Mistake((*location, "issuer"), f"must not be that of another issuer ({other})"))
        source = None if found else _source(name, config, location, previous, observe, found)
        if source is not None:
            sources[name] = source
            if config.bearer is not None:
                issuers.append((_rules(name, config, config.bearer, identity), source))
            if config.kind == "assertion":
                gateways.append(_gateway(name, config, source))
        mistakes += found
    return Issuers(issuers, sources, Gateways(gateways)), mistakes


def _rival(name: str, config: Issuer, identity: Identity) -> str | None:
    """Return the name of an earlier issuer whose users are this one's too; gateways may be told apart by `idp`."""
    for other, earlier in identity.issuers.items():
        if other == name:
            return None
        apart = config.idp is not None and earlier.idp is not None and config.idp != earlier.idp
        if earlier.url == config.url and not apart:
            return other
    return None


def _broken_rules(config: Issuer) -> list[tuple[Location, str]]:
    broken: list[tuple[Location, str]] = []
    if config.jwks_url is not None and config.jwks_file is not None:
        broken.append((("jwks_file",), "must not stand beside jwks_url"))
    if config.jwks_file is not None and config.ca is not None:
        broken.append((("ca",), "has no use beside jwks_file"))
    fetched = ("issuer", config.url) if config.jwks_url is None else ("jwks_url", config.jwks_url)
    if config.jwks_file is None and (rule := url_rule(fetched[1])) is not None:
        broken.append(((fetched[0],), rule))
    if config.jwks_file is None and config.jwks_url is None and "?" in config.url:
        broken.append((("issuer",), "must have no query"))  # OpenID Connect Discovery 1.0 section 3
    if config.keys_refresh < REFRESH_FLOOR:
        broken.append((("keys_refresh",), "must be at least 1s"))
    if config.keys_stale_limit < config.keys_refresh:
        broken.append((("keys_stale_limit",), "must not be shorter than keys_refresh"))
    if config.login is not None and (config.jwks_file is not None or url_rule(config.url) is not None):
        broken.append((("login",), "needs an issuer that is found by discovery"))
    if config.bearer is not None and config.bearer.skew > SKEW_LIMIT:
        broken.append((("bearer", "skew"), "must be at most 5m"))
    if any(not domain or "@" in domain or not domain.isascii() for domain in config.email_domains):
        broken.append((("email_domains",), "must be ASCII domains without @, such as example.org"))
    return broken


def _rules(name: str, config: Issuer, bearer: Bearer, identity: Identity) -> TokenRules:
    everybody = frozenset(issuer.login.client_id for issuer in identity.issuers.values() if issuer.login is not None)
    own = frozenset() if config.login is None else frozenset({config.login.client_id})
    return TokenRules(
        name=name,
        url=config.url,
        audiences=frozenset(bearer.audiences),
        algorithms=frozenset(bearer.algorithms),
        skew=bearer.skew,
        clients=own | (everybody - frozenset(bearer.audiences)),  # another issuer's ID tokens are not of this one
        email_domains=frozenset(domain.lower() for domain in config.email_domains),
        email_claim=config.claims.email,
        groups_claim=config.claims.groups,
    )


def _gateway(name: str, config: Issuer, source: KeySource) -> Gateway:
    domains = frozenset(domain.lower() for domain in config.email_domains)
    rules = TokenRules(name, config.url, frozenset(), frozenset({ALGORITHM}), skew=SKEW, email_domains=domains)
    return Gateway(rules, config.idp, tuple(parse_pattern(workload) for workload in config.from_ or ()), source)


def _source(
    name: str, config: Issuer, location: Location, previous: Issuers | None, observe: Observe, found: list[Mistake]
) -> KeySource | None:
    """Return an issuer's key source, the one that serves now if it is the same; or None, with what was found."""
    try:
        ca = None if config.ca is None else config.ca.read_text(encoding="ascii")
    except (OSError, ValueError):
        found.append(Mistake((*location, "ca"), "must be a readable PEM file"))
        return None
    origin = Origin(config.url, config.jwks_url, config.jwks_file, ca, config.keys_refresh, config.keys_stale_limit)
    serving = None if previous is None else previous.sources.get(name)
    if serving is not None and serving.origin == origin:
        return serving
    try:
        source = KeySource(name, origin, origin.loader(), observe)
        if config.jwks_file is not None:
            source.adopt(read_jwks_file(config.jwks_file))
    except (FetchFailed, InvalidKey) as broken:
        found.append(Mistake((*location, "jwks_file"), str(broken)))
    except (ssl.SSLError, ValueError):
        found.append(Mistake((*location, "ca"), "must hold at least one PEM certificate"))
    else:
        return source
    return None
