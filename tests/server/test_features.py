"""What every gateway is asked for: hosts, redirects, rewrites, header edits, https upstreams, CORS, PROXY protocol."""

from __future__ import annotations

import base64
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.server.proxy_protocol import SIGNATURE
from tests.gateway import Client, Gateway, Received, Upstream, gateway, ok
from tests.world import GATEWAY, World, config

LISTENERS = """\
  - {name: edge, address: "127.0.0.1:0", tls: {certificate: edge.pem, key: edge.key, client_certificates: optional}}
  - {name: plain, address: "127.0.0.1:0", plaintext: true}
  - {name: redirect, address: "127.0.0.1:0", serves: https_redirect}
  - {name: proxied, address: "127.0.0.1:0", plaintext: true, proxy_protocol: {networks: [127.0.0.1/32]}}
  - {name: direct, address: "127.0.0.1:0", plaintext: true, proxy_protocol: {networks: [10.0.0.0/8]}}
  - name: balanced
    address: "127.0.0.1:0"
    plaintext: true
    trusted_proxies: {networks: [127.0.0.1/32, 10.0.0.0/8]}
  - name: behind
    address: "127.0.0.1:0"
    tls: {certificate: edge.pem, key: edge.key, client_certificates: optional}
    trusted_proxies: {workloads: ["spiffe://example.org/gateway"]}
  - name: names
    address: "127.0.0.1:0"
    tls:
      certificates:
        - {certificate: edge.pem, key: edge.key, hosts: [wiki.example.org, open.example.org]}
        - {certificate: edge.pem, key: edge.key, hosts: [secret.example.org], client_certificates: required}
"""
ROUTES = """\
  - {name: open, host: open.example.org, upstream: wiki, allow: [{anyone: true}]}
  - {name: several, host: [one.example.org, two.example.org], upstream: wiki, allow: [{anyone: true}]}
  - {name: wild, host: "*.apps.example.org", upstream: wiki, allow: [{anyone: true}]}
  - {name: old, host: old.example.org, redirect: "https://wiki.example.org"}
  - {name: moved, host: moved.example.org, redirect: "https://wiki.example.org/new"}
  - name: stripped
    host: strip.example.org
    path: /wiki
    upstream: wiki
    rewrite: {strip_prefix: /wiki, host: upstream}
    allow: [{anyone: true}]
  - name: edited
    host: edit.example.org
    upstream: wiki
    headers:
      request: {set: {X-Env: prod}, remove: [X-Debug]}
      response: {set: {Strict-Transport-Security: max-age=63072000}, remove: [Server]}
    allow: [{anyone: true}]
  - name: slashes
    host: keep.example.org
    upstream: wiki
    encoded_slashes: keep
    allow: [{anyone: true, paths: [/files/]}]
  - name: cors
    host: cors.example.org
    upstream: wiki
    cors: {preflight: upstream}
    allow: [{groups: [engineering]}]
  - name: passed
    host: passed.example.org
    upstream: wiki
    authenticate: {pass: true}
    allow: [{anyone: true}]
  - name: other_header
    host: other.example.org
    upstream: wiki
    authenticate: {header: proxy-authorization}
    allow: [{groups: [engineering]}]
  - name: unread
    host: unread.example.org
    upstream: wiki
    authenticate: {header: none}
    allow: [{anyone: true}]
  - {name: secure, host: secure.example.org, upstream: secure, allow: [{anyone: true}]}
  - {name: wrong, host: wrong.example.org, upstream: wrong, allow: [{anyone: true}]}
  - name: xfcc
    host: xfcc.example.org
    upstream: wiki
    headers: {client_certificate: xfcc}
    allow: [{anyone: true}]
  - name: rfc9440
    host: rfc9440.example.org
    upstream: wiki
    headers: {client_certificate: rfc9440, identity: []}
    allow: [{anyone: true}]
  - {name: secret, host: secret.example.org, upstream: wiki, allow: [{anyone: true}]}
  - {name: inner, host: inner.example.org, listeners: [balanced], upstream: wiki, allow: [{anyone: true}]}
"""


class SecureUpstream(Upstream):
    """An upstream behind TLS."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()
        self.url = self.url.replace("http:", "https:")

    def _serve(self, sock: socket.socket) -> None:
        try:
            wrapped = self._context.wrap_socket(sock, server_side=True)
        except OSError:
            sock.close()
            return
        super()._serve(wrapped)


@pytest.fixture(scope="module")
def service() -> Iterator[Upstream]:
    running = Upstream()
    yield running
    running.close()


@pytest.fixture(autouse=True)
def _nothing_recorded(service: Upstream) -> None:
    service.requests.clear()
    service.script = lambda request, sock: ok(request.target.encode())


@pytest.fixture(scope="module")
def front(world: World, service: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    place = world.copy_to(tmp_path_factory.mktemp("front"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place / "edge.pem", place / "edge.key")
    secure = SecureUpstream(context)
    port = secure.port
    upstreams = f"""\
  secure: {{endpoints: ["https://127.0.0.1:{port}"], tls: {{ca: ca.pem, server_name: wiki.example.org}}}}
  wrong: {{endpoints: ["https://127.0.0.1:{port}"], tls: {{ca: ca.pem, server_name: wiki.example.com}}}}
"""
    text = config(service.url, routes=ROUTES, listeners=LISTENERS, upstreams=upstreams)
    with gateway(place, text) as running:
        yield running
    secure.close()


@pytest.fixture
def client(front: Gateway) -> Iterator[Client]:
    with Client(front.address("plain")) as connected:
        yield connected


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("one.example.org", 200),
        ("two.example.org", 200),
        ("ONE.example.org", 200),
        ("one.example.org:8443", 200),
        ("a.apps.example.org", 200),
        ("a.b.apps.example.org", 404),
        ("apps.example.org", 404),
        ("three.example.org", 404),
    ],
)
def test_routes_have_several_hosts_and_wildcards_of_one_label(client: Client, host: str, status: int) -> None:
    assert client.get("/x", host).status == status


def test_a_redirect_keeps_path_and_query_unless_it_has_a_path(client: Client, service: Upstream) -> None:
    answer = client.get("/a?b=c", "old.example.org")
    assert (answer.status, answer.get("location")) == (302, "https://wiki.example.org/a?b=c")
    answer = client.get("/a?b=c", "old.example.org", method="POST", body=b"x")
    assert (answer.status, answer.get("location")) == (307, "https://wiki.example.org/a?b=c")
    assert client.get("/a", "moved.example.org").get("location") == "https://wiki.example.org/new"
    assert service.requests == []


def test_a_redirect_listener_sends_everybody_to_https_and_nobody_upstream(front: Gateway, service: Upstream) -> None:
    with Client(front.address("redirect")) as client:
        answer = client.get("/a?b=c", "open.example.org:80")
        assert (answer.status, answer.get("location")) == (308, "https://open.example.org/a?b=c")
        assert client.get("/a", "evil.example").status == 404
        client.send(b"GET /a HTTP/1.0\r\n\r\n")
        assert client.answer().status in (400, 404)
    assert service.requests == []


def test_prefix_and_host_are_rewritten(client: Client, service: Upstream) -> None:
    for target, seen in {"/wiki": "/", "/wiki/": "/", "/wiki/a?q": "/a?q", "/wiki?q": "/?q"}.items():
        assert client.get(target, "strip.example.org").body == seen.encode()
    assert service.requests[-1].values("host") == [service.url.removeprefix("http://")]
    assert service.requests[-1].values("x-forwarded-host") == ["strip.example.org"]


def test_static_header_edits_go_both_ways(client: Client, service: Upstream) -> None:
    service.script = lambda request, sock: ok(server="leaky/1.0", strict_transport_security="max-age=1")
    answer = client.get("/", "edit.example.org", "X-Env: dev", "X-Debug: 1")
    assert (service.requests[-1].values("x-env"), service.requests[-1].values("x-debug")) == (["prod"], [])
    values = [value for name, value in answer.headers if name.lower() == "strict-transport-security"]
    assert (values, answer.get("server")) == (["max-age=63072000"], None)


def test_encoded_slashes_are_kept_only_where_the_route_says_so(client: Client) -> None:
    assert client.get("/files/a%2Fb", "keep.example.org").body == b"/files/a%2Fb"
    assert client.get("/files%2Fa", "keep.example.org").status in (401, 403)
    assert client.get("/files/a%2F..%2Fb", "keep.example.org").status in (200, 400)
    assert client.get("/files/a%2Fb", "open.example.org").code == "target_refused"


PREFLIGHT = ("Origin: https://a.example", "Access-Control-Request-Method: PUT")


def test_a_preflight_goes_on_without_credentials_where_the_route_says_so(
    client: Client, service: Upstream, world: World
) -> None:
    assert client.get("/x", "cors.example.org", *PREFLIGHT, "Cookie: a=b", method="OPTIONS").status == 200
    assert service.requests[-1].values("cookie") == []
    assert client.get("/x", "cors.example.org", *PREFLIGHT).status == 401
    assert client.get("/x", "cors.example.org", "Origin: https://a.example", method="OPTIONS").status == 401
    assert client.get("/x", "cors.example.org", *PREFLIGHT, method="OPTIONS", body=b"x").status == 401


def test_a_preflight_that_nobody_decided_names_nobody(front: Gateway, service: Upstream, world: World) -> None:
    with Client(front.address("edge"), world.client("web"), "cors.example.org") as client:
        fields = (*PREFLIGHT, "X-Api-Key: secret", world.bearer("eve"))
        assert client.get("/x", "cors.example.org", *fields, method="OPTIONS").status == 200
    raw = service.requests[-1].raw.lower()
    assert b"spiffe://" not in raw
    assert b"x-ztproxy" not in raw
    assert b"secret" not in raw
    assert service.requests[-1].values("origin") == ["https://a.example"]


def test_authorization_is_passed_on_only_where_the_route_says_so(
    client: Client, service: Upstream, world: World
) -> None:
    basic = "Authorization: Basic YTpi"
    client.get("/x", "open.example.org", basic)
    assert service.requests[-1].values("authorization") == []
    client.get("/x", "passed.example.org", basic)
    assert service.requests[-1].values("authorization") == ["Basic YTpi"]
    client.get("/x", "passed.example.org", world.bearer())
    assert service.requests[-1].values("authorization") == []
    client.get("/x", "unread.example.org", "Authorization: Bearer opaque")
    assert service.requests[-1].values("authorization") == []


def test_with_proxy_authorization_the_token_is_there_and_authorization_is_the_upstreams(
    client: Client, service: Upstream, world: World
) -> None:
    token = world.bearer(groups=["engineering"]).replace("Authorization", "Proxy-Authorization")
    assert client.get("/x", "other.example.org", token, "Authorization: Bearer theirs").status == 200
    received = service.requests[-1]
    assert (received.values("authorization"), received.values("proxy-authorization")) == (["Bearer theirs"], [])
    assert client.get("/x", "other.example.org", world.bearer(groups=["engineering"])).status == 401


def test_an_https_upstream_is_verified(client: Client) -> None:
    assert client.get("/x", "secure.example.org").body == b"/x"
    answer = client.get("/x", "wrong.example.org")
    assert (answer.status, answer.code) == (502, "upstream_tls_failed")


def v2(address: str, port: int) -> bytes:
    payload = socket.inet_aton(address) + socket.inet_aton("10.0.0.1") + struct.pack("!HH", port, 443)
    return SIGNATURE + struct.pack("!BBH", 0x21, 0x11, len(payload)) + payload


@pytest.mark.parametrize("header", [b"PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\r\n", v2("192.0.2.7", 5000)])
@pytest.mark.parametrize("step", [1, 1000])
def test_the_proxy_protocol_tells_the_clients_address(
    front: Gateway, service: Upstream, header: bytes, step: int
) -> None:
    with Client(front.address("proxied")) as client:
        for start in range(0, len(header), step):
            client.send(header[start : start + step])
        assert client.get("/x", "open.example.org").status == 200
        record = front.access(service.requests[-1].values("x-request-id")[0])
    assert record["source"] == "192.0.2.7"
    assert service.requests[-1].values("x-forwarded-for") == ["192.0.2.7"]


def test_the_proxy_protocol_is_mandatory_from_its_networks(front: Gateway, service: Upstream) -> None:
    with Client(front.address("proxied")) as client:
        client.send(b"GET /x HTTP/1.1\r\nHost: open.example.org\r\n\r\n")
        assert client.closed()
    assert service.requests == []


def test_the_proxy_protocol_is_refused_from_others(front: Gateway, service: Upstream) -> None:
    for header in (b"PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\r\n", v2("192.0.2.7", 5000)):
        with Client(front.address("direct")) as client:
            client.send(header + b"GET /x HTTP/1.1\r\nHost: open.example.org\r\n\r\n")
            assert client.answer().code == "request_malformed"
    assert service.requests == []


FORWARDED = (
    "X-Forwarded-For: 192.0.2.7, 10.0.0.9",
    "X-Forwarded-Proto: https",
    "X-Request-Id: from-the-balancer",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)


def test_a_trusted_proxy_contributes_forwarding_and_trace_headers(front: Gateway, service: Upstream) -> None:
    with Client(front.address("balanced")) as client:
        client.get("/x", "open.example.org", *FORWARDED, "X-Ztproxy-Subject: root")
    received = service.requests[-1]
    assert received.values("x-forwarded-for") == ["192.0.2.7, 10.0.0.9, 127.0.0.1"]
    assert received.values("x-request-id") == ["from-the-balancer"]
    assert received.values("traceparent")[0].startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert received.values("x-ztproxy-subject") == []
    assert front.access("from-the-balancer")["source"] == "192.0.2.7"


def test_a_workload_can_be_a_trusted_proxy(front: Gateway, service: Upstream, world: World) -> None:
    for name, trusted in {"gateway": True, "web": False}.items():
        with Client(front.address("behind"), world.client(name), "open.example.org") as client:
            client.get("/x", "open.example.org", *FORWARDED)
        seen = service.requests[-1].values("x-forwarded-for")
        assert seen == (["192.0.2.7, 10.0.0.9, 127.0.0.1"] if trusted else ["127.0.0.1"])
    assert GATEWAY.startswith("spiffe://")


def test_nobody_else_contributes_them(client: Client, service: Upstream) -> None:
    client.get("/x", "open.example.org", *FORWARDED)
    received = service.requests[-1]
    assert received.values("x-forwarded-for") == ["127.0.0.1"]
    assert received.values("x-forwarded-proto") == ["http"]
    assert received.values("x-request-id") != ["from-the-balancer"]
    assert "0af7651916cd43dd8448eb211c80319c" not in received.values("traceparent")[0]


def test_the_client_certificate_goes_on_as_the_route_says(front: Gateway, service: Upstream, world: World) -> None:
    spoof = ("X-Forwarded-Client-Cert: By=evil", "Client-Cert: :AAAA:", "X_Forwarded_Client_Cert: a", "client_cert: b")
    with Client(front.address("edge"), world.client("web"), "xfcc.example.org") as client:
        client.get("/x", "xfcc.example.org", *spoof)
        received = service.requests[-1]
        (value,) = received.values("x-forwarded-client-cert")
        assert "URI=spiffe://example.org/ns/shop/sa/web" in value
        assert "evil" not in value
        client.get("/x", "rfc9440.example.org", *spoof)
        received = service.requests[-1]
        der = ssl.PEM_cert_to_DER_cert((world.directory / "web.pem").read_text())
        assert received.values("client-cert") == [f":{base64.b64encode(der).decode()}:"]
        assert received.values("x-ztproxy-subject") == []
        client.get("/x", "open.example.org", *spoof)
        raw = service.requests[-1].raw.lower().replace(b"_", b"-")
        assert b"client-cert" not in raw
    with Client(front.address("plain")) as client:
        client.get("/x", "xfcc.example.org", *spoof)
    assert service.requests[-1].values("x-forwarded-client-cert") == []


def test_certificates_are_chosen_by_server_name_with_their_own_client_setting(
    front: Gateway, world: World, service: Upstream
) -> None:
    with Client(front.address("names"), world.client(), "open.example.org") as client:
        assert client.get("/x", "open.example.org").status == 200
        assert client.get("/x", "wiki.example.org").status == 404
        answer = client.get("/x", "secret.example.org")
        assert (answer.status, answer.code) == (421, "misdirected")
    with (
        pytest.raises((ssl.SSLError, EOFError, ConnectionError)),
        Client(front.address("names"), world.client(), "secret.example.org") as client,
    ):
        client.get("/x", "secret.example.org")
    with Client(front.address("names"), world.client("web"), "secret.example.org") as client:
        assert client.get("/x", "secret.example.org").status == 200
    assert len(service.requests) == 2


@pytest.mark.parametrize("listener", ["edge", "names"])
def test_policy_sees_the_server_name(front: Gateway, world: World, service: Upstream, listener: str) -> None:
    with Client(front.address(listener), world.client(), "open.example.org") as client:
        client.get("/x", "open.example.org")
    decision_id = front.access(service.requests[-1].values("x-request-id")[0])["decision_id"]
    records = [record for record in front.of_type("decision") if record["decision_id"] == decision_id]
    assert records[0]["input"]["tls"]["sni"] == "open.example.org"


def test_a_route_can_be_on_some_listeners_only(front: Gateway, client: Client) -> None:
    assert client.get("/x", "inner.example.org").status == 404
    with Client(front.address("balanced")) as inside:
        assert inside.get("/x", "inner.example.org").status == 200


SPOOFS = (
    "X-Ztproxy-Subject: root",
    "x_ztproxy_subject: root",
    "X.Ztproxy.Email: root@example.org",
    "X-ZTPROXY-GROUPS: admins",
    "X-Ztproxy-Assertion: ey",
    "X-Forwarded-User: root",
)


def test_identity_headers_are_always_ours(client: Client, service: Upstream, world: World) -> None:
    token = world.bearer("ana", groups=["engineering", "on call"], email="ana@example.org", email_verified=True)
    client.get("/x", "open.example.org", token, *SPOOFS)
    received: Received = service.requests[-1]
    assert received.values("x-ztproxy-subject") == ["ana"]
    assert received.values("x-ztproxy-email") == ["ana@example.org"]
    assert len(received.values("x-ztproxy-groups")) == 1
    assert b"root" not in received.raw
    assert b"admins" not in received.raw
    client.get("/x", "open.example.org", *SPOOFS)
    assert b"root" not in service.requests[-1].raw
    assert service.requests[-1].values("x-ztproxy-subject") == []


def test_a_workload_is_named_to_the_upstream(front: Gateway, service: Upstream, world: World) -> None:
    with Client(front.address("edge"), world.client("web"), "open.example.org") as client:
        client.get("/x", "open.example.org")
    assert service.requests[-1].values("x-ztproxy-subject") == ["spiffe://example.org/ns/shop/sa/web"]


def test_unix_sockets_and_ipv6_are_listened_on(world: World, service: Upstream, tmp_path: Path) -> None:
    place = world.copy_to(tmp_path)
    listeners = f"""\
  - {{name: local, address: "unix:{place}/edge.sock", plaintext: true}}
  - {{name: six, address: "[::1]:0", plaintext: true}}"""
    routes = "  - {name: open, host: open.example.org, upstream: wiki, allow: [{anyone: true}]}"
    text = config(service.url, routes=routes, listeners=listeners).replace("127.0.0.1:0", f"unix:{place}/admin.sock")
    with gateway(place, text) as running:
        with Client(running.address("six")) as client:
            assert client.get("/x", "open.example.org").status == 200
        assert service.requests[-1].values("forwarded")[0].startswith('for="[::1]";')
        with socket.socket(socket.AF_UNIX) as local:
            local.connect(f"{place}/edge.sock")
            local.sendall(b"GET /x HTTP/1.1\r\nHost: open.example.org\r\nConnection: close\r\n\r\n")
            assert local.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"
        assert service.requests[-1].values("x-forwarded-for") == []
        assert service.requests[-1].values("forwarded")[0].startswith("for=unknown;")
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(f"{place}/admin.sock")
            admin.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert admin.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"
    assert list(place.glob("*.sock")) == []
