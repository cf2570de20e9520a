"""What is in a certificate, for a person or a program to read: facts, and the verdict of the SVID rules.

The verdict concerns the certificate alone; whether a gateway accepts it depends on its trust bundles and on the time.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from proxy.identity.bundle import check_signing
from proxy.identity.pem import extensions_of, issuer_of, key_of, subject_of, uris_of
from proxy.identity.spiffe import parse_spiffe_id
from proxy.identity.svid import check_leaf

_USAGES = {
    "digitalSignature": "digital_signature",
    "contentCommitment": "content_commitment",
    "keyEncipherment": "key_encipherment",
    "dataEncipherment": "data_encipherment",
    "keyAgreement": "key_agreement",
    "keyCertSign": "key_cert_sign",
    "cRLSign": "crl_sign",
}
_PURPOSES = {
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "anyExtendedKeyUsage",
    ExtendedKeyUsageOID.CODE_SIGNING: "codeSigning",
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "emailProtection",
    ExtendedKeyUsageOID.OCSP_SIGNING: "OCSPSigning",
}
_DAY = 86400.0
T = TypeVar("T", bound=x509.ExtensionType)


def describe(certificate: x509.Certificate, now: float) -> dict[str, Any]:
    """Return what a certificate says, as JSON values.

    Args:
        certificate: any X.509 certificate.
        now: POSIX seconds, for `days_left` (negative once it has expired).

    Raises:
        ValueError: its names or extensions cannot be read.
    """
    extensions = extensions_of(certificate)
    names = _value(extensions, x509.SubjectAlternativeName) or x509.SubjectAlternativeName([])
    constraints = _value(extensions, x509.BasicConstraints)
    usage = _value(extensions, x509.KeyUsage)
    extended = _value(extensions, x509.ExtendedKeyUsage)
    authority = constraints is not None and constraints.ca
    kind, spiffe_id, rule = _verdict(certificate, authority=authority)
    return {
        "svid": {"kind": kind, "spiffe_id": spiffe_id, "broken_rule": rule},
        "subject": subject_of(certificate).rfc4514_string(),
        "issuer": issuer_of(certificate).rfc4514_string(),
        "serial": f"{certificate.serial_number:x}",
        "sha256": hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest(),
        "not_before": _iso(certificate.not_valid_before_utc),
        "not_after": _iso(certificate.not_valid_after_utc),
        "days_left": round((certificate.not_valid_after_utc.timestamp() - now) / _DAY, 2),
        "key": _key(certificate),
        "ca": authority,
        "key_usage": [name for name, attribute in _USAGES.items() if usage is not None and getattr(usage, attribute)],
        "extended_key_usage": [_PURPOSES.get(oid, oid.dotted_string) for oid in extended or ()],
        "uris": names.get_values_for_type(x509.UniformResourceIdentifier),
        "dns": names.get_values_for_type(x509.DNSName),
        "ips": [str(address) for address in names.get_values_for_type(x509.IPAddress)],
    }


def _verdict(certificate: x509.Certificate, *, authority: bool) -> tuple[str, str | None, str | None]:
    try:
        if not authority:
            return "workload", str(check_leaf(certificate)), None
        uris = uris_of(certificate)
        domain = parse_spiffe_id(uris[0]).trust_domain if uris else ""
        check_signing(certificate, domain)
    except ValueError as error:
        return "none", None, str(error)
    return "signing", uris[0] if uris else None, None


def _key(certificate: x509.Certificate) -> str:
    try:
        key = key_of(certificate)
    except ValueError:
        return "unknown"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return type(key).__name__.removesuffix("PublicKey")


def _value(extensions: x509.Extensions, kind: type[T]) -> T | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
