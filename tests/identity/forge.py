"""Certificates that an honest authority would not sign, for the tests of what must be refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from proxy.identity.authority import Issued

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | dsa.DSAPrivateKey

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH

SHA256 = hashes.SHA256()

_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@dataclass(frozen=True)
class Forged:
    """A certificate and its key, fit to sign others whatever it says of itself."""

    certificate: x509.Certificate
    key: Key

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def issued(self, *intermediates: Forged) -> Issued:
        return Issued(self.pem + b"".join(one.pem for one in intermediates), self.key_pem)


def forge(
    issuer: Forged | None = None,
    *,
    subject: str = "forged",
    uris: Iterable[str] = (),
    names: Iterable[x509.GeneralName] = (),
    san_critical: bool = False,
    ca: bool | None = False,
    path_length: int | None = None,
    usages: Iterable[str] | None = ("digital_signature",),
    purposes: Iterable[x509.ObjectIdentifier] | None = (CLIENT, SERVER),
    not_before: datetime = NOW - HOUR,
    not_after: datetime = NOW + HOUR,
    key: Key | None = None,
    extensions: Iterable[x509.ExtensionType] = (),
    hash_: hashes.SHA224 | hashes.SHA256 = SHA256,
) -> Forged:
    """Sign whatever is asked for; without an issuer, by itself. `None` leaves an extension out."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else [])
    signer = issuer or Forged(_blank(name, key), key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(signer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()), critical=False)
    )
    general = [*map(x509.UniformResourceIdentifier, uris), *names]
    if general:
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=san_critical)
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
    if usages is not None:
        chosen = set(usages)
        builder = builder.add_extension(x509.KeyUsage(**{name: name in chosen for name in _USAGES}), critical=True)
    if purposes is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(purposes)), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    algorithm = None if isinstance(signer.key, ed25519.Ed25519PrivateKey) else hash_
    return Forged(builder.sign(signer.key, algorithm), key)


def forge_authority(issuer: Forged | None = None, *, subject: str = "root", **changes: object) -> Forged:
    """Forge a CA: a root, or an intermediate below `issuer`."""
    wanted: dict[str, object] = {
        "ca": True,
        "usages": ("key_cert_sign", "crl_sign"),
        "purposes": None,
        "not_after": NOW + 24 * HOUR,
        **changes,
    }
    return forge(issuer, subject=subject, **wanted)  # type: ignore[arg-type]


def _blank(name: x509.Name, key: Key) -> x509.Certificate:
    """Return a certificate whose subject is the issuer of one that signs itself."""
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - HOUR)
        .not_valid_after(NOW + HOUR)
        .sign(key, algorithm)
    )
