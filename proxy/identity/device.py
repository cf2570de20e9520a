"""Devices: from a client certificate that is no SVID to the device that it proves.

The TLS library accepts any root of any authority. Which rules a certificate is held to depends on what it says of
itself. One with a SPIFFE ID among its names is an SVID, for `identity/svid` and the bundle of its own trust domain. Any
other is a device's, and its chain is verified once more against the authorities of devices alone. So no authority of
one kind can make an identity of the other. Knows no socket and no clock.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, VerificationError

from proxy.config.authorities import DeviceID
from proxy.errors import CERTIFICATE_REFUSED, Refused
from proxy.identity.authorities import DeviceAuthority
from proxy.identity.bundle import TrustBundles
from proxy.identity.pem import extensions_of, subject_of, uris_of
from proxy.identity.principal import Peer
from proxy.identity.svid import check_no_authority, facts_of, is_strong, verify_svid

_LONGEST_ID: Final = 255
_SPIFFE: Final = "spiffe:"
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")
_SUBJECTS: Final = {"subject.serial_number": NameOID.SERIAL_NUMBER, "subject.common_name": NameOID.COMMON_NAME}
_NAMES: Final[dict[str, Any]] = {
    "san.uri": x509.UniformResourceIdentifier,
    "san.dns": x509.DNSName,
    "san.email": x509.RFC822Name,
}
# RFC 5280, no weak signature in the chain. Devices are seldom on the Web: a name in the SAN is not asked for, and
# `check_device` has its own rule on extended key usage.
_POLICY: Final = PolicyBuilder().extension_policies(
    ca_policy=ExtensionPolicy.webpki_defaults_ca(),
    ee_policy=ExtensionPolicy.webpki_defaults_ee()
    .may_be_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, None)
    .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, None),
)


def verify_peer(leaf_der: bytes, verified_chain_der: Sequence[bytes], bundles: TrustBundles, now: float) -> Peer:
    """Return whom a client certificate proves: a workload by its SVID, or a device.

    What has been proven is remembered, as by `svid.verify_svid`.

    Args:
        leaf_der: the client's certificate, DER.
        verified_chain_der: the chain that the TLS library verified, DER, leaf first.
        bundles: the authorities of the snapshot, of workloads and of devices.
        now: POSIX seconds.

    Raises:
        Refused: CERTIFICATE_REFUSED, with the rule that is broken.
    """
    if not bundles.devices:
        return verify_svid(leaf_der, verified_chain_der, bundles, now)
    known = bundles.recall((leaf_der, *verified_chain_der), now)
    if known is not None:
        return known
    try:
        leaf, *others = [x509.load_der_x509_certificate(der) for der in (leaf_der, *verified_chain_der[1:])]
        if is_svid(leaf):
            return verify_svid(leaf_der, verified_chain_der, bundles, now)
        peer, begins = _verify(leaf, others, bundles, now)
    except Refused:
        raise
    except Exception as error:  # a parser may answer hostile bytes with anything; whatever it is, nothing is proven
        raise Refused(CERTIFICATE_REFUSED, str(error) or type(error).__name__) from None
    bundles.remember((leaf_der, *verified_chain_der), peer, begins)
    return peer


def is_svid(leaf: x509.Certificate) -> bool:
    """Tell whether a certificate claims to be an SVID, good or bad.

    Raises:
        ValueError: its names cannot be read.
    """
    return any(uri.lower().startswith(_SPIFFE) for uri in uris_of(leaf))


def check_device(leaf: x509.Certificate) -> None:
    """Hold a leaf to the rules that concern the certificate alone.

    Raises:
        ValueError: it breaks one; the message states the rule.
    """
    extensions = extensions_of(leaf)
    if not is_strong(leaf):
        raise ValueError("key of a device must be P-256, P-384, P-521, Ed25519, or RSA of 2048 bits or more")
    check_no_authority(extensions, "certificate of a device")
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        pass  # RFC 5280 section 4.2.1.3: absent, every usage is meant
    else:
        if not usage.digital_signature:
            raise ValueError("key usage of a device must have digitalSignature")
        if usage.key_cert_sign or usage.crl_sign:
            raise ValueError("key usage of a device must not have keyCertSign or cRLSign")
    try:
        extended = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        extended = x509.ExtendedKeyUsage([])
    # One authority often signs servers and mail too; a certificate of theirs must make nobody a device.
    if ExtendedKeyUsageOID.CLIENT_AUTH not in extended:
        raise ValueError("extended key usage of a device must include clientAuth")


def device_id(leaf: x509.Certificate, field: DeviceID) -> str:
    """Return what a certificate has in the field that identifies devices.

    Raises:
        ValueError: it is not there exactly once, or is no short, printable text.
    """
    if field == "fingerprint":
        return hashlib.sha256(leaf.public_bytes(Encoding.DER)).hexdigest()
    values = [*_values(leaf, field)]
    if len(values) != 1:
        raise ValueError(f"certificate of a device must have {field} exactly once")
    value = values[0].lower() if field == "san.dns" else values[0]  # RFC 4343: names are the same in every case
    check_id(value, field)
    return value


def check_id(text: str, field: DeviceID) -> None:
    """Hold a text to what a field that identifies devices can be.

    Raises:
        ValueError: no device is ever called so; the message states the rule.
    """
    if field == "fingerprint" and not _FINGERPRINT.fullmatch(text):
        raise ValueError("fingerprint must be the certificate's SHA-256 in 64 lower-case hexadecimal digits")
    if field == "san.dns" and text != text.lower():
        raise ValueError("san.dns of a device must be in lower case")
    if not 0 < len(text) <= _LONGEST_ID or not text.isprintable() or text != text.strip():
        raise ValueError(f"{field} of a device must be 1 to {_LONGEST_ID} printable characters, no space around them")


def _values(leaf: x509.Certificate, field: DeviceID) -> Iterable[str]:
    if field in _SUBJECTS:
        for attribute in subject_of(leaf).get_attributes_for_oid(_SUBJECTS[field]):
            yield attribute.value if isinstance(attribute.value, str) else ""  # a bit string is no text
        return
    try:
        names = extensions_of(leaf).get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    yield from names.get_values_for_type(_NAMES[field])


def _verify(
    leaf: x509.Certificate, others: list[x509.Certificate], bundles: TrustBundles, now: float
) -> tuple[Peer, float]:
    """Return the device, and the POSIX seconds from which on its chain is valid."""
    check_device(leaf)
    authority, chain = _chain(leaf, others, bundles.devices, now)
    peer = _peer(f"{authority.name}:{device_id(leaf, authority.id)}", chain)
    return peer, max(each.not_valid_before_utc.timestamp() for each in chain)


def _chain(
    leaf: x509.Certificate, others: list[x509.Certificate], authorities: Iterable[DeviceAuthority], now: float
) -> tuple[DeviceAuthority, list[x509.Certificate]]:
    """Return the first authority in which a chain from the leaf ends, and that chain (RFC 5280 section 6)."""
    moment, reason = datetime.fromtimestamp(now, UTC), ""
    for authority in authorities:
        verifier = _POLICY.store(authority.store).time(moment).build_client_verifier()
        try:
            return authority, verifier.verify(leaf, others).chain
        except VerificationError as error:
            reason = str(error)
    raise ValueError(
        f"chain of a certificate that is no SVID must be valid, and end in an authority of devices: {reason}"
    )


def _peer(name: str, chain: list[x509.Certificate]) -> Peer:
    uris = uris_of(chain[0])
    return Peer(
        id=name,
        trust_domain="",
        path="",
        expires_at=min(certificate.not_valid_after_utc.timestamp() for certificate in chain),
        certificate=facts_of(chain, uris[0] if len(uris) == 1 else ""),
        kind="device",
    )
