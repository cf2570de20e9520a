"""The WebSocket handshake to the letter, on both sides, and where frames end, in pieces of every size."""

from __future__ import annotations

import pytest

from proxy.errors import UPSTREAM_MALFORMED, WEBSOCKET_REFUSED, Refused
from proxy.http.framing import request_framing
from proxy.http.h1 import ResponseHeadParser
from proxy.http.message import RequestHead
from proxy.http.websocket import Frames, accept_of, close_frame, require_switch

KEY, ACCEPT = b"dGhlIHNhbXBsZSBub25jZQ==", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3


def head_of(
    *fields: tuple[bytes, bytes],
    without: bytes = b"",
    method: bytes = b"GET",
    version: tuple[int, int] = (1, 1),
) -> RequestHead:
    base = [
        (b"host", b"a"),
        (b"connection", b"keep-alive, Upgrade"),
        (b"upgrade", b"WebSocket"),
        (b"sec-websocket-key", KEY),
        (b"sec-websocket-version", b"13"),
    ]
    return RequestHead(method, b"/", version, [field for field in base if field[0] != without] + list(fields))


def test_a_handshake_in_order_opens_a_websocket() -> None:
    head = head_of()
    request_framing(head)
    assert head.opens_websocket


@pytest.mark.parametrize(
    "head",
    [
        head_of(method=b"POST"),
        head_of(version=(1, 0)),
        head_of((b"content-length", b"0")),
        head_of((b"transfer-encoding", b"chunked"), method=b"PUT"),
        head_of(without=b"sec-websocket-key"),
        head_of((b"sec-websocket-key", KEY)),
        head_of((b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ="), without=b"sec-websocket-key"),
        head_of((b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZSE="), without=b"sec-websocket-key"),
        head_of((b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZ*=="), without=b"sec-websocket-key"),
        head_of(without=b"sec-websocket-version"),
        head_of((b"sec-websocket-version", b"13")),
        head_of((b"sec-websocket-version", b"8"), without=b"sec-websocket-version"),
        head_of((b"sec-websocket-accept", ACCEPT)),
        head_of((b"connection", b"upgrade, sec-websocket-key"), without=b"connection"),
    ],
)
def test_a_handshake_that_is_not_to_the_letter_is_refused(head: RequestHead) -> None:
    with pytest.raises(Refused) as caught:
        request_framing(head)
    assert caught.value.row is WEBSOCKET_REFUSED
    assert caught.value.headers == ((b"sec-websocket-version", b"13"),)


def test_the_accept_of_a_key_is_that_of_the_rfc() -> None:
    assert accept_of(KEY) == ACCEPT


SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\n"
FIELDS = b"Upgrade: websocket\r\nConnection: Upgrade\r\n"


def switch(fields: bytes, *offers: tuple[bytes, bytes]) -> None:
    answer = ResponseHeadParser(4096, 20).parse(bytearray(SWITCHED + fields + b"\r\n"), b"GET", True)
    assert answer is not None
    require_switch(head_of(*offers), answer)


def test_a_switch_may_choose_what_was_offered() -> None:
    accept = b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n"
    switch(FIELDS + accept)
    switch(FIELDS + accept + b"Sec-WebSocket-Protocol: two\r\n", (b"sec-websocket-protocol", b"one, two"))
    switch(
        FIELDS + accept + b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n",
        (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits"),
    )


@pytest.mark.parametrize(
    "fields",
    [
        FIELDS,
        FIELDS + b"Sec-WebSocket-Accept: " + KEY + b"\r\n",
        FIELDS + (b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n") * 2,
        b"Upgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + ACCEPT + b"\r\n",
        b"Upgrade: websocket\r\nSec-WebSocket-Accept: " + ACCEPT + b"\r\n",
        b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + ACCEPT + b"\r\n",
        FIELDS + b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\nSec-WebSocket-Protocol: unasked\r\n",
        FIELDS + b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\nSec-WebSocket-Extensions: unasked\r\n",
        FIELDS + b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\nContent-Length: 0\r\n",
    ],
)
def test_a_switch_that_does_not_answer_the_handshake_is_malformed(fields: bytes) -> None:
    with pytest.raises(Refused) as caught:
        switch(fields)
    assert caught.value.row is UPSTREAM_MALFORMED


STREAM = [
    b"\x81\x02hi",
    b"\x01\x03abc",
    b"\x89\x00",
    b"\x80\x7e\x01\x00" + b"x" * 256,
    b"\x82\x7f" + (70_000).to_bytes(8) + b"y" * 70_000,
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 65_536, 200_000])
def test_a_close_frame_can_stand_between_frames_alone(size: int) -> None:
    data, ends = b"".join(STREAM), {sum(map(len, STREAM[:count])) for count in range(len(STREAM) + 1)}
    frames = Frames(masked=False)
    for at in range(0, len(data), size):
        frames.pass_over(data[at : at + size])
        assert frames.may_be_closed is (min(at + size, len(data)) in ends)


@pytest.mark.parametrize("size", [1, 5, 100])
def test_masked_frames_are_followed_without_being_read(size: int) -> None:
    data = b"\x81\x85abcdHELLO" + b"\x88\x82abcd\x01\x02"
    frames = Frames(masked=True)
    for at in range(0, len(data), size):
        frames.pass_over(data[at : at + size])
    assert frames.closed
    assert not frames.may_be_closed


@pytest.mark.parametrize("data", [b"\x81\x80abcd", b"\x83\x00", b"\x89\x7e\x01\x00", b"\x88\x00"])
def test_nothing_is_put_into_what_is_no_stream_of_frames(data: bytes) -> None:
    frames = Frames(masked=False)
    frames.pass_over(data + b"\x81\x00" * 3)
    assert not frames.may_be_closed


def test_a_close_frame_says_why() -> None:
    assert close_frame(1008, "no") == b"\x88\x04\x03\xf0no"
    with pytest.raises(ValueError, match="125"):
        close_frame(1008, "x" * 124)
