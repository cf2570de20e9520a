"""The desk beside the running gateway: one table of cases, asked over real sockets and at the desk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from proxy.workbench.case import NOBODY, Case, Who
from proxy.workbench.desk import Desk
from tests.gateway import Client, Gateway, Upstream, gateway, ok
from tests.world import LAPTOP, WEB, World, config

POLICY = """package own.authz

import rego.v1

decision := true if input.request.path == "/yes"
decision := {"allow": false, "reasons": ["no"], "public_reason": "Ask Ana."} if input.request.path == "/no"
decision := {"allow": false, "http_status": 404, "body": "hidden"} if input.request.path == "/hidden"
decision := "yes" if input.request.path == "/malformed"
decision := to_number(input.request.query) == 1 if input.request.path == "/fails"
decision := {"allow": true, "require": {"max_age": 60}} if input.request.path == "/fresh"
decision := {"allow": true, "require": {"acr": ["phr"]}} if input.request.path == "/strong"
decision := input.request.has_body if input.request.path == "/body"
decision := {"allow": input.principal.email == "ana@example.org"} if input.request.path == "/email"
decision := {"allow": input.request.headers["x-team"] == "blue"} if input.request.path == "/team"
decision := data.ztproxy.routes[input.route.name] != {} if input.request.path == "/data"
"""
LISTENERS = """\
  - {name: edge, address: "127.0.0.1:0", tls: {certificate: edge.pem, key: edge.key, client_certificates: optional}}
  - {name: plain, address: "127.0.0.1:0", plaintext: true}
  - {name: old, address: "127.0.0.1:0", plaintext: true, serves: https_redirect}"""
DEFAULT = """\
  - name: wiki
    host: wiki.example.org
    upstream: wiki
    allow:
      - {anyone: true, paths: [/public/]}
      - {groups: [engineering], methods: [GET, POST]}
      - {users: [ana], workloads: ["spiffe://example.org/device/*"], paths: [/admin/]}
  - name: wiki-raw
    host: wiki.example.org
    path: /raw/
    upstream: wiki
    encoded_slashes: keep
    allow: [{anyone: true}]
  - {name: api, host: api.example.org, upstream: wiki, allow: [{workloads: ["spiffe://example.org/ns/shop/*"]}]}
  - name: deaf
    host: deaf.example.org
    upstream: wiki
    authenticate: {header: none}
    allow: [{workloads: ["spiffe://example.org/ns/shop/*"]}]
  - {name: gone, host: gone.example.org, redirect: "https://wiki.example.org"}
  - name: cross
    host: cross.example.org
    upstream: wiki
    cors: {preflight: upstream}
    allow: [{groups: [engineering]}]
  - {name: tls-only, host: tls.example.org, upstream: wiki, listeners: [edge], allow: [{anyone: true}]}"""
OWN = """\
  - {name: own, host: own.example.org, upstream: wiki, allow: [{anyone: true}]}"""

SIGNING = """\
  - {name: shop, host: shop.example.org, upstream: wiki, authenticate: {sign_in: true}, allow: [{groups: [sales]}]}
  - {name: open, host: open.example.org, upstream: wiki, allow: [{anyone: true}]}"""
STAFF = """\
state_directory: state
sign_in: {host: access.example.org}"""

ANA = Who(user="ana", groups=("engineering",))
BOB = Who(user="bob")
PREFLIGHT = (("Origin", "https://other.example"), ("Access-Control-Request-Method", "PUT"))


@dataclass
class Pair:
    """A gateway, and a desk on its config."""

    gateway: Gateway
    desk: Desk
    upstream: Upstream
    world: World

    def answer(self, case: Case) -> tuple[int, str | None]:
        """Ask the gateway, on a connection of the case's own; return status and code."""
        who, host = case.who, case.url.split("/")[2]
        target = case.url.partition(f"//{host}")[2]
        certificate = {None: None, WEB: "web", LAPTOP: "laptop"}[who.workload]
        listener = case.listener or ("edge" if case.url.startswith("https:") else "plain")
        tls = self.world.client(certificate) if listener == "edge" else None
        fields = [f"{name}: {value}" for name, value in case.headers]
        if who.user is not None:
            fields.append(self.world.bearer(who.user, **_claims(who)))
        with Client(self.gateway.address(listener), tls, host) as client:
            before = len(self.upstream.requests)
            got = client.get(target, host, *fields, method=case.method, body=b"x" if case.has_body else b"")
        request_id = got.get("x-request-id")
        if request_id is None:
            assert len(self.upstream.requests) == before + (got.status == 200)
            return got.status, None
        return got.status, self.gateway.access(request_id)["code"]


def _claims(who: Who) -> dict[str, Any]:
    claims: dict[str, Any] = dict(who.claims)
    if who.groups:
        claims["groups"] = list(who.groups)
    if who.email:
        claims |= {"email": who.email, "email_verified": True}
    if who.age is not None:
        claims["auth_time"] = int(time.time() - who.age)
    if who.acr:
        claims["acr"] = who.acr
    return claims


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    running = Upstream(lambda request, sock: ok(b"" if request.method == "HEAD" else b"hello"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def default(world: World, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    place = world.copy_to(tmp_path_factory.mktemp("default"))
    with gateway(place, config(upstream.url, routes=DEFAULT, listeners=LISTENERS)) as running:
        yield Pair(running, Desk.open(running.path), upstream, world)


@pytest.fixture(scope="module")
def own(world: World, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    place = world.copy_to(tmp_path_factory.mktemp("own"))
    (place / "policy.rego").write_text(POLICY, encoding="utf-8")
    text = config(upstream.url, routes=OWN, extra="policy: {path: policy.rego, decision: own/authz/decision}")
    with gateway(place, text) as running:
        yield Pair(running, Desk.open(running.path), upstream, world)


@pytest.fixture(scope="module")
def signing(world: World, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    place = world.copy_to(tmp_path_factory.mktemp("signing"))
    (place / "corp.secret").write_text("secret", encoding="utf-8")
    (place / "corp.secret").chmod(0o600)
    login = "    staff: {issuer: http://127.0.0.1:9, login: {client_id: ztproxy, client_secret_file: corp.secret}}\n"
    text = config(upstream.url, routes=SIGNING, extra=STAFF).replace("  issuers:\n", f"  issuers:\n{login}")
    text = text.replace("{groups: [sales]}", "{groups: [sales], issuers: [corp]}")
    with gateway(place, text) as running:
        yield Pair(running, Desk.open(running.path), upstream, world)


def get(url: str, who: Who = NOBODY, method: str = "GET", **more: Any) -> Case:
    return Case(method, url, who, **more)


WIKI = "https://wiki.example.org"
TABLE = [
    get(f"{WIKI}/public/x"),
    get(f"{WIKI}/public"),
    get(f"{WIKI}/private"),
    get(f"{WIKI}/private", headers=(("Accept", "text/html"),)),
    get(f"{WIKI}/private", ANA),
    get(f"{WIKI}/private", BOB),
    get(f"{WIKI}/private", ANA, "POST", has_body=True),
    get(f"{WIKI}/private", ANA, "DELETE"),
    get(f"{WIKI}/private", ANA, "HEAD"),
    get("http://wiki.example.org/private", ANA),
    get(f"{WIKI}/admin/x", Who(user="ana", workload=LAPTOP)),
    get(f"{WIKI}/admin/x", Who(user="bob", workload=LAPTOP)),
    get(f"{WIKI}/admin/x", Who(workload=LAPTOP)),
    get(f"{WIKI}/admin/x", Who(user="ana", workload=WEB)),
    get("https://api.example.org/x"),
    get("https://api.example.org/x", Who(workload=WEB)),
    get("https://api.example.org/x", Who(workload=LAPTOP)),
    get("https://api.example.org/x", ANA),
    get("http://api.example.org/x", Who(workload=WEB)),
    get("https://deaf.example.org/x", ANA),
    get("https://deaf.example.org/x", Who(workload=WEB)),
    get("https://nobody.example.org/x", ANA),
    get("https://gone.example.org/x"),
    get("https://gone.example.org/x", method="POST"),
    get("http://tls.example.org/"),
    get("https://tls.example.org/"),
    get("https://cross.example.org/x", method="OPTIONS", headers=PREFLIGHT),
    get("https://cross.example.org/x", method="OPTIONS"),
    get(f"{WIKI}/a/../b", ANA),
    get(f"{WIKI}/a//b", ANA),
    get(f"{WIKI}/a%2Fb", ANA),
    get(f"{WIKI}/raw/a%2Fb"),
    get(f"{WIKI}/%61", ANA),
    get(f"{WIKI}/a%252Fb", ANA),
    get(f"{WIKI}/%C3%A9", ANA),
    get(f"{WIKI}/%C3", ANA),
    get(f"{WIKI}/x?q=%zz", ANA),
    get(f"{WIKI}/{'x' * 9000}", ANA),
    get(f"{WIKI}/x", ANA, "BREW"),
    get(f"{WIKI}/x", ANA, "CONNECT"),
    get(f"{WIKI}/x", ANA, "TRACE"),
    get(f"{WIKI}/x", ANA, headers=(("X-Long", "x" * 70000),)),
    get(f"{WIKI}/x", ANA, headers=(("Expect", "magic"),)),
    get(f"{WIKI}/x", ANA, headers=(("Content-Length", "1"), ("Content-Length", "2"))),
    get(f"{WIKI}/x", ANA, headers=(("Upgrade", "h2c"), ("Connection", "upgrade"))),
    get("http://wiki.example.org/x?y=z", listener="old"),
    get(f"{WIKI}/private", headers=(("Authorization", "Basic eDp5"),)),
    get(f"{WIKI}/public/x", headers=(("Authorization", "Bearer nonsense"),)),
    get(f"{WIKI}/public/x", headers=(("Authorization", "Bearer"), ("Authorization", "Bearer"))),
]


@pytest.mark.parametrize("case", TABLE, ids=lambda case: str(case)[:90])
def test_the_desk_answers_as_the_gateway_does(default: Pair, case: Case) -> None:
    outcome = default.desk.decide(case)
    assert (outcome.status, outcome.code) == default.answer(case)
    assert outcome.allow == (outcome.status == 200)


OWN_TABLE = [
    *(
        get(f"https://own.example.org/{name}", ANA)
        for name in ("yes", "no", "hidden", "malformed", "undefined", "data")
    ),
    get("https://own.example.org/no"),
    get("https://own.example.org/hidden"),
    get("https://own.example.org/fails?x", ANA),
    get("https://own.example.org/fails?1", ANA),
    get("https://own.example.org/fresh"),
    get("https://own.example.org/fresh", ANA),
    get("https://own.example.org/fresh", replace(ANA, age=10)),
    get("https://own.example.org/fresh", replace(ANA, age=3600)),
    get("https://own.example.org/fresh", Who(workload=WEB)),
    get("https://own.example.org/strong", replace(ANA, acr="phr")),
    get("https://own.example.org/strong", replace(ANA, acr="pwd")),
    get("https://own.example.org/body", ANA, "POST", has_body=True),
    get("https://own.example.org/body", ANA),
    get("https://own.example.org/email", Who(user="ana", email="ana@example.org")),
    get("https://own.example.org/email", Who(user="ana", email="bob@example.org")),
    get("https://own.example.org/team", ANA, headers=(("X-Team", "blue"),)),
    get("https://own.example.org/team", ANA, headers=(("X-Team", "red"),)),
]


@pytest.mark.parametrize("case", OWN_TABLE, ids=lambda case: str(case)[:90])
def test_the_desk_decides_by_the_users_own_policy_as_the_gateway_does(own: Pair, case: Case) -> None:
    outcome = own.desk.decide(case)
    assert (outcome.status, outcome.code) == own.answer(case)


BROWSER = (("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate"))
SIGNING_TABLE = [
    get("https://shop.example.org/x", headers=BROWSER),
    get("https://shop.example.org/x", headers=(("Accept", "text/html"), ("Sec-Fetch-Mode", "cors"))),
    get("https://shop.example.org/x", method="POST", headers=BROWSER),
    get("https://shop.example.org/x"),
    get("https://open.example.org/x", headers=BROWSER),
    get("https://access.example.org/x"),
    get("https://shop.example.org/x", Who(user="ana", groups=("sales",), issuer="corp")),
]


@pytest.mark.parametrize("case", SIGNING_TABLE, ids=lambda case: str(case)[:90])
def test_the_desk_leads_to_sign_in_whom_the_gateway_leads_there(signing: Pair, case: Case) -> None:
    outcome = signing.desk.decide(case)
    assert (outcome.status, outcome.code) == signing.answer(case)


def test_the_desk_shows_policy_the_document_that_the_gateway_shows(own: Pair) -> None:
    case = get("https://own.example.org/no?a=b", replace(ANA, workload=WEB, age=30), headers=(("X-Team", "blue"),))
    assert own.answer(case) == (403, "policy_denied")
    shown = own.gateway.of_type("decision")[-1]["input"]
    ours = own.desk.decide(case).input
    assert ours is not None
    for part in ("request", "route", "listener", "peer", "principal", "tls"):
        assert _comparable(ours[part]) == _comparable(shown[part]), part


def _comparable(value: Any) -> Any:
    """Leave out what no two requests share, and what a certificate and a token say of themselves."""
    apart = {"claims", "authenticated_at", "time", "age", "client_certificate"}
    if not isinstance(value, dict):
        return value
    if "scheme" in value:
        apart.add("id")
    return {name: _comparable(item) for name, item in value.items() if name not in apart}
