"""What upstreams are told of their callers, signed and not, and where they find the keys."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from proxy.http.header_sets import NAMES
from proxy.server.repeat import Repeat
from proxy.server.runtime import Runtime
from proxy.server.told import Told
from tests.assertions import verified, write_key
from tests.gateway import Answer, Client, Gateway, Upstream, gateway
from tests.policy.inquiries import ask
from tests.world import World, config, snapshot_of

KEYS = "/.well-known/ztproxy/jwks.json"
FIELD = "x-ztproxy-assertion"
ROUTES = """\
  - {name: wiki, host: wiki.example.org, upstream: wiki, allow: [{anyone: true}]}
  - {name: any, host: "*.apps.example.org", upstream: wiki, allow: [{anyone: true}]}
  - name: legacy
    host: legacy.example.org
    upstream: wiki
    headers: {identity: [oauth2-proxy, authelia, pomerium]}
    allow: [{anyone: true}]
  - {name: silent, host: silent.example.org, upstream: wiki, headers: {identity: []}, allow: [{anyone: true}]}
"""
OPEN = "  - {name: wiki, host: wiki.example.org, upstream: wiki, allow: [{anyone: true}]}\n"
LISTENERS = """\
  - {name: edge, address: "127.0.0.1:0", tls: {certificate: edge.pem, key: edge.key, client_certificates: optional}}
  - {name: plain, address: "127.0.0.1:0", plaintext: true}
  - {name: redirect, address: "127.0.0.1:0", serves: https_redirect}
  - name: authz
    address: "127.0.0.1:0"
    plaintext: true
    serves: authorization
    trusted_proxies: {networks: [127.0.0.1/32]}"""
SIGNED = "assertion: {key_files: [assertion.key]}"
USER = {
    "groups": ["engineering"], "email": "ana@example.org", "email_verified": True, "name": "Ana A.",
    "preferred_username": "ana.a",
}  # fmt: skip


@pytest.fixture(scope="module")
def service() -> Iterator[Upstream]:
    running = Upstream()
    yield running
    running.close()


@pytest.fixture(scope="module")
def front(world: World, service: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    place = world.copy_to(tmp_path_factory.mktemp("assertions"))
    write_key(place / "assertion.key")
    with gateway(place, config(service.url, routes=ROUTES, listeners=LISTENERS, extra=SIGNED)) as running:
        yield running


def told(front: Gateway, service: Upstream, host: str, *fields: str, tls: Any = None) -> dict[str, str]:
    """Return the identity fields of a request as the upstream got it."""
    with Client(front.address("plain" if tls is None else "edge"), tls) as client:
        assert client.get("/x", host, *fields).status == 200
    names = {name.decode() for names in NAMES.values() for name in names}
    found = [(name.lower(), value) for name, value in service.requests[-1].headers if name.lower() in names]
    assert len(dict(found)) == len(found)
    return dict(found)


def keys_of(front: Gateway, host: str = "wiki.example.org") -> bytes:
    with Client(front.address("plain")) as client:
        answer = client.get(KEYS, host)
    assert answer.status == 200
    return answer.body


def test_a_user_is_told_with_an_assertion_for_this_application(front: Gateway, world: World, service: Upstream) -> None:
    fields = told(front, service, "wiki.example.org", world.bearer(**USER), tls=world.client("laptop"))
    claims = verified(fields[FIELD], keys_of(front), "https://wiki.example.org")
    assert (claims["iss"], claims["sub"], claims["idp"]) == ("https://example.org", "ana", "corp")
    assert (claims["email"], claims["groups"]) == ("ana@example.org", ["engineering"])
    assert fields["x-ztproxy-subject"] == "ana"


def test_the_audience_is_the_host_that_was_asked_for(front: Gateway, world: World, service: Upstream) -> None:
    for host, audience in (("one.apps.example.org:8443", "one.apps.example.org"), ("TWO.apps.example.org", None)):
        fields = told(front, service, host, world.bearer(**USER))
        verified(fields[FIELD], keys_of(front), f"https://{audience or host.lower()}")


def test_requests_share_an_assertion(front: Gateway, world: World, service: Upstream) -> None:
    bearer, before = world.bearer(**USER), len(service.requests)
    for _ in range(2):
        with Client(front.address("plain")) as client:
            assert [client.get("/same", "wiki.example.org", bearer).status for _ in range(4)] == [200] * 4
    given = [request.values(FIELD) for request in service.requests[before:]]
    assert len(given) == 8
    assert len({text for (text,) in given}) == 1


def test_users_in_turn_on_one_connection_are_each_themselves(front: Gateway, world: World, service: Upstream) -> None:
    bearers = {name: world.bearer(name, **USER) for name in ("ana", "bob")}
    with Client(front.address("plain")) as client:
        for name in ("ana", "ana", "ana", "bob", "ana", "bob", "bob", "bob"):
            assert client.get("/turn", "wiki.example.org", bearers[name]).status == 200
            (text,) = service.requests[-1].values(FIELD)
            assert jwt.decode(text, options={"verify_signature": False})["sub"] == name


@pytest.mark.parametrize("host", ["wiki.example.org", "legacy.example.org", "silent.example.org"])
def test_nobody_has_no_field_whatever_a_client_says(front: Gateway, service: Upstream, host: str) -> None:
    lies = [f"{name.decode()}: root" for names in NAMES.values() for name in names]
    lies += [lie.replace("-", "_") for lie in lies]
    assert told(front, service, host, *lies) == {}
    assert b"root" not in service.requests[-1].raw


def test_a_workload_has_no_assertion(front: Gateway, world: World, service: Upstream) -> None:
    assert set(told(front, service, "wiki.example.org", tls=world.client("web"))) == {"x-ztproxy-subject"}
    assert told(front, service, "legacy.example.org", tls=world.client("web")) == {}


def test_a_route_tells_in_the_sets_that_it_names(front: Gateway, world: World, service: Upstream) -> None:
    fields = told(front, service, "legacy.example.org", world.bearer(**USER), "Remote-User: root")
    claims = verified(fields.pop("x-pomerium-jwt-assertion"), keys_of(front), "legacy.example.org")
    assert (claims["iss"], claims["user"], claims["name"]) == ("legacy.example.org", "ana", "Ana A.")
    assert fields == {
        "x-forwarded-user": "ana", "x-forwarded-email": "ana@example.org", "x-forwarded-groups": "engineering",
        "x-forwarded-preferred-username": "ana.a", "remote-user": "ana", "remote-email": "ana@example.org",
        "remote-groups": "engineering", "remote-name": "Ana A.",
    }  # fmt: skip
    assert told(front, service, "silent.example.org", world.bearer(**USER)) == {}


def asked(front: Gateway, url: str, *fields: str) -> Answer:
    with Client(front.address("authz")) as client:
        question = f"X-Original-URL: {url}", "X-Original-Method: GET"
        return client.get("/api/authz/auth-request", "authz", *question, *fields)


def test_another_gateway_is_given_what_an_upstream_would_be(front: Gateway, world: World) -> None:
    answer = asked(front, "https://wiki.example.org/x", world.bearer(**USER))
    claims = verified(answer.get(FIELD) or "", keys_of(front), "https://wiki.example.org")
    assert (answer.status, claims["sub"]) == (200, "ana")
    for host, sets in (("wiki", ["ztproxy"]), ("legacy", ["oauth2-proxy", "authelia", "pomerium"]), ("silent", [])):
        nobody = asked(front, f"https://{host}.example.org/x", "X-Ztproxy-Assertion: root", "Remote-User: root")
        names = {name.decode() for names in NAMES.values() for name in names}
        given = {name: value for name, value in nobody.headers if name in names}
        assert given == {name.decode(): "" for each in sets for name in NAMES[each]}


def test_a_question_about_the_keys_is_decided_like_any(front: Gateway) -> None:
    answer = asked(front, f"https://wiki.example.org{KEYS}")
    assert (answer.status, answer.body) == (200, b"")
    assert asked(front, f"https://none.example.org{KEYS}").status == 404


def test_another_gateway_passes_the_keys_on(front: Gateway) -> None:
    with Client(front.address("authz")) as client:
        for _ in range(2):
            answer = client.get(KEYS, "wiki.example.org", "X-Original-URL: https://wiki.example.org/x")
            assert (answer.status, answer.body) == (200, keys_of(front))
        assert client.get(KEYS, "none.example.org").status == 404
        assert client.get(f"{KEYS}/x", "wiki.example.org").status == 404
        assert client.get("/", "wiki.example.org").status == 404


# --- the keys


@pytest.mark.parametrize("path", [KEYS, "/.well-known/pomerium/jwks.json", f"{KEYS}?x=1"])
@pytest.mark.parametrize("host", ["wiki.example.org", "x.apps.example.org"])
def test_keys_are_public_on_every_host_of_a_route(front: Gateway, world: World, host: str, path: str) -> None:
    with Client(front.address("edge"), world.client()) as client:
        answer = client.get(path, host)
        assert (answer.status, answer.get("content-type")) == (200, "application/jwk-set+json")
        assert answer.get("cache-control") == "public, max-age=300"
        assert len(json.loads(answer.body)["keys"]) == 1
        head = client.get(path, host, method="HEAD")
        assert (head.status, head.get("content-length")) == (200, str(len(answer.body)))
        assert client.get(path, host, "Authorization: Bearer no").status == 200


def test_a_host_without_a_route_has_no_keys(front: Gateway) -> None:
    with Client(front.address("plain")) as client:
        assert client.get(KEYS, "none.example.org").status == 404


def test_keys_are_read_and_nothing_else(front: Gateway, service: Upstream) -> None:
    before = len(service.requests)
    with Client(front.address("plain")) as client:
        answer = client.get(KEYS, "wiki.example.org", method="POST", body=b"x")
        assert (answer.status, answer.get("allow")) == (405, "GET, HEAD")
    assert len(service.requests) == before


def test_a_listener_that_redirects_does_that_with_the_keys_too(front: Gateway) -> None:
    with Client(front.address("redirect")) as client:
        answer = client.get(KEYS, "wiki.example.org")
        assert (answer.status, answer.get("location")) == (308, f"https://wiki.example.org{KEYS}")


def test_where_nothing_is_signed_the_path_is_a_path_like_any(edge: Gateway, upstream: Upstream) -> None:
    with Client(edge.address("plain")) as client:
        assert client.get(KEYS, "open.example.org").status == 200
    assert upstream.requests[-1].target == KEYS
    assert upstream.requests[-1].values(FIELD) == []


def test_keys_change_without_a_restart(world: World, place: Path, service: Upstream) -> None:
    write_key(place / "assertion.key")
    bearer = world.bearer(**USER)
    text = config(service.url, routes=ROUTES, listeners=LISTENERS, extra=SIGNED)
    with gateway(place, text) as front, Client(front.address("plain")) as client:

        def given() -> str:
            assert client.get("/x", "wiki.example.org", bearer).status == 200
            return service.requests[-1].values(FIELD)[0]

        first = [given() for _ in range(3)][-1]
        write_key(place / "assertion.key")
        front.event("reloaded")
        second = given()
        keys = keys_of(front)
        assert len(json.loads(keys)["keys"]) == 2
        kids = [jwt.get_unverified_header(each)["kid"] for each in (first, second)]
        assert kids[0] != kids[1] == json.loads(keys)["keys"][0]["kid"]
        for each in (first, second):
            assert verified(each, keys, "https://wiki.example.org")["sub"] == "ana"
        (place / "assertion.key").write_text("no key", encoding="utf-8")
        mistakes = front.event("reload_refused")["mistakes"]
        assert any("assertion.key_files[0]: key must be a PEM private key" in line for line in mistakes)
        assert given() == second


def test_what_repeats_is_given_until_its_signature_is_half_way(place: Path) -> None:
    snapshot = snapshot_of(place, config("http://127.0.0.1:9", routes=OPEN), Runtime(recording=False))
    inquiry = ask()
    route = snapshot.routers["plain"].match("wiki.example.org", ("",))
    assert route is not None
    made = [
        Repeat(snapshot, inquiry.head, route, inquiry.principal, inquiry, b"", Told(b"", until), "")
        for until in (100.0, math.inf)
    ]
    assert [each.fits(snapshot, inquiry.head, 99.9) for each in made] == [True, True]
    assert [each.fits(snapshot, inquiry.head, 100.0) for each in made] == [False, True]
