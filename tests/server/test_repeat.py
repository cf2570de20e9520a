"""Requests that say what the one before them said: each is still its caller's, decided, and recorded by itself.

The third request on a connection repeats the second, whose upstream connection is idle again and whose decision is
remembered, so that nothing is worked out anew that need not be.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway import Client, Gateway, Upstream, gateway, ok, wait_for
from tests.issuer import SigningKey
from tests.world import LAPTOP, WEB, World, config

WIKI = "wiki.example.org"


@pytest.fixture
def service() -> Iterator[Upstream]:
    running = Upstream()
    yield running
    running.close()


def _decision(front: Gateway, decision_id: str) -> dict[str, object]:
    def seen() -> dict[str, object] | None:
        return next((r for r in front.of_type("decision") if r["decision_id"] == decision_id), None)

    found: dict[str, object] = wait_for(seen, f"decision record {decision_id}")
    return found


def _identity_field(world: World, edge: Gateway, upstream: Upstream) -> str:
    with Client(edge.address("edge"), world.client()) as client:
        assert client.get("/x", WIKI, world.bearer("probe", groups=["engineering"])).status == 200
    return next(name for name, value in upstream.requests[-1].headers if value == "probe")


def test_users_in_turn_on_one_connection_are_each_themselves(edge: Gateway, world: World, upstream: Upstream) -> None:
    name = _identity_field(world, edge, upstream)
    upstream.requests.clear()
    users = {subject: world.bearer(subject, groups=["engineering"]) for subject in ("ana", "bob")}
    turns = ["ana", "ana", "bob", "bob", "ana", "bob", "ana", "ana"]
    with Client(edge.address("edge"), world.client()) as client:
        for subject in turns:
            assert client.get("/x", WIKI, users[subject]).status == 200
    for subject, request in zip(turns, upstream.requests, strict=True):
        assert request.values(name) == [subject]
        access = edge.access(request.values("x-request-id")[0])
        assert access["principal"]["id"] == subject
        decision = _decision(edge, access["decision_id"])
        document = decision["input"]
        assert isinstance(document, dict)
        assert document["principal"]["id"] == subject
        assert document["request"]["id"] == access["request_id"]
        assert document["time"]["now"] == decision["timestamp"] == access["time"]
    ids = [request.values("x-request-id")[0] for request in upstream.requests]
    traces = [request.values("traceparent")[0] for request in upstream.requests]
    assert len(set(ids)) == len(set(traces)) == len(turns)


def test_who_may_not_is_refused_between_two_who_may(edge: Gateway, world: World, upstream: Upstream) -> None:
    may, may_not = world.bearer("ana", groups=["engineering"]), world.bearer("eve", groups=["sales"])
    with Client(edge.address("edge"), world.client()) as client:
        answers = [client.get("/x", WIKI, field).status for field in (may, may, may_not, may, may_not, may_not, may)]
    assert answers == [200, 200, 403, 200, 403, 403, 200]
    assert len(upstream.requests) == 4


@pytest.mark.parametrize("other", ["Authorization: Bearer x.y.z", "Authorization: Bearer", "Authorization: é", "X: y"])
def test_a_credential_that_proves_nothing_is_401_on_a_connection_of_who_may(
    edge: Gateway, world: World, upstream: Upstream, other: str
) -> None:
    may = world.bearer("ana", groups=["engineering"])
    with Client(edge.address("edge"), world.client()) as client:
        answers = [client.get("/x", WIKI, field).status for field in (may, may, other, may)]
    assert answers == [200, 200, 401, 200]
    assert len(upstream.requests) == 3


def test_a_token_in_another_field_is_nobodys(edge: Gateway, world: World, upstream: Upstream) -> None:
    token = world.bearer("ana", groups=["engineering"])
    with Client(edge.address("edge"), world.client()) as client:
        assert [client.get("/x", WIKI, token).status for _ in range(2)] == [200, 200]
        assert client.get("/x", WIKI, f"X: {token}").status == 401
        assert client.get("/x", WIKI, token, token).status == 400
        assert client.get("/x", WIKI, token).status == 200


def test_another_host_and_another_path_are_another_route(edge: Gateway, world: World, upstream: Upstream) -> None:
    token = world.bearer("ana", groups=["engineering"])
    asked = [("/x", WIKI, 200), ("/x", WIKI, 200), ("/x", "api.example.org", 403), ("/admin/x", WIKI, 200)]
    asked += [("/x", WIKI, 200), ("/x", "none.example.org", 404), ("/x", WIKI, 200), ("/x", WIKI, 200)]
    with Client(edge.address("edge"), world.client()) as client:
        for path, host, status in asked:
            assert client.get(path, host, token).status == status
    for request in upstream.requests:
        access = edge.access(request.values("x-request-id")[0])
        assert (access["path"], access["host"], access["route"]) == (request.target, request.values("host")[0], "wiki")


def test_methods_in_turn_have_each_their_own_answer(edge: Gateway, upstream: Upstream) -> None:
    upstream.script = lambda request, _: (
        b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 4\r\n\r\n" + (b"" if request.method == "HEAD" else b"body")
    )
    with Client(edge.address("plain")) as client:
        for method in ("GET", "GET", "HEAD", "HEAD", "GET", "OPTIONS", "HEAD", "GET"):
            answer = client.get("/x", "open.example.org", method=method)
            assert (answer.status, answer.get("content-length")) == (200, "4")
            assert answer.body == (b"" if method == "HEAD" else b"body")
    wait_for(lambda: len(upstream.requests) == 8, "every request")
    for request in upstream.requests:
        assert edge.access(request.values("x-request-id")[0])["method"] == request.method


def test_a_connection_that_the_client_ends_is_ended_after_its_answer(edge: Gateway, upstream: Upstream) -> None:
    with Client(edge.address("plain")) as client:
        for _ in range(3):
            assert client.get("/x", "open.example.org").get("connection") is None
        assert client.get("/x", "open.example.org", "Connection: close").get("connection") == "close"
        assert client.closed()


def test_a_repeat_of_http_1_0_is_answered_as_such(edge: Gateway, upstream: Upstream) -> None:
    upstream.script = lambda *_: ok(date="now")
    with Client(edge.address("plain")) as client:
        for version, connection in (
            ("1.1", None),
            ("1.1", None),
            ("1.0", "keep-alive"),
            ("1.1", None),
            ("1.0", "keep-alive"),
        ):
            client.send(f"GET /x HTTP/{version}\r\nHost: open.example.org\r\nConnection: keep-alive\r\n\r\n".encode())
            assert client.answer().get("connection") == connection


# --- what ends between two of them

OWN = "  - {name: own, host: wiki.example.org, upstream: wiki, allow: [{groups: [engineering]}]}\n"
OPEN = "  - {name: open, host: open.example.org, upstream: wiki, allow: [{anyone: true}]}\n"


@pytest.fixture
def front(place: Path, service: Upstream) -> Iterator[Gateway]:
    with gateway(place, config(service.url, routes=OWN + OPEN)) as running:
        yield running


def _until_refused(client: Client, *fields: str) -> None:
    """Repeat a request until it is refused with 401."""

    def refused() -> bool:
        status = client.get("/x", WIKI, *fields).status
        assert status in (200, 401)
        return status == 401

    wait_for(refused, "the refusal")


def test_a_token_that_lapses_between_two_repeats_is_401(place: Path, world: World, service: Upstream) -> None:
    exact = config(service.url, routes=OWN).replace("audiences: [ztproxy]", "audiences: [ztproxy], skew: 0s")
    with gateway(place, exact) as front:
        ends = int(time.time()) + 2
        token = world.bearer("ana", groups=["engineering"], exp=ends)
        with Client(front.address("edge"), world.client()) as client:
            _until_refused(client, token)
            assert client.get("/x", WIKI, token).status == 401
        for request in service.requests:
            access = front.access(request.values("x-request-id")[0])
            assert access["time"] < time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ends))
    assert len(service.requests) > 2


def test_a_withdrawn_key_ends_what_it_proved(front: Gateway, world: World, service: Upstream, place: Path) -> None:
    token = world.bearer("ana", groups=["engineering"])
    with Client(front.address("edge"), world.client()) as client:
        assert [client.get("/x", WIKI, token).status for _ in range(3)] == [200, 200, 200]
        other = World.__new__(World)
        other.directory = place
        other.publish(SigningKey.generate("two"))
        front.reload()
        front.event("reloaded")
        _until_refused(client, token)


def test_a_reload_between_repeats_decides_anew(front: Gateway, world: World, service: Upstream) -> None:
    token = world.bearer("ana", groups=["engineering"])
    with Client(front.address("edge"), world.client()) as client:
        assert [client.get("/x", WIKI, token).status for _ in range(3)] == [200, 200, 200]
        front.reload(config(service.url, routes=OWN.replace("engineering", "sales").replace("name: own", "name: new")))
        front.event("reloaded")
        assert client.get("/x", WIKI, token).status == 403
        front.reload(config(service.url, routes=OWN))
        front.event("reloaded", 2)
        assert [client.get("/x", WIKI, token).status for _ in range(3)] == [200, 200, 200]
    assert wait_for(lambda: len(front.of_type("access")) == 7, "every record")
    routes = [record["route"] for record in front.of_type("access")]
    assert routes == ["own"] * 3 + ["new"] + ["own"] * 3


def test_workloads_and_their_users_are_told_apart_on_their_connections(
    edge: Gateway, world: World, upstream: Upstream
) -> None:
    token = world.bearer("ana", groups=["engineering"])
    with (
        Client(edge.address("edge"), world.client("laptop")) as laptop,
        Client(edge.address("edge"), world.client("web")) as web,
        Client(edge.address("edge"), world.client()) as bare,
    ):
        for _ in range(3):
            for client in (laptop, web, bare):
                assert client.get("/x", WIKI, token).status == 200
    peers = [edge.access(request.values("x-request-id")[0])["peer"] for request in upstream.requests]
    assert peers == [{"id": LAPTOP}, {"id": WEB}, None] * 3


POLICY = """
package test
decision := {"allow": true, "headers": {"x-team": "blue"}, "request_headers_to_remove": ["x-old"],
    "response_headers_to_add": {"x-policy": "seen"}} if input.request.path == "/edited"
decision := {"allow": true, "require": {"max_age": 2}} if input.request.path == "/x"
decision := {"allow": true} if input.request.path == "/plain"
"""


@pytest.fixture
def ruled(place: Path, service: Upstream) -> Iterator[Gateway]:
    (place / "policy.rego").write_text(POLICY)
    routes = f"  - {{name: own, host: {WIKI}, upstream: wiki}}\n"
    extra = "policy: {path: policy.rego, decision: test/decision}"
    with gateway(place, config(service.url, routes=routes, extra=extra)) as running:
        yield running


def test_what_policy_edits_is_edited_in_every_repeat_and_in_no_other_request(
    ruled: Gateway, world: World, service: Upstream
) -> None:
    token, paths = world.bearer("ana"), ["/plain", "/plain", "/plain", *["/edited"] * 4, "/plain", "/plain", "/edited"]
    with Client(ruled.address("edge"), world.client()) as client:
        answers = [client.get(path, WIKI, token, "X-Old: 1").get("x-policy") for path in paths]
    assert answers == ["seen" if path == "/edited" else None for path in paths]
    for path, request in zip(paths, service.requests, strict=True):
        fields = (request.values("x-team"), request.values("x-old"))
        assert fields == ((["blue"], []) if path == "/edited" else ([], ["1"]))


def test_a_sign_in_that_grows_old_between_repeats_is_asked_for_again(ruled: Gateway, world: World) -> None:
    token = world.bearer("ana", auth_time=int(time.time()))
    with Client(ruled.address("edge"), world.client()) as client:
        assert client.get("/x", WIKI, token).status == 200
        _until_refused(client, token)
        assert client.get("/x", WIKI, token).code == "step_up_required"
