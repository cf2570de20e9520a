"""CISPA's HTTP conformance rules, held against what the running gateway says: its own answers, and those it relays.

A rule that concerns the content of an origin's fields passes through a proxy as it is, and stands in a table.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.gateway import Answer
from tests.server.suite_world import Request, Trial, echo
from tests.suites import suite_json
from tests.world import World, config

RULES: dict[str, Any] = {rule["id"]: rule for rule in suite_json("http1/cispa-http-conformance-rules.json")["rules"]}
LISTENERS = """\
  - {name: plain, address: "127.0.0.1:0", plaintext: true}
  - {name: insecure, address: "127.0.0.1:0", plaintext: true, serves: https_redirect}"""
ROUTES = """\
  - {name: open, host: open.example.org, upstream: wiki, allow: [{anyone: true}]}
  - {name: shut, host: shut.example.org, upstream: wiki, allow: [{groups: [engineering]}]}
  - {name: moved, host: moved.example.org, redirect: "https://new.example.org"}
  - {name: lost, host: lost.example.org, upstream: lost, allow: [{anyone: true}]}"""
LOST = '  lost: {endpoints: ["http://127.0.0.1:1"]}'


def request(line: str, *fields: str, host: str = "open.example.org") -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", f"Host: {host}", *fields, "", ""]).encode("latin-1")


OK = b"HTTP/1.1 200 OK\r\n"
BAD_LENGTHS = (b"-1", b"+1", b"1,1", b"0x1", b"", b"1 1")
BAD_CODINGS = (b"gzip", b"chunked,", b"", b"chunked;q=1", b"gzip, chunked")
# What the upstream says, by the target that asks for it.
SAID: dict[str, bytes] = {
    "/length": OK + b"content-length: 5\r\ncontent-type: text/plain\r\n\r\nhello",
    "/chunked": OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "/dated": OK + b"date: Tue, 15 Nov 1994 08:12:31 GMT\r\ncontent-length: 0\r\n\r\n",
    "/head": OK + b"content-length: 5\r\n\r\n",
    "/head-with-body": OK + b"content-length: 5\r\n\r\nhello",
    "/204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "/204-with-body": b"HTTP/1.1 204 No Content\r\n\r\nhello",
    "/204-with-length": b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello",
    "/204-chunked": b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "/304": b'HTTP/1.1 304 Not Modified\r\netag: "1"\r\n\r\n',
    "/304-with-body": b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\nhello",
    "/103": b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + OK + b"content-length: 0\r\n\r\n",
    "/103-with-length": b"HTTP/1.1 103 Early Hints\r\ncontent-length: 1\r\n\r\n" + OK + b"content-length: 0\r\n\r\n",
    "/103-chunked": b"HTTP/1.1 103 Hints\r\ntransfer-encoding: chunked\r\n\r\n" + OK + b"content-length: 0\r\n\r\n",
    "/101": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "/101-upgrade": b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: a\r\n\r\n",
    "/bare-cr": OK + b"x: a\rb\r\ncontent-length: 0\r\n\r\n",
    "/nul": OK + b"x: a\0b\r\ncontent-length: 0\r\n\r\n",
    "/options": OK + b"connection: x-hop, close\r\nx-hop: 1\r\nkeep-alive: timeout=5\r\ncontent-length: 0\r\n\r\n",
    **{f"/length-{n}": OK + b"content-length: " + bad + b"\r\n\r\n" for n, bad in enumerate(BAD_LENGTHS)},
    **{f"/coding-{n}": OK + b"transfer-encoding: " + bad + b"\r\n\r\n" for n, bad in enumerate(BAD_CODINGS)},
}
BODY = "Content-Length: 1\r\n\r\nx"
SENT: dict[str, bytes] = {
    **{target: request(f"GET {target}") for target in SAID if not target.startswith("/head")},
    "head": request("HEAD /head"),
    "head with body": request("HEAD /head-with-body"),
    "head refused": request("HEAD /", host="shut.example.org"),
    "get refused": request("GET /", host="shut.example.org"),
    "page": request("GET /", "Accept: text/html", host="shut.example.org"),
    "no route": request("GET /", host="none.example.org"),
    "no upstream": request("GET /", host="lost.example.org"),
    "moved": request("GET /a?b", host="moved.example.org"),
    "moved post": request("POST /a", "Content-Length: 0", host="moved.example.org"),
    "close": request("GET /length", "Connection: close"),
    "old": b"GET /chunked HTTP/1.0\r\nHost: open.example.org\r\n\r\n",
    "upgrade and expect": request("GET /length", "Expect: 100-continue", "Connection: upgrade", "Upgrade: a"),
    "empty line first": b"\r\n" + request("GET /length"),
    "unknown method": request("BREW /length"),
    "connect": b"CONNECT open.example.org:443 HTTP/1.1\r\nHost: open.example.org:443\r\n\r\n",
    "trace": request("TRACE /length"),
    "bad cr": request("GET /length", "X: a\rb"),
    "bad lf": request("GET /length", "X: a\nb"),
    "bad nul": request("GET /length", "X: a\0b"),
    "bad space 1": b"GET /length HTTP/1.1\r\n X: a\r\nHost: open.example.org\r\n\r\n",
    "bad space 2": b"GET /length HTTP/1.1\r\n\tHost: open.example.org\r\n\r\n",
    "bad colon 1": request("GET /length", "X : a"),
    "bad colon 2": request("GET /length", "X\t: a"),
    "bad colon 3": request("GET /length", "X: a", " b"),
    "bad host 1": b"GET /length HTTP/1.1\r\n\r\n",
    "bad host 2": request("GET /length", "Host: open.example.org"),
    "bad host 3": request("GET /length", host="open.example.org/"),
    "bad host 4": request("GET /length", host=""),
}  # fmt: skip


@pytest.fixture(scope="module")
def said(world: World, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Every request sent, and the gateway ended."""

    def answer(asked: Request) -> bytes:
        return SAID.get(asked.target) or echo(asked)

    directory = world.copy_to(tmp_path_factory.mktemp("conformance"))
    with Trial(
        directory, lambda url: config(url, routes=ROUTES, listeners=LISTENERS, upstreams=LOST), answer=answer
    ) as trial:
        for name, raw in SENT.items():
            trial.fire(name, raw)
        trial.fire("insecure", request("GET /a?b"), listener="insecure")
    return trial


def only(trial: Trial, name: str) -> Answer:
    """Return the one answer to a request, read strictly to the end of its connection."""
    (answer,) = trial.cases[name].answers()
    return answer


def statuses(trial: Trial, prefix: str) -> set[int]:
    return {only(trial, name).status for name in trial.cases if name.startswith(prefix)}


def answers(trial: Trial) -> list[Answer]:
    return [answer for case in trial.cases.values() for answer in case.answers()]


def own(trial: Trial) -> list[Answer]:
    """Return the answers of the proxy's own."""
    return [answer for answer in answers(trial) if answer.get("x-request-id") is not None]


def all_of(found: list[str | None], pattern: str) -> bool:
    """Whether there are such fields, and all of them are as they must be."""
    values = [value for value in found if value is not None]
    return bool(values) and all(re.fullmatch(pattern, value, re.ASCII) for value in values)


def repeated(answer: Answer) -> bool:
    names = [name.lower() for name, _ in answer.headers]
    return len(set(names)) != len(names)


HELD: dict[str, Callable[[Trial], bool]] = {
    # What it makes of requests.
    "continue_before_upgrade": lambda trial: (
        only(trial, "upgrade and expect").status == 501 and only(trial, "upgrade and expect").interim == []
    ),
    "reject_fields_contaning_cr_lf_nul": lambda trial: (
        statuses(trial, "bad cr") | statuses(trial, "bad lf") | statuses(trial, "bad nul") == {400}
    ),
    "code_400_after_bad_host_request": lambda trial: statuses(trial, "bad host") == {400},
    "code_501_unknown_methods": lambda trial: only(trial, "unknown method").status == 501,
    "content_head_request": lambda trial: (
        [only(trial, name).body for name in ("head", "head refused")] == [b"", b""]
        and only(trial, "head with body").status == 502
    ),
    "allow_crlf_start": lambda trial: only(trial, "empty line first").status == 200,
    "reject_msgs_with_whitespace_between_startline_and_first_header_field": lambda trial: (
        statuses(trial, "bad space") == {400}
    ),
    "code_400_if_msg_with_whitespace_between_header_field_and_colon": lambda trial: (
        statuses(trial, "bad colon") == {400}
    ),
    "content_length_2XX_connect": lambda trial: only(trial, "connect").status == 501,
    "transfer_encoding_2XX_connect": lambda trial: only(trial, "connect").status == 501,
    # What it writes itself, framing and hop-by-hop fields of every answer included.
    "duplicate_fields": lambda trial: not any(repeated(answer) for answer in answers(trial)),
    "duplicate_csp": lambda trial: not any(repeated(answer) for answer in own(trial)),
    "csp_grammar": lambda trial: all_of(
        [answer.get("content-security-policy") for answer in own(trial)],
        r"[a-z-]+( '[A-Za-z0-9+/=-]+')+(; [a-z-]+( '[A-Za-z0-9+/=-]+')+)*",
    ),
    "xcto_grammar": lambda trial: all_of([answer.get("x-content-type-options") for answer in own(trial)], "nosniff"),
    "server_grammar": lambda trial: not any(answer.get("server") for answer in answers(trial)),
    "server_header_long": lambda trial: not any(answer.get("server") for answer in answers(trial)),
    "location_header_grammar": lambda trial: all_of(
        [answer.get("location") for answer in own(trial)], r"https://[a-z.]+/[!-~]*"
    ),
    "content_type_grammar": lambda trial: all_of(
        [answer.get("content-type") for answer in own(trial)], r"[a-z]+/[a-z+]+(; charset=utf-8)?"
    ),
    "content_type_header_required": lambda trial: all(
        answer.get("content-type") for answer in own(trial) if answer.body
    ),
    "content_length_grammar": lambda trial: (
        all_of([answer.get("content-length") for answer in answers(trial)], "0|[1-9][0-9]*")
        and statuses(trial, "/length-") == {502}
    ),
    "transfer_encoding_grammar": lambda trial: (
        all_of([answer.get("transfer-encoding") for answer in answers(trial)], "chunked")
        and statuses(trial, "/coding-") == {502}
    ),
    "connection_grammar": lambda trial: (
        all_of([answer.get("connection") for answer in answers(trial)], "close|keep-alive")
        and [only(trial, "/options").get(name) for name in ("connection", "x-hop", "keep-alive")] == [None] * 3
    ),
    "no_bare_cr": lambda trial: (
        not any(b"\r" in case.received.replace(b"\r\n", b"") for case in trial.cases.values())
        and statuses(trial, "/bare-cr") | statuses(trial, "/nul") == {502}
    ),
    "date_header_required": lambda trial: all(answer.get("date") for answer in answers(trial)),
    "date_grammar": lambda trial: all_of(
        [answer.get("date") for answer in answers(trial)],
        r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-3][0-9] [A-Z][a-z]{2} [0-9]{4} [0-2][0-9]:[0-5][0-9]:[0-6][0-9] GMT",
    ),
    "close_option_in_final_response": lambda trial: only(trial, "close").get("connection") == "close",
    "transfer_encoding_http11": lambda trial: (
        only(trial, "old").get("transfer-encoding") is None and only(trial, "old").body == b"hello"
    ),
    "code_302_location": lambda trial: (
        (only(trial, "moved").status, only(trial, "moved").get("location")) == (302, "https://new.example.org/a?b")
    ),
    "code_307_location": lambda trial: (
        (only(trial, "moved post").status, only(trial, "moved post").get("location"))
        == (307, "https://new.example.org/a")
    ),
    "code_308_location": lambda trial: (
        (only(trial, "insecure").status, only(trial, "insecure").get("location"))
        == (308, "https://open.example.org/a?b")
    ),
    "code_401_www_authenticate": lambda trial: (
        {answer.get("www-authenticate") for answer in own(trial) if answer.status == 401} == {"Bearer"}
    ),
    "head_get_headers": lambda trial: (
        [name for name, _ in only(trial, "head refused").headers]
        == [name for name, _ in only(trial, "get refused").headers]
    ),
    # What it makes of answers.
    "content_length_1XX_204": lambda trial: (
        (only(trial, "/204").get("content-length"), only(trial, "/103").interim) == (None, [103])
        and statuses(trial, "/103-with-length") | statuses(trial, "/204-with-length") == {502}
    ),
    "no_transfer_encoding_1xx_204": lambda trial: (
        only(trial, "/204").get("transfer-encoding") is None
        and statuses(trial, "/103-chunked") | statuses(trial, "/204-chunked") == {502}
    ),
    "send_upgrade_101": lambda trial: only(trial, "/101").status == 502,
    "switch_protocol_without_client": lambda trial: only(trial, "/101-upgrade").status == 502,
    "code_204_no_additional_content": lambda trial: (
        (only(trial, "/204").status, only(trial, "/204-with-body").status) == (204, 502)
    ),
    "code_304_no_content": lambda trial: (
        (only(trial, "/304").status, only(trial, "/304-with-body").status) == (304, 502)
    ),
    "content_length_same_head_get": lambda trial: only(trial, "head").get("content-length") == "5",
}

NEVER_GIVEN = "an answer that the proxy never gives of itself"
FOR_CACHES = "of a field that the origin sends to caches and browsers, which passes as it is"
FOR_BROWSERS = "a field or a redirect that the site decides about"
WHEN_BUSY = "of refusals that no request here earns; held over the whole catalogue in tests/http"
OF_ORIGINS = "two answers of one origin, compared"
HTTP2 = "HTTP/2 is not spoken"
NOT_HELD: dict[str, str] = {
    **dict.fromkeys(
        [
            "code_405_blocked_methods", "send_upgrade_426", "code_300_location", "code_300_metadata",
            "code_301_location", "code_303_location", "code_413_retry_after", "code_415_unsupported_media_type",
            "code_416_content_range", "code_205_no_content_allowed", "code_206_content_range",
            "code_206_content_range_of_multiple_part_response", "code_405_allow", "code_407_proxy_authenticate",
            "post_invalid_response_codes",
        ],
        NEVER_GIVEN,
    ),
    **dict.fromkeys(
        [
            "response_directive_no_cache", "response_directive_private", "response_directive_max_age",
            "response_directive_s_maxage", "age_grammar", "cache_control_grammar", "last_modified_grammar",
            "expires_grammar", "etag_grammar", "range_grammar", "content_language_grammar",
            "content_encoding_grammar", "allow_grammar", "accept_ranges_grammar", "accept_encoding_grammar",
            "accept_patch_grammar", "vary_grammar", "proxy_authorization_grammar",
        ],
        FOR_CACHES,
    ),
    **dict.fromkeys(
        [
            "cookie_grammar", "duplicate_cookie_attribute", "duplicate_cookies", "cookie_IMF_fixdate",
            "coep_grammar", "corp_grammar", "csp_ro_grammar", "permissions_policy_grammar", "sts_grammar",
            "xfo_grammar", "coop_grammar", "access_control_allow_origin_grammar",
            "access_control_allow_credentials_grammar", "access_control_expose_headers_grammar",
            "access_control_max_age_grammar", "access_control_allow_methods_grammar",
            "access_control_allow_headers_grammar", "duplicate_csp_ro", "redirect_after_upgrade_insecure_requests",
            "STS_header_after_upgrade_insecure_requests", "sts_directives_only_allowed_once",
            "only_one_sts_header_allowed", "sts_header_http", "sts_max_age",
        ],
        FOR_BROWSERS,
    ),
    "retry_after_grammar": WHEN_BUSY,
    **dict.fromkeys(
        ["content_length_same_304_200", "accept_patch_presence", "code_206_headers", "code_304_headers"], OF_ORIGINS
    ),
    **dict.fromkeys(
        [
            "code_101_not_allowed_in_http2", "field_name_nonvisible_asciichars",
            "field_name_colon_except_for_pseudo_header_fields", "field_value_zero_value_lf_cr",
            "field_value_start_or_end_with_whitespace",
        ],
        HTTP2,
    ),
}  # fmt: skip


def test_every_rule_is_held_or_has_a_reason() -> None:
    assert HELD.keys() ^ NOT_HELD.keys() == RULES.keys()


@pytest.mark.parametrize("rule", HELD)
def test_cispa(said: Trial, rule: str) -> None:
    assert HELD[rule](said)


def test_answers_are_whole_and_requests_decided(said: Trial) -> None:
    assert said.undecided() == []
    assert all(len(case.answers()) == 1 for case in said.cases.values())
