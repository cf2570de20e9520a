"""Another gateway asks, and passes on what is permitted: by hand, with real nginx, and with real Envoy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway import Answer, Client, Gateway, Upstream, gateway
from tests.server import fronts
from tests.world import World, config

LISTENERS = """\
  - name: authz
    address: "127.0.0.1:0"
    plaintext: true
    serves: authorization
    trusted_proxies: {networks: [127.0.0.1/32]}
  - name: strangers
    address: "127.0.0.1:0"
    plaintext: true
    serves: authorization
    trusted_proxies: {networks: [10.0.0.0/8]}
  - name: mutual
    address: "127.0.0.1:0"
    tls: {certificate: edge.pem, key: edge.key, client_certificates: required}
    serves: authorization
    trusted_proxies: {workloads: ["spiffe://example.org/gateway"]}
"""
ROUTES = """\
  - name: wiki
    host: wiki.example.org
    listeners: [authz, strangers, mutual]
    cors: {preflight: upstream}
    allow:
      - {groups: [engineering], methods: [GET, POST]}
      - {anyone: true, paths: [/public/]}
      - {anyone: true, paths: [/near/], networks: [192.0.2.0/24]}
  - name: gateways
    host: gateways.example.org
    listeners: [authz, mutual]
    allow: [{workloads: ["spiffe://example.org/gateway"]}]
  - {name: old, host: old.example.org, listeners: [authz], redirect: "https://wiki.example.org"}
"""
ROOT = Path(__file__).resolve().parents[2]
BEARER = {"groups": ["engineering"], "email": "ana@example.org", "email_verified": True}


@pytest.fixture(scope="module")
def asked(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = world.copy_to(tmp_path_factory.mktemp("authorization"))
    with gateway(directory, config("http://127.0.0.1:9", routes=ROUTES, listeners=LISTENERS)) as running:
        yield running


def ask(asked: Gateway, url: str, *fields: str, method: str = "GET", listener: str = "authz") -> Answer:
    with Client(asked.address(listener)) as client:
        return client.get(
            "/api/authz/auth-request", "authz", f"X-Original-URL: {url}", f"X-Original-Method: {method}", *fields
        )


def test_what_is_permitted_is_200_with_what_the_upstream_is_told(asked: Gateway, world: World) -> None:
    answer = ask(asked, "https://wiki.example.org/page?x=1", world.bearer(**BEARER))
    assert (answer.status, answer.body) == (200, b"")
    assert answer.get("x-ztproxy-subject") == "ana"
    assert answer.get("x-ztproxy-email") == "ana@example.org"
    assert answer.get("x-ztproxy-groups") == "engineering"
    record = asked.access(answer.get("x-request-id") or "")
    assert (record["route"], record["method"], record["host"], record["path"]) == (
        "wiki", "GET", "wiki.example.org", "/page",
    )  # fmt: skip


def test_what_nobody_is_called_is_told_too_so_that_no_client_can_say_it(asked: Gateway) -> None:
    answer = ask(asked, "https://wiki.example.org/public/x", "X-Ztproxy-Subject: root")
    assert answer.status == 200
    assert [answer.get(f"x-ztproxy-{name}") for name in ("subject", "email", "groups")] == ["", "", ""]


@pytest.mark.parametrize(
    ("url", "method", "status"),
    [
        ("https://wiki.example.org/page", "GET", 401),
        ("https://wiki.example.org/public/../page", "GET", 400),
        ("https://wiki.example.org/public/..%2fpage", "GET", 400),
        ("https://elsewhere.example.org/", "GET", 404),
        ("https://wiki.example.org/page", "OPTIONS", 401),
        ("https://wiki.example.org/page", "TRACE", 400),
    ],
)
def test_what_is_not_permitted_is_refused_as_it_would_be_here(
    asked: Gateway, url: str, method: str, status: int
) -> None:
    assert ask(asked, url, method=method).status == status


def test_a_token_of_ours_is_to_be_removed_and_a_gateway_is_told(world: World, tmp_path: Path) -> None:
    routes = """\
  - name: wiki
    host: wiki.example.org
    listeners: [authz]
    allow: [{groups: [engineering], issuers: [ztproxy, corp]}]
  - {name: people, host: people.example.org, listeners: [authz], allow: [{groups: [engineering]}]}
"""
    text = config("http://127.0.0.1:9", routes=routes, listeners=LISTENERS, extra="state_directory: state\nsession: {}")
    with gateway(world.copy_to(tmp_path), text) as running:
        create = [sys.executable, "-m", "proxy", "service-token", "create", "backup", "--group", "engineering"]
        made = subprocess.run([*create, "-c", running.path], cwd=ROOT, capture_output=True, text=True, check=True)
        for credential, removed in (
            (f"Authorization: Bearer {made.stdout.strip()}", "authorization"),
            (world.bearer(**BEARER), None),
        ):
            answer = ask(running, "https://wiki.example.org/", credential)
            assert (answer.status, answer.get("x-envoy-auth-headers-to-remove")) == (200, removed)
            answer = ask(running, "https://people.example.org/", credential)  # a service is none of theirs
            assert answer.status == (200 if removed is None else 403)


def test_the_policy_sees_the_method_that_is_asked_about(asked: Gateway, world: World) -> None:
    assert ask(asked, "https://wiki.example.org/page", world.bearer(**BEARER), method="POST").status == 200
    assert ask(asked, "https://wiki.example.org/page", world.bearer(**BEARER), method="DELETE").status == 403


def test_a_preflight_is_decided_like_any_request(asked: Gateway) -> None:
    fields = "Origin: https://a.example", "Access-Control-Request-Method: GET"
    assert ask(asked, "https://wiki.example.org/page", *fields, method="OPTIONS").status == 401


def test_a_route_that_redirects_permits_nothing(asked: Gateway) -> None:
    assert ask(asked, "https://old.example.org/page").status == 302


def test_who_is_no_trusted_proxy_may_not_ask(asked: Gateway, world: World) -> None:
    answer = ask(asked, "https://wiki.example.org/page", world.bearer(**BEARER), listener="strangers")
    assert (answer.status, answer.code) == (403, "gateway_unknown")


def test_the_gateways_own_certificate_opens_nothing_to_its_clients(asked: Gateway, world: World) -> None:
    question = "X-Original-URL: https://gateways.example.org/", "X-Original-Method: GET"
    with Client(asked.address("mutual"), world.client("gateway")) as client:
        answer = client.get("/api/authz/auth-request", "authz", *question)
        assert (answer.status, answer.code) == (403, "certificate_missing")
    with Client(asked.address("mutual"), world.client("web")) as client:
        assert client.get("/api/authz/auth-request", "authz", *question).code == "gateway_unknown"


def test_the_source_is_the_one_that_the_gateway_names(asked: Gateway) -> None:
    url = "https://wiki.example.org/near/x"
    assert ask(asked, url, "X-Forwarded-For: 192.0.2.7").status == 200
    assert ask(asked, url, "X-Forwarded-For: 192.0.2.7, 198.51.100.1").status == 401


# --- real gateways, configured as the page says


@pytest.fixture(scope="module")
def service() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def nginx(asked: Gateway, service: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    port = fronts.free_port()
    locations = fronts.blocks("nginx")[0]
    locations = locations.replace("127.0.0.1:9191", f"127.0.0.1:{asked.address('authz')[1]}")
    locations = locations.replace("http://127.0.0.1:8080", service.url)
    server = f"server {{ listen 127.0.0.1:{port}; {locations} }}"
    with fronts.nginx(tmp_path_factory.mktemp("nginx"), port, server) as address:
        yield address


@pytest.fixture(scope="module")
def envoy(asked: Gateway, service: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    port = fronts.free_port()
    configuration = fronts.envoy_configuration(port, asked.address("authz")[1], service.port)
    with fronts.envoy(tmp_path_factory.mktemp("envoy"), port, configuration) as address:
        yield address


@pytest.mark.parametrize("name", ["nginx", "envoy"])
def test_a_real_gateway_passes_on_what_is_permitted_and_nothing_else(
    name: str, request: pytest.FixtureRequest, service: Upstream, world: World
) -> None:
    address: tuple[str, int] = request.getfixturevalue(name)
    service.requests.clear()

    def get(target: str, *fields: str, method: str = "GET", body: bytes = b"") -> Answer:
        with Client(address) as client:
            return client.get(target, "wiki.example.org", *fields, method=method, body=body)

    assert get("/page").status == 401
    assert get("/page", world.bearer(groups=["sales"])).status == 403
    assert get("/page", "X-Original-URL: https://wiki.example.org/public/x").status == 401
    assert get("/page", "X-Forwarded-Uri: /public/x", "X-Forwarded-Method: GET").status == 401
    assert service.requests == []
    assert get("/page", world.bearer(**BEARER), "X-Ztproxy-Subject: root").status == 200
    assert get("/public/x", "X-Ztproxy-Subject: root").status == 200
    assert get("/page", world.bearer(**BEARER), method="POST", body=b"hello").status == 200
    seen = [(one.target, [value for value in one.values("x-ztproxy-subject") if value]) for one in service.requests]
    assert seen == [("/page", ["ana"]), ("/public/x", []), ("/page", ["ana"])]
    assert service.requests[2].body == b"hello"
