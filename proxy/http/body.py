"""Bodies: the bytes of one message up to its end, and chunks as bytes (RFC 9112 sections 6 and 7).

A reader consumes from the front of the buffer that it is given, and not one byte behind the body's end. Of a chunked
body it gives the data; extensions are dropped, trailers kept. What is no data is bounded, for nothing else bounds it.
"""

from __future__ import annotations

import re
from enum import Enum

from proxy.errors import Refused, Row
from proxy.http.headers import TRAILERS_REFUSED, fold
from proxy.http.message import BodyKind, Framing, Headers

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
# No white space between size and extension: RFC 9112 calls it bad, and readers differ about it.
_SIZE_LINE = re.compile(
    rb"([0-9A-Fa-f]{1,16})(?:;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?[ \t]*)*" % (_TOKEN, _TOKEN, _QUOTED), re.ASCII
)
_FIELD_LINE = re.compile(
    rb"(%b):[ \t]*((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)[ \t]*" % _TOKEN, re.ASCII
)


class _State(Enum):
    SIZE = "size"
    DATA = "data"
    DATA_END = "data_end"
    TRAILERS = "trailers"
    DONE = "done"


class BodyReader:
    """Reads one body.

    Args:
        framing: how the body ends.
        limit: the most bytes of data, or None.
        overhead: the most bytes of chunk extensions and trailers.
        malformed: the row of a body that breaks the grammar or ends early.
        too_large: the row of a body over `limit`; None: `malformed`.

    Attributes:
        done: the body has ended.
        trailers: of a chunked body, once it is done.

    Raises:
        Refused: `too_large`, already here where the length says so.
    """

    __slots__ = ("_left", "_limit", "_malformed", "_overhead", "_read", "_state", "_too_large", "done", "trailers")

    def __init__(
        self, framing: Framing, *, limit: int | None, overhead: int, malformed: Row, too_large: Row | None
    ) -> None:
        self._limit = limit
        self._overhead = overhead
        self._malformed = malformed
        self._too_large = too_large or malformed
        self._left = 0
        self._state = _State.SIZE
        self.done = False
        self.trailers: Headers = []
        match framing.kind:
            case BodyKind.CHUNKED:
                self._read = self._read_chunked
            case BodyKind.UNTIL_CLOSE:
                self._read = self._read_until_close
            case _:
                self._read = self._read_length
                self._left = framing.length
                self._spend(framing.length)
                self.done = framing.length == 0

    def read(self, buffer: bytearray) -> bytes:
        """Consume and return the data that is there; empty where more bytes are needed, or at the end.

        Raises:
            Refused: `malformed` or `too_large`.
        """
        return b"" if self.done else self._read(buffer)

    def pass_over(self, count: int) -> int:
        """Count as read what of the next `count` bytes, which are in no buffer, is data; return how many that are.

        None are, but of a body whose length is known.
        """
        if self._read != self._read_length:
            return 0
        taken = min(count, self._left)
        self._left -= taken
        self.done = self._left == 0
        return taken

    def end(self) -> None:
        """Say that no byte follows.

        Raises:
            Refused: `malformed`, the body has not ended.
        """
        if not self.done and self._read != self._read_until_close:
            raise Refused(self._malformed, "a body must not end early")
        self.done = True

    def _spend(self, count: int) -> None:
        if self._limit is not None:
            self._limit -= count
            if self._limit < 0:
                raise Refused(self._too_large, "a body must keep to its limit")

    def _read_length(self, buffer: bytearray) -> bytes:
        data = take(buffer, self._left)
        self._left -= len(data)
        self.done = self._left == 0
        return data

    def _read_until_close(self, buffer: bytearray) -> bytes:
        self._spend(len(buffer))
        return take(buffer, len(buffer))

    def _read_chunked(self, buffer: bytearray) -> bytes:
        parts: list[bytes] = []
        while buffer and not self.done:
            if self._state is _State.DATA:
                parts.append(data := take(buffer, self._left))
                self._left -= len(data)
                if self._left == 0:
                    self._state = _State.DATA_END
            elif self._state is _State.DATA_END:
                if not b"\r\n".startswith(buffer[:2]):
                    raise Refused(self._malformed, "chunk data must end in cr and lf")
                if len(buffer) < 2:
                    break
                del buffer[:2]
                self._state = _State.SIZE
            else:
                line = self._line(buffer)
                if line is None:
                    break
                if self._state is _State.SIZE:
                    self._size(line)
                else:
                    self._trailer(line)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _line(self, buffer: bytearray) -> bytes | None:
        """Consume a line without its end, or None where it has not ended."""
        end = buffer.find(b"\n")
        if end > 0 and buffer[end - 1] == 0x0D:
            line = bytes(buffer[: end - 1])
            del buffer[: end + 1]
            return line
        if end >= 0:
            raise Refused(self._malformed, "a line of a chunked body must end in cr and lf")
        if len(buffer) > self._overhead + 18:
            raise Refused(self._malformed, "chunk extensions and trailers must keep to chunk_overhead")
        return None

    def _size(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise Refused(self._malformed, "a chunk size must be 1 to 16 hexadecimal digits, then extensions")
        self._overspend(len(line) - len(match[1]))
        self._left = int(match[1], 16)
        self._spend(self._left)
        self._state = _State.DATA if self._left else _State.TRAILERS

    def _trailer(self, line: bytes) -> None:
        if not line:
            self._state = _State.DONE
            self.done = True
            return
        self._overspend(len(line) + 2)
        match = _FIELD_LINE.fullmatch(line)
        if match is None:
            raise Refused(self._malformed, "a trailer must be a name, a colon and a value")
        name = match[1].lower()
        if fold(name) in TRAILERS_REFUSED:
            raise Refused(self._malformed, "a trailer must not frame or route")
        self.trailers.append((name, match[2]))

    def _overspend(self, count: int) -> None:
        self._overhead -= count
        if self._overhead < 0:
            raise Refused(self._malformed, "chunk extensions and trailers must keep to chunk_overhead")


def take(buffer: bytearray, count: int) -> bytes:
    """Consume and return up to `count` bytes with one copy."""
    if count >= len(buffer):
        data = bytes(buffer)
        buffer.clear()
        return data
    with memoryview(buffer) as view:
        data = bytes(view[:count])
    del buffer[:count]
    return data


def encode_chunk(data: bytes) -> bytes:
    """Return a chunk; of no data nothing, for an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def encode_last_chunk(trailers: Headers) -> bytes:
    """Return the end of a chunked body, with its trailers."""
    return b"0\r\n%b\r\n" % b"".join([b"%b: %b\r\n" % trailer for trailer in trailers])
