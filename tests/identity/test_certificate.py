"""What a certificate says is told with the verdict of the SVID rules."""

from __future__ import annotations

import json
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from proxy.identity.authority import Authority
from proxy.identity.certificate import describe
from tests.identity.forge import CLIENT, HOUR, NOW, forge, forge_authority

WEB = "spiffe://example.org/web"
OURS = Authority.create("example.org")


def test_an_svid_is_told_with_its_facts() -> None:
    leaf = x509.load_pem_x509_certificate(
        OURS.issue_svid(WEB, dns=["web"], ips=["::1"], not_after=NOW + HOUR).certificate_pem
    )
    facts = describe(leaf, NOW.timestamp())
    assert facts["svid"] == {"kind": "workload", "spiffe_id": WEB, "broken_rule": None}
    assert facts["subject"] == "O=example.org"
    assert facts["issuer"] == "CN=example.org CA,O=ztproxy development"
    assert facts["not_after"] == f"{NOW + HOUR:%Y-%m-%dT%H:%M:%SZ}"
    assert facts["days_left"] == 0.04
    assert facts["key"] == "EC secp256r1"
    assert facts["key_usage"] == ["digitalSignature"]
    assert facts["extended_key_usage"] == ["clientAuth", "serverAuth"]
    assert (facts["uris"], facts["dns"], facts["ips"]) == ([WEB], ["web"], ["::1"])
    assert not facts["ca"]
    assert json.loads(json.dumps(facts)) == facts


def test_a_root_is_a_signing_certificate() -> None:
    facts = describe(OURS.certificate, NOW.timestamp())
    assert facts["svid"] == {"kind": "signing", "spiffe_id": "spiffe://example.org", "broken_rule": None}
    assert facts["ca"]
    assert facts["key_usage"] == ["keyCertSign", "cRLSign"]


def test_a_root_without_a_spiffe_id_is_a_signing_certificate_too() -> None:
    facts = describe(forge_authority().certificate, NOW.timestamp())
    assert facts["svid"] == {"kind": "signing", "spiffe_id": None, "broken_rule": None}


def test_a_broken_rule_is_named() -> None:
    for forged, rule in [
        (forge(), "SVID must have exactly one URI name"),
        (forge(uris=[WEB], usages=["key_agreement"]), "key usage of an SVID must have digitalSignature"),
        (forge(uris=["spiffe://example.org/%61"]), "spiffe id path segments must hold only"),
        (forge_authority(uris=[WEB]), "signing certificate must have no URI name but spiffe://example.org"),
        (forge_authority(uris=["https://example.org"]), "spiffe id must begin with spiffe://"),
    ]:
        svid = describe(forged.certificate, NOW.timestamp())["svid"]
        assert (svid["kind"], svid["spiffe_id"]) == ("none", None)
        assert svid["broken_rule"].startswith(rule)


def test_an_expired_certificate_has_days_below_zero() -> None:
    forged = forge(not_after=NOW + HOUR)
    assert describe(forged.certificate, (NOW + timedelta(days=3)).timestamp())["days_left"] == -2.96


def test_every_kind_of_key_and_purpose_has_a_name() -> None:
    odd = x509.ObjectIdentifier("1.3.6.1.4.1.99999.7")
    purposes = [CLIENT, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, odd]
    facts = describe(forge(key=rsa.generate_private_key(65537, 2048), purposes=purposes).certificate, NOW.timestamp())
    assert facts["key"] == "RSA 2048"
    assert facts["extended_key_usage"] == ["clientAuth", "anyExtendedKeyUsage", "1.3.6.1.4.1.99999.7"]
    facts = describe(forge(key=ed25519.Ed25519PrivateKey.generate(), usages=None, purposes=None).certificate, 0)
    assert facts["key"] == "Ed25519"
    assert (facts["key_usage"], facts["extended_key_usage"]) == ([], [])


def test_a_key_that_nobody_knows_is_told_as_such() -> None:
    der = forge(uris=[WEB]).der.replace(bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d030177"))
    facts = describe(x509.load_der_x509_certificate(der), NOW.timestamp())
    assert facts["key"] == "unknown"
    assert facts["svid"]["broken_rule"].startswith("key must be of a known kind")
