"""Every provider that signs people in, made of the config. Nothing is asked of one here; secrets and keys are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from proxy.config.load import read_secret
from proxy.config.login import Login
from proxy.config.mistake import Location, Mistake
from proxy.config.schema import Identity, Issuer
from proxy.identity.claims import TokenRules
from proxy.identity.issuers import Issuers
from proxy.identity.keys import KeySource, trusting
from proxy.identity.login.discovery import Directory
from proxy.identity.login.groups_file import GroupsFile, read_groups_file
from proxy.identity.login.provider import Provider, Terms

if TYPE_CHECKING:
    from proxy.identity.login.client import Credential

# What an ID token may be signed with; who is believed is settled by the key set.
_ALGORITHMS: Final = frozenset({"RS256", "PS256", "ES256", "EdDSA"})
_CURVES: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}


def build_providers(identity: Identity, issuers: Issuers) -> tuple[dict[str, Provider], list[Mistake]]:
    """Return the providers by name, in the order of the config, and every mistake in what they need.

    Args:
        issuers: built of the same config, whose keys prove ID tokens too.
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
            providers[name] = _provider(name, identity.issuers[name], login, credential, source, groups)
    return providers, mistakes


def _provider(
    name: str, issuer: Issuer, login: Login, credential: Credential, source: KeySource, groups: GroupsFile
) -> Provider:
    from proxy.identity.fetch import https_ask, https_fetch  # aiohttp and Authlib: for those alone who sign people in
    from proxy.identity.login.client import Client

    rules = TokenRules(
        name=name,
        url=issuer.issuer,
        audiences=frozenset({login.client_id}),
        algorithms=_ALGORITHMS,
        email_domains=frozenset(domain.lower() for domain in issuer.email_domains),
        email_claim=issuer.claims.email,
        groups_claim=issuer.claims.groups,
    )
    context = trusting(source.origin.ca)
    client = Client(login.client_id, credential, login.scopes, https_ask(context))
    terms = Terms(login.title or name, rules, login.userinfo, groups)
    return Provider(terms, client, Directory(issuer.issuer, https_fetch(context)), source)


def _credential(login: Login, location: Location) -> tuple[Credential | None, list[Mistake]]:
    from proxy.identity.login.client import Credential

    try:
        secret = "" if login.client_secret_file is None else read_secret(login.client_secret_file)
    except ValueError as error:
        return None, [Mistake((*location, "client_secret_file"), str(error))]
    if login.client_key_file is None:
        return Credential(login.authentication, secret), []
    try:
        key, algorithm = _signing_key(login.client_key_file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        rule = "must be a readable PEM file of an RSA key, or of one on a NIST curve"
        return None, [Mistake((*location, "client_key_file"), rule)]
    return Credential(login.authentication, secret, key, algorithm), []


def _signing_key(pem: str) -> tuple[Any, str]:
    """Return a client's private key and what it signs with. Raise ValueError for any other."""
    from joserfc.jwk import ECKey, RSAKey

    try:
        if "EC PRIVATE KEY" not in pem:
            return RSAKey.import_key(pem), "RS256"
    except Exception:  # noqa: S110 - it may be a key on a curve in PKCS#8
        pass
    key = ECKey.import_key(pem)
    return key, _CURVES[str(key.curve_name)]


def _groups(identity: Identity, names: list[str]) -> tuple[GroupsFile, list[Mistake]]:
    if identity.groups_file is None:
        return GroupsFile({}), []
    try:
        return read_groups_file(identity.groups_file, names), []
    except ValueError as error:
        return GroupsFile({}), [Mistake(("identity", "groups_file"), str(error))]
