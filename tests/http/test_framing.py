"""How bodies end: each rule about framing, persistence, upgrades and expectations, on both sides."""

from __future__ import annotations

import pytest

from proxy.errors import (
    EXPECTATION_FAILED,
    FRAMING_REFUSED,
    REQUEST_MALFORMED,
    UPGRADE_REFUSED,
    UPSTREAM_MALFORMED,
    Refused,
)
from proxy.http.framing import request_framing, response_framing
from proxy.http.message import CHUNKED, NO_BODY, UNTIL_CLOSE, BodyKind, Framing, Headers, RequestHead, ResponseHead

EMPTY = Framing(BodyKind.LENGTH)
FIVE = Framing(BodyKind.LENGTH, 5)


def _headers(text: str) -> Headers:
    pairs = [line.split(": ", 1) for line in text.split("; ") if line]
    return [(name.encode(), value.encode("latin-1")) for name, value in pairs]


def _request(text: str, method: str = "POST", version: tuple[int, int] = (1, 1)) -> RequestHead:
    head = RequestHead(method.encode(), b"/", version, _headers(text))
    request_framing(head)
    return head


def _response(text: str, status: int = 200, method: str = "GET", version: tuple[int, int] = (1, 1)) -> ResponseHead:
    head = ResponseHead(status, b"", version, _headers(text))
    response_framing(head, method.encode())
    return head


@pytest.mark.parametrize(
    ("text", "method", "version", "framing"),
    [
        ("", "POST", (1, 1), NO_BODY),
        ("", "GET", (1, 0), NO_BODY),
        ("content-length: 0", "POST", (1, 1), EMPTY),
        ("content-length: 0", "GET", (1, 1), EMPTY),
        ("content-length: 5", "POST", (1, 1), FIVE),
        ("content-length: 5", "PUT", (1, 0), FIVE),
        ("content-length: 5", "DELETE", (1, 1), FIVE),
        ("content-length: 999999999999999999", "POST", (1, 1), Framing(BodyKind.LENGTH, 10**18 - 1)),
        ("transfer-encoding: chunked", "POST", (1, 1), CHUNKED),
        ("transfer-encoding: Chunked", "POST", (1, 1), CHUNKED),
    ],
)
def test_a_request_has_the_framing_that_it_declares(
    text: str, method: str, version: tuple[int, int], framing: Framing
) -> None:
    assert _request(text, method, version).framing == framing


@pytest.mark.parametrize(
    ("text", "method", "version"),
    [
        ("content-length: 5; transfer-encoding: chunked", "POST", (1, 1)),
        ("transfer-encoding: chunked; content-length: 0", "POST", (1, 1)),
        ("content-length: 5; content-length: 5", "POST", (1, 1)),
        ("content-length: 5; content-length: 6", "POST", (1, 1)),
        ("transfer-encoding: chunked; transfer-encoding: chunked", "POST", (1, 1)),
        ("transfer-encoding: gzip; transfer-encoding: chunked", "POST", (1, 1)),
        ("transfer-encoding: gzip, chunked", "POST", (1, 1)),
        ("transfer-encoding: chunked, chunked", "POST", (1, 1)),
        ("transfer-encoding: identity", "POST", (1, 1)),
        ("transfer-encoding: xchunked", "POST", (1, 1)),
        ("transfer-encoding: chunked;q=1", "POST", (1, 1)),
        ("transfer-encoding: \x0bchunked", "POST", (1, 1)),
        ("transfer-encoding: ", "POST", (1, 1)),
        ("transfer-encoding: chunked", "POST", (1, 0)),
        ("content-length: ", "POST", (1, 1)),
        ("content-length: 003", "POST", (1, 1)),
        ("content-length: 00", "POST", (1, 1)),
        ("content-length: +5", "POST", (1, 1)),
        ("content-length: -5", "POST", (1, 1)),
        ("content-length: 5_0", "POST", (1, 1)),
        ("content-length: 5 5", "POST", (1, 1)),
        ("content-length: 5,5", "POST", (1, 1)),
        ("content-length: 5.0", "POST", (1, 1)),
        ("content-length: 0x5", "POST", (1, 1)),
        ("content-length: 5\n", "POST", (1, 1)),
        ("content-length: \xb2", "POST", (1, 1)),  # superscript two: str.isdigit() says yes
        ("content-length: 1000000000000000000", "POST", (1, 1)),
        ("content-length: 5", "GET", (1, 1)),
        ("content-length: 5", "HEAD", (1, 1)),
        ("transfer-encoding: chunked", "GET", (1, 1)),
    ],
)
def test_a_request_whose_end_is_in_doubt_is_refused(text: str, method: str, version: tuple[int, int]) -> None:
    with pytest.raises(Refused) as caught:
        _request(text, method, version)
    assert caught.value.row is FRAMING_REFUSED


@pytest.mark.parametrize("name", ["content-type", "origin", "range", "referer", "user-agent", "if-range", "expect"])
def test_a_field_that_has_one_value_must_stand_once(name: str) -> None:
    with pytest.raises(Refused) as caught:
        _request(f"{name}: a; {name}: b")
    assert caught.value.row is REQUEST_MALFORMED


def test_a_list_may_stand_on_several_lines() -> None:
    assert _request("accept: a; accept: b; cookie: a=1; cookie: b=2").framing == NO_BODY


@pytest.mark.parametrize(
    ("text", "version", "keeps"),
    [
        ("", (1, 1), True),
        ("", (1, 0), False),
        ("connection: keep-alive", (1, 0), True),
        ("connection: Keep-Alive", (1, 0), True),
        ("connection: close", (1, 1), False),
        ("connection: Close", (1, 1), False),
        ("connection: x, close , y", (1, 1), False),
        ("connection: close, keep-alive", (1, 0), False),
        ("connection: x; accept: a; connection: close", (1, 1), False),
        ("connection: closed", (1, 1), True),
        ("connection: ", (1, 1), True),
    ],
)
def test_a_connection_persists_as_its_options_say(text: str, version: tuple[int, int], keeps: bool) -> None:
    assert _request(text, version=version).keep_alive is keeps
    assert _response(f"content-length: 0; {text}", version=version).keep_alive is keeps


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("connection: upgrade; upgrade: websockets", True),
        ("connection: upgrade; upgrade: websocket, h2c", True),
        ("connection: upgrade; upgrade: websocket; upgrade: websocket", True),
        ("connection: keep-alive, Upgrade; upgrade: h2c", True),
        ("connection: x; connection: upgrade; upgrade: h2c", True),
        ("connection: upgrade; upgrade: h2c; content-length: 0", True),
        ("upgrade: websocket", False),  # not of this hop (RFC 9110 section 7.8)
        ("connection: upgrade", False),
    ],
)
def test_an_upgrade_is_refused_where_connection_names_it(text: str, refused: bool) -> None:
    if refused:
        with pytest.raises(Refused) as caught:
            _request(text)
        assert caught.value.row is UPGRADE_REFUSED
    else:
        assert _request(text).framing == NO_BODY


@pytest.mark.parametrize(
    ("text", "version", "expects"),
    [
        ("expect: 100-continue; content-length: 5", (1, 1), True),
        ("expect: 100-Continue; transfer-encoding: chunked", (1, 1), True),
        ("expect: 100-continue; content-length: 5", (1, 0), False),
        ("expect: 100-continue; content-length: 0", (1, 1), False),
        ("expect: 100-continue", (1, 1), False),
    ],
)
def test_an_expectation_stands_for_a_body_that_waits(text: str, version: tuple[int, int], expects: bool) -> None:
    assert _request(text, version=version).expects_continue is expects


@pytest.mark.parametrize("value", ["", "x", "100-continue, x", "100-continue, 100-continue"])
def test_another_expectation_fails(value: str) -> None:
    with pytest.raises(Refused) as caught:
        _request(f"expect: {value}; content-length: 5")
    assert caught.value.row is EXPECTATION_FAILED


@pytest.mark.parametrize(
    ("text", "status", "method", "framing"),
    [
        ("content-length: 5", 200, "GET", FIVE),
        ("content-length: 0", 200, "GET", EMPTY),
        ("transfer-encoding: chunked", 200, "GET", CHUNKED),
        ("", 200, "GET", UNTIL_CLOSE),
        ("content-length: 5", 200, "HEAD", NO_BODY),
        ("transfer-encoding: chunked", 200, "HEAD", NO_BODY),
        ("", 200, "HEAD", NO_BODY),
        ("content-length: 5", 304, "GET", NO_BODY),
        ("", 304, "GET", NO_BODY),
        ("", 204, "GET", NO_BODY),
        ("content-length: 0", 204, "GET", NO_BODY),
        ("", 100, "GET", NO_BODY),
        ("", 103, "POST", NO_BODY),
    ],
)
def test_an_answer_has_the_framing_of_its_status_and_method(
    text: str, status: int, method: str, framing: Framing
) -> None:
    assert _response(text, status, method).framing == framing


def test_an_answer_that_ends_with_its_connection_keeps_none() -> None:
    assert not _response("connection: keep-alive").keep_alive


@pytest.mark.parametrize(
    ("text", "status", "method", "version"),
    [
        ("content-length: 5; transfer-encoding: chunked", 200, "GET", (1, 1)),
        ("content-length: 5; content-length: 5", 200, "GET", (1, 1)),
        ("content-length: 5; content-length: 5", 200, "HEAD", (1, 1)),
        ("content-length: 5; content-length: 5", 304, "GET", (1, 1)),
        ("transfer-encoding: chunked; transfer-encoding: chunked", 200, "GET", (1, 1)),
        ("transfer-encoding: gzip", 200, "GET", (1, 1)),
        ("transfer-encoding: gzip, chunked", 200, "GET", (1, 1)),
        ("transfer-encoding: chunked", 200, "GET", (1, 0)),
        ("content-length: 05", 200, "GET", (1, 1)),
        ("content-length: x", 200, "HEAD", (1, 1)),
        ("content-length: 5", 204, "GET", (1, 1)),
        ("transfer-encoding: chunked", 204, "GET", (1, 1)),
        ("content-length: 5", 100, "GET", (1, 1)),
        ("transfer-encoding: chunked", 103, "GET", (1, 1)),
        ("", 101, "GET", (1, 1)),
        ("connection: upgrade; upgrade: websocket", 101, "GET", (1, 1)),
    ],
)
def test_an_answer_whose_end_is_in_doubt_is_malformed(
    text: str, status: int, method: str, version: tuple[int, int]
) -> None:
    with pytest.raises(Refused) as caught:
        _response(text, status, method, version)
    assert caught.value.row is UPSTREAM_MALFORMED
