"""x509-limbo: no certificate that must fail gets an identity, in the library and over TLS.

Those that may succeed have no SPIFFE ID, so an SVID rule refuses them too. Because that rule would hide a weak check of
the chain, the chain is verified once more without it, and every case that passes there is listed with its reason.
"""

from __future__ import annotations

import ssl
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.verification import VerificationError

from proxy.config.schema import ListenerTLS
from proxy.errors import CERTIFICATE_REFUSED, Refused
from proxy.identity.authority import Authority, Issued
from proxy.identity.bundle import TrustBundle, TrustBundles
from proxy.identity.svid import check_leaf, verify_chain, verify_svid
from proxy.identity.tls import build_server_tls
from tests.identity.handshake import client_context, handshake, on_uvloop
from tests.suites import suite_json

Case = dict[str, Any]

# Some serial numbers of the suite are wrong on purpose, and the parser says so.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Parsed a serial number:cryptography.utils.CryptographyDeprecationWarning"
)

CASES: list[Case] = suite_json("x509-limbo/limbo.json")["testcases"]
FAILURES = [case for case in CASES if case["expected_result"] == "FAILURE"]
SUCCESSES = [case for case in CASES if case["expected_result"] == "SUCCESS"]
WITH_KEY = [case for case in CASES if case["peer_certificate_key"]]

REVOCATION = "it is revoked, or its revocation list is wrong; lists are not read"
DEPTH = "the case wants a shorter chain than we allow"
HOST_NAMES = "about host names, by which no workload is known"
OUR_RULE = "a rule of ours on the leaf refuses it"
OPENSSL = "OpenSSL refuses it before us"
STANDARD = "the X509-SVID standard leaves it open"
HARMLESS = "an extension is marked otherwise than it should be, and obeyed; or a serial number is zero"
ODD_SIZE = "a root's RSA key is long enough, in an odd number of bits"

# The failures whose chain passes where the SVID rules are left out.
PASSING_CHAINS = {
    "crl::revoked-certificate-with-crl": REVOCATION,
    "crl::crlnumber-missing": REVOCATION,
    "crl::crlnumber-critical": REVOCATION,
    "crl::issuer-missing-crlsign": REVOCATION,
    "pathlen::max-chain-depth-0-exhausted": DEPTH,
    "pathlen::max-chain-depth-1-exhausted": DEPTH,
    "rfc5280::aki::intermediate-missing-aki": OPENSSL,
    "rfc5280::aki::cross-signed-root-missing-aki": OPENSSL,
    "rfc5280::eku::ee-wrong-eku": STANDARD,
    "rfc5280::eku::ee-eku-empty": OUR_RULE,
    "rfc5280::nc::permitted-dns-match-noncritical": HARMLESS,
    "rfc5280::pc::ica-noncritical-pc": HARMLESS,
    "rfc5280::san::noncritical-with-empty-subject": OUR_RULE,
    "rfc5280::san::underscore-dns": HOST_NAMES,
    "rfc5280::san::ip-in-dns": HOST_NAMES,
    "rfc5280::serial::zero": HARMLESS,
    "rfc5280::ski::root-missing-ski": OPENSSL,
    "rfc5280::ski::intermediate-missing-ski": OPENSSL,
    "webpki::aki::root-with-aki-authoritycertissuer": OPENSSL,
    "webpki::aki::root-with-aki-authoritycertserialnumber": OPENSSL,
    "webpki::aki::root-with-aki-all-fields": OPENSSL,
    "webpki::aki::root-with-aki-ski-mismatch": OPENSSL,
    "webpki::cn::ipv4-hex-mismatch": HOST_NAMES,
    "webpki::cn::ipv4-leading-zeros-mismatch": HOST_NAMES,
    "webpki::cn::ipv6-uppercase-mismatch": HOST_NAMES,
    "webpki::cn::ipv6-uncompressed-mismatch": HOST_NAMES,
    "webpki::cn::ipv6-non-rfc5952-mismatch": HOST_NAMES,
    "webpki::cn::punycode-not-in-san": HOST_NAMES,
    "webpki::cn::utf8-vs-punycode-mismatch": HOST_NAMES,
    "webpki::cn::not-in-san": HOST_NAMES,
    "webpki::cn::case-mismatch": HOST_NAMES,
    "webpki::eku::ee-anyeku": OUR_RULE,
    "webpki::eku::ee-critical-eku": STANDARD,
    "webpki::eku::ee-without-eku": STANDARD,
    "webpki::san::mismatch-domain-san": HOST_NAMES,
    "webpki::san::mismatch-subdomain-san": HOST_NAMES,
    "webpki::san::mismatch-subdomain-apex-san": HOST_NAMES,
    "webpki::san::mismatch-apex-subdomain-san": HOST_NAMES,
    "webpki::san::public-suffix-wildcard-san": HOST_NAMES,
    "webpki::san::public-suffix-multi-label-wildcard-san": HOST_NAMES,
    "webpki::san::public-suffix-private-namespace-wildcard-san": HOST_NAMES,
    "webpki::san::wildcard-embedded-leftmost-san": HOST_NAMES,
    "webpki::san::wildcard-not-in-leftmost-san": HOST_NAMES,
    "webpki::san::wildcard-match-across-labels-san": HOST_NAMES,
    "webpki::san::wildcard-embedded-ulabel-san": HOST_NAMES,
    "webpki::san::unicode-emoji-san": HOST_NAMES,
    "webpki::san::san-critical-with-nonempty-subject": STANDARD,
    "webpki::san::san-wildcard-only": HOST_NAMES,
    "webpki::san::san-wildcard-only-tld": HOST_NAMES,
    "webpki::forbidden-p192-leaf": OUR_RULE,
    "webpki::forbidden-dsa-leaf": OUR_RULE,
    "webpki::forbidden-weak-rsa-in-leaf": OUR_RULE,
    "webpki::forbidden-rsa-not-divisible-by-8-in-root": ODD_SIZE,
    "webpki::forbidden-rsa-key-not-divisible-by-8-in-leaf": OUR_RULE,
}

# Successes whose chain is refused all the same.
REFUSED_CHAINS = {
    "crl::issuer-no-keyusage-extension": "a CA says what its key is for",
    "pathlen::validation-ignores-pathlen-in-leaf": "a leaf is no CA",
    "pathlen::self-issued-certs-pathlen": "a self-issued certificate counts like any other",
    "rfc5280::nc::permitted-dn-match": "a constraint on directory names is not understood, so it is refused",
    "rfc5280::ca-as-leaf": "a leaf is no CA",
    "online::microsoft.com": "its authority is for servers alone",
    "online::bing.com": "its authority is for servers alone",
}


def name_of(case: Case) -> str:
    return str(case["id"])


def moment_of(case: Case) -> float:
    return datetime.fromisoformat(case["validation_time"]).timestamp() if case["validation_time"] else time.time()


def certificate(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


def der_of(pem: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem)


def bundle_of(case: Case) -> TrustBundle:
    return TrustBundle("example.com", tuple(map(certificate, case["trusted_certs"])))


def passes_chain(case: Case) -> bool:
    try:
        leaf = certificate(case["peer_certificate"])
        others = [certificate(pem) for pem in case["untrusted_intermediates"]]
        verify_chain(leaf, others, bundle_of(case), moment_of(case))
    except (VerificationError, ValueError, x509.DuplicateExtension):
        return False
    return True


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_no_certificate_of_the_suite_gets_an_identity(case: Case) -> None:
    leaf = der_of(case["peer_certificate"])
    chain = [leaf, *map(der_of, [*case["untrusted_intermediates"], *case["trusted_certs"]])]
    with pytest.raises(Refused) as raised:
        verify_svid(leaf, chain, TrustBundles([bundle_of(case)]), moment_of(case))
    assert raised.value.row is CERTIFICATE_REFUSED


@pytest.mark.parametrize("case", SUCCESSES, ids=name_of)
def test_a_good_certificate_without_a_spiffe_id_is_refused_by_an_svid_rule(case: Case) -> None:
    with pytest.raises(ValueError, match="SVID must have exactly one URI name"):
        check_leaf(certificate(case["peer_certificate"]))


@pytest.mark.parametrize("case", FAILURES, ids=name_of)
def test_a_chain_that_must_fail_fails_or_is_listed_with_its_reason(case: Case) -> None:
    assert passes_chain(case) is (case["id"] in PASSING_CHAINS)


@pytest.mark.parametrize("case", SUCCESSES, ids=name_of)
def test_a_chain_that_may_pass_passes_or_is_listed_with_its_reason(case: Case) -> None:
    assert passes_chain(case) is (case["id"] not in REFUSED_CHAINS)


def test_the_suite_is_whole() -> None:
    assert (len(FAILURES), len(SUCCESSES)) >= (145, 63)
    assert len(WITH_KEY) >= 189


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run every handshake of the suite once; return why each was refused, by the name of its case."""
    directory = tmp_path_factory.mktemp("limbo")
    Authority.create("example.com").issue_server(["localhost"]).write(directory / "edge")
    return on_uvloop(all_refusals(directory))


async def all_refusals(directory: Path) -> dict[str, str]:
    return {case["id"]: await refusal_of(case, directory) for case in WITH_KEY}


async def refusal_of(case: Case, directory: Path) -> str:
    bundles = TrustBundles([bundle_of(case)])
    tls = ListenerTLS(certificate=directory / "edge.pem", key=directory / "edge.key", client_certificates="required")
    server, mistakes = build_server_tls(tls, ("listeners", 0, "tls"), bundles, time.time())
    assert server is not None, mistakes
    chain = case["peer_certificate"] + "".join(case["untrusted_intermediates"])
    try:
        client = client_context(directory, Issued(chain.encode(), case["peer_certificate_key"].encode()))
    except ssl.SSLError as error:
        return f"the client cannot load it: {error}"
    outcome = await handshake(server.context_for(None), client)
    return outcome.refusal(bundles, time.time())


@pytest.mark.parametrize("case", WITH_KEY, ids=name_of)
def test_no_certificate_of_the_suite_gets_an_identity_over_tls(case: Case, refusals: dict[str, str]) -> None:
    assert refusals[case["id"]]


def test_few_certificates_of_the_suite_cannot_be_shown_over_tls(refusals: dict[str, str]) -> None:
    assert sum(reason.startswith("the client cannot load") for reason in refusals.values()) <= 2
