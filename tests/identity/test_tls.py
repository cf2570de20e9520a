"""Who a connection belongs to is decided by a full handshake and the SVID rules, on real sockets."""

from __future__ import annotations

import re
import ssl
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from proxy.config import Mistake
from proxy.config.schema import ClientCertificates, ListenerTLS
from proxy.errors import CERTIFICATE_REFUSED, Refused
from proxy.identity.authority import Authority, Issued
from proxy.identity.bundle import TrustBundle, TrustBundles
from proxy.identity.tls import Incomplete, ServerTLS, build_server_tls, peer_of, read_server_name
from tests.identity.forge import HOUR, NOW, Forged, forge, forge_authority
from tests.identity.handshake import Outcome, client_context, handshake, on_uvloop

WEB = "spiffe://example.org/ns/shop/sa/web"
AT = ("listeners", 0, "tls")
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
OURS = Authority.create("example.org")
PARTNER = Authority.create("partner.example")
BUNDLES = TrustBundles(TrustBundle(one.trust_domain, (one.certificate,)) for one in (OURS, PARTNER))


def as_forged(authority: Authority) -> Forged:
    return Forged(authority.certificate, authority.key)


class Gateway:
    """Server certificates in a directory, and clients that connect to contexts made of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bundles = BUNDLES

    def tls(self, setting: ClientCertificates = "required", **changes: Any) -> ListenerTLS:
        certificate, key = self.directory / "edge.pem", self.directory / "edge.key"
        return ListenerTLS(**{"certificate": certificate, "key": key, "client_certificates": setting, **changes})

    def server(self, setting: ClientCertificates = "required", **changes: Any) -> ServerTLS:
        server, mistakes = build_server_tls(self.tls(setting, **changes), AT, self.bundles, time.time())
        assert server is not None, mistakes
        return server

    def client(self, issued: Issued | None = None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        return client_context(self.directory, issued, version=version)

    def connect(
        self,
        server: ssl.SSLContext,
        issued: Issued | None = None,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ) -> Outcome:
        return on_uvloop(handshake(server, self.client(issued, version)))


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    OURS.issue_server(["localhost"]).write(tmp_path / "edge")
    return Gateway(tmp_path)


# === Who came ===


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("setting", ["optional", "required"])
def test_an_svid_proves_its_workload(gateway: Gateway, setting: ClientCertificates, version: ssl.TLSVersion) -> None:
    outcome = gateway.connect(gateway.server(setting).context_for(None), OURS.issue_svid(WEB), version)
    peer = outcome.peer(BUNDLES, time.time())
    assert peer is not None
    assert peer.id == WEB
    assert outcome.tls is not None
    assert outcome.tls.version() == {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]


@pytest.mark.parametrize("version", VERSIONS)
def test_nobody_came_where_no_certificate_is_shown(gateway: Gateway, version: ssl.TLSVersion) -> None:
    outcome = gateway.connect(gateway.server("optional").context_for(None), None, version)
    assert outcome.peer(BUNDLES, time.time()) is None


@pytest.mark.parametrize("version", VERSIONS)
def test_a_certificate_that_is_not_asked_for_proves_nothing(gateway: Gateway, version: ssl.TLSVersion) -> None:
    outcome = gateway.connect(gateway.server("none").context_for(None), OURS.issue_svid(WEB), version)
    assert outcome.peer(BUNDLES, time.time()) is None


@pytest.mark.parametrize("version", VERSIONS)
def test_a_handshake_without_the_required_certificate_fails(gateway: Gateway, version: ssl.TLSVersion) -> None:
    outcome = gateway.connect(gateway.server().context_for(None), None, version)
    assert isinstance(outcome.server_error, ssl.SSLError)
    assert outcome.server_error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"


@pytest.mark.parametrize("setting", ["optional", "required"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("issued", "message"),
    [
        (Authority.create("example.org").issue_svid(WEB), "unable to get local issuer certificate"),
        (OURS.issue_svid(WEB, not_after=NOW - HOUR), "certificate has expired"),
        (OURS.issue_svid(WEB, not_before=NOW + HOUR), "certificate is not yet valid"),
        (forge(uris=[WEB]).issued(), "self-signed certificate"),
        (OURS.issue_server(["web"]), "unsuitable certificate purpose"),
        (forge(as_forged(OURS), uris=[WEB], key=rsa.generate_private_key(65537, 1024)).issued(), "key too weak"),
    ],
    ids=["untrusted", "expired", "not yet valid", "self-signed", "a server's", "weak"],
)
def test_the_handshake_says_why_it_refused_a_certificate(
    gateway: Gateway, issued: Issued, message: str, version: ssl.TLSVersion, setting: ClientCertificates
) -> None:
    outcome = gateway.connect(gateway.server(setting).context_for(None), issued, version)
    assert isinstance(outcome.server_error, ssl.SSLCertVerificationError)
    assert message in outcome.server_error.verify_message


@pytest.mark.parametrize("version", VERSIONS)
def test_a_partner_that_signs_for_us_is_refused_though_both_are_trusted(
    gateway: Gateway, version: ssl.TLSVersion
) -> None:
    stolen = forge(as_forged(PARTNER), uris=[WEB])
    outcome = gateway.connect(gateway.server().context_for(None), stolen.issued(), version)
    assert outcome.server_error is None, "OpenSSL accepts every root that it was given"
    assert "validation failed" in outcome.refusal(BUNDLES, time.time())


def test_a_certificate_without_a_spiffe_id_is_refused_though_its_root_is_trusted(gateway: Gateway) -> None:
    outcome = gateway.connect(gateway.server().context_for(None), forge(as_forged(OURS)).issued())
    assert outcome.server_error is None
    assert outcome.refusal(BUNDLES, time.time()) == "SVID must have exactly one URI name"


def test_an_svid_that_lapses_after_the_handshake_proves_nothing(gateway: Gateway) -> None:
    outcome = gateway.connect(gateway.server().context_for(None), OURS.issue_svid(WEB))
    assert "validation failed" in outcome.refusal(BUNDLES, time.time() + timedelta(days=2).total_seconds())


def test_a_trust_domain_that_was_taken_out_after_the_handshake_proves_nothing(gateway: Gateway) -> None:
    outcome = gateway.connect(gateway.server().context_for(None), OURS.issue_svid(WEB))
    assert "must have a trust bundle" in outcome.refusal(TrustBundles(), time.time())


@pytest.mark.parametrize("version", VERSIONS)
def test_the_chain_is_the_one_that_was_verified(gateway: Gateway, version: ssl.TLSVersion) -> None:
    root = forge_authority(uris=["spiffe://example.org"])
    between = forge_authority(root, subject="between", not_after=NOW + HOUR)
    unrelated = forge_authority(root, subject="unrelated")
    leaf = forge(between, uris=[WEB], not_after=NOW + 2 * HOUR)
    gateway.bundles = TrustBundles([TrustBundle("example.org", (root.certificate,))])
    outcome = gateway.connect(gateway.server().context_for(None), leaf.issued(between, unrelated), version)
    peer = outcome.peer(gateway.bundles, time.time())
    assert peer is not None
    assert peer.certificate.chain == (between.der,)
    assert peer.expires_at == (NOW + HOUR).timestamp()


def test_a_chain_ends_at_a_root_and_not_half_way(gateway: Gateway) -> None:
    root = forge_authority()
    between = forge_authority(root, subject="between")
    gateway.bundles = TrustBundles([TrustBundle("example.org", (between.certificate,))])
    context = gateway.server().context_for(None)
    assert not context.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN
    outcome = gateway.connect(context, forge(between, uris=[WEB]).issued(between))
    assert "unable to get issuer certificate" in str(outcome.server_error)


def test_a_chain_that_breaks_the_strict_rules_is_refused(gateway: Gateway) -> None:
    # RFC 5280 4.1.2.6, a rule that OpenSSL applies under VERIFY_X509_STRICT alone.
    outcome = gateway.connect(
        gateway.server().context_for(None), forge(as_forged(OURS), subject="", uris=[WEB]).issued()
    )
    assert "Subject empty" in str(outcome.server_error)


# === No resumption ===


def connect_twice(gateway: Gateway, first: ssl.SSLContext, second: ssl.SSLContext, version: ssl.TLSVersion) -> Outcome:
    """Connect, then connect again with the session of the first time."""
    client = gateway.client(OURS.issue_svid(WEB), version)

    async def both() -> Outcome:
        before = await handshake(first, client)
        assert before.server_error is None
        return await handshake(second, client, session=before.session)

    return on_uvloop(both())


def resumable(gateway: Gateway) -> ssl.SSLContext:
    """Return a context as the ssl module makes it: client certificates, and sessions that are resumed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(gateway.directory / "edge.pem", gateway.directory / "edge.key")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=BUNDLES.pem)
    return context


@pytest.mark.parametrize("tickets", [True, False], ids=["ticket", "session id"])
def test_a_resumed_tls_1_2_session_proves_nothing(gateway: Gateway, tickets: bool) -> None:
    # The trap: OpenSSL resumes without a look at the certificate, and tells no verified chain.
    context = resumable(gateway)
    context.options |= 0 if tickets else ssl.OP_NO_TICKET
    outcome = connect_twice(gateway, context, context, ssl.TLSVersion.TLSv1_2)
    assert outcome.tls is not None
    assert outcome.tls.session_reused
    assert outcome.tls.getpeercert(binary_form=True), "it has a certificate, from the first handshake"
    assert "must not be resumed" in outcome.refusal(BUNDLES, time.time())


def test_a_resumed_tls_1_3_session_proves_nothing(gateway: Gateway) -> None:
    context = resumable(gateway)
    outcome = connect_twice(gateway, context, context, ssl.TLSVersion.TLSv1_3)
    assert outcome.tls is not None
    assert outcome.tls.session_reused
    assert "must not be resumed" in outcome.refusal(BUNDLES, time.time())


@pytest.mark.parametrize("setting", ["optional", "required"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_that_comes_again_is_verified_again(
    gateway: Gateway, setting: ClientCertificates, version: ssl.TLSVersion
) -> None:
    server = gateway.server(setting)
    client = gateway.client(OURS.issue_svid(WEB), version)

    async def three_times() -> list[Outcome]:
        outcomes = [await handshake(server.context_for(None), client)]
        for _ in range(2):
            outcomes.append(await handshake(server.context_for(None), client, session=outcomes[-1].session))
        return outcomes

    for outcome in on_uvloop(three_times()):
        assert outcome.tls is not None, outcome.server_error
        assert not outcome.tls.session_reused
        peer = outcome.peer(BUNDLES, time.time())
        assert peer is not None
        assert peer.id == WEB


def test_a_session_that_our_own_context_remembered_proves_nothing(gateway: Gateway) -> None:
    context = gateway.server().context_for(None)
    outcome = connect_twice(gateway, context, context, ssl.TLSVersion.TLSv1_2)
    assert outcome.tls is not None
    assert outcome.tls.session_reused
    assert "must not be resumed" in outcome.refusal(BUNDLES, time.time())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_whose_authority_was_taken_out_is_refused(gateway: Gateway, version: ssl.TLSVersion) -> None:
    before = gateway.server()
    gateway.bundles = TrustBundles([TrustBundle("partner.example", (PARTNER.certificate,))])
    after = gateway.server()
    outcome = connect_twice(gateway, before.context_for(None), after.context_for(None), version)
    assert isinstance(outcome.server_error, ssl.SSLCertVerificationError)


@pytest.mark.parametrize("version", VERSIONS)
def test_no_ticket_is_given_where_client_certificates_count(gateway: Gateway, version: ssl.TLSVersion) -> None:
    outcome = gateway.connect(gateway.server().context_for(None), OURS.issue_svid(WEB), version)
    assert outcome.session is None or not outcome.session.has_ticket


def test_sessions_may_be_resumed_where_no_client_certificate_counts(gateway: Gateway) -> None:
    context = gateway.server("none").context_for(None)
    outcome = connect_twice(gateway, context, context, ssl.TLSVersion.TLSv1_3)
    assert outcome.tls is not None
    assert outcome.tls.session_reused
    assert outcome.peer(BUNDLES, time.time()) is None


def test_a_context_is_kept_while_it_remembers_no_session(gateway: Gateway) -> None:
    server = gateway.server()
    context = server.context_for(None)
    gateway.connect(context, OURS.issue_svid(WEB), ssl.TLSVersion.TLSv1_3)
    assert server.context_for(None) is context


def test_a_fresh_context_serves_what_was_read_and_not_what_lies_there_now(gateway: Gateway) -> None:
    server = gateway.server()
    first = server.context_for(None)
    for file in gateway.directory.glob("edge.*"):
        file.unlink()
    outcome = connect_twice(gateway, first, first, ssl.TLSVersion.TLSv1_2)
    second = server.context_for(None)
    assert second is not first
    assert outcome.tls is not None
    again = gateway.connect(second, OURS.issue_svid(WEB), ssl.TLSVersion.TLSv1_2)
    assert again.peer(BUNDLES, time.time()) is not None


class UnverifiedTLS:
    """A finished handshake with a certificate that nobody verified; OpenSSL makes none such in a full handshake."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    session_reused = False

    def __init__(self, der: bytes, chain: list[Any]) -> None:
        self._der = der
        self._chain = chain
        self._sslobj = self

    def getpeercert(self, binary_form: bool) -> bytes:
        return self._der

    def get_verified_chain(self) -> list[Any]:
        return self._chain


def test_a_certificate_without_a_verified_chain_proves_nothing() -> None:
    tls: Any = UnverifiedTLS(forge(as_forged(OURS), uris=[WEB]).der, [])
    with pytest.raises(Refused, match="must have a verified chain") as raised:
        peer_of(tls, BUNDLES, time.time())
    assert raised.value.row is CERTIFICATE_REFUSED


# === What is spoken ===


@pytest.mark.parametrize("setting", ["none", "optional", "required"])
def test_every_context_is_hardened(gateway: Gateway, setting: ClientCertificates) -> None:
    context = gateway.server(setting).context_for(None)
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    names = [cipher["name"] for cipher in context.get_ciphers()]
    assert names
    assert all(re.fullmatch(r"TLS_.*|ECDHE-.*-(GCM-SHA(256|384)|CHACHA20-POLY1305)", name) for name in names)


def test_http_1_1_is_chosen_of_what_the_client_offers(gateway: Gateway) -> None:
    outcome = gateway.connect(gateway.server("none").context_for(None))
    assert outcome.alpn == "http/1.1"


def test_tls_1_2_is_refused_where_1_3_is_the_minimum(gateway: Gateway) -> None:
    context = gateway.server("none", minimum_version="1.3").context_for(None)
    outcome = gateway.connect(context, None, ssl.TLSVersion.TLSv1_2)
    assert isinstance(outcome.server_error, ssl.SSLError)
    assert outcome.server_error.reason == "UNSUPPORTED_PROTOCOL"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_tls_1_1_is_refused(gateway: Gateway) -> None:
    outcome = gateway.connect(gateway.server("none").context_for(None), None, ssl.TLSVersion.TLSv1_1)
    assert isinstance(outcome.server_error, ssl.SSLError)
    assert outcome.server_error.reason == "UNSUPPORTED_PROTOCOL"


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-SHA256", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-CCM8"])
def test_a_weak_cipher_is_refused(gateway: Gateway, cipher: str) -> None:
    client = gateway.client(None, ssl.TLSVersion.TLSv1_2)
    client.set_ciphers(cipher)
    outcome = on_uvloop(handshake(gateway.server("none").context_for(None), client))
    assert isinstance(outcome.server_error, ssl.SSLError)
    assert outcome.server_error.reason == "NO_SHARED_CIPHER"


# === By server name ===


def by_name(gateway: Gateway, *hosts: tuple[list[str], ClientCertificates]) -> ListenerTLS:
    certificates = []
    for index, (names, setting) in enumerate(hosts):
        stem = gateway.directory / f"certificate{index}"
        certificate, key = OURS.issue_server([f"certificate{index}.test"]).write(stem)
        one = {"certificate": certificate, "key": key, "hosts": names, "client_certificates": setting}
        certificates.append(one)
    return ListenerTLS.model_validate({"certificates": certificates})


@pytest.fixture
def three(gateway: Gateway) -> ServerTLS:
    tls = by_name(
        gateway,
        (["public.example.org", "*.pages.example.org"], "none"),
        (["*.example.org"], "optional"),
        (["admin.example.org"], "required"),
    )
    server, mistakes = build_server_tls(tls, AT, BUNDLES, time.time())
    assert server is not None, mistakes
    return server


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("public.example.org", "none"),
        ("admin.example.org", "required"),
        ("ADMIN.Example.ORG", "required"),
        ("admin.example.org.", "required"),
        ("wiki.example.org", "optional"),
        ("a.pages.example.org", "none"),
        ("pages.example.org", "optional"),
        # Nothing has these names, so the first certificate serves them.
        ("a.b.example.org", "none"),
        ("example.org", "none"),
        ("unknown.test", "none"),
        ("admin.example.org..", "none"),
        ("", "none"),
        (None, "none"),
    ],
)
def test_a_server_name_chooses_exactly_then_by_its_first_label_then_the_first(
    three: ServerTLS, name: str | None, setting: ClientCertificates
) -> None:
    assert three.setting_of(name) == setting
    modes = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
    assert three.context_for(name).verify_mode is modes[setting]


def test_a_name_is_needed_only_where_there_is_a_choice(gateway: Gateway, three: ServerTLS) -> None:
    assert three.needs_server_name
    assert not gateway.server().needs_server_name


def test_each_name_gets_its_certificate_and_its_setting(gateway: Gateway, three: ServerTLS) -> None:
    for name, certificate, asked in [("public.example.org", 0, False), ("admin.example.org", 2, True)]:
        client = gateway.client(OURS.issue_svid(WEB))
        client.check_hostname = False
        outcome = on_uvloop(handshake(three.context_for(name), client, server_name=name))
        peer = outcome.peer(BUNDLES, time.time())
        assert (peer is not None) is asked
        assert three.expiries[str(gateway.directory / f"certificate{certificate}.pem")] > time.time()


def test_a_session_of_one_name_is_not_resumed_under_another(gateway: Gateway) -> None:
    # CVE-2025-23048: a client of one virtual host resumed its session on the next, past its client-certificate rule.
    tls = by_name(gateway, (["a.test"], "none"), (["b.test"], "required"))
    server, _ = build_server_tls(tls, AT, BUNDLES, time.time())
    assert server is not None
    for version in VERSIONS:
        client = gateway.client(None, version)

        async def both(client: ssl.SSLContext = client) -> Outcome:
            first = await handshake(server.context_for("a.test"), client, server_name="a.test")
            return await handshake(server.context_for("b.test"), client, server_name="a.test", session=first.session)

        outcome = on_uvloop(both())
        assert isinstance(outcome.server_error, ssl.SSLError)
        assert outcome.server_error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"


def client_hello(server_name: str | None, **replaced: bytes) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=server_name).do_handshake()
    hello = outgoing.read()
    for old, new in replaced.items():
        hello = hello.replace(old.encode(), new)
    return hello


def test_the_name_in_a_client_hello_is_read() -> None:
    assert read_server_name(client_hello("wiki.example.org")) == "wiki.example.org"
    assert read_server_name(client_hello(None)) is None
    assert read_server_name(client_hello("wiki.example.org") + b"more") == "wiki.example.org"


def test_every_beginning_of_a_client_hello_is_incomplete() -> None:
    hello = client_hello("wiki.example.org")
    for length in range(len(hello)):
        with pytest.raises(Incomplete):
            read_server_name(hello[:length])


@pytest.mark.parametrize(
    "content",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01" + b"\xff" * 2000,
        b"\0" * 64,
        client_hello("wiki", wiki=b"wi\0i"),
    ],
    ids=["http", "ssh", "proxy", "alert", "nonsense", "too long", "zeros", "nul in name"],
)
def test_what_is_no_client_hello_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="must begin with a ClientHello"):
        read_server_name(content)


# The ssl module reports the name that it cannot decode by itself, before it refuses the handshake.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_name_that_is_not_ascii_is_refused() -> None:
    with pytest.raises(ValueError, match="must begin with a ClientHello"):
        read_server_name(client_hello("wiki", wiki=b"wik\xff"))


# === Mistakes ===


def mistakes_of(tls: ListenerTLS, bundles: TrustBundles = BUNDLES) -> list[Mistake]:
    server, mistakes = build_server_tls(tls, AT, bundles, time.time())
    assert (server is None) is any(mistake.severity == "error" for mistake in mistakes)
    return mistakes


def told(mistakes: list[Mistake]) -> list[tuple[str, str]]:
    return [(mistake.path.removeprefix("listeners[0].tls").removeprefix("."), mistake.severity) for mistake in mistakes]


@pytest.mark.parametrize(
    ("changes", "mistakes"),
    [
        ({}, []),
        ({"certificate": "absent.pem"}, [("certificate", "error")]),
        ({"key": "absent.key"}, [("key", "error")]),
        ({"certificate": "absent.pem", "key": "absent.key"}, [("certificate", "error"), ("key", "error")]),
        ({"certificate": "edge.key"}, [("certificate", "error")]),
        ({"key": "edge.pem"}, [("key", "error")]),
        ({"key": "other.key"}, [("key", "error")]),
        ({"certificate": "expired.pem", "key": "expired.key"}, [("certificate", "warning")]),
        ({"certificate": "future.pem", "key": "future.key"}, [("certificate", "warning")]),
        ({"certificate": "weak.pem", "key": "weak.key"}, [("certificate", "error")]),
    ],
)
def test_a_mistake_names_its_key(gateway: Gateway, changes: dict[str, str | None], mistakes: object) -> None:
    directory = gateway.directory
    OURS.issue_server(["other"]).write(directory / "other")
    OURS.issue_server(["edge"], not_after=NOW - HOUR).write(directory / "expired")
    OURS.issue_server(["edge"], not_before=NOW + HOUR).write(directory / "future")
    forge(key=rsa.generate_private_key(65537, 1024)).issued().write(directory / "weak")
    paths = {key: value and directory / value for key, value in changes.items()}
    assert told(mistakes_of(gateway.tls("none", **paths))) == mistakes


def test_a_key_that_the_world_can_read_is_a_mistake(gateway: Gateway) -> None:
    (gateway.directory / "edge.key").chmod(0o604)
    [mistake] = mistakes_of(gateway.tls("none"))
    assert (mistake.path, mistake.severity) == ("listeners[0].tls.key", "error")
    assert "must not be readable by the world" in mistake.rule


def test_a_key_of_the_owner_and_a_group_is_none(gateway: Gateway) -> None:
    (gateway.directory / "edge.key").chmod(0o640)
    assert mistakes_of(gateway.tls("none")) == []


@pytest.mark.parametrize("setting", ["optional", "required"])
def test_client_certificates_without_a_trust_bundle_are_a_mistake(
    gateway: Gateway, setting: ClientCertificates
) -> None:
    assert told(mistakes_of(gateway.tls(setting), TrustBundles())) == [("client_certificates", "error")]


@pytest.mark.parametrize("setting", ["optional", "required"])
def test_a_trust_bundle_that_is_there_and_bad_is_not_called_missing(
    gateway: Gateway, setting: ClientCertificates
) -> None:
    bad = TrustBundles(complete=False)
    assert build_server_tls(gateway.tls(setting), AT, bad, time.time()) == (None, [])
    tls = by_name(gateway, (["a.test"], "none"), (["b.test"], setting))
    assert build_server_tls(tls, AT, bad, time.time()) == (None, [])


def test_no_trust_bundle_is_needed_where_no_client_certificate_is_asked_for(gateway: Gateway) -> None:
    assert mistakes_of(gateway.tls("none"), TrustBundles()) == []


def test_a_star_serves_every_other_name(gateway: Gateway) -> None:
    server, _ = build_server_tls(by_name(gateway, (["a.test"], "none"), (["*"], "required")), AT, BUNDLES, time.time())
    assert server is not None
    assert server.setting_of("a.test") == "none"
    assert server.setting_of("b.test") == "required"
    assert server.setting_of(None) == "none"


@pytest.mark.parametrize("changes", [{"certificate": None, "key": None}, {"certificate": None}, {"key": None}])
def test_nothing_is_served_without_a_certificate_and_a_key(gateway: Gateway, changes: dict[str, None]) -> None:
    assert build_server_tls(gateway.tls("none", **changes), AT, BUNDLES, time.time()) == (None, [])


def test_every_mistake_of_every_certificate_is_told_at_once(gateway: Gateway) -> None:
    tls = by_name(gateway, (["a.test"], "none"), (["b.test"], "required"))
    (gateway.directory / "certificate0.pem").unlink()
    (gateway.directory / "certificate1.key").chmod(0o644)
    assert sorted(told(mistakes_of(tls, TrustBundles()))) == [
        ("certificates[0].certificate", "error"),
        ("certificates[1].client_certificates", "error"),
        ("certificates[1].key", "error"),
    ]


def test_when_certificates_end_is_known(gateway: Gateway) -> None:
    end = (NOW + HOUR).timestamp()
    OURS.issue_server(["edge"], not_after=NOW + HOUR).write(gateway.directory / "edge", force=True)
    assert gateway.server().expiries == {str(gateway.directory / "edge.pem"): end}
