"""The decision record: whole enough to replay, and without a secret."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import POLICY_UNDEFINED, Refused
from proxy.policy.audit import erase_query, is_secret
from proxy.policy.decision import UNDEFINED
from proxy.policy.input import Inquiry, own_shape
from proxy.policy.record import Facts, Spelling, Told, spell, told_result
from tests.policy.inquiries import ANA, NOON, ask, workload

_SPELLING = Spelling("sha256:1")
SECRET = "s3cr3t-0123456789"


def _line(inquiry: Inquiry, result: Told | None, failure: Refused | None = None) -> bytes:
    ids = inquiry.decision_id, inquiry.request_id, inquiry.time
    return spell(*Facts(_SPELLING, inquiry, *ids, "ztproxy/authz/decision", result, 4200, failure))


def _record(inquiry: Inquiry, result: object = True, failure: Refused | None = None) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(_line(inquiry, told_result(result), failure))
    return record


def test_a_record_is_in_opas_decision_log_format() -> None:
    inquiry = ask(principal=ANA, peer=workload("spiffe://example.org/device/1"))
    record = _record(inquiry, {"allow": True, "reasons": ["allow[0]"]})
    assert record == {
        "type": "decision",
        "decision_id": "decision-1",
        "path": "ztproxy/authz/decision",
        "input": own_shape(inquiry),
        "result": {"allow": True, "reasons": ["allow[0]"]},
        "bundles": {"policy": {"revision": "sha256:1"}},
        "metrics": {"timer_rego_query_eval_ns": 4200},
        "timestamp": "2024-11-24T11:19:00.250000Z",
        "erased": [],
    }


def test_an_answer_of_null_is_recorded_and_no_answer_is_not() -> None:
    document = ask()
    assert _record(document, None)["result"] is None
    assert "result" not in _record(document, UNDEFINED, Refused(POLICY_UNDEFINED, "the rule is undefined"))


def test_a_failure_is_recorded_by_its_code() -> None:
    record = _record(ask(), UNDEFINED, Refused(POLICY_UNDEFINED, "the rule is undefined"))
    assert record["error"] == {"code": "policy_undefined", "message": "the rule is undefined"}


@pytest.mark.parametrize(
    "name",
    [
        b"authorization", b"proxy-authorization", b"cookie", b"set-cookie", b"x-api-key", b"apikey", b"x-auth-token",
        b"x-amz-security-token", b"x-csrf-token", b"private-token", b"x-jwt-assertion", b"x-goog-iap-jwt-assertion",
        b"cf-access-client-secret", b"x-hub-signature-256", b"x_api_key", b"x-session-id", b"api.key",
    ],
)  # fmt: skip
def test_a_header_that_carries_a_credential_is_erased_and_listed(name: bytes) -> None:
    record = _record(ask(headers=[(b"accept", b"*/*"), (name, SECRET.encode())]))
    assert SECRET not in json.dumps(record)
    assert record["input"]["request"]["headers"] == {"accept": "*/*"}
    assert record["erased"] == [f"/input/request/headers/{name.decode()}"]


@pytest.mark.parametrize(
    "parameter",
    [
        "access_token", "id_token", "refresh_token", "token", "code", "client_secret", "client_assertion", "password",
        "api_key", "apikey", "key", "sig", "signature", "X-Amz-Signature", "X-Amz-Credential", "jwt", "session_id",
        "sid", "SAMLResponse", "state", "ticket", "access%5Ftoken", "ACCESS_TOKEN", "code_verifier",
    ],
)  # fmt: skip
def test_a_query_parameter_that_carries_a_credential_is_erased_and_listed(parameter: str) -> None:
    record = _record(ask(target=f"/a?page=2&{parameter}={SECRET}&q=x"))
    assert SECRET not in json.dumps(record)
    assert record["input"]["request"]["query"] == f"page=2&{parameter}=erased&q=x"
    assert record["erased"] == ["/input/request/query"]


def test_a_referer_loses_the_token_in_its_query_and_stays() -> None:
    referer = f"https://a.example/cb?code={SECRET}&lang=en#access_token={SECRET}"
    record = _record(ask(headers=[(b"referer", referer.encode())]))
    expected = "https://a.example/cb?code=erased&lang=en#access_token=erased"
    assert record["input"]["request"]["headers"]["referer"] == expected
    assert record["erased"] == ["/input/request/headers/referer"]


def test_claims_and_answers_lose_what_is_secret_at_any_depth() -> None:
    claims = {"sub": "user-1", "act": {"api_key": SECRET}, "links": [{"url": f"https://x/?token={SECRET}"}]}
    result = {
        "allow": True,
        "headers": {"authorization": f"Bearer {SECRET}", "x-team": "blue"},
        "response_headers_to_add": {"set-cookie": [SECRET]},
        "dynamic_metadata": {"a/b": {"client~secret": SECRET}},
    }
    record = _record(ask(principal=replace(ANA, claims=claims)), result)
    assert SECRET not in json.dumps(record)
    assert record["result"]["headers"] == {"x-team": "blue"}
    assert record["erased"] == [
        "/input/principal/claims/act/api_key",
        "/input/principal/claims/links/0/url",
        "/result/headers/authorization",
        "/result/response_headers_to_add/set-cookie",
        "/result/dynamic_metadata/a~1b/client~0secret",
    ]


def test_how_somebody_signed_in_is_no_secret_and_a_claim_of_that_name_is_one() -> None:
    claims = {"auth_time": 1, "amr": ["otp"], "authentication": SECRET}
    record = _record(ask(principal=replace(ANA, claims=claims)))
    expected = {"method": "bearer", "amr": ["otp"], "acr": "", "time": NOON - 60, "age": 60}
    assert record["input"]["principal"]["authentication"] == expected
    assert record["erased"] == ["/input/principal/claims/authentication"]


def test_a_record_counts_the_age_of_a_sign_in_from_its_own_request() -> None:
    inquiry = ask(principal=replace(ANA, claims={"auth_time": 1}))
    ages = []
    for inquiry.time in (NOON, NOON + 60, NOON - 600):
        ages.append(_record(inquiry)["input"]["principal"]["authentication"].get("age"))
    assert ages == [60, 120, None]


def test_erasing_leaves_what_policy_is_shown_as_it_was() -> None:
    inquiry = ask(target="/?token=x", headers=[(b"cookie", b"a=1")], principal=replace(ANA, claims={"sid": "1"}))
    before = json.dumps(own_shape(inquiry))
    _record(inquiry)
    assert json.dumps(own_shape(inquiry)) == before


# Everything that a request may say, told through what is spelled once and what is not: the record is the document.
_WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_INQUIRIES = st.builds(
    ask,
    st.sampled_from(["GET", "POST", "OPTIONS"]),
    st.sampled_from(["/", "/a/b", "/a?b=c&d", "/%C3%A9/%22", "/a?"]),
    principal=st.builds(
        lambda name, groups, claims: replace(ANA, id=name, groups=tuple(groups), claims=claims),
        _WORDS,
        st.lists(_WORDS, max_size=3),
        st.dictionaries(
            st.sampled_from(["a", "b", "é", "auth_time", "acr"]), st.none() | st.booleans() | st.integers() | _WORDS
        ),
    ),
    peer=st.sampled_from([None, workload("spiffe://example.org/device/1"), workload("spiffe://example.org/a/b")]),
    headers=st.lists(st.tuples(st.sampled_from([b"accept", b"x-a"]), _WORDS.map(str.encode)), max_size=3),
    route=st.sampled_from(["wiki", 'a"b']),
    labels=st.sampled_from([{}, {"tier": "internal"}, {'"': "\n"}]),
    listener=_WORDS,
    tls_version=st.sampled_from([None, "TLSv1.3"]),
    sni=st.none() | _WORDS,
    source=st.sampled_from(["10.0.0.1", "::1", "", "::ffff:10.0.0.1"]),
    source_port=st.integers(0, 65535),
    time=st.floats(0, 4e9),
    request_id=_WORDS,
)


@settings(max_examples=300)
@given(_INQUIRIES)
def test_the_input_of_a_record_is_the_document_whoever_asked_before(inquiry: Inquiry) -> None:
    record = json.loads(_line(inquiry, told_result(True)))
    assert record["input"] == own_shape(inquiry)
    assert record["timestamp"] == record["input"]["time"]["now"]


@pytest.mark.parametrize(
    "name", ["page", "q", "accept", "user-agent", "sub", "email", "department", "x-request-id", "iss"]
)
def test_what_a_reader_needs_is_kept(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("", ""),
        ("a=b", "a=b"),
        ("token", "token"),
        ("token=", "token=erased"),
        ("token=a=b", "token=erased"),
        ("a=1;token=x;b=2", "a=1;token=erased;b=2"),
        ("a?token=x", "a?token=erased"),
        ("?token=x?y", "?token=erased?y"),
    ],
)
def test_a_query_keeps_its_form(text: str, clean: str) -> None:
    assert erase_query(text) == clean


def test_a_long_value_without_delimiters_costs_no_more_than_its_length() -> None:
    text = "x=1&" + "a" * 1_000_000
    assert erase_query(text) == text
    assert is_secret("a" * 1_000_000 + "token")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x-upstream", f"Bearer {SECRET}"),
        (b"x-c", f"basic {SECRET}"),
        (b"sec-websocket-protocol", f"base64url.bearer.authorization.k8s.io.{SECRET}"),
        (b"x-data", f"eyJhbGciOiJub25lIn0.eyJ4Ijoi{SECRET}In0.x"),
        (b"referer", f"https://user:{SECRET}@example.org/"),
        (b"x-functions-key", SECRET),
        (b"x-auth", SECRET),
        (b"dpop", SECRET),
        (b"connect.sid", SECRET),
    ],
)
def test_a_credential_is_erased_whatever_its_field_is_called(name: bytes, value: str) -> None:
    document = ask(headers=[(name, value.encode()), (b"x-kept", b"plain")])
    record = _record(document)
    assert SECRET not in json.dumps(record)
    assert record["input"]["request"]["headers"]["x-kept"] == "plain"
    assert record["erased"] == [f"/input/request/headers/{name.decode()}"]


@pytest.mark.parametrize(
    "query",
    [
        f"x=https%3A%2F%2Fh%2F%3Ftoken%3D{SECRET}",
        f"%2574oken={SECRET}",
        f"next=%2Fa%26code%3D{SECRET}",
        f"t=eyJhbGciOiJub25lIn0.eyJ4Ijoi{SECRET}In0.x",
    ],
)
def test_a_credential_is_found_in_a_query_within_a_query(query: str) -> None:
    assert SECRET not in erase_query(query)
