"""A client certificate proves a workload only by every rule of the X509-SVID standard."""

from __future__ import annotations

import hashlib
import time
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import CERTIFICATE_REFUSED, Refused
from proxy.identity.authority import Authority
from proxy.identity.bundle import TrustBundle, TrustBundles
from proxy.identity.principal import Peer
from proxy.identity.svid import verify_svid
from tests.identity.forge import CLIENT, HOUR, NOW, SERVER, Forged, Key, forge, forge_authority

WEB = "spiffe://example.org/ns/shop/sa/web"
ROOT = forge_authority(subject="example.org root", uris=["spiffe://example.org"])
PARTNER = forge_authority(subject="partner.example root", uris=["spiffe://partner.example"])
BUNDLES = TrustBundles(
    [TrustBundle("example.org", (ROOT.certificate,)), TrustBundle("partner.example", (PARTNER.certificate,))]
)


def verify(leaf: Forged, *signers: Forged, bundles: TrustBundles = BUNDLES, at: float = NOW.timestamp()) -> Peer:
    chain = [leaf.der, *(signer.der for signer in signers or (ROOT,))]
    return verify_svid(leaf.der, chain, bundles, at)


def refusal(leaf: Forged, *signers: Forged, bundles: TrustBundles = BUNDLES, at: float = NOW.timestamp()) -> str:
    with pytest.raises(Refused) as raised:
        verify(leaf, *signers, bundles=bundles, at=at)
    assert raised.value.row is CERTIFICATE_REFUSED
    return raised.value.detail


def test_an_svid_proves_its_workload() -> None:
    leaf = forge(ROOT, uris=[WEB], names=[x509.DNSName("web.internal")])
    peer = verify(leaf)
    assert (peer.id, peer.trust_domain, peer.path) == (WEB, "example.org", "/ns/shop/sa/web")
    assert peer.kind == "workload"
    assert peer.expires_at == (NOW + HOUR).timestamp()
    facts = peer.certificate
    assert facts.der == leaf.der
    assert facts.sha256 == hashlib.sha256(leaf.der).hexdigest()
    assert facts.subject == "CN=forged"
    assert facts.serial == f"{leaf.certificate.serial_number:x}"
    assert (facts.not_before, facts.not_after) == ((NOW - HOUR).timestamp(), (NOW + HOUR).timestamp())
    assert (facts.dns, facts.uri, facts.chain) == (("web.internal",), WEB, ())


def test_the_development_authority_signs_what_the_rules_accept() -> None:
    authority = Authority.create("example.org")
    issued = authority.issue_svid(WEB, dns=["web"], ips=["127.0.0.1"])
    leaf = x509.load_pem_x509_certificate(issued.certificate_pem)
    bundles = TrustBundles([TrustBundle("example.org", (authority.certificate,))])
    forged, root = Forged(leaf, authority.key), Forged(authority.certificate, authority.key)
    assert verify(forged, root, bundles=bundles, at=time.time()).id == WEB  # not `NOW`, of when tests were collected


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("exactly one URI", {"uris": []}),
        ("exactly one URI", {"uris": [], "names": [x509.DNSName("web")]}),
        ("exactly one URI", {"uris": [WEB, WEB]}),
        ("exactly one URI", {"uris": [WEB, "https://example.org"]}),
        ("must begin with spiffe://", {"uris": ["https://example.org/web"]}),
        ("must begin with spiffe://", {"uris": ["SPIFFE://example.org/web"]}),
        ("segments must hold only", {"uris": ["spiffe://example.org/admin\0.evil"]}),
        ("segments must hold only", {"uris": ["spiffe://example.org/admin\n"]}),
        ("must have a path", {"uris": ["spiffe://example.org"]}),
        ("must have a trust bundle", {"uris": ["spiffe://unknown.example/web"]}),
        ("must not be a CA", {"ca": True}),
        ("must have key usage", {"usages": None}),
        ("must have digitalSignature", {"usages": ["key_agreement"]}),
        ("must not have keyCertSign", {"usages": ["digital_signature", "key_cert_sign"]}),
        ("must not have keyCertSign or cRLSign", {"usages": ["digital_signature", "crl_sign"]}),
        ("must include clientAuth", {"purposes": [SERVER]}),
        ("must include clientAuth", {"purposes": [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]}),
        ("SAN must be critical", {"subject": ""}),
    ],
)
def test_a_leaf_that_breaks_a_rule_proves_nothing(rule: str, changes: dict[str, object]) -> None:
    leaf = forge(ROOT, **{"uris": [WEB], **changes})  # type: ignore[arg-type]
    assert rule in refusal(leaf)


@pytest.mark.parametrize(
    "changes",
    [
        {"purposes": None},
        {"purposes": [CLIENT]},
        {"ca": None},
        {"usages": ["digital_signature", "key_encipherment", "key_agreement"]},
        {"subject": "", "san_critical": True},
        {"san_critical": True},
        {"key": ec.generate_private_key(ec.SECP384R1())},
        {"key": rsa.generate_private_key(65537, 2048)},
        {"key": ed25519.Ed25519PrivateKey.generate()},
    ],
)
def test_what_the_standard_leaves_open_is_accepted(changes: dict[str, object]) -> None:
    leaf = forge(ROOT, **{"uris": [WEB], **changes})  # type: ignore[arg-type]
    assert verify(leaf).id == WEB


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),
        rsa.generate_private_key(65537, 2052),
        ec.generate_private_key(ec.SECP192R1()),
        ec.generate_private_key(ec.SECP256K1()),
        dsa.generate_private_key(2048),
    ],
    ids=["rsa-1024", "rsa-2052", "p-192", "secp256k1", "dsa"],
)
def test_a_weak_or_uncommon_key_proves_nothing(key: Key) -> None:
    assert "key of an SVID must be" in refusal(forge(ROOT, uris=[WEB], key=key))


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),
        ec.generate_private_key(ec.SECP192R1()),
        ed25519.Ed25519PrivateKey.generate(),
        dsa.generate_private_key(2048),
    ],
    ids=["rsa-1024", "p-192", "ed25519", "dsa"],
)
def test_an_authority_with_a_key_outside_the_profile_proves_nothing(key: Key) -> None:
    root = forge_authority(key=key)
    bundles = TrustBundles([TrustBundle("example.org", (root.certificate,))])
    assert "validation failed" in refusal(forge(root, uris=[WEB]), root, bundles=bundles)
    between = forge_authority(ROOT, subject="between", key=key)
    assert "validation failed" in refusal(forge(between, uris=[WEB]), between, ROOT)


def test_a_signature_outside_the_profile_proves_nothing() -> None:
    assert "validation failed" in refusal(forge(ROOT, uris=[WEB], hash_=hashes.SHA224()))


def test_a_critical_extension_that_nobody_knows_proves_nothing() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    assert "unaccounted-for critical extensions" in refusal(forge(ROOT, uris=[WEB], extensions=[unknown]))


@pytest.mark.parametrize(
    "name",
    [
        x509.DNSName("a.example, URI:spiffe://example.org/admin"),
        x509.RFC822Name("URI=spiffe:%2F%2Fexample.org%2Fadmin@example.org"),
        x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "URI:spiffe://example.org/admin")])),
    ],
)
def test_a_name_that_reads_like_a_spiffe_id_is_none(name: x509.GeneralName) -> None:
    # CVE-2021-44531, CVE-2021-44532: names are structures, never text to be searched.
    assert "exactly one URI" in refusal(forge(ROOT, names=[name]))


def test_a_subject_that_reads_like_a_spiffe_id_is_none() -> None:
    assert "exactly one URI" in refusal(forge(ROOT, subject="x,URI=spiffe://example.org/admin"))


def test_a_partner_cannot_sign_our_workloads() -> None:
    # OpenSSL would accept this chain: the partner's root is one of those it was given.
    assert "end in the bundle of the SVID's own trust domain" in refusal(forge(PARTNER, uris=[WEB]), PARTNER)


def test_we_cannot_sign_a_partners_workloads() -> None:
    assert "validation failed" in refusal(forge(ROOT, uris=["spiffe://partner.example/web"]), ROOT)


def test_a_partners_own_workloads_are_proven() -> None:
    assert verify(forge(PARTNER, uris=["spiffe://partner.example/web"]), PARTNER).trust_domain == "partner.example"


def test_a_root_of_the_same_name_with_another_key_signs_nothing() -> None:
    impostor = forge_authority(subject="example.org root", uris=["spiffe://example.org"])
    assert "validation failed" in refusal(forge(impostor, uris=[WEB]), impostor)


def test_the_root_that_the_chain_brings_along_is_not_believed() -> None:
    stranger = forge_authority(subject="stranger")
    assert "validation failed" in refusal(forge(stranger, uris=[WEB]), stranger)


def test_a_workload_cannot_sign_another() -> None:
    web = forge(ROOT, uris=[WEB])
    assert "validation failed" in refusal(forge(web, uris=["spiffe://example.org/admin"]), web, ROOT)


def test_an_intermediate_is_part_of_the_facts_and_the_root_is_not() -> None:
    between = forge_authority(ROOT, subject="between")
    leaf = forge(between, uris=[WEB])
    peer = verify(leaf, between, ROOT)
    assert peer.certificate.chain == (between.der,)


@pytest.mark.parametrize("uri", ["spiffe://partner.example", "spiffe://example.org/ca", "https://example.org"])
def test_a_signing_certificate_has_no_name_but_its_trust_domains(uri: str) -> None:
    between = forge_authority(ROOT, subject="between", uris=[uri])
    assert "no URI name but spiffe://example.org" in refusal(forge(between, uris=[WEB]), between, ROOT)


def test_a_signing_certificate_may_have_its_trust_domains_name() -> None:
    between = forge_authority(ROOT, subject="between", uris=["spiffe://example.org"])
    assert verify(forge(between, uris=[WEB]), between, ROOT).id == WEB


def test_a_path_longer_than_an_authority_allows_proves_nothing() -> None:
    short = forge_authority(ROOT, subject="short", path_length=0)
    below = forge_authority(short, subject="below")
    assert "validation failed" in refusal(forge(below, uris=[WEB]), below, short, ROOT)


def test_a_uri_name_constraint_is_refused_rather_than_overlooked() -> None:
    constraint = x509.NameConstraints([x509.UniformResourceIdentifier("example.org")], None)
    between = forge_authority(ROOT, subject="between", extensions=[constraint])
    assert "validation failed" in refusal(forge(between, uris=[WEB]), between, ROOT)


@pytest.mark.parametrize(
    ("at", "proven"),
    [
        (NOW - HOUR - timedelta(seconds=1), False),
        (NOW - HOUR, True),
        (NOW + HOUR, True),
        (NOW + HOUR + timedelta(seconds=1), False),
    ],
)
def test_an_svid_is_good_from_its_first_second_to_its_last(at: datetime, proven: bool) -> None:
    leaf = forge(ROOT, uris=[WEB])
    if proven:
        assert verify(leaf, at=at.timestamp()).id == WEB
    else:
        assert "validation failed" in refusal(leaf, at=at.timestamp())


@pytest.mark.parametrize("shortest", ["leaf", "intermediate", "root"])
def test_a_workload_expires_with_the_first_of_its_chain(shortest: str) -> None:
    ends = {name: NOW + (HOUR if name == shortest else 5 * HOUR) for name in ("leaf", "intermediate", "root")}
    root = forge_authority(subject="short root", not_after=ends["root"])
    between = forge_authority(root, subject="between", not_after=ends["intermediate"])
    leaf = forge(between, uris=[WEB], not_after=ends["leaf"])
    bundles = TrustBundles([TrustBundle("example.org", (root.certificate,))])
    assert verify(leaf, between, root, bundles=bundles).expires_at == (NOW + HOUR).timestamp()


def test_a_root_that_has_lapsed_proves_nothing() -> None:
    root = forge_authority(not_after=NOW - timedelta(minutes=1))
    bundles = TrustBundles([TrustBundle("example.org", (root.certificate,))])
    assert "validation failed" in refusal(forge(root, uris=[WEB]), root, bundles=bundles)


def test_bytes_that_are_no_certificate_prove_nothing() -> None:
    with pytest.raises(Refused):
        verify_svid(b"\x30\x03\x02\x01\x01", [b"\x30\x03\x02\x01\x01", ROOT.der], BUNDLES, NOW.timestamp())


LEAF = forge(ROOT, uris=[WEB], names=[x509.DNSName("web.internal")])


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(LEAF.der) - 1), st.integers(1, 255))
def test_a_certificate_with_a_byte_changed_proves_nothing(place: int, change: int) -> None:
    der = bytearray(LEAF.der)
    der[place] ^= change
    try:
        verify_svid(bytes(der), [bytes(der), ROOT.der], BUNDLES, NOW.timestamp())
    except Refused:
        return
    # The signature is a bit string, whose padding is neither signed nor the signature's.
    signed = [x509.load_der_x509_certificate(each).tbs_certificate_bytes for each in (bytes(der), LEAF.der)]
    assert signed[0] == signed[1]


def test_what_a_certificate_has_proven_is_known_again_until_its_chain_lapses() -> None:
    root, bundles = ROOT, TrustBundles([TrustBundle("example.org", (ROOT.certificate,))])
    leaf = forge(root, uris=[WEB])
    now = NOW.timestamp()
    first = verify_svid(leaf.der, [leaf.der, root.der], bundles, now)
    assert verify_svid(leaf.der, [leaf.der, root.der], bundles, now) is first
    for moment in (first.expires_at + 1, first.certificate.not_before - 1):
        with pytest.raises(Refused):
            verify_svid(leaf.der, [leaf.der, root.der], bundles, moment)


def test_what_was_proven_under_other_bundles_proves_nothing() -> None:
    bundles = TrustBundles([TrustBundle("example.org", (ROOT.certificate,))])
    leaf = forge(ROOT, uris=[WEB])
    verify_svid(leaf.der, [leaf.der, ROOT.der], bundles, NOW.timestamp())
    other = TrustBundles([TrustBundle("example.org", (forge_authority().certificate,))])
    with pytest.raises(Refused):
        verify_svid(leaf.der, [leaf.der, ROOT.der], other, NOW.timestamp())


def test_a_bounded_number_of_certificates_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.identity.bundle._MOST_PROVEN", 2)
    bundles = TrustBundles([TrustBundle("example.org", (ROOT.certificate,))])
    for _ in range(3):
        leaf = forge(ROOT, uris=[WEB])
        verify_svid(leaf.der, [leaf.der, ROOT.der], bundles, NOW.timestamp())
    assert len(bundles.proven) == 2
