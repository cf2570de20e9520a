"""Bodies on literal bytes, whole, one byte at a time, and split anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import BODY_TOO_LARGE, FRAMING_REFUSED, Refused
from proxy.http.body import BodyReader, encode_chunk, encode_last_chunk
from proxy.http.message import CHUNKED, NO_BODY, UNTIL_CLOSE, BodyKind, Framing, Headers
from tests.http.wire import pieces

NEXT = b"GET / HTTP/1.1\r\n"


def _reader(framing: Framing, *, limit: int | None = None, overhead: int = 256) -> BodyReader:
    return BodyReader(framing, limit=limit, overhead=overhead, malformed=FRAMING_REFUSED, too_large=BODY_TOO_LARGE)


def _read(raw: bytes, framing: Framing = CHUNKED, *, size: int, **how: int) -> tuple[bytes, BodyReader, bytes]:
    """Return what is read of bytes that arrive in pieces of a size, the reader, and what is left."""
    reader, buffer, data = _reader(framing, **how), bytearray(), b""
    for piece in pieces(raw, size):
        buffer += piece
        data += reader.read(buffer)
    return data, reader, bytes(buffer)


SIZES = pytest.mark.parametrize("size", [1, 2, 3, 7, 4096])


@SIZES
def test_no_body_takes_nothing(size: int) -> None:
    data, reader, left = _read(NEXT, NO_BODY, size=size)
    assert (data, reader.done, left) == (b"", True, NEXT)


@SIZES
def test_a_counted_body_ends_at_its_length(size: int) -> None:
    data, reader, left = _read(b"hello" + NEXT, Framing(BodyKind.LENGTH, 5), size=size)
    assert (data, reader.done, left) == (b"hello", True, NEXT)


def test_a_body_of_length_zero_is_done_at_once() -> None:
    assert _reader(Framing(BodyKind.LENGTH, 0)).done


def test_a_counted_body_counts_what_passes_outside_of_the_buffer() -> None:
    reader = _reader(Framing(BodyKind.LENGTH, 5))
    assert (reader.pass_over(2), reader.done) == (2, False)
    assert (reader.read(buffer := bytearray(b"l")), reader.done, buffer) == (b"l", False, b"")
    assert (reader.pass_over(9), reader.done) == (2, True)
    assert reader.pass_over(9) == 0


@pytest.mark.parametrize("framing", [CHUNKED, Framing(BodyKind.UNTIL_CLOSE)], ids=["chunked", "until close"])
def test_no_other_body_lets_bytes_pass_outside_of_the_buffer(framing: Framing) -> None:
    assert _reader(framing).pass_over(9) == 0


@SIZES
def test_a_body_until_close_takes_everything(size: int) -> None:
    data, reader, left = _read(b"hello" + NEXT, UNTIL_CLOSE, size=size)
    assert (data, reader.done, left) == (b"hello" + NEXT, False, b"")
    reader.end()
    assert reader.done


@SIZES
@pytest.mark.parametrize(
    ("raw", "body", "trailers"),
    [
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello", []),
        (b"0\r\n\r\n", b"", []),
        (b"000\r\n\r\n", b"", []),
        (b"0000000000000005\r\nhello\r\n0\r\n\r\n", b"hello", []),
        (b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2, []),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n", []),
        (b'5;a;b=c;d="e;\\" f"\r\nhello\r\n0;x\r\n\r\n', b"hello", []),
        (b"5; some; parameters = stuff\r\nhello\r\n0\r\n\r\n", b"hello", []),
        (
            b"0\r\nExpires: never\r\nX-Sum:\t 1 2 \r\nX-Empty:\r\nX:\xff\r\n\r\n",
            b"",
            [(b"expires", b"never"), (b"x-sum", b"1 2"), (b"x-empty", b""), (b"x", b"\xff")],
        ),
    ],
)
def test_a_chunked_body_ends_behind_its_trailers(raw: bytes, body: bytes, trailers: Headers, size: int) -> None:
    data, reader, left = _read(raw + NEXT, size=size)
    assert (data, reader.done, reader.trailers, left) == (body, True, trailers, NEXT)


@SIZES
@pytest.mark.parametrize(
    "raw",
    [
        b"\r\nhello",  # no size
        b"g\r\n",
        b"-5\r\n",
        b"+5\r\n",
        b"0x5\r\n",
        b"5_0\r\n",
        b" 5\r\n",
        b"5 \r\n",
        b"5\t;a\r\n",
        b"00000000000000005\r\n",  # seventeen digits
        b"5\nhello\n",
        b"5;a\nhello",
        b"5\n;\r\nhello",
        b"5\r\r\nhello",
        b"5;a\rb\r\nhello",
        b"5;\r\nhello",
        b"5;=a\r\nhello",
        b"5;a=\r\nhello",
        b'5;a="b\r\nhello',
        b"5;a=b c\r\nhello",
        b"5;a\0\r\nhello",
        b"5\r\nhelloX\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\r0\r\n\r\n",
        b"0\r\nX : a\r\n\r\n",
        b"0\r\n X: a\r\n\r\n",
        b"0\r\nX: a\r\n b\r\n\r\n",
        b"0\r\n: a\r\n\r\n",
        b"0\r\nX\r\n\r\n",
        b"0\r\nX: a\rb\r\n\r\n",
        b"0\r\nX: a\0b\r\n\r\n",
        b"0\r\nX: a\nY: b\r\n\r\n",
        b"0\r\nX: a\x7f\r\n\r\n",
        b"0\r\nContent-Length: 5\r\n\r\n",
        b"0\r\ncontent_length: 5\r\n\r\n",
        b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\nHost: a\r\n\r\n",
    ],
)
def test_a_chunked_body_against_its_grammar_is_refused(raw: bytes, size: int) -> None:
    with pytest.raises(Refused) as caught:
        _read(raw, size=size)
    assert caught.value.row is FRAMING_REFUSED


@SIZES
@pytest.mark.parametrize(
    ("raw", "passes"),
    [
        (b"1;" + b"a" * 15 + b"\r\nx\r\n0\r\n\r\n", True),
        (b"1;" + b"a" * 16 + b"\r\nx\r\n0\r\n\r\n", False),
        (b"1;aaaaaaa\r\nx\r\n1;aaaaaaa\r\nx\r\n0\r\n\r\n", True),
        (b"1;aaaaaaa\r\nx\r\n1;aaaaaaa\r\nx\r\n0;a\r\n\r\n", False),
        (b"0\r\nX: " + b"a" * 11 + b"\r\n\r\n", True),
        (b"0\r\nX: " + b"a" * 12 + b"\r\n\r\n", False),
        (b"0\r\n" + b"X:\r\n" * 4 + b"\r\n", True),
        (b"0\r\n" + b"X:\r\n" * 5 + b"\r\n", False),
        (b"1;" + b"a" * 64, False),  # never ends
        (b"0\r\n" + b"X" * 64, False),
        (b"1\r\nx\r\n" * 100 + b"0\r\n\r\n", True),  # data costs nothing
    ],
)
def test_what_is_no_data_is_bounded(raw: bytes, passes: bool, size: int) -> None:
    if passes:
        assert _read(raw, size=size, overhead=16)[1].done
    else:
        with pytest.raises(Refused) as caught:
            _read(raw, size=size, overhead=16)
        assert caught.value.row is FRAMING_REFUSED


def test_a_length_over_the_limit_is_refused_before_a_byte() -> None:
    with pytest.raises(Refused) as caught:
        _reader(Framing(BodyKind.LENGTH, 11), limit=10)
    assert caught.value.row is BODY_TOO_LARGE
    assert not _reader(Framing(BodyKind.LENGTH, 10), limit=10).done


@SIZES
def test_chunks_over_the_limit_are_refused(size: int) -> None:
    assert _read(b"5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n", size=size, limit=10)[1].done
    with pytest.raises(Refused) as caught:
        _read(b"5\r\nhello\r\n6\r\n", size=size, limit=10)
    assert caught.value.row is BODY_TOO_LARGE
    with pytest.raises(Refused):
        _read(b"ffffffffffffffff\r\n", size=size, limit=10)


def test_a_body_until_close_over_the_limit_is_refused() -> None:
    with pytest.raises(Refused):
        _read(b"12345678901", UNTIL_CLOSE, size=1, limit=10)


def test_without_a_row_for_size_a_body_over_its_limit_is_malformed() -> None:
    with pytest.raises(Refused) as caught:
        BodyReader(Framing(BodyKind.LENGTH, 2), limit=1, overhead=0, malformed=FRAMING_REFUSED, too_large=None)
    assert caught.value.row is FRAMING_REFUSED


@pytest.mark.parametrize(
    ("raw", "framing"),
    [
        (b"", Framing(BodyKind.LENGTH, 5)),
        (b"hell", Framing(BodyKind.LENGTH, 5)),
        (b"", CHUNKED),
        (b"5\r\nhello\r\n", CHUNKED),
        (b"5\r\nhello\r\n0\r\n", CHUNKED),
    ],
)
def test_a_body_that_ends_early_is_refused(raw: bytes, framing: Framing) -> None:
    reader = _read(raw, framing, size=1)[1]
    with pytest.raises(Refused) as caught:
        reader.end()
    assert caught.value.row is FRAMING_REFUSED
    assert not reader.done


def test_the_end_of_the_stream_changes_nothing_for_a_body_that_is_whole() -> None:
    reader = _read(b"0\r\n\r\n", CHUNKED, size=1)[1]
    reader.end()
    assert reader.done


def test_a_reader_that_is_done_leaves_the_buffer_alone() -> None:
    reader, buffer = _reader(NO_BODY), bytearray(NEXT)
    assert reader.read(buffer) == b""
    assert buffer == NEXT


def test_no_data_makes_no_chunk() -> None:
    assert encode_chunk(b"") == b""
    assert encode_chunk(b"0123456789abcdef!") == b"11\r\n0123456789abcdef!\r\n"


def test_a_last_chunk_carries_the_trailers() -> None:
    assert encode_last_chunk([]) == b"0\r\n\r\n"
    assert encode_last_chunk([(b"a", b"b"), (b"c", b"")]) == b"0\r\na: b\r\nc: \r\n\r\n"


_CHUNKS = st.lists(st.binary(min_size=1, max_size=40), max_size=6)


@settings(deadline=None)
@given(_CHUNKS, st.lists(st.integers(1, 60), max_size=12))
def test_what_is_encoded_is_read_wherever_it_is_split(chunks: list[bytes], splits: list[int]) -> None:
    raw = b"".join(map(encode_chunk, chunks)) + encode_last_chunk([(b"x", b"y")]) + NEXT
    reader, buffer, data, start = _reader(CHUNKED), bytearray(), b"", 0
    for size in [*splits, len(raw)]:
        buffer += raw[start : start + size]
        start += size
        data += reader.read(buffer)
    assert (data, reader.done, reader.trailers) == (b"".join(chunks), True, [(b"x", b"y")])
    assert bytes(buffer) == NEXT


@settings(deadline=None)
@given(st.binary(max_size=40).map(lambda raw: b"5\r\nhello\r\n" + raw) | st.from_regex(rb"[05;ab=\r\n \"]{0,20}"))
def test_whatever_the_bytes_a_split_changes_nothing(raw: bytes) -> None:
    def outcome(size: int) -> object:
        try:
            data, reader, left = _read(raw, size=size, limit=1 << 20)
        except Refused as refused:
            return refused.row.code
        return data, reader.done, reader.trailers, left if reader.done else None

    whole = outcome(len(raw) or 1)
    assert all(outcome(size) == whole for size in (1, 2, 5))
