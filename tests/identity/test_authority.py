"""The development authority signs what the SVID rules accept, and refuses everything else."""

from __future__ import annotations

import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from proxy.identity.authority import Authority, Issued
from proxy.identity.bundle import check_signing
from proxy.identity.keypair import write_key_pair
from proxy.identity.svid import check_leaf
from tests.identity.forge import HOUR, NOW, forge, forge_authority

WEB = "spiffe://example.org/ns/shop/sa/web"
OURS = Authority.create("example.org")


def leaf_of(issued: Issued) -> x509.Certificate:
    return x509.load_pem_x509_certificate(issued.certificate_pem)


def names_of(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_an_authority_is_the_root_of_its_trust_domain() -> None:
    check_signing(OURS.certificate, "example.org")
    assert names_of(OURS.certificate).get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://example.org"]
    assert isinstance(OURS.key, ec.EllipticCurvePrivateKey)
    assert OURS.certificate.not_valid_after_utc - datetime.now(UTC) > timedelta(days=3649)
    assert x509.load_pem_x509_certificates(OURS.bundle_pem) == [OURS.certificate]


def test_an_svid_passes_the_rules_and_lives_for_a_day() -> None:
    issued = OURS.issue_svid(WEB, dns=["web.internal"], ips=["10.0.0.7", "::1"])
    leaf = leaf_of(issued)
    assert str(check_leaf(leaf)) == WEB
    assert names_of(leaf).get_values_for_type(x509.DNSName) == ["web.internal"]
    assert names_of(leaf).get_values_for_type(x509.IPAddress) == list(map(ipaddress.ip_address, ["10.0.0.7", "::1"]))
    left = leaf.not_valid_after_utc - datetime.now(UTC)
    assert timedelta(hours=23) < left <= timedelta(hours=24)
    assert leaf.not_valid_before_utc < datetime.now(UTC)
    leaf.verify_directly_issued_by(OURS.certificate)


def test_a_key_belongs_to_its_certificate() -> None:
    for issued in (OURS.issue_svid(WEB), OURS.issue_svid(WEB, key="rsa"), OURS.issue_server(["a"])):
        key = load_pem_private_key(issued.key_pem, password=None)
        assert key.public_key() == leaf_of(issued).public_key()


def test_an_rsa_key_is_made_on_request() -> None:
    assert isinstance(leaf_of(OURS.issue_svid(WEB, key="rsa")).public_key(), rsa.RSAPublicKey)


def test_no_two_certificates_have_a_key_or_a_serial_number_in_common() -> None:
    first, second = leaf_of(OURS.issue_svid(WEB)), leaf_of(OURS.issue_svid(WEB))
    assert first.public_key() != second.public_key()
    assert first.serial_number != second.serial_number


def test_validity_is_what_was_asked_for() -> None:
    leaf = leaf_of(OURS.issue_svid(WEB, not_before=NOW - 2 * HOUR, not_after=NOW - HOUR))
    assert (leaf.not_valid_before_utc, leaf.not_valid_after_utc) == (NOW - 2 * HOUR, NOW - HOUR)
    past = leaf_of(OURS.issue_svid(WEB, not_after=NOW - HOUR))
    assert past.not_valid_before_utc < past.not_valid_after_utc == NOW - HOUR


@pytest.mark.parametrize(
    ("spiffe_id", "rule"),
    [
        ("spiffe://example.org", "must have a path"),
        ("spiffe://partner.example/web", "must not sign for partner.example"),
        ("spiffe://example.org/Web Shop", "must hold only"),
        ("https://example.org/web", "must begin with spiffe://"),
    ],
)
def test_an_id_that_is_not_its_to_give_is_refused(spiffe_id: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        OURS.issue_svid(spiffe_id)


def test_a_server_certificate_is_of_names_and_of_no_workload() -> None:
    leaf = leaf_of(OURS.issue_server(["localhost", "*.example.org", "127.0.0.1", "::1"]))
    assert names_of(leaf).get_values_for_type(x509.DNSName) == ["localhost", "*.example.org"]
    assert names_of(leaf).get_values_for_type(x509.IPAddress) == list(map(ipaddress.ip_address, ["127.0.0.1", "::1"]))
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    with pytest.raises(ValueError, match="exactly one URI name"):
        check_leaf(leaf)


def test_a_server_certificate_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="must have a name"):
        OURS.issue_server([])


def test_a_name_that_is_no_trust_domain_has_no_authority() -> None:
    with pytest.raises(ValueError, match="trust domain must"):
        Authority.create("Example.org")


def test_a_long_trust_domain_has_an_authority_too() -> None:
    longest = "a" * 255
    authority = Authority.create(longest)
    assert str(check_leaf(leaf_of(authority.issue_svid(f"spiffe://{longest}/web")))).endswith("/web")


def test_an_authority_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    OURS.write(tmp_path)
    again = Authority.load(tmp_path)
    assert again.trust_domain == "example.org"
    assert again.certificate == OURS.certificate
    leaf_of(again.issue_svid(WEB)).verify_directly_issued_by(OURS.certificate)


def test_a_key_of_another_authority_is_refused(tmp_path: Path) -> None:
    OURS.write(tmp_path)
    (tmp_path / "ca.key").write_bytes(OURS.issue_svid(WEB).key_pem)
    with pytest.raises(ValueError, match=r"must be the key of ca\.pem"):
        Authority.load(tmp_path)


def test_a_certificate_without_a_trust_domain_is_no_authority(tmp_path: Path) -> None:
    for certificate in (forge(), forge_authority()):
        write_key_pair(tmp_path / "ca", certificate.pem, certificate.key_pem, force=True)
        with pytest.raises(ValueError, match="its trust domain as its one URI name"):
            Authority.load(tmp_path)


def test_an_authority_that_is_absent_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Authority.load(tmp_path)
    OURS.write(tmp_path)
    os.unlink(tmp_path / "ca.key")
    with pytest.raises(FileNotFoundError):
        Authority.load(tmp_path)
