"""An answer of a policy is a decision, to the letter, or it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.errors import POLICY_MALFORMED, POLICY_UNDEFINED, Refused
from proxy.policy.decision import UNDEFINED, Decision, StepUp, parse_decision


def test_a_boolean_is_a_decision() -> None:
    assert parse_decision(True) == Decision(allow=True)
    assert parse_decision(False) == Decision(allow=False)


def test_undefined_is_refused_in_a_way_of_its_own() -> None:
    with pytest.raises(Refused) as caught:
        parse_decision(UNDEFINED)
    assert caught.value.row is POLICY_UNDEFINED


@pytest.mark.parametrize(
    ("answer", "decision"),
    [
        ({"allow": True}, Decision(allow=True)),
        ({"allowed": True}, Decision(allow=True)),
        ({"allow": False, "allowed": False}, Decision(allow=False)),
        ({"allow": True, "reasons": ["a", "b"]}, Decision(allow=True, reasons=("a", "b"))),
        ({"allow": True, "reasons": []}, Decision(allow=True)),
        ({"allow": False, "reasons": {"b", "a"}}, Decision(allow=False, reasons=("a", "b"))),
        ({"allow": False, "public_reason": "Ask é."}, Decision(allow=False, public_reason="Ask é.")),
        (
            {"allow": True, "headers": {"X-Team": "a", "x-many": ["b", "c"]}},
            Decision(allow=True, headers=((b"x-team", b"a"), (b"x-many", b"b"), (b"x-many", b"c"))),
        ),
        ({"allow": True, "headers": {"x-name": "é"}}, Decision(allow=True, headers=((b"x-name", "é".encode()),))),
        ({"allow": True, "headers": {"x-empty": ""}}, Decision(allow=True, headers=((b"x-empty", b""),))),
        ({"allow": True, "headers": {"cookie": "a=b"}}, Decision(allow=True, headers=((b"cookie", b"a=b"),))),
        (
            {"allow": True, "request_headers_to_remove": ["X-Secret"]},
            Decision(allow=True, request_headers_to_remove=(b"x-secret",)),
        ),
        (
            {"allow": True, "response_headers_to_add": {"x-a": "1"}},
            Decision(allow=True, response_headers_to_add=((b"x-a", b"1"),)),
        ),
        ({"allow": False, "http_status": 300}, Decision(allow=False, http_status=300)),
        ({"allow": False, "http_status": 599, "body": "no"}, Decision(allow=False, http_status=599, body=b"no")),
        ({"allow": False, "http_status": 404.0}, Decision(allow=False, http_status=404)),
        ({"allow": True, "require": {"max_age": 0}}, Decision(allow=True, require=StepUp(max_age=0))),
        ({"allow": True, "require": {"acr": "phr"}}, Decision(allow=True, require=StepUp(acr=("phr",)))),
        ({"allow": False, "require": {"max_age": "15m"}}, Decision(allow=False, require=StepUp(max_age=900))),
        ({"allow": True, "require": {"max_age": "2h"}}, Decision(allow=True, require=StepUp(max_age=7200))),
        (
            {"allow": True, "require": {"max_age": 60, "acr": ["phr", "phrh"]}},
            Decision(allow=True, require=StepUp(max_age=60, acr=("phr", "phrh"))),
        ),
        ({"allow": True, "dynamic_metadata": {"a": [1]}}, Decision(allow=True, dynamic_metadata={"a": [1]})),
    ],
)  # fmt: skip
def test_an_object_of_known_keys_is_a_decision(answer: dict[str, Any], decision: Decision) -> None:
    assert parse_decision(answer) == decision


@pytest.mark.parametrize(
    "answer",
    [
        None, 0, 1, 1.0, "", "true", "allow", [], [True], ["allow"], {}, {"reasons": ["a"]},
        {"allow": 1}, {"allow": "true"}, {"allow": None}, {"allow": []}, {"allow": {"allow": True}},
        {"allow": True, "allowed": False}, {"allow": False, "allowed": True}, {"allow": True, "allowed": 1},
        {"allow": True, "extra": 1}, {"allow": True, "query_parameters_to_set": {}}, {"allow": True, "Allow": True},
        {"allow": True, "reasons": "a"}, {"allow": True, "reasons": [1]}, {"allow": True, "reasons": {"a": 1}},
        {"allow": True, "reasons": None}, {"allow": False, "reasons": ["\ud800"]},
        {"allow": False, "public_reason": 1}, {"allow": False, "public_reason": None},
        {"allow": False, "public_reason": "\ud800"},
        {"allow": False, "http_status": 299}, {"allow": False, "http_status": 600}, {"allow": False, "http_status": 0},
        {"allow": False, "http_status": "403"}, {"allow": False, "http_status": 403.5},
        {"allow": False, "http_status": True}, {"allow": False, "http_status": 10**400},
        {"allow": False, "http_status": float("inf")}, {"allow": False, "http_status": float("nan")},
        {"allow": True, "http_status": 403}, {"allow": True, "body": "x"},
        {"allow": False, "body": 1}, {"allow": False, "body": ["x"]}, {"allow": False, "body": "\ud800"},
        {"allow": True, "require": {}}, {"allow": True, "require": []}, {"allow": True, "require": {"amr": "x"}},
        {"allow": True, "require": {"max_age": -1}}, {"allow": True, "require": {"max_age": "60"}},
        {"allow": True, "require": {"max_age": "1.5h"}},
        {"allow": True, "require": {"max_age": "-1m"}}, {"allow": True, "require": {"max_age": "15m\n"}},
        {"allow": True, "require": {"max_age": 1.5}}, {"allow": True, "require": {"max_age": True}},
        {"allow": True, "require": {"acr": 1}}, {"allow": True, "require": {"acr": [1]}},
        {"allow": True, "require": {"max_age": None}},
        {"allow": True, "dynamic_metadata": []}, {"allow": True, "dynamic_metadata": "x"},
        {"allow": True, "headers": []}, {"allow": True, "headers": [["x-a", "1"]]},
        {"allow": True, "headers": {"x-a": 1}},
        {"allow": True, "headers": {"x-a": None}}, {"allow": True, "headers": {"x-a": [1]}},
        {"allow": True, "headers": {"x-a": {"b": 1}}}, {"allow": True, "headers": {1: "a"}},
        {"allow": True, "response_headers_to_add": {"x-a": "a\rb"}},
        {"allow": True, "request_headers_to_remove": "x-a"}, {"allow": True, "request_headers_to_remove": [1]},
    ],
    ids=repr,
)  # fmt: skip
def test_anything_else_is_malformed(answer: object) -> None:
    with pytest.raises(Refused) as caught:
        parse_decision(answer)
    assert caught.value.row is POLICY_MALFORMED


@pytest.mark.parametrize(
    "name",
    [
        # framing and hop by hop
        "content-length", "Content_Length", "transfer-encoding", "connection", "keep-alive", "te", "upgrade",
        "proxy-authorization", "proxy-connection", "expect",
        # Host, and what would be read in its place
        "host", "Host", "x-original-url", "x-rewrite-url", "x-http-method-override",
        # who is calling, and from where
        "x-ztproxy-subject", "X-Ztproxy-Groups", "x_ztproxy_email", "x.ztproxy.subject", "x-ztproxy-anything",
        "x-forwarded-for", "X_Forwarded_For", "forwarded", "x-forwarded-client-cert", "client-cert", "x-request-id",
        "traceparent", "x-remote-user", "x-auth-request-user",
        # no names at all
        "", "a b", "a:b", "a\nb", "é", "x-a\x00", "\ud800",
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("key", ["headers", "response_headers_to_add", "request_headers_to_remove"])
def test_a_policy_does_not_write_a_field_that_is_ours(key: str, name: str) -> None:
    value: Any = [name] if key == "request_headers_to_remove" else {name: "x"}
    with pytest.raises(Refused) as caught:
        parse_decision({"allow": True, key: value})
    assert caught.value.row is POLICY_MALFORMED


@pytest.mark.parametrize(
    "value", ["a\rb", "a\nb", "a\r\nx: y", "a\x00b", "\x7f", "\x01", " a", "a ", "\ta", "\ud800", "a\x0bb"], ids=repr
)
@pytest.mark.parametrize("key", ["headers", "response_headers_to_add"])
def test_a_field_value_holds_no_control_character(key: str, value: str) -> None:
    for item in (value, ["fine", value]):
        with pytest.raises(Refused) as caught:
            parse_decision({"allow": False, key: {"x-a": item}})
        assert caught.value.row is POLICY_MALFORMED


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("set-cookie", "ztproxy_session=1"),
        ("Set-Cookie", "__Host-ztproxy=1; Path=/"),
        ("cookie", "a=b; __Secure-ztproxy=1"),
        ("cookie", "a=b;ZTPROXY=1"),
    ],
)
def test_a_policy_does_not_write_a_cookie_of_ours(name: str, value: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_decision({"allow": True, "response_headers_to_add": {name: value}})
    assert caught.value.row is POLICY_MALFORMED
