"""A development certificate authority: one trust domain's root, the SVIDs and the server certificates it signs.

It exists for development, the demo and tests. It keeps its key in a file, has no intermediates and revokes nothing;
production identities come from a workload identity provider such as SPIRE. What it signs is what `identity/svid`
accepts (X509-SVID sections 2 to 4), and it refuses to sign anything else.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from proxy.identity.keypair import write_key_pair
from proxy.identity.pem import load_certificates, load_key, uris_of
from proxy.identity.spiffe import SpiffeID, parse_spiffe_id, parse_trust_domain

CA_LIFETIME = timedelta(days=3650)
SVID_LIFETIME = timedelta(hours=24)
SERVER_LIFETIME = timedelta(days=90)
# Clocks differ between machines; what is signed now must be valid on one that is a little behind.
_BACKDATED = timedelta(minutes=1)

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
KeyKind = Literal["ec", "rsa"]


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key, PEM; the key is PKCS #8 without a passphrase."""

    certificate_pem: bytes
    key_pem: bytes

    def write(self, stem: Path, *, force: bool = False) -> tuple[Path, Path]:
        """Write `STEM.pem` and `STEM.key` and return both paths; see `write_key_pair`."""
        return write_key_pair(stem, self.certificate_pem, self.key_pem, force=force)


@dataclass(frozen=True, slots=True)
class Authority:
    """The root of one trust domain, with its key."""

    trust_domain: str
    certificate: x509.Certificate
    key: PrivateKey

    @classmethod
    def create(
        cls,
        trust_domain: str,
        *,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> Authority:
        """Make a self-signed EC P-256 root for a trust domain.

        Args:
            trust_domain: its name, such as `example.org`.
            not_before: aware; a minute ago unless given.
            not_after: aware; ten years from now unless given.

        Raises:
            ValueError: the name is no trust domain.
        """
        parse_trust_domain(trust_domain)
        key = _make_key("ec")
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "ztproxy development"),
                # X.520 bounds a common name at 64 characters; a trust domain may have 255.
                x509.NameAttribute(NameOID.COMMON_NAME, f"{trust_domain} CA"[-64:]),
            ]
        )
        builder = (
            _builder(name, name, key, _window(not_before, not_after, CA_LIFETIME))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(_uri(SpiffeID(trust_domain, "")), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return cls(trust_domain, builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, directory: Path) -> Authority:
        """Read `ca.pem` and `ca.key` of a directory.

        Raises:
            OSError: one of them cannot be read.
            ValueError: they are no certificate and key, or the certificate names no trust domain.
        """
        [certificate] = load_certificates((directory / "ca.pem").read_bytes())
        key = load_key((directory / "ca.key").read_bytes())
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise ValueError("the key of an authority must be EC or RSA")  # noqa: TRY004 - a file is wrong, not a call
        if key.public_key() != certificate.public_key():
            raise ValueError("ca.key must be the key of ca.pem")
        return cls(_trust_domain_of(certificate), certificate, key)

    def write(self, directory: Path, *, force: bool = False) -> tuple[Path, Path]:
        """Write `ca.pem` and `ca.key` into a directory; see `write_key_pair`."""
        return Issued(self.bundle_pem, _key_pem(self.key)).write(directory / "ca", force=force)

    @property
    def bundle_pem(self) -> bytes:
        """The trust bundle of this trust domain, PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    def issue_svid(
        self,
        spiffe_id: str,
        *,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        dns: Iterable[str] = (),
        ips: Iterable[str] = (),
        key: KeyKind = "ec",
    ) -> Issued:
        """Sign an X.509-SVID, for client and server use.

        Args:
            spiffe_id: a SPIFFE ID of this trust domain, with a path.
            not_before: aware; a minute ago unless given.
            not_after: aware; 24 hours from now unless given.
            dns, ips: further names, for clients that know this workload by host name.
            key: the kind of key to make: EC P-256, or RSA 2048.

        Raises:
            ValueError: the ID is none, has no path, or is of another trust domain.
        """
        parsed = parse_spiffe_id(spiffe_id)
        if not parsed.path:
            raise ValueError("the spiffe id of a workload must have a path")
        if parsed.trust_domain != self.trust_domain:
            raise ValueError(f"the authority of {self.trust_domain} must not sign for {parsed.trust_domain}")
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, self.trust_domain[-64:])])
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(str(parsed)), *_host_names(dns, ips)]
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        return self._issue(name, names, usages, _window(not_before, not_after, SVID_LIFETIME), key)

    def issue_server(
        self,
        names: Iterable[str],
        *,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        key: KeyKind = "ec",
    ) -> Issued:
        """Sign a server certificate for host names and IP addresses; it identifies no workload.

        Args:
            names: DNS names (`*.example.org` too) and IP addresses; at least one.
            not_before: aware; a minute ago unless given.
            not_after: aware; 90 days from now unless given.
            key: the kind of key to make: EC P-256, or RSA 2048.

        Raises:
            ValueError: there is no name, or one is not ASCII.
        """
        listed = list(names)
        if not listed:
            raise ValueError("a server certificate must have a name")
        dns = [name for name in listed if not is_address(name)]
        ips = [name for name in listed if is_address(name)]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, listed[0][:64])])
        window = _window(not_before, not_after, SERVER_LIFETIME)
        return self._issue(subject, _host_names(dns, ips), [ExtendedKeyUsageOID.SERVER_AUTH], window, key)

    def _issue(
        self,
        subject: x509.Name,
        names: list[x509.GeneralName],
        usages: list[x509.ObjectIdentifier],
        window: tuple[datetime, datetime],
        kind: KeyKind,
    ) -> Issued:
        key = _make_key(kind)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
            self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        )
        builder = (
            _builder(subject, self.certificate.subject, key, window)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(issuer, critical=False)
        )
        certificate = builder.sign(self.key, hashes.SHA256())
        return Issued(certificate.public_bytes(Encoding.PEM), _key_pem(key))


def expiry(lifetime: timedelta) -> datetime:
    """Return the moment at which what is signed now, for this long, ends."""
    return datetime.now(UTC) + lifetime


def _make_key(kind: KeyKind) -> PrivateKey:
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _key_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _window(not_before: datetime | None, not_after: datetime | None, lifetime: timedelta) -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    end = not_after or now + lifetime
    return not_before or min(now - _BACKDATED, end - _BACKDATED), end


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, window: tuple[datetime, datetime]
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(window[0])
        .not_valid_after(window[1])
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _uri(spiffe_id: SpiffeID) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(str(spiffe_id))])


def _host_names(dns: Iterable[str], ips: Iterable[str]) -> list[x509.GeneralName]:
    return [*map(x509.DNSName, dns), *(x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips)]


def is_address(name: str) -> bool:
    """Return whether a name is an IP address, not a host name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _trust_domain_of(certificate: x509.Certificate) -> str:
    uris = uris_of(certificate)
    if len(uris) != 1:
        raise ValueError("the certificate of an authority must have its trust domain as its one URI name")
    return parse_spiffe_id(uris[0]).trust_domain
