"""Where the public suites meet a running gateway: a strict upstream that keeps every byte, an address for every case.

Each case's client has a loopback address of its own (Linux answers for all of 127.0.0.0/8), so the access record's
`source` and the upstream's X-Forwarded-For tell whose a request is, in whatever order things happen. Nothing is judged
before the gateway has ended: then every record is written and every upstream connection closed, and what has not
reached the upstream never will.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tests.gateway import PATIENCE, Answer, Gateway, Reader, read_chunks, read_fields, wait_for

# What a proxy may say to an upstream: one spelling of everything, so that no two servers could read it differently.
_LINE = re.compile(rb"([A-Z][A-Z-]*) (/[!-~]*) HTTP/1\.1")
_FIELD = re.compile(rb"([a-z0-9!#$%&'*+.^_`|~-]+): ((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)")
_LENGTH = re.compile(rb"0|[1-9][0-9]*")
_CHUNK = re.compile(rb"0|[1-9a-f][0-9a-f]*")


class Ambiguous(ValueError):  # noqa: N818 - what the bytes are
    """Bytes that are not in the one spelling that the proxy has for them."""


@dataclass
class Request:
    """A request as the upstream read it; `whole` if all of it came."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)
    whole: bool = False

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]

    def value(self, name: str) -> str:
        (value,) = self.values(name)
        return value


class _Cursor:
    """Takes lines and bytes from the front of what has come. Raises EOFError where more is needed."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def line(self) -> bytes:
        end = self.data.find(b"\r\n", self.at)
        if end < 0:
            raise EOFError
        line, self.at = self.data[self.at : end], end + 2
        return line

    def exactly(self, count: int) -> bytes:
        if len(self.data) - self.at < count:
            raise EOFError
        taken, self.at = self.data[self.at : self.at + count], self.at + count
        return taken

    def matching(self, pattern: re.Pattern[bytes]) -> re.Match[bytes]:
        line = self.line()
        match = pattern.fullmatch(line)
        if match is None:
            raise Ambiguous(repr(line))
        return match

    def fields(self) -> list[tuple[str, str]]:
        fields = []
        while not self.data.startswith(b"\r\n", self.at):
            name, value = self.matching(_FIELD).groups()
            fields.append((name.decode("ascii"), value.decode("latin-1")))
        self.at += 2
        return fields


def read_strictly(data: bytes) -> tuple[Request | None, int]:
    """Return the request that bytes begin with, or None before its head is there, and how many bytes it has so far.

    Raises:
        Ambiguous: another reader could read them differently.
    """
    cursor = _Cursor(data)
    try:
        method, target = cursor.matching(_LINE).groups()
        request = Request(method.decode(), target.decode(), cursor.fields())
    except EOFError:
        return None, 0
    lengths, codings = request.values("content-length"), request.values("transfer-encoding")
    if len(request.values("host")) != 1 or len(lengths) + len(codings) > 1 or codings not in ([], ["chunked"]):
        raise Ambiguous(repr(request.fields))
    try:
        if lengths:
            if not _LENGTH.fullmatch(lengths[0].encode()):
                raise Ambiguous(lengths[0])
            request.body = cursor.exactly(int(lengths[0]))
        elif codings:
            _read_chunks(cursor, request)
    except EOFError:
        return request, cursor.at
    request.whole = True
    return request, cursor.at


def _read_chunks(cursor: _Cursor, request: Request) -> None:
    while size := int(cursor.matching(_CHUNK)[0], 16):
        request.body += cursor.exactly(size)
        if cursor.exactly(2) != b"\r\n":
            raise Ambiguous("a chunk must end with CRLF")
    request.trailers = cursor.fields()


def echo(request: Request) -> bytes:
    """Answer with the request line's two words."""
    body = f"{request.method} {request.target}".encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n" % len(body)
    return head if request.method == "HEAD" else head + body


class Recorder:
    """The strict upstream.

    Args:
        answer: the bytes of the answer to a request; the connection goes on.
    """

    def __init__(self, answer: Callable[[Request], bytes] = echo) -> None:
        self.requests: list[Request] = []  # in the order in which they came, those that were cut off too
        self.faults: list[str] = []  # what could be read in two ways
        self._answer = answer
        self._open = 0
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.url = f"http://{self.endpoint}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections, and wait until those that were there have ended."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        wait_for(lambda: self._open == 0, "end of the upstream's connections")

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            with self._lock:
                self._open += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        buffer = bytearray()
        try:
            with sock:
                while data := sock.recv(65536):
                    buffer += data
                    self._read(buffer, sock)
        except Ambiguous as ambiguous:
            self.faults.append(f"{ambiguous} in {bytes(buffer)!r}")
        except OSError:
            pass
        finally:
            self._read_rest(bytes(buffer))
            with self._lock:
                self._open -= 1

    def _read(self, buffer: bytearray, sock: socket.socket) -> None:
        while buffer:
            request, size = read_strictly(bytes(buffer))
            if request is None or not request.whole:
                return
            del buffer[:size]
            self.requests.append(request)
            sock.sendall(self._answer(request))

    def _read_rest(self, rest: bytes) -> None:
        try:
            request, _ = read_strictly(rest)
        except Ambiguous:
            return  # told already
        if request is not None:
            self.requests.append(request)
        elif rest:
            self.faults.append(f"a head that has no end: {rest!r}")


@dataclass
class Case:
    """What came of one case.

    Args:
        source: its client's address.
        received: every byte that its client got.
        exchanges: its access records, in order.
        requests: what reached the upstream of it, in order.
        followed: the request that was sent behind it reached the upstream, as a request of its own.
    """

    source: str
    received: bytes = b""
    exchanges: list[dict[str, Any]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    followed: bool = False

    @property
    def whole(self) -> list[Request]:
        return [request for request in self.requests if request.whole]

    @property
    def codes(self) -> list[str | None]:
        """The catalogue's codes, None where the upstream answered."""
        return [exchange["code"] for exchange in self.exchanges]

    @property
    def statuses(self) -> list[int]:
        return [exchange["status"] for exchange in self.exchanges]

    def answers(self) -> list[Answer]:
        """Return the answers that the client got, read strictly. Raise EOFError where one was cut off."""
        reader = _Bytes(self.received)
        answers: list[Answer] = []
        methods = [exchange["method"] for exchange in self.exchanges]
        while not reader.at_end():
            answers.append(_read_answer(reader, methods[len(answers)]))
        return answers

    def answer(self) -> Answer:
        """Return the answer to a GET, while the gateway still runs."""
        return _read_answer(_Bytes(self.received), "GET")


class _Bytes(Reader):
    """A reader of bytes that are all there."""

    def __init__(self, data: bytes) -> None:
        self._buffer = bytearray(data)
        self.seen = bytearray()

    def _more(self) -> None:
        raise EOFError("no more bytes")


def _read_answer(reader: Reader, method: str) -> Answer:
    interim = []
    while True:
        version, status, _reason = reader.line().decode("latin-1").split(" ", 2)
        assert version == "HTTP/1.1"
        fields = read_fields(reader)
        if int(status) >= 200:
            break
        interim.append(int(status))
    answer = Answer(int(status), fields, b"", interim)
    if method == "HEAD" or answer.status in (204, 304):
        return answer
    if answer.get("transfer-encoding") == "chunked":
        answer.body = read_chunks(reader)
    elif (length := answer.get("content-length")) is not None:
        answer.body = reader.exactly(int(length))
    else:
        answer.body = reader.rest()
    return answer


class Trial:
    """A gateway and its upstream, from the first case to the end of both.

    Args:
        directory: with the files that the config names.
        config: makes the config file's text of the recorder's URL.
        answer: the recorder's.
    """

    def __init__(
        self, directory: Path, config: Callable[[str], str], *, answer: Callable[[Request], bytes] = echo
    ) -> None:
        self.cases: dict[Any, Case] = {}
        self._numbers = count()
        self.recorder = Recorder(answer)
        self.gateway = Gateway(directory, config(self.recorder.url))
        self.exit_status: int | None = None

    def __enter__(self) -> Trial:
        self.gateway.wait_until_listening()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def fire(
        self,
        key: Any,
        raw: bytes,
        *,
        listener: str = "plain",
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> Case:
        """Send a case's bytes on a connection of its own, say that no more will come, and take what comes back."""
        number = next(self._numbers)
        case = self.cases[key] = Case(f"127.1.{number // 250}.{number % 250 + 1}")
        address = self.gateway.address(listener)
        with socket.create_connection(address, timeout=PATIENCE, source_address=(case.source, 0)) as bare:
            bare.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is None:
                case.received = _converse(bare, raw)
            else:
                with tls.wrap_socket(bare, server_hostname=server_name) as wrapped:
                    case.received = _converse(wrapped, raw)
        return case

    def end(self) -> None:
        """End the gateway, then the upstream, and give each case what is its own."""
        if self.exit_status is not None:
            return
        self.exit_status = self.gateway.stop()
        self.recorder.close()
        of_source = {case.source: case for case in self.cases.values()}
        of_request: dict[str, Case] = {}
        for request in self.recorder.requests:
            if (case := of_source.get(last_hop(request))) is not None:
                case.requests.append(request)
                of_request[request.value("x-request-id")] = case
        for record in self.gateway.of_type("access"):  # behind a trusted proxy, the source is not the client
            case = of_request.get(record["request_id"]) or of_source.get(record["source"])
            if case is not None:
                case.exchanges.append(record)

    def undecided(self) -> list[str]:
        """Return what the upstream got that no decision of the gateway's permits, and what is ambiguous in it."""
        permits = {record["decision_id"] for record in self.gateway.of_type("decision") if "error" not in record}
        exchanges = {record["request_id"]: record for record in self.gateway.of_type("access")}
        wrong = list(self.recorder.faults)
        for request in self.recorder.requests:
            exchange = exchanges.pop(request.value("x-request-id"), None)
            if exchange is None or exchange["decision_id"] not in permits:
                wrong.append(f"not decided: {request}")
            elif exchange["method"] != request.method or exchange["source"] not in request.value("x-forwarded-for"):
                wrong.append(f"decided as another: {request}")
        relayed = [
            left for left in exchanges.values() if left["code"] is None and left["endpoint"] == self.recorder.endpoint
        ]
        return wrong + [f"not the recorder's answer: {exchange}" for exchange in relayed]


def last_hop(request: Request) -> str:
    """Return the address from which the gateway got a request."""
    return request.value("x-forwarded-for").rpartition(", ")[2]


def _converse(sock: socket.socket, raw: bytes) -> bytes:
    received = bytearray()
    with suppress(OSError):  # the gateway may have ended the connection already
        sock.sendall(raw)
        if not isinstance(sock, ssl.SSLSocket):
            sock.shutdown(socket.SHUT_WR)
    with suppress(ConnectionError, ssl.SSLEOFError):
        while data := sock.recv(65536):
            received += data
    return bytes(received)
