"""Certification authorities out of PEM files, and those of devices: who signs client certificates that are no SVIDs.

Files are read once, when a snapshot is built. Other than the roots of a trust bundle, a device's authorities may be
intermediates: under the root of a company hang authorities for mail and for servers too, and a certificate of theirs
must make nobody a device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.x509.verification import Store

from proxy.config import Mistake
from proxy.config import authorities as config
from proxy.config.mistake import Location
from proxy.identity.pem import extensions_of, key_of, load_certificates, subject_of


@dataclass(frozen=True, slots=True)
class DeviceAuthority:
    """Certificates in one of which the chain of a device must end.

    Args:
        name: the first part of its devices' identities.
        id: the field that is the second part.
        certificates: roots or intermediates; at least one.
    """

    name: str
    id: config.DeviceID
    certificates: tuple[x509.Certificate, ...]
    store: Store = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "store", Store(list(self.certificates)))


def load_devices(
    declared: Iterable[config.DeviceAuthority], moment: datetime
) -> tuple[list[DeviceAuthority], list[Mistake]]:
    """Read every authority of `identity.client_certificates`; return those that are good, and every mistake."""
    found: list[DeviceAuthority] = []
    mistakes: list[Mistake] = []
    for index, one in enumerate(declared):
        location = ("identity", "client_certificates", index, "ca")
        certificates, wrong = read_authorities(one.ca, "ca", location, moment, check_ca)
        mistakes += wrong
        if certificates:
            found.append(DeviceAuthority(one.name, one.id, certificates))
    return found, mistakes


def read_authorities(
    path: Path, what: str, location: Location, moment: datetime, check: Callable[[x509.Certificate], None]
) -> tuple[tuple[x509.Certificate, ...], list[Mistake]]:
    """Read the CA certificates of a PEM file.

    Args:
        path: the file.
        what: how a mistake calls it.
        location: where it stands in the config.
        moment: now. A certificate that is not valid then is an error where no valid one is left beside it.
        check: raises ValueError for a certificate that must not stand there.

    Returns:
        Those that are good, and every mistake.
    """
    try:
        certificates = load_certificates(path.read_bytes())
    except OSError as error:
        return (), [Mistake(location, f"{what} must be readable: {path}: {error.strerror}")]
    except ValueError as error:
        return (), [Mistake(location, f"{what} {error}: {path}")]
    mistakes: list[Mistake] = []
    lapsed: list[str] = []
    valid: list[x509.Certificate] = []
    for certificate in certificates:
        try:
            check(certificate)
        except ValueError as error:
            mistakes.append(Mistake(location, f"{error}: {_called(certificate)} in {path}"))
            continue
        if certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
            valid.append(certificate)
        else:
            lapsed.append(f"root must be valid now: {_called(certificate)} in {path}")
    mistakes += [Mistake(location, rule, "warning" if valid else "error") for rule in lapsed]
    return tuple(valid), mistakes


def check_ca(certificate: x509.Certificate) -> None:
    """Verify that a certificate may sign others.

    Raises:
        ValueError: it is no CA, may not sign certificates, or has a key of an unknown kind.
    """
    key_of(certificate)
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


def _called(certificate: x509.Certificate) -> str:
    try:
        return subject_of(certificate).rfc4514_string() or "the one without a subject"
    except ValueError:
        return "the one with an unreadable subject"
