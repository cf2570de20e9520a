"""HTTP/1.1 heads: bytes in, heads out, and heads as bytes (RFC 9112).

A head is collected up to its empty line, bounded, and only then given to llhttp, a new parser each time and no
leniency ever. llhttp judges the grammar; what it lets pass is judged here and in `framing`. A parser consumes a head
from the front of the buffer that it is given and leaves every byte behind it. It must not read bodies.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

import httptools

from proxy.errors import (
    CONNECT_REFUSED,
    HEADERS_TOO_LARGE,
    INTERNAL_ERROR,
    METHOD_UNKNOWN,
    REQUEST_MALFORMED,
    TARGET_TOO_LONG,
    UPSTREAM_MALFORMED,
    Refused,
)
from proxy.http.body import take
from proxy.http.framing import request_framing, response_framing
from proxy.http.headers import SPELLED
from proxy.http.message import Headers, RequestHead, ResponseHead
from proxy.http.remembered import LONGEST_REMEMBERED, Common, remember

# The registered methods that llhttp reads. TRACE is not among them: it echoes credentials (RFC 9110 section 9.3.8).
METHODS = frozenset(
    b"GET HEAD POST PUT PATCH DELETE OPTIONS QUERY "
    b"PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK SEARCH REPORT ACL BIND REBIND UNBIND LINK UNLINK "
    b"MKACTIVITY CHECKOUT MERGE MKCALENDAR".split()
)

REASONS: dict[int, bytes] = {status.value: status.phrase.encode() for status in HTTPStatus} | {
    413: b"Content Too Large",
    414: b"URI Too Long",
    416: b"Range Not Satisfiable",
    422: b"Unprocessable Content",
    499: b"Client Closed Request",
}

_VERSIONS = {b"HTTP/1.1": (1, 1), b"HTTP/1.0": (1, 0)}
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
_STATUS_LINE = re.compile(rb"(HTTP/1\.[01]) ([1-5][0-9]{2})(?: ([\t -~\x80-\xff]*))?", re.ASCII)
_BARE = re.compile(rb"\r(?!\n|\Z)|(?<!\r)\n")


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """Bounds of a request head: bytes of the whole, number of fields, bytes of the target."""

    header_bytes: int
    header_count: int
    target_length: int


class _Report:
    """What llhttp says of one head."""

    __slots__ = ("complete", "fields")

    def __init__(self) -> None:
        self.fields: Headers = []
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        self.complete = True

    def spelled(self) -> Headers:
        """Return the fields with lower-case names; llhttp trims values at their front alone."""
        return [(SPELLED[name], value.rstrip(b" \t")) for name, value in self.fields]


class RequestHeadParser:
    """Takes request heads from the front of a buffer, one connection long.

    A head whose fields are, byte for byte, those of the head before it is not parsed again: its target alone is read,
    and its credential compared. llhttp has judged every one of its lines.

    Args:
        limits: the bounds of one head.
        common: what connections with the same limits begin with.
    """

    __slots__ = ("_common", "_judged", "_last", "_limits", "_longest", "_scanned", "_skipped")

    def __init__(self, limits: HeadLimits, common: Common | None = None) -> None:
        self._limits = limits
        self._common = common
        self._scanned = 0  # bytes of the buffer in which no head ends
        self._skipped = False  # the empty line that is forgiven has been
        self._judged = False  # the request line has come and passes
        self._last = common.last if common is not None else None
        self._longest = min(LONGEST_REMEMBERED, limits.header_bytes)  # of a head that may be compared with it

    def parse(self, buffer: bytearray) -> RequestHead | None:
        """Return the next head, or None where more bytes are needed. Its body's framing is decided.

        Raises:
            Refused: the bytes are no head that passes; the connection cannot go on.
        """
        if not self._skipped and buffer.startswith(b"\r\n"):
            # One empty line before a request is forgiven, as of old clients (RFC 9112 section 2.2).
            del buffer[:2]
            self._skipped = True
        end = buffer.find(b"\r\n\r\n", max(self._scanned - 3, 0))
        if end < 0:
            self._judge_incomplete(buffer)
            return None
        self._scanned = 0
        self._skipped = self._judged = False
        raw, last = take(buffer, end + 4), self._last
        if last is not None and len(raw) <= self._longest:
            head = last.repeated(raw, self._limits.target_length)
            if head is not None:
                return head
        return self._read(raw)

    def _read(self, raw: bytes) -> RequestHead:
        method, target, version = self._request_line(raw)
        if len(raw) > self._limits.header_bytes:
            raise Refused(HEADERS_TOO_LARGE, "the head must keep to header_bytes")
        report = _Report()
        try:
            httptools.HttpRequestParser(report).feed_data(raw)
        except httptools.HttpParserError as error:
            raise Refused(REQUEST_MALFORMED, str(error).lower()) from None
        except httptools.HttpParserUpgrade:
            pass  # the head is whole; our own rule about upgrades follows
        if not report.complete:
            raise Refused(REQUEST_MALFORMED, "a head must end at its empty line")
        if len(report.fields) > self._limits.header_count:
            raise Refused(HEADERS_TOO_LARGE, "the head must keep to header_count")
        head = RequestHead(method, target, version, report.spelled())
        request_framing(head)
        head.block.size = len(raw)
        self._last = remember(raw, head)
        if self._common is not None and self._last is not None:
            self._common.note(self._last)
        return head

    def _request_line(self, raw: bytes) -> tuple[bytes, bytes, tuple[int, int]]:
        parts = raw[: raw.find(b"\r\n")].split(b" ")
        if len(parts) != 3:
            raise Refused(REQUEST_MALFORMED, "a request line must be method, target and version, one space apart")
        method, target, protocol = parts
        version = _VERSIONS.get(protocol)
        if version is None:
            raise Refused(REQUEST_MALFORMED, "the version must be HTTP/1.0 or HTTP/1.1")
        if method not in METHODS:
            if not _TOKEN.fullmatch(method) or b"\r" in target or b"\n" in target:
                raise Refused(REQUEST_MALFORMED, "a method must be a token")
            if method == b"CONNECT":
                raise Refused(CONNECT_REFUSED, "the connect method is not offered")
            raise Refused(METHOD_UNKNOWN, "the method must be a known one")
        if len(target) > self._limits.target_length:
            raise Refused(TARGET_TOO_LONG, "the target must keep to target_length")
        return method, target, version

    def _judge_incomplete(self, buffer: bytearray) -> None:
        """Refuse at once what cannot become a head."""
        limits = self._limits
        if buffer and not _TOKEN.match(buffer) and not (buffer == b"\r" and not self._skipped):
            raise Refused(REQUEST_MALFORMED, "a request must begin with a method")
        if not self._judged:
            line = buffer.find(b"\r\n")
            if line >= 0:
                self._request_line(bytes(buffer[: line + 2]))
                self._judged = True
            # Around the target stand the method and ` HTTP/1.1` with CR.
            elif len(buffer) - buffer.find(b" ", 0, 32) > limits.target_length + 11:
                raise Refused(TARGET_TOO_LONG, "the target must keep to target_length")
        if _BARE.search(buffer, max(self._scanned - 1, 0)):
            raise Refused(REQUEST_MALFORMED, "a line must end in cr and lf, and hold neither")
        if len(buffer) > limits.header_bytes:
            raise Refused(HEADERS_TOO_LARGE, "the head must keep to header_bytes")
        self._scanned = len(buffer)


class ResponseHeadParser:
    """Takes response heads from the front of a buffer, interim ones too, and trusts none.

    Args:
        header_bytes: the bound of a head.
        header_count: the bound of its fields.
    """

    __slots__ = ("_bytes", "_count", "_last", "_scanned")

    def __init__(self, header_bytes: int, header_count: int) -> None:
        self._bytes = header_bytes
        self._count = header_count
        self._scanned = 0
        self._last: tuple[bytes, bool, ResponseHead] | None = None  # bytes, whether of a HEAD request, what they say

    def parse(self, buffer: bytearray, method: bytes, may_switch: bool = False) -> ResponseHead | None:
        """Return the next head, or None where more bytes are needed. Its body's framing is decided.

        Args:
            method: of the request that is answered.
            may_switch: that request opens a WebSocket.

        Raises:
            Refused: UPSTREAM_MALFORMED.
        """
        end = buffer.find(b"\r\n\r\n", max(self._scanned - 3, 0))
        if end < 0:
            if not b"HTTP/1.".startswith(buffer[:7]):
                raise Refused(UPSTREAM_MALFORMED, "an answer must begin with its version")
            if _BARE.search(buffer, max(self._scanned - 1, 0)):
                raise Refused(UPSTREAM_MALFORMED, "a line must end in cr and lf, and hold neither")
            if len(buffer) > self._bytes:
                raise Refused(UPSTREAM_MALFORMED, "an answer's head must keep to its bound")
            self._scanned = len(buffer)
            return None
        self._scanned = 0
        raw, of_head, last = take(buffer, end + 4), method == b"HEAD", self._last
        if last is not None and last[0] == raw and last[1] is of_head:
            return last[2]
        head = self._read(raw, method, may_switch)
        self._last = (raw, of_head, head) if len(raw) <= LONGEST_REMEMBERED and head.status != 101 else None
        return head

    def _read(self, raw: bytes, method: bytes, may_switch: bool) -> ResponseHead:
        if len(raw) > self._bytes:
            raise Refused(UPSTREAM_MALFORMED, "an answer's head must keep to its bound")
        line = _STATUS_LINE.fullmatch(raw, 0, raw.find(b"\r\n"))
        if line is None:
            raise Refused(UPSTREAM_MALFORMED, "a status line must be version, status and reason")
        report = _Report()
        try:
            with suppress(httptools.HttpParserUpgrade):  # `framing` judges it
                httptools.HttpResponseParser(report).feed_data(raw)
            fields = report.spelled()
        except httptools.HttpParserError as error:
            raise Refused(UPSTREAM_MALFORMED, str(error).lower()) from None
        except Refused as refused:
            raise Refused(UPSTREAM_MALFORMED, refused.detail) from None
        if not report.complete or len(fields) > self._count:
            raise Refused(UPSTREAM_MALFORMED, "an answer's head must keep to its bound")
        head = ResponseHead(int(line[2]), line[3] or b"", _VERSIONS[line[1]], fields)
        response_framing(head, method, may_switch=may_switch)
        return head


def encode_request(method: bytes, origin_form: bytes, host: bytes, fields: bytes) -> bytes:
    """Return a request head, always of HTTP/1.1.

    Args:
        fields: what `encode_fields` gave, without Host.

    Raises:
        Refused: INTERNAL_ERROR, a field would end its line.
    """
    lines = b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (method, origin_form, host)
    if lines.count(b"\n") != 2 or lines.count(b"\r") != 2 or b"\0" in lines:
        raise Refused(INTERNAL_ERROR, "a field must not hold cr, lf or nul")
    return b"%b%b\r\n" % (lines, fields)


def encode_response(status: int, reason: bytes, headers: Headers) -> bytes:
    """Return a response head, always of HTTP/1.1.

    Raises:
        Refused: INTERNAL_ERROR, a field would end its line.
    """
    return encode_fields(headers, b"HTTP/1.1 %d %b" % (status, reason)) + b"\r\n"


def encode_fields(headers: Headers, first: bytes = b"") -> bytes:
    """Return fields as they stand in a head, each with its line's end.

    Args:
        first: the line before them, if there is one.

    Raises:
        Refused: INTERNAL_ERROR, a field would end its line.
    """
    lines = [*map(b": ".join, headers)] if not first else [first, *map(b": ".join, headers)]
    # The last gate: whatever made a value, no value makes a line.
    text = b"".join(lines)
    if b"\n" in text or b"\r" in text or b"\0" in text:
        raise Refused(INTERNAL_ERROR, "a field must not hold cr, lf or nul")
    lines.append(b"")
    return b"\r\n".join(lines)
