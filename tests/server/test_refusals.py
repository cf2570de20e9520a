"""What is refused, and how: a row of the table of refusals each, over the running gateway."""

from __future__ import annotations

import json
import ssl
import time

import pytest

from proxy.errors import CATALOGUE
from tests.gateway import Client, Gateway, Upstream, gateway, wait_for
from tests.issuer import SigningKey
from tests.world import World, config


def test_nobody_on_a_route_that_users_may_use_is_asked_to_sign_in(edge: Gateway, upstream: Upstream) -> None:
    with Client(edge.address("plain")) as client:
        answer = client.get("/private")
    assert (answer.status, answer.code, answer.get("www-authenticate")) == (401, "credentials_missing", "Bearer")
    assert upstream.requests == []


def test_nobody_on_a_route_that_only_certificates_open_is_forbidden(edge: Gateway, upstream: Upstream) -> None:
    with Client(edge.address("plain")) as client:
        answer = client.get("/x", "api.example.org")
    assert (answer.status, answer.code, answer.get("www-authenticate")) == (403, "certificate_missing", None)


def test_the_wrong_workload_is_forbidden(edge: Gateway, world: World, upstream: Upstream) -> None:
    with Client(edge.address("edge"), world.client("batch"), "api.example.org") as client:
        answer = client.get("/x", "api.example.org")
    assert (answer.status, answer.code) == (403, "policy_denied")
    assert upstream.requests == []


def test_the_right_workload_passes(edge: Gateway, world: World, upstream: Upstream) -> None:
    with Client(edge.address("edge"), world.client("web"), "api.example.org") as client:
        assert client.get("/x", "api.example.org").status == 200


def test_a_user_without_the_group_is_forbidden_and_with_it_passes(
    edge: Gateway, world: World, upstream: Upstream
) -> None:
    with Client(edge.address("plain")) as client:
        assert client.get("/x", "wiki.example.org", world.bearer(groups=["sales"])).code == "policy_denied"
        assert client.get("/x", "wiki.example.org", world.bearer(groups=["engineering"])).status == 200


def test_an_entry_with_user_and_workload_needs_both(edge: Gateway, world: World, upstream: Upstream) -> None:
    with Client(edge.address("edge"), world.client("laptop")) as client:
        assert client.get("/admin/x", "wiki.example.org").status == 401
        assert client.get("/admin/x", "wiki.example.org", world.bearer("bob")).status == 403
        assert client.get("/admin/x", "wiki.example.org", world.bearer("ana")).status == 200
        assert client.get("/other", "wiki.example.org", world.bearer("ana")).status == 403
    with Client(edge.address("edge"), world.client("web")) as client:
        assert client.get("/admin/x", "wiki.example.org", world.bearer("ana")).status == 403


BAD_TOKENS = {
    "expired": {"exp": int(time.time()) - 120},
    "not yet valid": {"nbf": int(time.time()) + 3600},
    "for another audience": {"aud": "other"},
    "of an unknown issuer": {"iss": "https://evil.example"},
    "without expiry": {"exp": None},
    "an ID token": {"nonce": "n"},
    "bound to a key": {"cnf": {"jkt": "x"}},
    "of a lone surrogate": {"name": "\ud800"},
}


@pytest.mark.parametrize("name", BAD_TOKENS)
@pytest.mark.parametrize("target", ["/private", "/public/x"])
def test_a_token_that_is_not_good_is_401_on_every_route(
    edge: Gateway, world: World, upstream: Upstream, name: str, target: str
) -> None:
    with Client(edge.address("plain")) as client:
        answer = client.get(target, "wiki.example.org", world.bearer(groups=["engineering"], **BAD_TOKENS[name]))
    assert (answer.status, answer.code) == (401, "token_invalid")
    assert 'error="invalid_token"' in (answer.get("www-authenticate") or "")
    assert upstream.requests == []


@pytest.mark.parametrize("value", ["Bearer opaque", "Bearer", "Bearer a.b", "Bearer  a.b.c", "bearer a.b.c d"])
def test_a_malformed_bearer_token_is_401(edge: Gateway, upstream: Upstream, value: str) -> None:
    with Client(edge.address("plain")) as client:
        assert client.get("/public/x", "wiki.example.org", f"Authorization: {value}").code == "token_invalid"


def test_a_token_of_an_unknown_key_or_a_key_that_is_not_the_issuers_is_401(edge: Gateway, world: World) -> None:
    stranger = SigningKey.generate("one")
    with Client(edge.address("plain")) as client:
        assert client.get("/private", "wiki.example.org", world.bearer(key=stranger)).code == "token_invalid"


def test_another_scheme_is_no_credential_and_does_not_reach_the_upstream(edge: Gateway, upstream: Upstream) -> None:
    with Client(edge.address("plain")) as client:
        assert client.get("/public/x", "wiki.example.org", "Authorization: Basic c2VjcmV0").status == 200
        assert client.get("/private", "wiki.example.org", "Authorization: Basic c2VjcmV0").status == 401
    assert upstream.requests[0].values("authorization") == []


def test_two_authorization_fields_are_400(edge: Gateway, world: World, upstream: Upstream) -> None:
    line = world.bearer(groups=["engineering"])
    with Client(edge.address("plain")) as client:
        assert client.get("/private", "wiki.example.org", line, line).code == "authorization_duplicate"
    assert upstream.requests == []


@pytest.mark.parametrize("name", ["stranger", "expired"])
def test_a_certificate_that_the_tls_library_refuses_fails_the_handshake(edge: Gateway, world: World, name: str) -> None:
    before = len(edge.of_type("tls"))
    with (
        pytest.raises((ssl.SSLError, EOFError, ConnectionError)),
        Client(edge.address("edge"), world.client(name)) as client,
    ):
        client.get("/public/x")
    record = wait_for(lambda: edge.of_type("tls")[before:], "tls record")[0]
    assert record["listener"] == "edge"
    assert record["reason"]
    assert edge.metric('ztproxy_tls_handshakes_total{listener="edge",result="failed"}') >= 1


def test_a_host_that_no_route_has_is_404(edge: Gateway, upstream: Upstream) -> None:
    with Client(edge.address("plain")) as client:
        assert client.get("/x", "nobody.example.org").code == "route_not_found"


def test_a_refusal_carries_the_reference_to_quote_and_no_detail(edge: Gateway) -> None:
    with Client(edge.address("plain")) as client:
        answer = client.get("/a/../b")
    record = edge.access(answer.get("x-request-id") or "")
    assert record["code"] == "target_refused"
    assert "dot segments" in record["detail"]
    assert b"dot segments" not in answer.body
    assert answer.get("proxy-status") == 'ztproxy; error=http_request_error; details="target_refused"'
    assert answer.problem["request_id"] == record["request_id"]
    assert answer.get("cache-control") == "no-store"


def test_a_browser_gets_a_page(edge: Gateway) -> None:
    with Client(edge.address("plain")) as client:
        answer = client.get("/private", "wiki.example.org", "Accept: text/html,application/xhtml+xml,*/*;q=0.8")
    assert (answer.get("content-type") or "").startswith("text/html")
    assert (
        answer.get(
            "x-request-id",
        ).encode()
        in answer.body
    )  # type: ignore[union-attr]


def test_an_svid_that_lapses_stops_the_next_request_on_a_live_connection(
    place: object, world: World, upstream: Upstream, edge: Gateway
) -> None:
    from datetime import UTC, datetime, timedelta

    world.write(
        "brief",
        world.authority.issue_svid(
            "spiffe://example.org/ns/shop/sa/web", not_after=datetime.now(UTC) + timedelta(seconds=3)
        ),
    )
    with Client(edge.address("edge"), world.client("brief"), "api.example.org") as client:
        assert client.get("/x", "api.example.org").status == 200

        def lapsed() -> object:
            answer = client.get("/x", "api.example.org")
            return answer if answer.status != 200 else None

        answer = wait_for(lapsed, "lapse")
        assert (answer.status, answer.code, answer.get("connection")) == (401, "certificate_lapsed", "close")
        assert client.closed()


def test_a_certificate_that_the_svid_rules_refuse_is_401_and_closes(world: World, edge: Gateway) -> None:
    world.write("nameless", world.authority.issue_server(["nameless.example.org"]))
    # A server certificate of our CA: its extended key usage is not for clients, so OpenSSL refuses it already.
    with (
        pytest.raises((ssl.SSLError, EOFError, ConnectionError)),
        Client(edge.address("edge"), world.client("nameless")) as client,
    ):
        client.get("/public/x")


POLICY = """
package test
decision := {"allow": true} if input.request.path == "/yes"
decision := {"allow": false, "reasons": ["secret reason"], "public_reason": "Ask Ana."} if input.request.path == "/no"
decision := {"allow": false, "http_status": 404, "body": "hidden", "headers": {"x-why": "policy"}} if {
    input.request.path == "/hidden"
}
decision := "maybe" if input.request.path == "/malformed"
decision := {"allow": true, "colour": "green"} if input.request.path == "/unknown"
decision := to_number(input.request.query) == 1 if input.request.path == "/fails"
decision := {"allow": true, "require": {"max_age": 60}} if input.request.path == "/fresh"
decision := {"allow": true, "headers": {"x-team": "blue"}, "request_headers_to_remove": ["x-old"],
    "response_headers_to_add": {"x-policy": "seen"}} if input.request.path == "/headers"
"""


@pytest.fixture(scope="module")
def ruled(world: World, tmp_path_factory: pytest.TempPathFactory) -> object:
    place = world.copy_to(tmp_path_factory.mktemp("ruled"))
    (place / "policy.rego").write_text(POLICY)
    service = Upstream()
    text = config(
        service.url,
        routes="  - {name: own, host: own.example.org, upstream: wiki}",
        extra="policy: {path: policy.rego, decision: test/decision}",
    )
    with gateway(place, text) as running:
        yield running, service
    service.close()


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/yes", 200, None),
        ("/no", 403, "policy_denied"),
        ("/undefined", 403, "policy_undefined"),
        ("/malformed", 503, "policy_malformed"),
        ("/unknown", 503, "policy_malformed"),
        ("/fails?x", 503, "policy_failed"),
    ],
)
def test_each_way_of_not_saying_yes_has_its_code(
    ruled: tuple[Gateway, Upstream], world: World, target: str, status: int, code: str | None
) -> None:
    running, service = ruled
    service.requests.clear()
    with Client(running.address("plain")) as client:
        answer = client.get(target, "own.example.org", world.bearer())
    assert (answer.status, answer.code) == (status, code)
    assert len(service.requests) == (status == 200)
    record = running.access(answer.get("x-request-id") or service.requests[0].values("x-request-id")[0])
    decision = wait_for(
        lambda: [r for r in running.of_type("decision") if r["decision_id"] == record["decision_id"]], "decision record"
    )
    assert len(decision) == 1


def test_only_the_public_reason_leaves(ruled: tuple[Gateway, Upstream], world: World) -> None:
    with Client(ruled[0].address("plain")) as client:
        answer = client.get("/no", "own.example.org", world.bearer())
    assert b"Ask Ana." in answer.body
    assert b"secret reason" not in answer.body


def test_policy_may_choose_status_body_and_headers_of_its_refusal(
    ruled: tuple[Gateway, Upstream], world: World
) -> None:
    with Client(ruled[0].address("plain")) as client:
        answer = client.get("/hidden", "own.example.org", world.bearer())
    assert (answer.status, answer.body, answer.get("x-why")) == (404, b"hidden", "policy")


def test_policy_may_set_and_remove_headers_of_what_it_permits(ruled: tuple[Gateway, Upstream], world: World) -> None:
    running, service = ruled
    with Client(running.address("plain")) as client:
        answer = client.get("/headers", "own.example.org", "X-Old: 1", "X-Team: red", world.bearer())
    received = service.requests[-1]
    assert (received.values("x-team"), received.values("x-old"), answer.get("x-policy")) == (["blue"], [], "seen")


def test_a_sign_in_that_is_too_old_is_asked_for_again(ruled: tuple[Gateway, Upstream], world: World) -> None:
    with Client(ruled[0].address("plain")) as client:
        assert client.get("/fresh", "own.example.org", world.bearer(auth_time=int(time.time()))).status == 200
        answer = client.get("/fresh", "own.example.org", world.bearer(auth_time=int(time.time()) - 3600))
    assert (answer.status, answer.code) == (401, "step_up_required")
    challenge = answer.get("www-authenticate") or ""
    assert 'error="insufficient_user_authentication"' in challenge
    assert 'max_age="60"' in challenge or "max_age=60" in challenge


def test_who_has_not_signed_in_is_asked_to_sign_in_and_not_for_a_fresher_sign_in(
    ruled: tuple[Gateway, Upstream], world: World
) -> None:
    with Client(ruled[0].address("plain")) as client:
        answer = client.get("/fresh", "own.example.org")
    assert (answer.status, answer.code, answer.get("www-authenticate")) == (401, "credentials_missing", "Bearer")


def test_every_code_of_the_catalogue_is_spelled_as_its_key() -> None:
    assert all(code == row.code for code, row in CATALOGUE.items())
    assert json.dumps(sorted(CATALOGUE))
    assert all(400 <= row.status <= 599 for row in CATALOGUE.values())
