"""A connection without a socket: what a proxy would make of bytes, whole or one byte at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from proxy.errors import BODY_TOO_LARGE, FRAMING_REFUSED, UPSTREAM_MALFORMED, Refused
from proxy.http.body import BodyReader
from proxy.http.h1 import HeadLimits, RequestHeadParser, ResponseHeadParser
from proxy.http.message import Headers, RequestHead, ResponseHead, Target
from proxy.http.target import parse_target

LIMITS = HeadLimits(header_bytes=64 * 1024, header_count=100, target_length=8 * 1024)


@dataclass
class Message:
    """A message that would be forwarded."""

    head: RequestHead | ResponseHead
    target: Target | None = None
    body: bytes = b""
    trailers: Headers = field(default_factory=list)
    complete: bool = False


@dataclass
class Seen:
    """What came of the bytes: messages, and why no more."""

    messages: list[Message] = field(default_factory=list)
    refused: Refused | None = None
    closed: bool = False
    left: bytes = b""

    @property
    def complete(self) -> list[Message]:
        """The messages that came to their end."""
        return [message for message in self.messages if message.complete]

    @property
    def summary(self) -> tuple[object, ...]:
        """What must not depend on how the bytes arrive; of a refusal the row, for another rule may be seen first."""
        heads = [message.head for message in self.messages]
        bodies = [(message.body, message.trailers) for message in self.complete]
        return (heads, bodies, self.refused and self.refused.row.code, self.closed)


def pieces(raw: bytes, size: int) -> Iterator[bytes]:
    """Yield the bytes in pieces of a size."""
    for start in range(0, len(raw), size):
        yield raw[start : start + size]


def receive(raw: bytes, *, size: int = 0, limits: HeadLimits = LIMITS, host: bytes | None = None) -> Seen:
    """Return what a downstream connection makes of bytes.

    Args:
        raw: what the client sends.
        size: of the pieces that arrive; 0: all at once.
        limits: of a head.
        host: what a request without Host is taken to have, or None.
    """
    return _Requests(limits, host).run(raw, size)


def answers(raw: bytes, *, size: int = 0, method: bytes = b"GET", ends: bool = False) -> Seen:
    """Return what an upstream connection makes of bytes: interim answers and a final one; what follows is left."""
    return _Responses(method, ends).run(raw, size)


class _Connection:
    def __init__(self) -> None:
        self.seen = Seen()
        self.buffer = bytearray()
        self.reader: BodyReader | None = None

    def run(self, raw: bytes, size: int) -> Seen:
        try:
            for piece in pieces(raw, size or len(raw) or 1):
                self.buffer += piece
                self._advance()
            self._end()
        except Refused as refused:
            self.seen.refused = refused
        self.seen.left = bytes(self.buffer)
        return self.seen

    def _advance(self) -> None:
        while not self.seen.closed:
            if self.reader is None:
                before = len(self.buffer)
                message = self._head()
                if message is None:
                    return
                assert len(self.buffer) < before
                self.seen.messages.append(message)
            message = self.seen.messages[-1]
            assert self.reader is not None
            message.body += self.reader.read(self.buffer)
            if not self.reader.done:
                return
            message.trailers, message.complete = self.reader.trailers, True
            self.reader = None
            self.seen.closed = self._closes(message)

    def _head(self) -> Message | None:
        raise NotImplementedError

    def _closes(self, message: Message) -> bool:
        return not message.head.keep_alive

    def _end(self) -> None:
        pass


class _Requests(_Connection):
    def __init__(self, limits: HeadLimits, host: bytes | None) -> None:
        super().__init__()
        self.parser = RequestHeadParser(limits)
        self.host = host

    def _head(self) -> Message | None:
        head = self.parser.parse(self.buffer)
        if head is None:
            return None
        hosts = head.values(b"host") or ([self.host] if self.host is not None else [])
        target = parse_target(head.method, head.target, hosts, head.version)
        self.reader = BodyReader(
            head.framing, limit=1 << 40, overhead=16384, malformed=FRAMING_REFUSED, too_large=BODY_TOO_LARGE
        )
        return Message(head, target)


class _Responses(_Connection):
    def __init__(self, method: bytes, ends: bool) -> None:
        super().__init__()
        self.parser = ResponseHeadParser(64 * 1024, 100)
        self.method = method
        self.ends = ends

    def _head(self) -> Message | None:
        head = self.parser.parse(self.buffer, self.method)
        if head is None:
            return None
        self.reader = BodyReader(head.framing, limit=None, overhead=16384, malformed=UPSTREAM_MALFORMED, too_large=None)
        return Message(head)

    def _closes(self, message: Message) -> bool:
        assert isinstance(message.head, ResponseHead)
        return message.head.status >= 200

    def _end(self) -> None:
        if self.ends and self.reader is not None:
            self.reader.end()
            self.seen.messages[-1].complete = True
