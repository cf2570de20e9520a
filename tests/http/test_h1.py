"""Heads on literal bytes, whole, one byte at a time, and split anywhere."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import proxy
from proxy.errors import (
    CONNECT_REFUSED,
    FRAMING_REFUSED,
    HEADERS_TOO_LARGE,
    INTERNAL_ERROR,
    METHOD_UNKNOWN,
    REQUEST_MALFORMED,
    TARGET_TOO_LONG,
    UPGRADE_REFUSED,
    UPSTREAM_MALFORMED,
    WEBSOCKET_REFUSED,
    Refused,
    Row,
)
from proxy.http.h1 import (
    METHODS,
    REASONS,
    HeadLimits,
    RequestHeadParser,
    ResponseHeadParser,
    encode_fields,
    encode_request,
    encode_response,
)
from proxy.http.message import BodyKind, Headers, RequestHead, ResponseHead
from tests.http.wire import LIMITS, answers, pieces, receive

SIZES = pytest.mark.parametrize("size", [1, 2, 3, 7, 65536])
HEAD = b"GET / HTTP/1.1\r\nHost: a.example\r\n"


def _heads(raw: bytes, size: int, limits: HeadLimits = LIMITS) -> tuple[list[RequestHead], bytes]:
    """Return the heads of bytes that arrive in pieces of a size, and what is left."""
    parser, buffer, heads = RequestHeadParser(limits), bytearray(), []
    for piece in pieces(raw, size):
        buffer += piece
        while (head := parser.parse(buffer)) is not None:
            heads.append(head)
            if not buffer:
                break
    return heads, bytes(buffer)


def _refused(raw: bytes, size: int, limits: HeadLimits = LIMITS) -> Row:
    with pytest.raises(Refused) as caught:
        _heads(raw, size, limits)
    return caught.value.row


@SIZES
def test_a_head_is_parsed_to_lower_case_names_and_trimmed_values(size: int) -> None:
    raw = b"POST /a?b HTTP/1.1\r\nHost: a.example\r\nX-A: \t b c \t\r\nx-b:\r\nX-C:d\r\nX-Dup: 1\r\nx-dup: 2\r\n\r\n"
    (head,), left = _heads(raw, size)
    assert (head.method, head.target, head.version) == (b"POST", b"/a?b", (1, 1))
    assert head.headers == [
        (b"host", b"a.example"),
        (b"x-a", b"b c"),
        (b"x-b", b""),
        (b"x-c", b"d"),
        (b"x-dup", b"1"),
        (b"x-dup", b"2"),
    ]
    assert left == b""


@SIZES
def test_pipelined_heads_come_in_order(size: int) -> None:
    raw = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(5))
    heads, _ = _heads(raw, size)
    assert [head.target for head in heads] == [b"/%d" % number for number in range(5)]


@SIZES
def test_a_request_before_a_malformed_one_is_whole(size: int) -> None:
    seen = receive(HEAD + b"\r\n" + b"GET / HTTP/1.1\nHost: a\r\n\r\n", size=size)
    assert len(seen.complete) == 1
    assert seen.refused is not None
    assert seen.refused.row is REQUEST_MALFORMED


def test_what_follows_a_head_stays_in_the_buffer() -> None:
    buffer = bytearray(HEAD + b"\r\nhello")
    assert RequestHeadParser(LIMITS).parse(buffer) is not None
    assert buffer == b"hello"


@SIZES
def test_the_framing_is_decided_with_the_head(size: int) -> None:
    (head,), _ = _heads(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", size)
    assert (head.framing.kind, head.framing.length) == (BodyKind.LENGTH, 5)
    (head,), _ = _heads(b"GET / HTTP/1.0\r\n\r\n", size)
    assert (head.version, head.keep_alive) == ((1, 0), False)


@SIZES
def test_one_empty_line_before_each_request_is_forgiven(size: int) -> None:
    heads, _ = _heads(b"\r\n" + HEAD + b"\r\n" + b"\r\n" + HEAD + b"\r\n", size)
    assert len(heads) == 2


@SIZES
@pytest.mark.parametrize(
    ("raw", "row"),
    [
        (b"\r\n\r\n" + HEAD + b"\r\n", REQUEST_MALFORMED),  # two empty lines
        (b"\n" + HEAD + b"\r\n", REQUEST_MALFORMED),
        (b"\r" + HEAD + b"\r\n", REQUEST_MALFORMED),
        (b" " + HEAD + b"\r\n", REQUEST_MALFORMED),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", REQUEST_MALFORMED),  # TLS on a plain listener
        # The request line.
        (b"GET / HTTP/2.0\r\n\r\n", REQUEST_MALFORMED),
        (b"GET / HTTP/0.9\r\n\r\n", REQUEST_MALFORMED),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", REQUEST_MALFORMED),
        (b"GET / RTSP/1.1\r\nHost: a\r\n\r\n", REQUEST_MALFORMED),
        (b"GET / ICE/1.0\r\nHost: a\r\n\r\n", REQUEST_MALFORMED),
        (b"GET / http/1.1\r\nHost: a\r\n\r\n", REQUEST_MALFORMED),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", REQUEST_MALFORMED),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", REQUEST_MALFORMED),
        (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", REQUEST_MALFORMED),
        (b"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", REQUEST_MALFORMED),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", REQUEST_MALFORMED),
        (b"GET  HTTP/1.1\r\nHost: a\r\n\r\n", REQUEST_MALFORMED),
        (b"GET /\r\n\r\n", REQUEST_MALFORMED),
        (b"GET /\r\n", REQUEST_MALFORMED),
        (b"GET: / HTTP/1.1\r\n\r\n", REQUEST_MALFORMED),
        (b"GET\0 / HTTP/1.1\r\n\r\n", REQUEST_MALFORMED),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", REQUEST_MALFORMED),
        (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", METHOD_UNKNOWN),
        (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", METHOD_UNKNOWN),
        (b"BREW /\n HTTP/1.1\r\nHost: a\r\n\r\n", REQUEST_MALFORMED),
        (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", METHOD_UNKNOWN),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", CONNECT_REFUSED),
        # The fields.
        (b"GET / HTTP/1.1\nHost: a\n\n", REQUEST_MALFORMED),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", REQUEST_MALFORMED),
        (b"GET / HTTP/1.1\r\nHost: a\r\r\n", REQUEST_MALFORMED),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r", REQUEST_MALFORMED),  # ended by what follows
        (HEAD + b"X: a\nY: b\r\n\r\n", REQUEST_MALFORMED),
        (HEAD + b"X: a\rY: b\r\n\r\n", REQUEST_MALFORMED),
        (HEAD + b"X: a\r\n b\r\n\r\n", REQUEST_MALFORMED),
        (HEAD + b"X : a\r\n\r\n", REQUEST_MALFORMED),
        (HEAD + b" X: a\r\n\r\n", REQUEST_MALFORMED),
        (HEAD + b"X\r\n\r\n", REQUEST_MALFORMED),
        (HEAD + b": a\r\n\r\n", REQUEST_MALFORMED),
        (HEAD + b"X Y: a\r\n\r\n", REQUEST_MALFORMED),
        (HEAD + b"X\0: a\r\n\r\n", REQUEST_MALFORMED),
        (HEAD + b"X\xe9: a\r\n\r\n", REQUEST_MALFORMED),
        (HEAD + b"X: a\0\r\n\r\n", REQUEST_MALFORMED),
        (HEAD + b"X: a\x07\r\n\r\n", REQUEST_MALFORMED),
        (HEAD + b"X: a\x7f\r\n\r\n", REQUEST_MALFORMED),
        # What frames, and what pretends to.
        (HEAD + b"Transfer_Encoding: chunked\r\n\r\n", FRAMING_REFUSED),
        (HEAD + b"Transfer.Encoding: chunked\r\n\r\n", FRAMING_REFUSED),
        (HEAD + b"TransferEncoding: chunked\r\n\r\n", FRAMING_REFUSED),
        (HEAD + b"Content--Length: 5\r\n\r\n", FRAMING_REFUSED),
        (HEAD + b"content_length: 5\r\n\r\n", FRAMING_REFUSED),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", FRAMING_REFUSED),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", FRAMING_REFUSED),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 003\r\n\r\n", FRAMING_REFUSED),
        (HEAD + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", WEBSOCKET_REFUSED),
        (HEAD + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", UPGRADE_REFUSED),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: ws\r\nContent-Length: 4\r\n\r\nabcd",
            UPGRADE_REFUSED,
        ),
    ],
)
def test_a_head_against_the_grammar_is_refused(raw: bytes, row: Row, size: int) -> None:
    if raw.endswith(b"\r"):
        raw += b"X"
    assert _refused(raw, size) is row


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r\nHost: a\n",
        b"GET / HTTP/1.1\r\nHost: a\rb",
        b"\n",
        b"\r\r",
        b"\x16",
        b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
        b"GET / HTTP/2.0\r\n",
    ],
)
def test_what_cannot_become_a_head_is_not_waited_for(raw: bytes) -> None:
    for size in (1, len(raw)):
        _refused(raw, size)


def test_the_start_of_a_head_is_waited_for() -> None:
    raw = b"\r\n" + HEAD + b"X: a\r\n\r"
    for end in range(len(raw) + 1):
        assert _heads(raw[:end], 1)[0] == []
        assert _heads(raw[:end], 65536)[0] == []


@SIZES
def test_every_byte_of_a_head_counts(size: int) -> None:
    raw = HEAD + b"X: " + b"a" * 100 + b"\r\n\r\n"
    assert len(_heads(raw, size, HeadLimits(len(raw), 10, 100))[0]) == 1
    assert _refused(raw, size, HeadLimits(len(raw) - 1, 10, 100)) is HEADERS_TOO_LARGE
    assert _refused(HEAD + b"X: " + b"a" * 200, size, HeadLimits(100, 10, 100)) is HEADERS_TOO_LARGE


@SIZES
def test_fields_are_counted(size: int) -> None:
    raw = HEAD + b"X: a\r\n" * 9 + b"\r\n"
    assert len(_heads(raw, size, HeadLimits(4096, 10, 100))[0]) == 1
    assert _refused(raw, size, HeadLimits(4096, 9, 100)) is HEADERS_TOO_LARGE


@SIZES
def test_a_target_is_measured(size: int) -> None:
    raw = b"GET /" + b"a" * 99 + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    assert len(_heads(raw, size, HeadLimits(4096, 10, 100))[0]) == 1
    assert _refused(raw, size, HeadLimits(4096, 10, 99)) is TARGET_TOO_LONG
    assert _refused(b"GET /" + b"a" * 4096, size, HeadLimits(65536, 10, 100)) is TARGET_TOO_LONG
    assert _refused(b"G" * 4096, size, HeadLimits(65536, 10, 100)) is TARGET_TOO_LONG


def test_the_bounds_are_those_of_each_head() -> None:
    raw = HEAD + b"\r\n"
    heads, _ = _heads(raw * 50, 65536, HeadLimits(len(raw), 1, 1))
    assert len(heads) == 50


def test_methods_that_llhttp_reads_are_registered_ones() -> None:
    for method in METHODS:
        (head,), _ = _heads(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n", 65536)
        assert head.method == method
    assert not METHODS & {b"TRACE", b"CONNECT", b"PRI", b"SOURCE", b"PURGE"}


def test_no_llhttp_leniency_is_ever_set() -> None:
    package = Path(proxy.__file__).parent
    for path in package.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert "set_dangerous_leniencies" not in names, path
        assert not {name for name in names if name.startswith("lenient_")}, path


# --- answers


def _answer(raw: bytes, size: int, method: bytes = b"GET", *, most: tuple[int, int] = (65536, 100)) -> ResponseHead:
    parser, buffer = ResponseHeadParser(*most), bytearray()
    for piece in pieces(raw, size):
        buffer += piece
        if (head := parser.parse(buffer, method)) is not None:
            return head
    raise AssertionError("no head came of it")


@SIZES
def test_an_answer_is_parsed(size: int) -> None:
    head = _answer(b"HTTP/1.1 404 Not  Found\r\nContent-Length: 5\r\nX-A: b \r\n\r\nhello", size)
    assert (head.status, head.reason, head.version) == (404, b"Not  Found", (1, 1))
    assert head.headers == [(b"content-length", b"5"), (b"x-a", b"b")]
    assert (head.framing.kind, head.framing.length, head.keep_alive) == (BodyKind.LENGTH, 5, True)


@SIZES
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"HTTP/1.1 200 OK", b"OK"),
        (b"HTTP/1.1 200 ", b""),
        (b"HTTP/1.1 200", b""),
        (b"HTTP/1.0 500 Ori\xebntatie", b"Ori\xebntatie"),
    ],
)
def test_a_reason_may_be_anything_or_nothing(line: bytes, reason: bytes, size: int) -> None:
    assert _answer(line + b"\r\nContent-Length: 0\r\n\r\n", size).reason == reason


@SIZES
@pytest.mark.parametrize(
    "raw",
    [
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/0.9 200 OK\r\n\r\n",
        b"RTSP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 600 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 +20 OK\r\n\r\n",
        b"HTTP/1.1\t200 OK\r\n\r\n",
        b"HTTP/1.1 200OK\r\n\r\n",
        b"HTTP/1.1 200 OK\x01\r\n\r\n",
        b"HTTP/1.1 200 OK\n\r\n\r\n",
        b"HTTP/1.1 200 OK\nX: a\n\n",
        b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent_Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"garbage",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
)
def test_an_answer_against_the_grammar_is_malformed(raw: bytes, size: int) -> None:
    with pytest.raises(Refused) as caught:
        _answer(raw, size)
    assert caught.value.row is UPSTREAM_MALFORMED


@SIZES
def test_the_head_of_an_answer_is_bounded(size: int) -> None:
    raw = b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100 + b"\r\n\r\n"
    assert _answer(raw, size, most=(len(raw), 1)).status == 200
    for most in ((len(raw) - 1, 1), (len(raw), 0)):
        with pytest.raises(Refused) as caught:
            _answer(raw, size, most=most)
        assert caught.value.row is UPSTREAM_MALFORMED
    with pytest.raises(Refused):
        _answer(raw[:-4] + b"a" * 100, size, most=(150, 1))


@SIZES
def test_interim_answers_come_before_the_final_one(size: int) -> None:
    raw = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
    seen = answers(raw, size=size)
    assert [message.head.status for message in seen.complete if isinstance(message.head, ResponseHead)] == [
        100,
        103,
        204,
    ]


@SIZES
def test_an_answer_to_head_does_not_swallow_the_next(size: int) -> None:
    seen = answers(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" * 2, size=65536, method=b"HEAD")
    assert [message.body for message in seen.complete] == [b""]
    assert seen.left == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    assert answers(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", size=size, method=b"HEAD").complete


def test_bytes_behind_an_answer_stay_in_the_buffer() -> None:
    seen = answers(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n")
    assert (seen.complete[0].body, seen.left) == (b"hello", b"HTTP/1.1 200 OK\r\n\r\n")


def test_an_answer_until_close_ends_with_its_stream() -> None:
    seen = answers(b"HTTP/1.1 200 OK\r\n\r\nhello", ends=True)
    assert (seen.complete[0].body, seen.complete[0].head.keep_alive) == (b"hello", False)
    assert answers(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", ends=True).refused is not None


# --- what is written


def test_a_request_is_written_as_http_1_1() -> None:
    raw = encode_request(b"GET", b"/a?b", b"a", encode_fields([(b"x", b"")]))
    assert raw == b"GET /a?b HTTP/1.1\r\nhost: a\r\nx: \r\n\r\n"


def test_an_answer_is_written_as_http_1_1() -> None:
    assert encode_response(404, REASONS[404], []) == b"HTTP/1.1 404 Not Found\r\n\r\n"
    assert encode_response(299, b"", [(b"a", b"b")]) == b"HTTP/1.1 299 \r\na: b\r\n\r\n"


@pytest.mark.parametrize("bad", [b"a\r\nX: b", b"a\n", b"\r", b"\0"])
def test_no_value_makes_a_line(bad: bytes) -> None:
    for write in (
        lambda: encode_fields([(b"x", bad)]),
        lambda: encode_fields([(b"x" + bad, b"a")]),
        lambda: encode_request(b"GET", b"/" + bad, b"a", b""),
        lambda: encode_request(b"GET", b"/", b"a" + bad, b""),
        lambda: encode_response(200, b"OK" + bad, []),
        lambda: encode_response(200, b"OK", [(b"x", bad)]),
    ):
        with pytest.raises(Refused) as caught:
            write()
        assert caught.value.row is INTERNAL_ERROR


_NAMES = st.from_regex(rb"[A-Za-z][A-Za-z0-9_.!-]{0,12}", fullmatch=True).filter(
    lambda name: name.translate(None, b"-_.!0123456789").lower() not in (b"transferencoding", b"contentlength")
)
_VALUES = st.from_regex(rb"[!-~\x80-\xff]([ -~\x80-\xff]{0,12}[!-~\x80-\xff])?|", fullmatch=True)


@settings(deadline=None)
@given(st.lists(st.tuples(st.just(b"x-").flatmap(lambda x: _NAMES.map(lambda n: x + n)), _VALUES), max_size=8))
def test_what_is_written_is_read(fields: Headers) -> None:
    headers = [(b"host", b"a"), *[(name.lower(), value) for name, value in fields]]
    (head,), _ = _heads(encode_request(b"POST", b"/a", b"a", encode_fields(headers)), 65536)
    assert head.headers == [(b"host", b"a"), *headers]
    answer = _answer(encode_response(200, b"OK", headers), 65536)
    assert answer.headers == headers


_FRAGMENTS = st.lists(
    st.sampled_from(
        [
            b"GET / HTTP/1.1\r\n",
            b"POST /a HTTP/1.1\r\n",
            b"GET / HTTP/1.0\r\n",
            b"Host: a\r\n",
            b"\r\n",
            b"\n",
            b"\r",
            b" ",
            b"Content-Length: 5\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Connection: close\r\n",
            b"X: a\r\n",
            b"5\r\nhello\r\n",
            b"0\r\n\r\n",
            b"hello",
            b":",
            b"\0",
        ]
    ),
    max_size=12,
).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(_FRAGMENTS | _FRAGMENTS.map(lambda raw: b"POST / HTTP/1.1\r\nHost: a\r\n" + raw), st.integers(2, 9))
def test_however_the_bytes_arrive_the_requests_are_the_same(raw: bytes, size: int) -> None:
    whole = receive(raw).summary
    assert receive(raw, size=1).summary == whole
    assert receive(raw, size=size).summary == whole


@settings(max_examples=200, deadline=None)
@given(_FRAGMENTS.map(lambda raw: b"HTTP/1.1 200 OK\r\n" + raw), st.integers(2, 9))
def test_however_the_bytes_arrive_the_answers_are_the_same(raw: bytes, size: int) -> None:
    whole = answers(raw).summary
    assert answers(raw, size=1).summary == whole
    assert answers(raw, size=size).summary == whole
