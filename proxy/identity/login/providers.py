"""Every provider that signs people in, made of the config. Nothing is asked of one here; secrets and keys are read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, get_args

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from proxy.config.load import read_secret
from proxy.config.login import Login
from proxy.config.mistake import Location, Mistake
from proxy.config.schema import Algorithm, Identity, Issuer
from proxy.identity.claims import TokenRules
from proxy.identity.issuers import Issuers
from proxy.identity.keys import KeySource, trusting
from proxy.identity.login.discovery import Directory
from proxy.identity.login.groups_file import GroupsFile, read_groups_file
from proxy.identity.login.id_token import SKEW
from proxy.identity.login.provider import Provider, Terms
from proxy.identity.pem import load_key

if TYPE_CHECKING:
    from proxy.identity.login.client import Credential

# What an ID token may be signed with: everything asymmetric. A key of the provider's says which of it is its own.
_ALGORITHMS: Final = frozenset(get_args(Algorithm))
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_RSA_BITS: Final = 2048


def build_providers(
    identity: Identity, issuers: Issuers, previous: Mapping[str, Provider] = MappingProxyType({})
) -> tuple[dict[str, Provider], list[Mistake]]:
    """Return the providers by name, in the order of the config, and every mistake in what they need.

    Args:
        issuers: built of the same config, whose keys prove ID tokens too.
        previous: the providers that serve now: one whose keys come from where they came goes on with what is known of
            its endpoints, even if it is away.
    """
    signing = {name: issuer.login for name, issuer in identity.issuers.items() if issuer.login is not None}
    groups, mistakes = _groups(identity, list(signing))
    providers: dict[str, Provider] = {}
    for name, login in signing.items():
        location: Location = ("identity", "issuers", name, "login")
        credential, wrong = _credential(login, location)
        mistakes += wrong
        source = issuers.sources.get(name)
        if credential is not None and source is not None:
            before = previous.get(name)
            known = before.directory if before is not None and before.keys is source else None
            providers[name] = _provider(name, identity.issuers[name], login, credential, source, groups, known)
    return providers, mistakes


def _provider(
    name: str,
    issuer: Issuer,
    login: Login,
    credential: Credential,
    source: KeySource,
    groups: GroupsFile,
    known: Directory | None,
) -> Provider:
    from proxy.identity.fetch import https_ask, https_fetch  # aiohttp and Authlib: for those alone who sign people in
    from proxy.identity.login.client import Client

    rules = TokenRules(
        name=name,
        url=issuer.url,
        audiences=frozenset({login.client_id}),
        algorithms=_ALGORITHMS,
        skew=SKEW,
        email_domains=frozenset(domain.lower() for domain in issuer.email_domains),
        email_claim=issuer.claims.email,
        groups_claim=issuer.claims.groups,
    )
    context = trusting(source.origin.ca)
    client = Client(login.client_id, credential, login.scopes, https_ask(context))
    terms = Terms(login.title or name, rules, login.userinfo, groups)
    return Provider(terms, client, known or Directory(issuer.url, https_fetch(context)), source)


def _credential(login: Login, location: Location) -> tuple[Credential | None, list[Mistake]]:
    from proxy.identity.login.client import Credential

    try:
        secret = "" if login.client_secret_file is None else read_secret(login.client_secret_file)
    except ValueError as error:
        return None, [Mistake((*location, "client_secret_file"), str(error))]
    if login.client_key_file is None:
        return Credential(login.authentication, secret), []
    try:
        key, algorithm = _signing_key(login.client_key_file.read_bytes())
    except OSError as failed:
        rule = f"must be a readable file: {(failed.strerror or 'unknown').lower()}"
        return None, [Mistake((*location, "client_key_file"), rule)]
    except ValueError as broken:
        return None, [Mistake((*location, "client_key_file"), str(broken))]
    return Credential(login.authentication, secret, key, algorithm), []


def _signing_key(pem: bytes) -> tuple[Any, str]:
    """Return a client's private key and what it signs with. Raise ValueError for any other."""
    from joserfc.jwk import ECKey, RSAKey

    key = load_key(pem)
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _RSA_BITS:
        return RSAKey.import_key(pem), "RS256"
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return ECKey.import_key(pem), _CURVES[key.curve.name]
    raise ValueError("must be an RSA key of 2048 bits at least, or one on a NIST curve")


def _groups(identity: Identity, names: list[str]) -> tuple[GroupsFile, list[Mistake]]:
    if identity.groups_file is None:
        return GroupsFile({}), []
    try:
        return read_groups_file(identity.groups_file, names), []
    except ValueError as error:
        return GroupsFile({}), [Mistake(("identity", "groups_file"), str(error))]
