"""What a policy sees of a request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import INPUT_REFUSED, Refused
from proxy.http.message import CHUNKED, RequestHead
from proxy.identity.principal import ANONYMOUS, Principal
from proxy.policy.input import build_input, envoy_shape, own_shape, plain_address
from tests.policy.inquiries import ANA, NOON, ask, workload

RUNNER = workload("spiffe://example.org/ns/ci/sa/runner")


def test_the_document_holds_what_is_known_of_the_request() -> None:
    document = own_shape(
        ask(
            "POST",
            "/people/ana%20b?lang=en",
            principal=ANA,
            peer=RUNNER,
            headers=[(b"accept", b"*/*"), (b"x-many", b"a"), (b"x-many", b"b")],
        )
    )
    assert document == {
        "schema": "ztproxy/1",
        "principal": {
            "kind": "user",
            "id": "user-1",
            "issuer": "corp",
            "issuer_url": "https://idp.example.org",
            "email": "ana@example.org",
            "groups": ["staff", "engineering"],
            "claims": {"iss": "https://idp.example.org", "sub": "user-1", "department": "finance"},
            "method": "bearer",
            "authenticated_at": NOON - 60,
            "authentication": {"method": "bearer", "amr": [], "acr": ""},
        },
        "peer": {
            "kind": "workload",
            "id": "spiffe://example.org/ns/ci/sa/runner",
            "trust_domain": "example.org",
            "path": "/ns/ci/sa/runner",
        },
        "request": {
            "id": "request-1",
            "method": "POST",
            "scheme": "https",
            "host": "wiki.example.org",
            "authority": "wiki.example.org:8443",
            "path": "/people/ana%20b",
            "path_segments": ["people", "ana b"],
            "query": "lang=en",
            "headers": {"accept": "*/*", "x-many": "a, b"},
            "protocol": "HTTP/1.1",
            "has_body": False,
        },
        "route": {"name": "wiki", "labels": {"tier": "internal"}},
        "listener": "edge",
        "tls": {
            "version": "TLSv1.3",
            "sni": "wiki.example.org",
            "client_certificate": {
                "sha256": "ab" * 32,
                "subject": "CN=leaf",
                "serial": "1f",
                "not_before": NOON - 3600,
                "not_after": NOON + 3600,
                "dns": ["leaf.example.org"],
                "uri": "spiffe://example.org/ns/ci/sa/runner",
            },
        },
        "source": {"address": "203.0.113.7", "port": 50123},
        "time": {
            "now": "2024-11-24T11:19:00.250000Z",
            "unix_ns": 1732447140250000000,
            "minute_ns": 1732447140000000000,
            "minute": 19,
            "hour": 11,
            "weekday": "Sunday",
        },
    }


def test_the_document_offers_the_shape_of_opa_envoy_plugin() -> None:
    document = build_input(ask("POST", "/people?lang=en&lang=de&flag", peer=RUNNER, headers=[(b"accept", b"*/*")]))
    assert document["attributes"] == {
        "source": {
            "address": {"socketAddress": {"address": "203.0.113.7", "portValue": 50123}},
            "principal": "spiffe://example.org/ns/ci/sa/runner",
        },
        "request": {
            "time": "2024-11-24T11:19:00.250000Z",
            "http": {
                "id": "request-1",
                "method": "POST",
                "headers": {
                    ":authority": "wiki.example.org:8443",
                    ":method": "POST",
                    ":path": "/people?lang=en&lang=de&flag",
                    "accept": "*/*",
                },
                "host": "wiki.example.org:8443",
                "path": "/people?lang=en&lang=de&flag",
                "protocol": "HTTP/1.1",
                "scheme": "https",
            },
        },
        "contextExtensions": {},
        "metadataContext": {},
        "tlsSession": {"sni": "wiki.example.org"},
    }
    assert document["parsed_path"] == ["people"]
    assert document["parsed_query"] == {"lang": ["en", "de"], "flag": [""]}
    assert document["source_principal"] == "spiffe://example.org/ns/ci/sa/runner"
    assert document["truncated_body"] is False
    assert document["version"] == {"encoding": "protojson", "ext_authz": "v3"}
    assert "parsed_body" not in document


def test_the_shape_of_envoy_can_be_made_again_of_a_recorded_input() -> None:
    document = build_input(ask("GET", "/a/b?c=d", principal=ANA, peer=RUNNER))
    own = own_shape(ask("GET", "/a/b?c=d", principal=ANA, peer=RUNNER))
    assert document == own | envoy_shape(own)
    assert envoy_shape(own).keys() == {
        "attributes", "parsed_path", "parsed_query", "source_principal", "truncated_body", "version",
    }  # fmt: skip


def test_an_anonymous_request_on_a_plain_listener_has_no_peer_and_no_tls() -> None:
    document = build_input(ask(tls_version=None, sni=None, scheme="http"))
    assert (document["peer"], document["tls"]) == (None, None)
    assert document["principal"]["kind"] == "anonymous"
    assert "source_principal" not in document
    assert "principal" not in document["attributes"]["source"]


def test_a_body_is_announced_and_never_shown() -> None:
    head = RequestHead(b"PUT", b"/", (1, 1), [], framing=CHUNKED)
    document = build_input(ask("PUT", head=head))
    assert document["request"]["has_body"]
    assert document["truncated_body"]


def test_several_cookie_fields_are_one_cookie_string() -> None:
    document = build_input(ask(headers=[(b"cookie", b"a=1"), (b"cookie", b"b=2")]))
    assert document["request"]["headers"]["cookie"] == "a=1; b=2"


@pytest.mark.parametrize(
    ("target", "segments", "parsed"),
    [
        ("/", [""], [""]),
        ("/a", ["a"], ["a"]),
        ("/a/", ["a", ""], ["a", ""]),
        ("/a%2Fb/c", ["a%2Fb", "c"], ["a", "b", "c"]),
        ("/a%2fb%20c", ["a%2Fb c"], ["a", "b c"]),
        ("/a%20b/c", ["a b", "c"], ["a b", "c"]),
    ],
)
def test_own_segments_keep_an_encoded_slash_and_envoys_are_cut_at_it(
    target: str, segments: list[str], parsed: list[str]
) -> None:
    document = build_input(ask("GET", target))
    assert document["request"]["path_segments"] == segments
    assert document["parsed_path"] == parsed


def test_the_asterisk_has_no_segments() -> None:
    document = build_input(ask("OPTIONS", "*"))
    assert document["request"]["path_segments"] == []
    assert document["parsed_path"] == ["*"]


@given(
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#"))
    | st.text("a%eE9&=+;", max_size=12)
)
def test_a_query_is_parsed_as_the_standard_library_parses_it(query: str) -> None:
    parsed = build_input(ask("GET", f"/?{query}"))["parsed_query"]
    assert parsed == parse_qs(query, keep_blank_values=True)


def test_a_query_that_is_no_text_becomes_replacement_characters_in_the_parsed_form_alone() -> None:
    document = build_input(ask("GET", "/?q=caf%E9"))
    assert document["request"]["query"] == "q=caf%E9"
    assert document["parsed_query"] == {"q": ["caf\N{REPLACEMENT CHARACTER}"]}


def test_a_header_in_utf_8_is_text() -> None:
    assert build_input(ask(headers=[(b"x-name", "Ünal".encode())]))["request"]["headers"]["x-name"] == "Ünal"


@pytest.mark.parametrize(
    ("headers", "changes"),
    [
        ([(b"x-name", b"\xe9")], {}),
        ([(b"x-name", b"\xed\xa0\x80")], {}),
        ([], {"principal": replace(ANA, claims={"name": "\ud800"})}),
        ([], {"principal": replace(ANA, claims={"\udfff": 1})}),
        ([], {"principal": replace(ANA, claims={"number": float("nan")})}),
        ([], {"principal": replace(ANA, claims={"number": 2**70})}),
        ([], {"principal": replace(ANA, groups=("\ud800",))}),
        ([], {"labels": {"tier": "\ud800"}}),
        ([], {"sni": "\udcff"}),
    ],
    ids=str,
)
def test_what_an_engine_must_not_see_is_refused(headers: list[tuple[bytes, bytes]], changes: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        build_input(ask(headers=headers, **changes))
    assert refused.value.row is INPUT_REFUSED


def test_claims_that_nest_beyond_reason_are_refused() -> None:
    nested: dict[str, Any] = {}
    for _ in range(40):
        nested = {"in": nested}
    with pytest.raises(Refused) as refused:
        build_input(ask(principal=replace(ANA, claims=nested)))
    assert refused.value.row is INPUT_REFUSED


SIGNED_IN = {"auth_time": NOON - 60, "amr": ["pwd", "otp"], "acr": "phr"}
SESSION = replace(ANA, method="session", claims={"auth_time": 1.0}, authenticated_at=NOON - 61, amr=("hwk",), acr="x")


@pytest.mark.parametrize(
    ("principal", "shown"),
    [
        (
            replace(ANA, claims=SIGNED_IN),
            {"method": "bearer", "time": NOON - 60, "age": 60, "amr": ["pwd", "otp"], "acr": "phr"},
        ),
        (SESSION, {"method": "session", "time": NOON - 61, "age": 120, "amr": ["hwk"], "acr": "x"}),
        (replace(ANA, claims={"amr": "pwd", "acr": 7}), {"method": "bearer", "amr": [], "acr": ""}),
        (replace(ANA, claims={"amr": ["pwd", 7], "acr": None}), {"method": "bearer", "amr": [], "acr": ""}),
        (replace(ANA, kind="workload", method="mtls", claims=SIGNED_IN), {"method": "mtls", "amr": [], "acr": ""}),
        (ANONYMOUS, {"method": "none", "amr": [], "acr": ""}),
    ],
    ids=["a token", "a session", "a token that says it wrongly", "a list of no methods", "a workload", "nobody"],
)
def test_how_somebody_signed_in_is_what_their_session_or_token_says(
    principal: Principal, shown: dict[str, Any]
) -> None:
    assert own_shape(ask(principal=principal))["principal"]["authentication"] == shown


@pytest.mark.parametrize(
    ("seconds", "age"),
    [(0, 0), (0.5, 60), (60, 60), (60.5, 120), (900, 900), (900.1, 960), (-59, 0), (-61, None), (1e300, 6_000_000_000)],
)
def test_an_age_is_rounded_up_and_not_there_for_a_sign_in_of_the_future(seconds: float, age: int | None) -> None:
    principal = replace(ANA, claims={"auth_time": 1}, authenticated_at=NOON - seconds)
    assert own_shape(ask(principal=principal))["principal"]["authentication"].get("age") == age


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::FFFF:a00:1", "10.0.0.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("", ""),
        ("unix:/run/ztproxy.sock", ""),
        ("10.0.0.1:80", ""),
        ("1" * 100_000, ""),
    ],
)
def test_an_address_has_one_spelling(text: str, plain: str) -> None:
    assert plain_address(text) == plain


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "1970-01-01T00:00:00.000000Z"), (NOON, "2024-11-24T11:19:00.250000Z"), (1e9, "2001-09-09T01:46:40.000000Z")],
)
def test_time_is_written_in_utc_to_the_microsecond(seconds: float, text: str) -> None:
    assert own_shape(ask(time=seconds))["time"]["now"] == text
