"""Whatever is wrong with a certificate or a key, the only way to fail is ValueError."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.identity.pem import extensions_of, issuer_of, key_of, load_certificates, load_key, subject_of, uris_of
from tests.identity.forge import forge

LEAF = forge(uris=["spiffe://example.org/web"], subject="a subject")
READERS: list[Callable[[x509.Certificate], object]] = [extensions_of, issuer_of, key_of, subject_of, uris_of]


def pem_of(der: bytes) -> bytes:
    return ssl.DER_cert_to_PEM_cert(der).encode()


def test_a_file_may_hold_several_certificates() -> None:
    other = forge()
    assert load_certificates(b"a comment\n" + LEAF.pem + other.pem) == [LEAF.certificate, other.certificate]


@pytest.mark.parametrize("pem", [b"", b"text", LEAF.der, LEAF.key_pem, LEAF.pem[:200], pem_of(LEAF.der[:-1])])
def test_what_holds_no_certificate_is_refused(pem: bytes) -> None:
    with pytest.raises(ValueError, match="must hold PEM certificates"):
        load_certificates(pem)


@pytest.mark.parametrize("pem", [b"", b"text", LEAF.pem, LEAF.key_pem[:80]])
def test_what_holds_no_key_is_refused(pem: bytes) -> None:
    with pytest.raises(ValueError, match="must be a PEM private key"):
        load_key(pem)


def test_a_key_with_a_passphrase_is_refused() -> None:
    pem = LEAF.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    with pytest.raises(ValueError, match="must not be encrypted"):
        load_key(pem)


def test_a_version_that_does_not_exist_is_refused() -> None:
    # The version is the first number of the certificate: [0] { INTEGER 2 }.
    with pytest.raises(ValueError, match="not a valid X509 version"):
        load_certificates(pem_of(LEAF.der.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020107"), 1)))


def test_a_name_in_an_odd_encoding_is_refused() -> None:
    # A common name as a BIT STRING, where text must stand.
    der = LEAF.der.replace(b"\x0c\x09a subject", b"\x03\x09a subject")
    certificate = load_certificates(pem_of(der))[0]
    for reader in (subject_of, issuer_of):
        with pytest.raises(ValueError, match="must be readable"):
            reader(certificate)


def test_the_uris_of_a_certificate_without_names_are_none() -> None:
    assert uris_of(forge().certificate) == []


@settings(max_examples=500, deadline=None)
@given(st.integers(0, len(LEAF.der) - 1), st.integers(1, 255))
@pytest.mark.filterwarnings("ignore:Parsed a serial number:cryptography.utils.CryptographyDeprecationWarning")
def test_a_certificate_with_a_byte_changed_is_read_or_refused(place: int, change: int) -> None:
    der = bytearray(LEAF.der)
    der[place] ^= change
    try:
        certificate = load_certificates(pem_of(bytes(der)))[0]
    except ValueError:
        return
    for reader in READERS:
        try:
            reader(certificate)
        except ValueError:
            continue
