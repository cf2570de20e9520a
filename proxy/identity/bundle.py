"""Trust bundles: which authorities may sign for which trust domain, and beside them which may sign for devices.

Reads PEM files once, when a snapshot is built, and returns an immutable mapping. A bundle is the whole authority of its
trust domain and of no other, and an authority of devices is none of any: the union is for the TLS library alone, and
`identity/svid` and `identity/device` ask again with one of them.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import Store

from proxy.config import Mistake
from proxy.config.mistake import Location
from proxy.config.schema import Identity
from proxy.identity.authorities import DeviceAuthority, check_ca, load_devices, read_authorities
from proxy.identity.pem import key_of, uris_of
from proxy.identity.principal import Peer
from proxy.identity.spiffe import SpiffeID, parse_trust_domain

_MOST_PROVEN = 4096  # chains, of a few kilobytes each


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
        devices: the authorities of devices that are good.
        complete: none of the config's is missing because of a mistake of its own.

    Attributes:
        pem: what a TLS library may accept in a handshake: every root of every trust domain, and those of devices.
        partial: some of that are no roots.
        proven: whom chains have proven under these bundles, and from which moment on they do.
    """

    __slots__ = ("_bundles", "complete", "devices", "partial", "pem", "proven")

    def __init__(
        self, bundles: Iterable[TrustBundle] = (), devices: Iterable[DeviceAuthority] = (), *, complete: bool = True
    ) -> None:
        self.complete = complete
        self.devices = tuple(devices)
        self.proven: OrderedDict[tuple[bytes, ...], tuple[Peer, float]] = OrderedDict()
        self._bundles = {bundle.trust_domain: bundle for bundle in bundles}
        roots = {root: None for bundle in self._bundles.values() for root in bundle.certificates}
        others = {each: None for authority in self.devices for each in authority.certificates}
        self.partial = any(not _signs_itself(each) for each in others)
        self.pem = "".join(each.public_bytes(Encoding.PEM).decode("ascii") for each in roots | others)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TrustBundles) and (self._bundles, self.devices) == (other._bundles, other.devices)

    __hash__ = None  # type: ignore[assignment]  # as of every mapping that compares

    def recall(self, chain: tuple[bytes, ...], now: float) -> Peer | None:
        """Return whom this very chain has proven under these bundles, if that still holds at `now` (POSIX seconds)."""
        known = self.proven.get(chain)
        if known is None or not known[1] <= now < known[0].expires_at:
            return None
        self.proven.move_to_end(chain)
        return known[0]

    def remember(self, chain: tuple[bytes, ...], peer: Peer, begins: float) -> None:
        """Remember whom a chain proves, from `begins` (POSIX seconds) on, for clients that connect again."""
        self.proven[chain] = peer, begins
        if len(self.proven) > _MOST_PROVEN:
            self.proven.popitem(last=False)

    def __getitem__(self, trust_domain: str) -> TrustBundle:
        return self._bundles[trust_domain]

    def __iter__(self) -> Iterator[str]:
        return iter(self._bundles)

    def __len__(self) -> int:
        return len(self._bundles)


def load_bundles(identity: Identity, trust_domain: str, now: float | None = None) -> tuple[TrustBundles, list[Mistake]]:
    """Read every trust bundle of the config, and every authority of devices.

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
    devices, wrong = load_devices(identity.client_certificates, moment)
    mistakes += [*wrong, *_shared_roots(bundles), *_shared_authorities(identity, bundles, devices)]
    complete = len(bundles) + len(devices) == len(identity.trust_bundles) + len(identity.client_certificates)
    return TrustBundles(bundles, devices, complete=complete), mistakes


def check_signing(certificate: x509.Certificate, trust_domain: str) -> None:
    """Verify that a certificate may sign SVIDs of a trust domain.

    Raises:
        ValueError: it is no CA, may not sign certificates, or carries a URI name other than the trust domain's own
            SPIFFE ID (X509-SVID 3.2, 4.1, 4.3).
    """
    check_ca(certificate)
    for uri in uris_of(certificate):
        if uri != str(SpiffeID(trust_domain, "")):
            raise ValueError(f"signing certificate must have no URI name but spiffe://{trust_domain}")


def _name_mistakes(location: tuple[str, ...], name: str) -> list[Mistake]:
    try:
        parse_trust_domain(name)
    except ValueError as error:
        return [Mistake(location, str(error))]
    return []


def _load(name: str, path: Path, location: Location, moment: datetime) -> tuple[TrustBundle | None, list[Mistake]]:
    roots, mistakes = read_authorities(path, "trust bundle", location, moment, lambda root: _check_root(root, name))
    return (TrustBundle(name, roots) if roots else None), mistakes


def _check_root(certificate: x509.Certificate, trust_domain: str) -> None:
    check_signing(certificate, trust_domain)
    if not _signs_itself(certificate):
        # The TLS library ends the chain of a workload at a root, so an intermediate here would never match.
        raise ValueError("trust bundle must hold self-signed roots alone")


def _signs_itself(certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


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


def _shared_authorities(
    identity: Identity, bundles: list[TrustBundle], devices: list[DeviceAuthority]
) -> Iterator[Mistake]:
    """Yield an error for each authority of devices that is another's too: of its certificates nobody could tell whose
    they are.
    """
    owners = {_key(root): f"trust domain {one.trust_domain}" for one in bundles for root in one.certificates}
    places = {one.name: index for index, one in enumerate(identity.client_certificates)}
    for authority in devices:
        for certificate in authority.certificates:
            owner = owners.setdefault(_key(certificate), f'client certificates "{authority.name}"')
            if owner != f'client certificates "{authority.name}"':
                location = ("identity", "client_certificates", places[authority.name], "ca")
                yield Mistake(location, f"must not hold an authority of {owner}: one key signs for one kind of caller")


def _key(certificate: x509.Certificate) -> bytes:
    return key_of(certificate).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
