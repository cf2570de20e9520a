"""Devices by their certificates: what makes one, and that workloads and devices are never taken for each other."""

from __future__ import annotations

import hashlib
import ssl
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from proxy.config import authorities as config
from proxy.config.schema import Identity, ListenerTLS
from proxy.errors import CERTIFICATE_REFUSED, Refused
from proxy.identity.authorities import DeviceAuthority
from proxy.identity.bundle import TrustBundle, TrustBundles, load_bundles
from proxy.identity.device import device_id, verify_peer
from proxy.identity.principal import ANONYMOUS, Peer, principal_of
from proxy.identity.tls import build_server_tls
from tests.identity.forge import HOUR, NOW, Forged, forge, forge_authority
from tests.identity.handshake import client_context, handshake, on_uvloop

WEB = "spiffe://example.org/ns/shop/sa/web"
ROOT = forge_authority(subject="workloads")
MDM = forge_authority(subject="devices")
LAB = forge_authority(subject="laboratory")
CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)


def bundles(*devices: DeviceAuthority) -> TrustBundles:
    return TrustBundles([TrustBundle("example.org", (ROOT.certificate,))], devices or (MDM_DEVICES, LAB_DEVICES))


MDM_DEVICES = DeviceAuthority("mdm", "subject.common_name", (MDM.certificate,))
LAB_DEVICES = DeviceAuthority("lab", "san.dns", (LAB.certificate,))
BOTH = bundles()


def device(issuer: Forged = MDM, **changes: Any) -> Forged:
    return forge(issuer, **{"subject": "C02XL0GTJGH5", "purposes": CLIENT, **changes})


def prove(leaf: Forged, *signers: Forged, under: TrustBundles = BOTH, at: datetime = NOW) -> Peer:
    return verify_peer(leaf.der, [leaf.der, *(signer.der for signer in signers)], under, at.timestamp())


def refusal(leaf: Forged, *signers: Forged, under: TrustBundles = BOTH, at: datetime = NOW) -> str:
    with pytest.raises(Refused) as caught:
        prove(leaf, *signers, under=under, at=at)
    assert caught.value.row is CERTIFICATE_REFUSED
    return caught.value.detail


def test_a_certificate_of_a_device_authority_proves_the_device() -> None:
    leaf = device()
    peer = prove(leaf, MDM)
    assert (peer.kind, peer.id, peer.trust_domain, peer.path) == ("device", "mdm:C02XL0GTJGH5", "", "")
    assert peer.expires_at == leaf.certificate.not_valid_after_utc.timestamp()
    assert (peer.certificate.der, peer.certificate.uri, peer.certificate.dns) == (leaf.der, "", ())
    assert peer.certificate.subject == "CN=C02XL0GTJGH5"


def test_a_device_without_a_user_is_nobody() -> None:
    assert principal_of(prove(device(), MDM)) is ANONYMOUS


def test_each_authority_names_its_own_devices() -> None:
    leaf = device(LAB, names=[x509.DNSName("Bench-7.example.org")])
    assert prove(leaf, LAB).id == "lab:bench-7.example.org"


def test_a_workload_is_one_where_there_are_devices_too() -> None:
    peer = prove(forge(ROOT, uris=[WEB]), ROOT)
    assert (peer.kind, peer.id) == ("workload", WEB)


# === Neither is taken for the other ===


@pytest.mark.parametrize("uri", [WEB, "SPIFFE://example.org/ns/shop/sa/web", "spiffe://", "spiffe:x"])
def test_an_authority_of_devices_signs_for_no_workload(uri: str) -> None:
    for under in (BOTH, bundles(DeviceAuthority("mdm", "san.uri", (MDM.certificate,)))):
        assert refusal(device(uris=[uri]), MDM, under=under)


def test_a_spiffe_id_among_other_names_makes_no_device() -> None:
    by_uri = bundles(DeviceAuthority("mdm", "subject.common_name", (MDM.certificate,)))
    detail = refusal(device(uris=["urn:device:7", WEB]), MDM, under=by_uri)
    assert detail == "SVID must have exactly one URI name"


def test_a_trust_bundle_signs_for_no_device() -> None:
    assert "end in an authority of devices" in refusal(device(ROOT), ROOT)
    assert "end in an authority of devices" in refusal(device(ROOT, uris=["urn:device:7"]), ROOT)


def test_where_there_are_no_devices_every_certificate_must_be_an_svid() -> None:
    under = TrustBundles([TrustBundle("example.org", (ROOT.certificate,))])
    assert refusal(device(ROOT), ROOT, under=under) == "SVID must have exactly one URI name"


def test_what_was_proven_under_other_authorities_proves_nothing() -> None:
    leaf = device()
    prove(leaf, MDM)
    assert refusal(leaf, MDM, under=bundles(LAB_DEVICES))


def test_bundles_differ_where_their_devices_do() -> None:
    assert bundles() == bundles()
    assert bundles() != bundles(MDM_DEVICES)
    assert bundles(MDM_DEVICES) != bundles(DeviceAuthority("mdm", "fingerprint", (MDM.certificate,)))


# === What a certificate must be ===


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"purposes": None}, "extended key usage of a device must include clientAuth"),
        ({"purposes": (ExtendedKeyUsageOID.SERVER_AUTH,)}, "extended key usage of a device must include clientAuth"),
        ({"purposes": (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)}, "must include clientAuth"),
        ({"usages": ("key_encipherment",)}, "key usage of a device must have digitalSignature"),
        ({"usages": ("digital_signature", "key_cert_sign")}, "must not have keyCertSign or cRLSign"),
        ({"ca": True}, "certificate of a device must not be a CA"),
        ({"key": rsa.generate_private_key(65537, 1024)}, "key of a device must be"),
        ({"not_after": NOW - HOUR / 2}, "must be valid"),
        ({"not_before": NOW + HOUR / 2}, "must be valid"),
        ({"subject": ""}, "must have subject.common_name exactly once"),
        ({"subject": "a\u202eb"}, "must be 1 to 255 printable characters"),
        ({"subject": " a"}, "must be 1 to 255 printable characters"),
    ],
)
def test_a_certificate_that_breaks_a_rule_proves_nothing(changes: dict[str, Any], rule: str) -> None:
    assert rule in refusal(device(**changes), MDM)


def test_a_device_may_leave_out_key_usage() -> None:
    assert prove(device(usages=None), MDM).id == "mdm:C02XL0GTJGH5"


def test_a_device_that_lapsed_is_asked_for_again() -> None:
    leaf = device()
    prove(leaf, MDM)
    assert "must be valid" in refusal(leaf, MDM, at=NOW + 2 * HOUR)


def test_bytes_that_are_no_certificate_prove_nothing() -> None:
    with pytest.raises(Refused):
        verify_peer(b"\x30\x03\x02\x01\x01", [b"\x30\x03\x02\x01\x01", MDM.der], BOTH, NOW.timestamp())


# === Which device ===


def named(**names: str) -> x509.Certificate:
    """Return a certificate with these attributes of the subject."""
    oids = {"serial": NameOID.SERIAL_NUMBER, "common": NameOID.COMMON_NAME}
    subject = x509.Name([x509.NameAttribute(oids[key.rstrip("2")], value) for key, value in names.items()])
    leaf = device().certificate
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=MDM.certificate.subject)
    builder = builder.public_key(leaf.public_key()).serial_number(7)
    builder = builder.not_valid_before(NOW - HOUR).not_valid_after(NOW + HOUR)
    return builder.sign(MDM.key, MDM.certificate.signature_hash_algorithm)  # type: ignore[arg-type]


def test_the_field_says_which_device() -> None:
    both = named(serial="C02", common="Ana's laptop")
    assert device_id(both, "subject.serial_number") == "C02"
    assert device_id(both, "subject.common_name") == "Ana's laptop"
    names = [x509.RFC822Name("device-7@example.org"), x509.DNSName("D7.example.org")]
    leaf = device(uris=["urn:uuid:7"], names=names).certificate
    assert device_id(leaf, "san.uri") == "urn:uuid:7"
    assert device_id(leaf, "san.email") == "device-7@example.org"
    assert device_id(leaf, "san.dns") == "d7.example.org"
    assert device_id(leaf, "fingerprint") == hashlib.sha256(leaf.public_bytes(Encoding.DER)).hexdigest()


@pytest.mark.parametrize(
    ("certificate", "field"),
    [
        (named(common="a"), "subject.serial_number"),
        (named(serial="a", serial2="b"), "subject.serial_number"),
        (named(serial="a"), "san.dns"),
        (device(names=[x509.DNSName("a.test"), x509.DNSName("b.test")]).certificate, "san.dns"),
        (device(names=[x509.DNSName("a.test")]).certificate, "san.email"),
    ],
)
def test_a_field_that_is_not_there_once_says_nothing(certificate: x509.Certificate, field: config.DeviceID) -> None:
    with pytest.raises(ValueError, match="exactly once"):
        device_id(certificate, field)


# === Authorities ===


def test_an_intermediate_can_be_the_authority_and_its_sisters_are_none() -> None:
    issuing = forge_authority(MDM, subject="issuing devices", path_length=0)
    mail = forge_authority(MDM, subject="issuing mail", path_length=0)
    under = bundles(DeviceAuthority("mdm", "subject.common_name", (issuing.certificate,)))
    assert under.partial
    assert prove(device(issuing), issuing, under=under).id == "mdm:C02XL0GTJGH5"
    assert "end in an authority of devices" in refusal(device(mail), mail, MDM, under=under)


def loaded(directory: Path, **files: bytes) -> tuple[TrustBundles, list[tuple[str, str]]]:
    """Load authorities by name, beside a trust bundle."""
    (directory / "root.pem").write_bytes(ROOT.pem)
    declared = []
    for name, content in files.items():
        (directory / f"{name}.pem").write_bytes(content)
        declared.append({"name": name, "ca": directory / f"{name}.pem", "kind": "device", "id": "fingerprint"})
    identity = Identity.model_validate(
        {"trust_bundles": {"example.org": directory / "root.pem"}, "client_certificates": declared},
        context={"base": str(directory)},
    )
    found, mistakes = load_bundles(identity, "example.org", NOW.timestamp())
    return found, [(mistake.path, mistake.rule) for mistake in mistakes]


def test_authorities_are_read(tmp_path: Path) -> None:
    found, mistakes = loaded(tmp_path, mdm=MDM.pem + LAB.pem)
    assert mistakes == []
    assert found.complete
    assert [one.name for one in found.devices] == ["mdm"]
    assert found.pem.count("BEGIN") == 3


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "ca must hold PEM certificates"),
        (device().pem, "signing certificate must be a CA"),
        (forge_authority(not_before=NOW - 2 * HOUR, not_after=NOW - HOUR).pem, "must be valid now"),
        (ROOT.pem, "must not hold an authority of trust domain example.org: one key signs for one kind of caller"),
    ],
)
def test_a_file_that_holds_no_authority_of_devices_is_a_mistake(content: bytes, rule: str, tmp_path: Path) -> None:
    _, [(path, told)] = loaded(tmp_path, mdm=content)
    assert path == "identity.client_certificates[0].ca"
    assert rule in told


def test_one_authority_has_one_name(tmp_path: Path) -> None:
    _, [(path, told)] = loaded(tmp_path, mdm=MDM.pem, lab=LAB.pem + MDM.pem)
    assert path == "identity.client_certificates[1].ca"
    assert 'must not hold an authority of client certificates "mdm"' in told


# === Handshakes ===


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("below", [False, True], ids=["root", "intermediate"])
def test_a_handshake_proves_a_device(version: ssl.TLSVersion, below: bool, tmp_path: Path) -> None:
    issuing = forge_authority(MDM, subject="issuing devices", path_length=0) if below else MDM
    under = TrustBundles([], [DeviceAuthority("mdm", "subject.common_name", (issuing.certificate,))])
    edge = forge(forge_authority(), names=[x509.DNSName("localhost")]).issued()
    certificate, key = edge.write(tmp_path / "edge")
    tls = ListenerTLS(certificate=certificate, key=key, client_certificates="required")
    server, mistakes = build_server_tls(tls, ("listeners", 0, "tls"), under, time.time())
    assert server is not None, mistakes
    client = client_context(tmp_path, device(issuing).issued(), version=version)
    outcome = on_uvloop(handshake(server.context_for(None), client))
    peer = outcome.peer(under, time.time())
    assert peer is not None
    assert peer.id == "mdm:C02XL0GTJGH5"
