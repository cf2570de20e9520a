"""Certificates and keys out of PEM, and what is read of them; the only way to fail is ValueError.

The parser of certificates reads lazily, and has exceptions of its own for each kind of malformed content.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

# Of names in odd encodings the parser says TypeError.
_UNREADABLE = (
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
    TypeError,
    ValueError,
)


def load_certificates(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates of a PEM file, one at least. Raise ValueError where there is none, or a malformed one."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except _UNREADABLE as error:
        raise ValueError(f"must hold PEM certificates: {error}") from None


def load_key(pem: bytes) -> PrivateKeyTypes:
    """Return the private key of a PEM file. Raise ValueError where there is none, or it has a passphrase."""
    try:
        return load_pem_private_key(pem, password=None)
    except TypeError:
        raise ValueError("must not be encrypted") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("must be a PEM private key") from None


def extensions_of(certificate: x509.Certificate) -> x509.Extensions:
    """Return the extensions of a certificate. Raise ValueError where they cannot be read."""
    try:
        return certificate.extensions
    except _UNREADABLE as error:
        raise ValueError(f"extensions must be readable: {error}") from None


def key_of(certificate: x509.Certificate) -> CertificatePublicKeyTypes:
    """Return the public key of a certificate. Raise ValueError where it is malformed or of an unknown kind."""
    try:
        return certificate.public_key()
    except _UNREADABLE as error:
        raise ValueError(f"key must be of a known kind: {error}") from None


def subject_of(certificate: x509.Certificate) -> x509.Name:
    """Return the subject of a certificate. Raise ValueError where it cannot be read."""
    try:
        return certificate.subject
    except _UNREADABLE as error:
        raise ValueError(f"subject must be readable: {error}") from None


def issuer_of(certificate: x509.Certificate) -> x509.Name:
    """Return the issuer of a certificate. Raise ValueError where it cannot be read."""
    try:
        return certificate.issuer
    except _UNREADABLE as error:
        raise ValueError(f"issuer must be readable: {error}") from None


def uris_of(certificate: x509.Certificate) -> list[str]:
    """Return the URI names of a certificate's SAN. Raise ValueError where it cannot be read."""
    try:
        names = extensions_of(certificate).get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)
