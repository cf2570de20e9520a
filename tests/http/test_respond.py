"""What a refused client sees, and what it never sees."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256

import pytest

from proxy.errors import (
    CATALOGUE,
    CREDENTIALS_MISSING,
    OVERLOADED,
    POLICY_DENIED,
    ROUTE_NOT_FOUND,
    UPSTREAM_TIMEOUT,
    Refused,
    Row,
)
from proxy.http.respond import Answer, redirect, refusal

SECRET = "the detail is for the log"


def _refusal(row: Row = ROUTE_NOT_FOUND, accept: bytes = b"*/*", request_id: str = "r-1", **how: object) -> Answer:
    return refusal(Refused(row, SECRET, **how), request_id=request_id, accept=accept)  # type: ignore[arg-type]


def test_a_refusal_is_problem_json() -> None:
    answer = _refusal(POLICY_DENIED)
    headers = dict(answer.headers)
    assert (answer.status, answer.reason) == (403, b"Forbidden")
    assert headers[b"content-type"] == b"application/problem+json"
    assert json.loads(answer.body) == {
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "detail": "You are not permitted to do this.",
        "code": "policy_denied",
        "request_id": "r-1",
    }


@pytest.mark.parametrize("row", CATALOGUE.values(), ids=CATALOGUE)
@pytest.mark.parametrize("accept", [b"*/*", b"text/html"])
def test_every_row_is_said_without_its_detail(row: Row, accept: bytes) -> None:
    answer = _refusal(row, accept)
    headers = dict(answer.headers)
    assert len(headers) == len(answer.headers)
    assert answer.status == row.status
    assert row.code.encode() in answer.body
    assert b"r-1" in answer.body
    assert SECRET.encode() not in answer.body + b"".join(headers.values())
    assert headers[b"x-request-id"] == b"r-1"
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"proxy-status"] == f'ztproxy; error={row.proxy_status}; details="{row.code}"'.encode()
    assert (b"www-authenticate" in headers) is (row.status == 401)
    assert (b"retry-after" in headers) is (row.retry_after is not None)


@pytest.mark.parametrize("row", CATALOGUE.values(), ids=CATALOGUE)
def test_a_proxy_status_is_a_structured_field(row: Row) -> None:
    value = dict(_refusal(row).headers)[b"proxy-status"]
    assert re.fullmatch(rb'ztproxy; error=[a-z_]+; details="[a-z_]+"', value)


def test_retry_after_is_in_seconds() -> None:
    assert dict(_refusal(OVERLOADED).headers)[b"retry-after"] == b"1"


def test_headers_of_the_refusal_go_along() -> None:
    challenge = (b"www-authenticate", b'Bearer error="invalid_token"')
    answer = _refusal(CREDENTIALS_MISSING, headers=(challenge, (b"retry-after", b"9")))
    assert answer.headers.count(challenge) == 1
    assert [value for name, value in answer.headers if name == b"www-authenticate"] == [challenge[1]]
    assert dict(answer.headers)[b"retry-after"] == b"9"


def test_the_policys_public_reason_takes_the_place_of_the_sentence() -> None:
    assert (
        json.loads(_refusal(POLICY_DENIED, public_reason="Office hours only.").body)["detail"] == "Office hours only."
    )
    assert (
        b"<h1>Office hours only.</h1>" in _refusal(POLICY_DENIED, b"text/html", public_reason="Office hours only.").body
    )


def test_the_policys_status_and_body_take_the_place_of_ours() -> None:
    answer = _refusal(POLICY_DENIED, status=451, body=b"<gone>")
    assert (answer.status, answer.reason, answer.body) == (451, b"Unavailable For Legal Reasons", b"<gone>")
    assert dict(answer.headers)[b"content-type"] == b"text/plain; charset=utf-8"
    named = _refusal(POLICY_DENIED, body=b"{}", headers=((b"content-type", b"application/json"),))
    assert [value for name, value in named.headers if name == b"content-type"] == [b"application/json"]
    assert _refusal(POLICY_DENIED, status=304).body == b""
    assert _refusal(POLICY_DENIED, status=499).reason == b"Client Closed Request"
    assert _refusal(POLICY_DENIED, status=599).reason == b"Refused"


def test_a_page_escapes_whatever_it_is_given() -> None:
    page = refusal(
        Refused(POLICY_DENIED, public_reason="<script>alert('1')</script>"),
        request_id='"><img src=x>',
        accept=b"text/html",
        brand="<b>&",
    ).body.decode()
    assert "<script" not in page
    assert "<img" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;" in page


def test_a_page_says_its_language_and_fetches_nothing() -> None:
    answer = _refusal(accept=b"text/html")
    page = answer.body.decode()
    policy = dict(answer.headers)[b"content-security-policy"].decode()
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    assert f"'sha256-{b64encode(sha256(style[1].encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert '<html lang="en">' in page
    assert page.count("<h1>") == page.count("<main>") == 1
    assert not re.search(r"src=|href=|url\(|@import|<script", page)
    assert len(answer.body) < 1500


def test_a_lone_surrogate_does_not_break_the_page() -> None:
    assert b"?" in _refusal(POLICY_DENIED, b"text/html", public_reason="\ud800").body
    assert json.loads(_refusal(POLICY_DENIED, public_reason="\ud800").body)["detail"] == "\ud800"


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (b"", False),
        (b"*/*", False),
        (b"text/html", True),
        (b"TEXT/HTML", True),
        (b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        (b"text/*, */*;q=0.1", True),
        (b"application/json", False),
        (b"application/problem+json, text/html", False),
        (b"text/html;q=0.9, application/json", False),
        (b"text/html;q=0.9, application/json;q=0.8", True),
        (b"text/html ; q=0.5 , application/json ; q=0.4", True),
        (b"text/html;q=0", False),
        (b"text/html;level=1;q=0.5, application/*;q=0.4", True),
        (b"text/html;q=2", False),
        (b"text/html;q=1.0000", False),
        (b"text/html;q=nan", False),
        (b"text/html;q=\xb2", False),
        (b"text/html;q=0.5, */*", False),
        (b"text", False),
        (b",;,/", False),
        (b"a/b," * 10_000 + b"text/html", False),
    ],
)
def test_a_page_is_for_those_that_prefer_it(accept: bytes, html: bool) -> None:
    content_type = dict(_refusal(accept=accept).headers)[b"content-type"]
    assert content_type == (b"text/html; charset=utf-8" if html else b"application/problem+json")


def test_an_upstream_that_is_too_slow_is_said_by_its_registered_name() -> None:
    assert b"error=http_response_timeout;" in dict(_refusal(UPSTREAM_TIMEOUT).headers)[b"proxy-status"]


def test_a_redirect_has_its_location() -> None:
    answer = redirect(308, "https://wiki.example.org/a?b", "r-1")
    headers = dict(answer.headers)
    assert (answer.status, answer.reason, answer.body) == (308, b"Permanent Redirect", b"")
    assert headers[b"location"] == b"https://wiki.example.org/a?b"
    assert (headers[b"x-request-id"], headers[b"cache-control"]) == (b"r-1", b"no-store")


@pytest.mark.parametrize("location", ["", "/a b", "/a\r\nX: y", "/é", "/a\0"])
def test_a_location_that_is_no_url_is_a_mistake(location: str) -> None:
    with pytest.raises(ValueError, match="visible ascii"):
        redirect(302, location, "r")
