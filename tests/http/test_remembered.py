"""What a parser remembers of the last head changes nothing of what it makes of the next, on literal bytes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import Refused
from proxy.http.h1 import HeadLimits, RequestHeadParser, ResponseHeadParser
from proxy.http.message import RequestHead
from proxy.http.remembered import LONGEST_REMEMBERED, Common
from proxy.http.target import parse_target

LIMITS = HeadLimits(header_bytes=8192, header_count=8, target_length=64)
HOST = b"Host: a.example\r\n"


def _made(parser: RequestHeadParser, raw: bytes) -> tuple[object, ...]:
    """Return what a parser makes of a head and where that goes; of a refusal, the rule."""
    buffer = bytearray(raw)
    try:
        head = parser.parse(buffer)
    except Refused as refused:
        return "refused", refused.row.code, refused.detail
    if head is None:
        return "more", bytes(buffer)
    facts = head.method, head.target, head.version, head.headers, head.framing, head.keep_alive, head.expects_continue
    return *facts, bytes(buffer), _where(head)


def _where(head: RequestHead) -> object:
    try:
        judged = parse_target(head.method, head.target, head.values(b"host"), head.version)
    except Refused as refused:
        assert head.goes_to is None
        return refused.row.code
    assert head.goes_to in (None, judged)
    return judged


def _same_as_fresh(*heads: bytes) -> None:
    parser = RequestHeadParser(LIMITS)
    for raw in heads:
        made = _made(parser, raw)
        assert made == _made(RequestHeadParser(LIMITS), raw)
        if made[0] in ("refused", "more"):  # the connection ends, or goes on with these very bytes
            return


# Few values, so that two heads often agree in much, and every byte that once told readers apart.
TARGETS = [
    b"/",
    b"/a",
    b"/a/../b",
    b"//a",
    b"/%2e",
    b"/a?b=c",
    b"/a?\xff",
    b"/a#b",
    b"http://a.example/a",
    b"*",
    b"/a b",
    b"/" + b"a" * 63,
    b"/" + b"a" * 64,
    b"",
    b"/a\t",
    b"/\x00",
]
CREDENTIALS = [
    b"Bearer a",
    b"Bearer bb",
    b"a",
    b"",
    b" ",
    b" a",
    b"a ",
    b"\ta",
    b"a\t",
    b"a\tb",
    b"a\x00",
    b"a\nb",
    b"a\rb",
    b"a\r\n b",
    b"a\r\nHost: b.example",
    b"a\r\nAuthorization: b",
    b"a\r\nContent-Length: 3",
    b"a\xff",
    b"a\x7f",
    b"Host: a.example",
    b"\xc3\xa4",
]
NAMES = [
    b"Authorization",
    b"authorization",
    b"AUTHORIZATION",
    b"Proxy-Authorization",
    b"X-Authorization",
    b"Authorization ",
    b"authorization\t",
    b"X",
]
FIELDS = [
    HOST,
    b"Host: b.example\r\n",
    b"Host: a..example\r\n",
    b"host:a.example\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 5\r\n",
    b"Expect: 100-continue\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Upgrade: h2c\r\n",
    b"X: authorization: Bearer a\r\n",
    b"X: a\r\n",
    b"X: a\r\n authorization: a\r\n",
    b"Bearer a: a\r\n",
    b" folded\r\n",
    b"X: a\n",
]

credentials = st.builds(
    lambda name, space, value: name + b":" + space + value + b"\r\n",
    st.sampled_from(NAMES),
    st.sampled_from([b" ", b"", b"  ", b"\t"]),
    st.sampled_from(CREDENTIALS) | st.binary(max_size=6),
)
lines = st.sampled_from(FIELDS) | credentials
starts = st.builds(
    lambda method, target, version: b"%b %b %b\r\n" % (method, target, version),
    st.sampled_from([b"GET", b"HEAD", b"POST", b"OPTIONS", b"CONNECT", b"get", b"FOO"]),
    st.sampled_from(TARGETS),
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2"]),
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Two heads, of which the second mostly differs in one place alone."""
    start, fields = draw(starts), [HOST, *draw(st.lists(lines, max_size=4))]
    first = start + b"".join(fields) + b"\r\n"
    if draw(st.booleans()):
        start = draw(starts)
    if draw(st.booleans()):
        at = draw(st.integers(0, len(fields) - 1))
        fields[at : at + draw(st.integers(0, 1))] = draw(st.lists(lines, max_size=1))
    return first, start + b"".join(fields) + b"\r\n"


@given(pairs())
@settings(max_examples=1500, deadline=None)
def test_the_second_head_is_what_a_fresh_parser_makes_of_it(heads: tuple[bytes, bytes]) -> None:
    _same_as_fresh(*heads)


@given(pairs())
@settings(max_examples=500, deadline=None)
def test_another_connections_head_is_what_a_fresh_parser_makes_of_it(heads: tuple[bytes, bytes]) -> None:
    common = Common()
    for raw in heads:
        assert _made(RequestHeadParser(LIMITS, common), raw) == _made(RequestHeadParser(LIMITS), raw)


@pytest.mark.parametrize(
    ("field", "shared"),
    [
        (b"", True),
        (b"X: y\r\n", True),
        (b"Authorization: Bearer a\r\n", False),
        (b"Proxy-Authorization: Bearer a\r\n", False),
        (b"Cookie: a=b\r\n", False),
    ],
)
def test_a_head_is_shared_by_connections_unless_it_carries_a_credential(field: bytes, shared: bool) -> None:
    raw, common = b"GET / HTTP/1.1\r\n" + HOST + field + b"\r\n", Common()
    first, second = (RequestHeadParser(LIMITS, common).parse(bytearray(raw)) for _ in range(2))
    assert first is not None and second is not None
    assert (first.block is second.block) is shared
    assert first.headers == second.headers


@pytest.mark.parametrize("name", [b"Authorization: ", b"authorization:", b"X: Bearer a\r\nAUTHORIZATION:  "])
@pytest.mark.parametrize("second", CREDENTIALS)
@pytest.mark.parametrize("tail", [b"", b"X: Bearer a\r\n"])
def test_whatever_stands_in_place_of_a_credential_is_read_as_if_nothing_came_before(
    name: bytes, second: bytes, tail: bytes
) -> None:
    def head(credential: bytes) -> bytes:
        return b"GET /a HTTP/1.1\r\n" + HOST + name + credential + b"\r\n" + tail + b"\r\n"

    _same_as_fresh(head(b"Bearer a"), head(second), head(b"Bearer a"))


def _repeated(first: bytes, second: bytes) -> bool:
    """Tell whether the second head was not parsed again, by the block that it shares."""
    parser = RequestHeadParser(LIMITS)
    before, after = parser.parse(bytearray(first)), parser.parse(bytearray(second))
    assert before is not None and after is not None
    return before.block is after.block


BEARER = b"GET %b HTTP/1.1\r\n" + HOST + b"Authorization: Bearer %b\r\nX: y\r\n\r\n"


def test_heads_that_differ_in_target_and_credential_share_their_fields_and_nothing_that_was_proven() -> None:
    parser = RequestHeadParser(LIMITS)
    first, other, again = (
        parser.parse(bytearray(BEARER % pair)) for pair in ((b"/", b"a"), (b"/", b"b"), (b"/b", b"b"))
    )
    assert first is not None and other is not None and again is not None
    assert first.block is other.block is again.block
    assert first.proof is not other.proof
    assert other.proof is again.proof
    assert [head.values(b"authorization") for head in (first, other, again)] == [
        [b"Bearer a"],
        [b"Bearer b"],
        [b"Bearer b"],
    ]


@pytest.mark.parametrize(
    "second",
    [
        b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.0\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\n" + HOST.lower() + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: b.example\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"Authorization: Bearer a\r\n\r\n",
        b"GET /%41 HTTP/1.1\r\n" + HOST + b"\r\n",
    ],
    ids=["method", "version", "spelling", "host", "one more field", "a credential", "a target for the rules"],
)
def test_a_head_that_differs_elsewhere_is_parsed(second: bytes) -> None:
    assert _repeated(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n", b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n")
    assert not _repeated(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n", second)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n" + HOST + b"Authorization: a\r\nAuthorization: b\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"x" * LONGEST_REMEMBERED + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"Authorization: \r\n\r\n",
    ],
    ids=["two credentials", "a body", "no host", "long", "an empty credential"],
)
def test_such_a_head_is_not_remembered(head: bytes) -> None:
    assert not _repeated(head, head)


def test_bounds_hold_for_a_head_that_repeats_another() -> None:
    short, at, over = (BEARER % (b"/", b"a" * count) for count in (1, 8000, 9000))
    _same_as_fresh(short, at, over)
    _same_as_fresh(BEARER % (b"/", b"a"), BEARER % (b"/" + b"x" * 63, b"a"), BEARER % (b"/" + b"x" * 64, b"a"))


def test_heads_that_share_a_block_are_short_and_its_size_is_that_of_one() -> None:
    parser = RequestHeadParser(LIMITS)
    short = parser.parse(bytearray(BEARER % (b"/", b"a")))
    long = BEARER % (b"/", b"a" * LONGEST_REMEMBERED)
    other = parser.parse(bytearray(long))
    assert short is not None and other is not None
    assert other.block is not short.block  # what is queued of a request is counted by its block's size
    assert other.block.size == len(long)


# --- answers

STATUSES = [
    b"200 OK",
    b"204 No Content",
    b"304 Not Modified",
    b"100 Continue",
    b"103 Early Hints",
    b"101 Switch",
    b"500 ",
]
ANSWER_FIELDS = [
    b"Content-Length: 3\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"X: a\r\n",
    b"Content-Length: 03\r\n",
    b"X: a\n",
    b" folded\r\n",
    b"Upgrade: h2c\r\nConnection: upgrade\r\n",
]
answer_heads = st.builds(
    lambda version, status, fields: b"%b %b\r\n%b\r\n" % (version, status, b"".join(fields)),
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0"]),
    st.sampled_from(STATUSES),
    st.lists(st.sampled_from(ANSWER_FIELDS), max_size=2),
)
methods = st.sampled_from([b"GET", b"HEAD", b"POST", b"OPTIONS"])


def _answer(parser: ResponseHeadParser, raw: bytes, method: bytes) -> object:
    try:
        return parser.parse(bytearray(raw), method)
    except Refused as refused:
        return refused.row.code, refused.detail


@given(answer_heads, answer_heads | st.none(), methods, methods)
@settings(max_examples=500, deadline=None)
def test_the_second_answer_is_what_a_fresh_parser_makes_of_it(
    first: bytes, other: bytes | None, asked: bytes, then: bytes
) -> None:
    parser = ResponseHeadParser(8192, 8)
    if isinstance(_answer(parser, first, asked), tuple):
        return
    second = other or first
    assert _answer(parser, second, then) == _answer(ResponseHeadParser(8192, 8), second, then)
