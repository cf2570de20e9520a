"""Trust bundles: which authorities may sign for which trust domain.

Reads PEM files once, when a snapshot is built, and returns an immutable mapping. A bundle is the whole authority of its
trust domain and of no other: the union is for the TLS library alone, and `identity/svid` asks again with one bundle.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.verification import Store

from proxy.config import Mistake
from proxy.config.schema import Identity
from proxy.identity.pem import extensions_of, load_certificates, subject_of, uris_of
from proxy.identity.spiffe import SpiffeID, parse_trust_domain


@dataclass(frozen=True, slots=True)
class TrustBundle:
    """The roots of one trust domain.

    Args:
        trust_domain: its name.
        certificates: self-signed CA certificates; at least one.
    """

    trust_domain: str
    certificates: tuple[x509.Certificate, ...]
    store: Store = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "store", Store(list(self.certificates)))


class TrustBundles(Mapping[str, TrustBundle]):
    """Bundles by the name of their trust domain; immutable.

    Args:
        bundles: those that are good.
        complete: none of the config's is missing because of a mistake of its own.

    Attributes:
        proven: what `svid` has proven under these bundles, for clients that connect again.
    """

    __slots__ = ("_bundles", "complete", "pem", "proven")

    def __init__(self, bundles: Iterable[TrustBundle] = (), *, complete: bool = True) -> None:
        self.complete = complete
        self.proven: OrderedDict[tuple[bytes, ...], tuple[Any, float]] = OrderedDict()
        self._bundles = {bundle.trust_domain: bundle for bundle in bundles}
        roots = {root: None for bundle in self._bundles.values() for root in bundle.certificates}
        # What a TLS library may accept in a handshake: every root of every trust domain.
        self.pem = "".join(root.public_bytes(Encoding.PEM).decode("ascii") for root in roots)

    def __getitem__(self, trust_domain: str) -> TrustBundle:
        return self._bundles[trust_domain]

    def __iter__(self) -> Iterator[str]:
        return iter(self._bundles)

    def __len__(self) -> int:
        return len(self._bundles)


def load_bundles(identity: Identity, trust_domain: str, now: float | None = None) -> tuple[TrustBundles, list[Mistake]]:
    """Read every trust bundle of the config.

    Args:
        identity: the config's `identity`.
        trust_domain: the config's own `trust_domain`.
        now: POSIX seconds, the system's clock unless given.

    Returns:
        The bundles that are good, and every mistake. A lapsed root is an error where no valid one is left beside it.
    """
    moment = datetime.fromtimestamp(time.time() if now is None else now, UTC)
    mistakes = _name_mistakes(("trust_domain",), trust_domain)
    bundles: list[TrustBundle] = []
    for name, section in identity.trust_bundles.items():
        location = ("identity", "trust_bundles", name)
        wrong = _name_mistakes(location, name)
        if not wrong:
            bundle, wrong = _load(name, section.file, location, moment)
            bundles += [bundle] if bundle else []
        mistakes += wrong
    complete = len(bundles) == len(identity.trust_bundles)
    return TrustBundles(bundles, complete=complete), mistakes + _shared_roots(bundles)


def check_signing(certificate: x509.Certificate, trust_domain: str) -> None:
    """Verify that a certificate may sign SVIDs of a trust domain.

    Raises:
        ValueError: it is no CA, may not sign certificates, or carries a URI name other than the trust domain's own
            SPIFFE ID (X509-SVID 3.2, 4.1, 4.3).
    """
    extensions = extensions_of(certificate)
    try:
        is_authority = extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_authority = False
    if not is_authority:
        raise ValueError("signing certificate must be a CA")
    try:
        signs = extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        signs = True  # RFC 5280 4.2.1.3: absent, every usage is meant; many private roots leave it out
    if not signs:
        raise ValueError("key usage of a signing certificate must have keyCertSign")
    for uri in uris_of(certificate):
        if uri != str(SpiffeID(trust_domain, "")):
            raise ValueError(f"signing certificate must have no URI name but spiffe://{trust_domain}")


def _name_mistakes(location: tuple[str, ...], name: str) -> list[Mistake]:
    try:
        parse_trust_domain(name)
    except ValueError as error:
        return [Mistake(location, str(error))]
    return []


def _load(
    name: str, path: Path, location: tuple[str, ...], moment: datetime
) -> tuple[TrustBundle | None, list[Mistake]]:
    try:
        certificates = load_certificates(path.read_bytes())
    except OSError as error:
        return None, [Mistake(location, f"trust bundle must be readable: {path}: {error.strerror}")]
    except ValueError as error:
        return None, [Mistake(location, f"trust bundle {error}: {path}")]
    mistakes: list[Mistake] = []
    lapsed: list[str] = []
    valid: list[x509.Certificate] = []
    for certificate in certificates:
        try:
            _check_root(certificate, name)
        except ValueError as error:
            mistakes.append(Mistake(location, f"{error}: {_called(certificate)} in {path}"))
            continue
        if certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
            valid.append(certificate)
        else:
            lapsed.append(f"root must be valid now: {_called(certificate)} in {path}")
    mistakes += [Mistake(location, rule, "warning" if valid else "error") for rule in lapsed]
    return (TrustBundle(name, tuple(valid)) if valid else None), mistakes


def _called(certificate: x509.Certificate) -> str:
    try:
        return subject_of(certificate).rfc4514_string() or "the one without a subject"
    except ValueError:
        return "the one with an unreadable subject"


def _check_root(certificate: x509.Certificate, trust_domain: str) -> None:
    check_signing(certificate, trust_domain)
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        # OpenSSL ends a chain at a root alone, so an intermediate here would never match.
        raise ValueError("trust bundle must hold self-signed roots alone") from None


def _shared_roots(bundles: list[TrustBundle]) -> list[Mistake]:
    mistakes: list[Mistake] = []
    owners: dict[x509.Certificate, str] = {}
    for bundle in bundles:
        for root in bundle.certificates:
            owner = owners.setdefault(root, bundle.trust_domain)
            if owner != bundle.trust_domain:
                rule = f"trust domains {owner} and {bundle.trust_domain} share a root, so each can sign for the other"
                mistakes.append(Mistake(("identity", "trust_bundles", bundle.trust_domain), rule, "warning"))
    return mistakes
