"""The WebSocket handshake (RFC 6455 section 4), and where frames end, on both sides of a tunnel: bytes in, values out.

What is between two frames' ends is nobody's business here: payloads are neither unmasked nor read. A tunnel whose
frames cannot be followed is still a tunnel; only a frame of our own has no place in it.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import sha1
from typing import Final

from proxy.errors import UPSTREAM_MALFORMED, WEBSOCKET_REFUSED, Refused
from proxy.http.headers import tokens
from proxy.http.message import BodyKind, Headers, RequestHead, ResponseHead

POLICY_VIOLATION: Final = 1008
GOING_AWAY: Final = 1001
SWITCH: Final[Headers] = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]

_VERSION = ((b"sec-websocket-version", b"13"),)  # what a client that is refused may try (RFC 6455 section 4.4)
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3
_LONGEST_CONTROL = 125
_CLOSE = 0x8
_KNOWN = frozenset({0x0, 0x1, 0x2, _CLOSE, 0x9, 0xA})


def require_handshake(head: RequestHead) -> None:
    """Refuse a request to switch to `websocket` that is not, to the letter, a client's handshake (section 4.2.1).

    Args:
        head: its framing and version are known.

    Raises:
        Refused: WEBSOCKET_REFUSED.
    """
    if head.method != b"GET" or head.version != (1, 1) or head.framing.kind is not BodyKind.NONE:
        raise _refused("a websocket handshake must be a get request of http/1.1 without content")
    if head.values(b"sec-websocket-version") != [b"13"]:
        raise _refused("sec-websocket-version must be 13, once")
    keys = head.values(b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        raise _refused("sec-websocket-key must be 16 bytes in base64, once")
    if head.values(b"sec-websocket-accept"):
        raise _refused("sec-websocket-accept must not stand in a request")
    if any(token.startswith(b"sec-websocket-") for token in tokens(head.values(b"connection"))):
        raise _refused("connection must not name a field of the handshake")


def require_switch(head: RequestHead, answer: ResponseHead) -> None:
    """Refuse a 101 that is not the answer to this handshake (section 4.1).

    Args:
        head: of a request that has passed `require_handshake`.
        answer: of status 101.

    Raises:
        Refused: UPSTREAM_MALFORMED.
    """
    if [value.lower() for value in answer.values(b"upgrade")] != [b"websocket"]:
        raise Refused(UPSTREAM_MALFORMED, "a switch must be to websocket")
    if b"upgrade" not in tokens(answer.values(b"connection")):
        raise Refused(UPSTREAM_MALFORMED, "connection must name upgrade")
    if answer.values(b"sec-websocket-accept") != [accept_of(head.values(b"sec-websocket-key")[0])]:
        raise Refused(UPSTREAM_MALFORMED, "sec-websocket-accept must be made of the request's key")
    chosen = answer.values(b"sec-websocket-protocol")
    if chosen and (len(chosen) > 1 or chosen[0] not in _listed(head, b"sec-websocket-protocol")):
        raise Refused(UPSTREAM_MALFORMED, "sec-websocket-protocol must be one that was offered")
    offered = {_name(extension) for extension in _listed(head, b"sec-websocket-extensions")}
    if any(_name(extension) not in offered for extension in _listed(answer, b"sec-websocket-extensions")):
        raise Refused(UPSTREAM_MALFORMED, "sec-websocket-extensions must be of those that were offered")
    if answer.values(b"content-length") or answer.values(b"transfer-encoding"):
        raise Refused(UPSTREAM_MALFORMED, "a switch must not frame a body")


def accept_of(key: bytes) -> bytes:
    """Return the `Sec-WebSocket-Accept` that proves a server has read a key (section 4.2.2)."""
    return base64.b64encode(sha1(key + _GUID, usedforsecurity=False).digest())


def close_frame(code: int, reason: str) -> bytes:
    """Return a server's Close frame (section 5.5.1).

    Args:
        reason: ASCII, at most 123 characters.
    """
    payload = code.to_bytes(2) + reason.encode("ascii")
    if len(payload) > _LONGEST_CONTROL:
        raise ValueError("a control frame must keep to 125 bytes")
    return bytes((0x80 | _CLOSE, len(payload))) + payload


class Frames:
    """Follows one direction of a tunnel from frame to frame (section 5.2).

    Attributes:
        closed: a Close frame has begun: no other frame may follow it.
    """

    __slots__ = ("_begun", "_broken", "_left", "_masked", "closed")

    def __init__(self, *, masked: bool) -> None:
        self._masked = masked  # clients mask every frame, servers none (section 5.1)
        self._begun = b""  # of the head of the frame that follows
        self._left = 0  # bytes of the payload under way
        self._broken = False
        self.closed = False

    @property
    def may_be_closed(self) -> bool:
        """Whether a Close frame can be put in here: between two frames of which none was a Close frame."""
        return not (self._begun or self._left or self._broken or self.closed)

    def pass_over(self, data: bytes) -> None:
        """Follow what goes by."""
        at, end = 0, len(data)
        while at < end and not self._broken:
            if self._left:
                step = min(self._left, end - at)
                self._left -= step
                at += step
            else:
                at += self._read_head(data, at)

    def _read_head(self, data: bytes, at: int) -> int:
        """Read on in a frame's head; return how many bytes of it are in the data."""
        before = len(self._begun)
        head = self._begun + data[at : at + 14 - before]  # the longest head has 14 bytes
        size, self._begun = _size_of(head), head
        if size is None or len(head) < size:
            return len(head) - before
        self._begun = b""
        opcode, masked, short = head[0] & 0x0F, bool(head[1] & 0x80), head[1] & 0x7F
        self._broken = opcode not in _KNOWN or masked != self._masked or (opcode >= _CLOSE and short > _LONGEST_CONTROL)
        self._left = short if short < 126 else int.from_bytes(head[2 : 4 if short == 126 else 10])
        self.closed = self.closed or opcode == _CLOSE
        return size - before


def _size_of(head: bytes) -> int | None:
    """Return how long the head of a frame is, as soon as it tells."""
    if len(head) < 2:
        return None
    return 2 + {126: 2, 127: 8}.get(head[1] & 0x7F, 0) + (4 if head[1] & 0x80 else 0)


def _refused(rule: str) -> Refused:
    return Refused(WEBSOCKET_REFUSED, rule, headers=_VERSION)


def _is_key(value: bytes) -> bool:
    try:
        return len(value) == 24 and len(base64.b64decode(value, validate=True)) == 16
    except binascii.Error:
        return False


def _listed(head: RequestHead | ResponseHead, name: bytes) -> list[bytes]:
    return [element.strip(b" \t") for value in head.values(name) for element in value.split(b",") if element.strip()]


def _name(extension: bytes) -> bytes:
    return extension.partition(b";")[0].strip(b" \t").lower()
