"""The public suites against these rooms, every case, whole and one byte at a time.

Whatever is not as a suite has it stands in a table here with its reason: what is valid and refused, and what is
invalid and not refused. A case that is not in a table is as the suite has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from proxy.errors import CATALOGUE, HOST_REFUSED, INTERNAL_ERROR, POLICY_DENIED, UPSTREAM_MALFORMED, Refused
from proxy.http.h1 import encode_response
from proxy.http.headers import clean_response
from proxy.http.message import ResponseHead, Target
from proxy.http.respond import Answer, redirect, refusal
from proxy.http.target import match_path, parse_host
from tests.http.wire import Seen, answers, receive
from tests.suites import suite, suite_json

GUNICORN: dict[str, Any] = {case["id"]: case for case in suite_json("http1/gunicorn-requests.json")["cases"]}
LLHTTP: dict[str, Any] = {case["id"]: case for case in suite_json("http1/llhttp.json")["cases"]}

_HOST = b"suite.example"

CODINGS = "chunked is the only transfer coding that we read; another would have to be undone or passed on in doubt"
HOST_FORM = "a host of other characters than those of a DNS name or an address is refused"
FRAGMENT = "a target has no fragment (RFC 9112 section 3.2.1)"
CONTENT = "content of a GET has no meaning, and a server that leaves it takes it for the next request"
BEYOND_URI = "characters outside RFC 3986 that browsers encode"
METHOD = "not a method that we know: 501"
OPTION = "what an option of the other server permits, and we never do"
FALSE_SPELLING = "a false spelling of a framing field is refused, not dropped"
EMPTY_SEGMENT = "empty segments are refused on every route"
USERINFO = "a target has no userinfo (RFC 9110 section 4.2.4)"
CONNECT = "CONNECT is not offered: 501"
PROXY_PROTOCOL = "the PROXY protocol is read before HTTP, by the transport"

GUNICORN_VALID_REFUSED = {
    "gunicorn-valid-002": HOST_FORM,
    "gunicorn-valid-003": HOST_FORM,
    "gunicorn-valid-005": FRAGMENT,
    "gunicorn-valid-008": CONTENT,
    "gunicorn-valid-009": CODINGS,
    "gunicorn-valid-014": BEYOND_URI,
    "gunicorn-valid-020": CONTENT,
    "gunicorn-valid-025": CODINGS,
    "gunicorn-valid-025_line": CODINGS,
    "gunicorn-valid-027": BEYOND_URI,
    "gunicorn-valid-028": OPTION,
    "gunicorn-valid-029": CODINGS,
    "gunicorn-valid-030": CODINGS,
    "gunicorn-valid-031": METHOD,
    "gunicorn-valid-031compat": METHOD,
    "gunicorn-valid-031compat2": METHOD,
    "gunicorn-valid-040": FALSE_SPELLING,
    "gunicorn-valid-040_compat": FALSE_SPELLING,
    "gunicorn-valid-100": EMPTY_SEGMENT,
    "gunicorn-valid-compat_obs_fold": OPTION,
    "gunicorn-valid-compat_obs_fold_huge": OPTION,
    "gunicorn-valid-pp_01": PROXY_PROTOCOL,
    "gunicorn-valid-pp_02": PROXY_PROTOCOL,
    "gunicorn-valid-pp_04": PROXY_PROTOCOL,
    "gunicorn-valid-pp_05": PROXY_PROTOCOL,
    "gunicorn-valid-rfc9110_body_framing_get_cl_nonzero_01": CONTENT,
    "gunicorn-valid-rfc9112_smuggle_gzip_chunked_01": CODINGS,
    "gunicorn-valid-rfc9112_smuggle_te_identity_chunked_01": CODINGS,
    "gunicorn-valid-rfc9112_target_absolute_userinfo_01": USERINFO,
    "gunicorn-valid-rfc9112_target_authority_connect_01": CONNECT,
    "gunicorn-valid-rfc9112_target_authority_ipv6_01": CONNECT,
}
BOUND = "longer than the other server's default or option allows, and within our bounds"
GUNICORN_INVALID_PASSED = {
    "gunicorn-invalid-006": BOUND,
    "gunicorn-invalid-007": BOUND,
    "gunicorn-invalid-008": BOUND,
    "gunicorn-invalid-010": BOUND,
    "gunicorn-invalid-017": BOUND,
    "gunicorn-invalid-limit_header_default_01": BOUND,
    "gunicorn-invalid-019": "the contradicting X-Forwarded fields are not believed, and dropped",
}
# Nothing is wrong yet with what has come: the proxy waits, and its deadlines end that.
GUNICORN_INCOMPLETE = frozenset({"gunicorn-invalid-001", "gunicorn-invalid-rfc9112_chunked_missing_final_crlf_01"})


# The file has not the whole body that the case's length announces.
GUNICORN_CUT = frozenset({"gunicorn-valid-099"})


def _both_ways(raw: bytes, **how: Any) -> Seen:
    """Return what came of the bytes, having seen that it is the same one byte at a time."""
    seen = receive(raw, **how)
    assert receive(raw, size=1, **how).summary == seen.summary
    return seen


@pytest.mark.parametrize("name", [name for name, case in GUNICORN.items() if case["valid"]])
def test_gunicorn_valid(name: str) -> None:
    case = GUNICORN[name]
    raw = case["raw_latin1"].encode("latin-1")
    seen = _both_ways(raw, host=_HOST)
    if name in GUNICORN_VALID_REFUSED:
        assert seen.refused is not None
        assert not seen.complete
        return
    assert seen.refused is None
    if name in GUNICORN_CUT:
        assert (len(seen.messages), len(seen.complete)) == (1, 0)
        return
    assert [_as_gunicorn_has_it(message) for message in seen.complete] == [
        (request["method"], request["uri"]["raw"], request["headers"], request["body"]) for request in case["requests"]
    ]
    # Most cases lack a Host and were given one above; without it they are 400 (RFC 9112 section 3.2).
    lacks_host = any(message.head.version == (1, 1) and not message.head.values(b"host") for message in seen.messages)
    strict = receive(raw).refused
    assert (strict is not None and strict.row is HOST_REFUSED) if lacks_host else strict is None


def _as_gunicorn_has_it(message: Any) -> tuple[str, str, list[list[str]], str]:
    headers = [[name.decode().upper(), value.decode("latin-1")] for name, value in message.head.headers]
    return message.head.method.decode(), message.head.target.decode(), headers, message.body.decode("latin-1")


@pytest.mark.parametrize("name", [name for name, case in GUNICORN.items() if not case["valid"]])
def test_gunicorn_invalid(name: str) -> None:
    case = GUNICORN[name]
    seen = _both_ways(case["raw_latin1"].encode("latin-1"), host=_HOST)
    if name in GUNICORN_INCOMPLETE:
        assert seen.refused is None
        assert not seen.complete
        return
    if name in GUNICORN_INVALID_PASSED:
        assert len(seen.complete) == 1
        return
    assert seen.refused is not None
    assert not seen.complete


# --- llhttp. Its file lost the line ends at the end of each case; where a case lacks them, an empty line is put back.

TWO_EMPTY_LINES = "one empty line before a request is forgiven (RFC 9112 section 2.2), no more"
OCTAL = "a leading zero is octal to some readers"
PROTOCOL = "another protocol than HTTP/1.0 and HTTP/1.1"
OTHER_HOST = "the suite has no Host; the one put in is not the target's"
BETWEEN_ANSWERS = "bytes between answers belong to none"
LLHTTP_VALID_REFUSED = {
    "llhttp-request-connection-4": TWO_EMPTY_LINES,
    "llhttp-request-content-length-21": OCTAL,
    "llhttp-request-content-length-22": OCTAL,
    "llhttp-request-content-length-29": CONTENT,
    "llhttp-request-method-80": METHOD,
    "llhttp-request-method-82": METHOD,
    "llhttp-request-method-86": METHOD,
    "llhttp-request-method-87": METHOD,
    "llhttp-request-method-88": PROTOCOL,
    "llhttp-request-method-89": METHOD,
    "llhttp-request-sample-108": HOST_FORM,
    "llhttp-request-sample-109": HOST_FORM,
    "llhttp-request-sample-115": PROTOCOL,
    "llhttp-request-transfer-encoding-143": CODINGS,
    "llhttp-request-transfer-encoding-144": CODINGS,
    "llhttp-request-uri-155": BEYOND_URI,
    "llhttp-request-uri-157": OTHER_HOST,
    "llhttp-request-uri-158": OTHER_HOST,
    "llhttp-request-uri-160": OTHER_HOST,
    "llhttp-request-uri-162": FRAGMENT,
    "llhttp-request-uri-164": USERINFO,
    "llhttp-response-connection-182": BETWEEN_ANSWERS,
    "llhttp-response-sample-222": PROTOCOL,
    "llhttp-response-sample-223": PROTOCOL,
    "llhttp-response-sample-237": PROTOCOL,
    "llhttp-response-sample-239": BETWEEN_ANSWERS,
    "llhttp-response-transfer-encoding-241": CODINGS,
    "llhttp-response-transfer-encoding-242": CODINGS,
    "llhttp-response-transfer-encoding-243": CODINGS,
}
# llhttp reports an error; we answer what came before it, close, and never look at the rest.
AFTER_CLOSE = 5


def _llhttp(case: dict[str, Any]) -> Seen:
    raw = case["raw_latin1"].encode("latin-1")
    seen = _feed(case, raw)
    if seen.refused is None and not seen.closed and len(seen.complete) <= case["complete"]:
        again = _feed(case, raw + b"\r\n\r\n")
        if not case["accept"] or len(seen.complete) < case["complete"]:
            return again
    return seen


def _feed(case: dict[str, Any], raw: bytes) -> Seen:
    if case["type"].startswith("request"):
        return _both_ways(raw, host=_HOST)
    method = b"HEAD" if case["meta"].get("skipBody") else b"GET"
    seen = answers(raw, method=method)
    assert answers(raw, size=1, method=method).summary == seen.summary
    return seen


def _of_types(strict: bool) -> list[str]:
    return [name for name, case in LLHTTP.items() if (case["type"] in ("request", "response")) is strict]


@pytest.mark.parametrize("name", _of_types(strict=True))
def test_llhttp_strict(name: str) -> None:
    case = LLHTTP[name]
    seen = _llhttp(case)
    if name in LLHTTP_VALID_REFUSED:
        assert case["accept"]
        assert seen.refused is not None
        assert all(
            isinstance(message.head, ResponseHead) and message.head.status < 200 for message in seen.complete
        ) or (name == "llhttp-request-connection-4" and len(seen.complete) == 1)
    elif case["accept"]:
        assert seen.refused is None
        # An upstream's answer ends its exchange: what follows the first final one is nobody's.
        expected = min(case["complete"], 1) if seen.closed else case["complete"]
        if case["type"] == "request" and case["meta"].get("skipBody"):
            expected = 0  # a switch of that parser's takes bodies for absent; ours has none
        assert len(seen.complete) >= expected
        if not seen.closed and expected:
            assert b"".join(message.body for message in seen.messages).decode("latin-1") == case["body"]
    elif case["error"]["code"] == AFTER_CLOSE:
        assert seen.closed
        assert len(seen.complete) == case["complete"]
    else:
        assert seen.refused is not None
        assert len(seen.complete) < max(case["messages"], 1)


# What llhttp takes under a leniency, and we take too since it is no leniency of ours: the connection closes behind the
# first message, or the case is not lenient but about the end of the stream.
LLHTTP_LENIENT_PASSED = {
    "llhttp-request-connection-3": "closed behind the first request",
    "llhttp-request-connection-10": "closed behind the first request",
    "llhttp-response-connection-172": "nothing behind the answer is read",
    "llhttp-response-connection-174": "nothing behind the answer is read",
    "llhttp-request-finish-39": "a whole request, then the end",
    "llhttp-request-finish-40": "an end within a body",
    "llhttp-response-finish-188": "an end within a head",
}


@pytest.mark.parametrize("name", _of_types(strict=False))
def test_llhttp_lenient(name: str) -> None:
    seen = _feed(LLHTTP[name], LLHTTP[name]["raw_latin1"].encode("latin-1") + b"\r\n\r\n")
    if name in LLHTTP_LENIENT_PASSED:
        assert len(seen.complete) <= 1
    else:
        assert seen.refused is not None


# --- HTTP Desync Guardian. A request is Compliant, Acceptable, Ambiguous or Severe; the last two must not pass.

DESYNC: dict[str, Any] = {
    f"{path.stem}-{number}": case
    for path in sorted(suite("http1/aws-desync").glob("*.yaml"))
    for number, case in enumerate(yaml.safe_load(path.read_text(encoding="utf-8")))
}
ENCODED_CONTROL = "control characters are refused on every route, encoded too"
DESYNC_VALID_REFUSED = {
    "more-compliant-tests-5": CODINGS,
    "more-compliant-tests-7": CODINGS,
    "more-compliant-tests-8": CODINGS,
    "more-compliant-tests-9": CODINGS,
    "rfc-compliant-8": CODINGS,
    "rfc-compliant-9": CODINGS,
    "rfc-compliant-10": CODINGS,
    "rfc-compliant-11": FRAGMENT,
    "rfc-compliant-12": BEYOND_URI,
    "rfc-compliant-13": "a target is not empty",
    "uri-specific-test-cases-10": ENCODED_CONTROL,
    "uri-specific-test-cases-12": ENCODED_CONTROL,
    "uri-specific-test-cases-13": ENCODED_CONTROL,
}


def _desync(case: dict[str, Any]) -> bytes:
    lines = [f"{case['method']} {case['uri']} {case['version']}".rstrip(" ")]
    lines += [f"{header['name']}:{header['value']}" for header in case["headers"] or []]
    text = "\r\n".join([*lines, "", ""])
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


@pytest.mark.parametrize("name", DESYNC)
def test_desync(name: str) -> None:
    seen = _both_ways(_desync(DESYNC[name]), host=_HOST)
    match DESYNC[name]["expected"]["tier"]:
        case "Ambiguous" | "Severe":
            assert seen.refused is not None
            assert not seen.messages
        case "Compliant":
            assert (seen.refused is not None) is (name in DESYNC_VALID_REFUSED)
            assert bool(seen.messages) is (name not in DESYNC_VALID_REFUSED)


# --- Paths. What passes is decided as its path says, or as the path that a lenient upstream makes of it.

PATHS: dict[str, Any] = {case["id"]: case for case in suite_json("paths/cases.json")["cases"]}
OPEN = ("/public", "/bypass")
STRIPPED = "/api"


def _target(raw: bytes) -> Target | None:
    """Return where a request line leads on a route that refuses `%2F`, the default, or None where it is refused."""
    seen = _both_ways(raw + b"\r\nHost: proxy.example\r\n\r\n")
    if seen.refused is not None:
        return None
    target = seen.messages[0].target
    return None if target is None or target.encoded_slash else target


def _is_open(segments: tuple[str, ...]) -> bool:
    return any(match_path(pattern, segments) for pattern in OPEN)


@pytest.mark.parametrize("name", [name for name, case in PATHS.items() if "request_target" in case])
def test_paths(name: str) -> None:
    case = PATHS[name]
    raw = case["request_target"].encode()
    target = _target(b"GET " + raw + b" HTTP/1.1")
    if case["kind"] == "benign":
        assert target is not None
        assert target.origin_form == raw
    elif target is not None:
        resolved = tuple(case["lenient_upstream_resolves_to"].split("/")[1:])
        assert _is_open(target.segments) is _is_open(resolved)
        assert not match_path(STRIPPED, target.segments)
        assert target.origin_form == raw


LINES_PASSED = {"form-09": "options of the server as a whole is the proxy's to answer"}


@pytest.mark.parametrize("name", [name for name, case in PATHS.items() if "request_line" in case])
def test_request_lines(name: str) -> None:
    line = PATHS[name]["request_line"]
    for raw in (line.encode(), line.encode("latin-1").decode("unicode_escape").encode("latin-1")):
        assert (_target(raw) is not None) is (name in LINES_PASSED)


SAME_HOST = {"host-01": ("secret.example.com", None), "host-05": ("secret.example.com", 8443)}


@pytest.mark.parametrize("name", [name for name, case in PATHS.items() if "host_header" in case])
def test_hosts(name: str) -> None:
    raw = PATHS[name]["host_header"].encode()
    if name in SAME_HOST:
        assert parse_host(raw) == SAME_HOST[name]
    else:
        seen = _both_ways(b"GET / HTTP/1.1\r\nHost: " + raw + b"\r\n\r\n")
        assert seen.refused is not None
        assert seen.refused.row is HOST_REFUSED


# --- CISPA's conformance rules, for what we accept and what we write. The rest, by reason.

CISPA: dict[str, Any] = {rule["id"]: rule for rule in suite_json("http1/cispa-http-conformance-rules.json")["rules"]}


def _request_status(raw: bytes) -> int:
    seen = _both_ways(raw)
    assert seen.refused is not None
    return seen.refused.status


def _answer_refused(raw: bytes) -> bool:
    refused = answers(raw).refused
    return refused is not None and refused.row is UPSTREAM_MALFORMED


def _refusals() -> list[Answer]:
    """Every refusal of the catalogue, both ways it can look."""
    return [
        refusal(Refused(row), request_id="r", accept=accept)
        for row in CATALOGUE.values()
        for accept in (b"*/*", b"text/html")
    ]


def _value(answer: Answer, name: bytes) -> bytes:
    return dict(answer.headers)[name]


_HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
_OK = b"HTTP/1.1 200 OK\r\n"
# Every element holds.
CISPA_HOLDS: dict[str, Callable[[], list[bool]]] = {
    "reject_fields_contaning_cr_lf_nul": lambda: [
        _request_status(_HEAD + b"X: a" + bad + b"b\r\n\r\n") == 400 for bad in (b"\r", b"\n", b"\0")
    ],
    "code_400_after_bad_host_request": lambda: [
        _request_status(b"GET / HTTP/1.1\r\n" + hosts + b"\r\n") == 400
        for hosts in (b"", b"Host: a\r\nHost: a\r\n", b"Host: a/b\r\n", b"Host: \r\n")
    ],
    "code_501_unknown_methods": lambda: [_request_status(b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n") == 501],
    "allow_crlf_start": lambda: [len(_both_ways(b"\r\n" + _HEAD + b"\r\n").complete) == 1],
    "reject_msgs_with_whitespace_between_startline_and_first_header_field": lambda: [
        _request_status(b"GET / HTTP/1.1\r\n" + space + b"X: a\r\nHost: a\r\n\r\n") == 400 for space in (b" ", b"\t")
    ],
    "code_400_if_msg_with_whitespace_between_header_field_and_colon": lambda: [
        _request_status(_HEAD + b"X" + space + b": a\r\n\r\n") == 400 for space in (b" ", b"\t", b"\r\n ")
    ],
    "continue_before_upgrade": lambda: [
        _request_status(_HEAD + b"Expect: 100-continue\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n") == 501
    ],
    "content_length_2XX_connect": lambda: [_request_status(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n") == 501],
    "transfer_encoding_2XX_connect": lambda: [_request_status(b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n") == 501],
    "content_length_1XX_204": lambda: [
        _answer_refused(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 1\r\n\r\n"),
        _answer_refused(b"HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\n"),
        clean_response([(b"content-length", b"0")]) == [],
    ],
    "no_transfer_encoding_1xx_204": lambda: [
        _answer_refused(b"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n"),
        _answer_refused(b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ],
    "send_upgrade_101": lambda: [_answer_refused(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")],
    "switch_protocol_without_client": lambda: [
        _answer_refused(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n")
    ],
    "content_length_grammar": lambda: [
        _answer_refused(_OK + b"Content-Length: " + bad + b"\r\n\r\n") for bad in (b"-1", b"+1", b"1,1", b"0x1", b"")
    ],
    "transfer_encoding_grammar": lambda: [
        _answer_refused(_OK + b"Transfer-Encoding: " + bad + b"\r\n\r\n") for bad in (b"gzip", b"chunked,", b"")
    ],
    "code_204_no_additional_content": lambda: [
        answers(b"HTTP/1.1 204 No Content\r\n\r\nrest").left == b"rest",
    ],
    "code_304_no_content": lambda: [
        answers(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nrest").left == b"rest",
        refusal(Refused(POLICY_DENIED, status=304), request_id="r", accept=b"").body == b"",
    ],
    "no_bare_cr": lambda: [_is_internal(lambda: encode_response(200, b"OK", [(b"x", b"a\rb")]))],
    "connection_grammar": lambda: [clean_response([(b"connection", b"a b"), (b"keep-alive", b"x")]) == []],
    "code_401_www_authenticate": lambda: [
        bool(_value(answer, b"www-authenticate")) for answer in _refusals() if answer.status == 401
    ],
    "content_type_header_required": lambda: [bool(_value(answer, b"content-type")) for answer in _refusals()],
    "content_type_grammar": lambda: [
        _value(answer, b"content-type") in (b"application/problem+json", b"text/html; charset=utf-8")
        for answer in _refusals()
    ],
    "retry_after_grammar": lambda: [
        _value(answer, b"retry-after").isdigit() for answer in _refusals() if b"retry-after" in dict(answer.headers)
    ],
    "duplicate_fields": lambda: [len(dict(answer.headers)) == len(answer.headers) for answer in _refusals()],
    "csp_grammar": lambda: [
        re.fullmatch(rb"[a-z-]+( '[A-Za-z0-9+/=-]+')+(; [a-z-]+( '[A-Za-z0-9+/=-]+')+)*", value) is not None
        for answer in _refusals()
        for name, value in answer.headers
        if name == b"content-security-policy"
    ],
    "xcto_grammar": lambda: [_value(answer, b"x-content-type-options") == b"nosniff" for answer in _refusals()],
    "server_grammar": lambda: [b"server" not in dict(answer.headers) for answer in _refusals()],
    "location_header_grammar": lambda: [_value(redirect(303, "https://a/b?c", "r"), b"location") == b"https://a/b?c"],
} | {
    f"code_{status}_location": lambda status=status: [bool(_value(redirect(status, "/a", "r"), b"location"))]
    for status in (301, 302, 303, 307, 308)
}
CISPA_HOLDS |= {"duplicate_csp": CISPA_HOLDS["duplicate_fields"], "server_header_long": CISPA_HOLDS["server_grammar"]}


def _is_internal(action: Callable[[], object]) -> bool:
    try:
        action()
    except Refused as refused:
        return refused.row is INTERNAL_ERROR
    return False


ORIGINS = "an origin server's field or choice, which passes as it is"
NEVER_GIVEN = "an answer that the proxy never gives of itself"
CONNECTIONS = "kept where a connection and a clock are known, and tested there"
HTTP2 = "HTTP/2 is not spoken"
CISPA_NOT_HERE = {
    "code_405_blocked_methods": NEVER_GIVEN,
    "content_head_request": CONNECTIONS,
    "response_directive_no_cache": ORIGINS,
    "response_directive_private": ORIGINS,
    "response_directive_max_age": ORIGINS,
    "response_directive_s_maxage": ORIGINS,
    "send_upgrade_426": NEVER_GIVEN,
    "cookie_grammar": ORIGINS,
    "duplicate_cookie_attribute": ORIGINS,
    "duplicate_cookies": ORIGINS,
    "cookie_IMF_fixdate": ORIGINS,
    "coep_grammar": ORIGINS,
    "corp_grammar": ORIGINS,
    "csp_ro_grammar": ORIGINS,
    "permissions_policy_grammar": ORIGINS,
    "sts_grammar": ORIGINS,
    "xfo_grammar": ORIGINS,
    "coop_grammar": ORIGINS,
    "access_control_allow_origin_grammar": ORIGINS,
    "access_control_allow_credentials_grammar": ORIGINS,
    "access_control_expose_headers_grammar": ORIGINS,
    "access_control_max_age_grammar": ORIGINS,
    "access_control_allow_methods_grammar": ORIGINS,
    "access_control_allow_headers_grammar": ORIGINS,
    "age_grammar": ORIGINS,
    "cache_control_grammar": ORIGINS,
    "proxy_authorization_grammar": ORIGINS,
    "last_modified_grammar": ORIGINS,
    "expires_grammar": ORIGINS,
    "etag_grammar": ORIGINS,
    "date_grammar": ORIGINS,
    "range_grammar": ORIGINS,
    "content_language_grammar": ORIGINS,
    "content_encoding_grammar": ORIGINS,
    "allow_grammar": ORIGINS,
    "accept_ranges_grammar": ORIGINS,
    "accept_encoding_grammar": ORIGINS,
    "accept_patch_grammar": ORIGINS,
    "vary_grammar": ORIGINS,
    "duplicate_csp_ro": ORIGINS,
    "redirect_after_upgrade_insecure_requests": ORIGINS,
    "STS_header_after_upgrade_insecure_requests": ORIGINS,
    "sts_directives_only_allowed_once": ORIGINS,
    "only_one_sts_header_allowed": ORIGINS,
    "sts_header_http": ORIGINS,
    "date_header_required": CONNECTIONS,
    "transfer_encoding_http11": CONNECTIONS,
    "sts_max_age": ORIGINS,
    "post_invalid_response_codes": NEVER_GIVEN,
    "close_option_in_final_response": CONNECTIONS,
    "code_101_not_allowed_in_http2": HTTP2,
    "field_name_nonvisible_asciichars": HTTP2,
    "field_name_colon_except_for_pseudo_header_fields": HTTP2,
    "field_value_zero_value_lf_cr": HTTP2,
    "field_value_start_or_end_with_whitespace": HTTP2,
    "code_300_location": NEVER_GIVEN,
    "code_300_metadata": NEVER_GIVEN,
    "code_413_retry_after": NEVER_GIVEN,
    "code_415_unsupported_media_type": NEVER_GIVEN,
    "code_416_content_range": NEVER_GIVEN,
    "code_205_no_content_allowed": NEVER_GIVEN,
    "code_206_content_range": NEVER_GIVEN,
    "code_206_content_range_of_multiple_part_response": NEVER_GIVEN,
    "code_405_allow": NEVER_GIVEN,
    "code_407_proxy_authenticate": NEVER_GIVEN,
    "content_length_same_head_get": ORIGINS,
    "content_length_same_304_200": ORIGINS,
    "accept_patch_presence": ORIGINS,
    "head_get_headers": ORIGINS,
    "code_206_headers": NEVER_GIVEN,
    "code_304_headers": ORIGINS,
}


@pytest.mark.parametrize("name", CISPA)
def test_cispa(name: str) -> None:
    assert (name in CISPA_HOLDS) is not (name in CISPA_NOT_HERE)
    if name in CISPA_HOLDS:
        held = CISPA_HOLDS[name]()
        assert held
        assert all(held)


def test_no_table_names_a_case_that_is_not_there() -> None:
    assert {*GUNICORN_VALID_REFUSED, *GUNICORN_INVALID_PASSED, *GUNICORN_INCOMPLETE, *GUNICORN_CUT} <= GUNICORN.keys()
    assert {*LLHTTP_VALID_REFUSED, *LLHTTP_LENIENT_PASSED} <= LLHTTP.keys()
    assert DESYNC_VALID_REFUSED.keys() <= DESYNC.keys()
    assert {*LINES_PASSED, *SAME_HOST} <= PATHS.keys()
    assert {*CISPA_HOLDS, *CISPA_NOT_HERE} == CISPA.keys()
