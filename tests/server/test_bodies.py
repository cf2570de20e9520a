"""Bodies with a slow side: whoever is slow stops the other side, and the gateway's memory stays as it was."""

from __future__ import annotations

import random
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.gateway import PATIENCE, Client, Gateway, RawUpstream, Reader, gateway, ok, wait_for
from tests.server.load import HALT_SECONDS, Peak, settled
from tests.world import World, config

MIB = 1024 * 1024
SIZE = 64 * MIB
BOUND = 16 * MIB
PIECE = bytes(range(256)) * 1024
# A plain client has a plain upstream, and one that speaks TLS one that does so too.
ROUTES = """\
  - {name: plain, host: raw.example.org, upstream: wiki, listeners: [plain], allow: [{anyone: true}]}
  - {name: secure, host: raw.example.org, upstream: secure, listeners: [edge], allow: [{anyone: true}]}
"""


class Service(RawUpstream):
    """An upstream that also speaks TLS: whatever the first byte says."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        super().__init__()

    def _run(self, sock: socket.socket) -> None:
        hello = sock.recv(1, socket.MSG_PEEK) == b"\x16"
        super()._run(self._tls.wrap_socket(sock, server_side=True) if hello else sock)


@pytest.fixture(scope="module")
def service(world: World) -> Iterator[RawUpstream]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(world.directory / "edge.pem", world.directory / "edge.key")
    running = Service(context)
    yield running
    running.close()


@pytest.fixture(scope="module")
def front(world: World, service: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    place = world.copy_to(tmp_path_factory.mktemp("bodies"))
    secure = f'  secure: {{endpoints: ["https://127.0.0.1:{service.port}"], tls: {{ca: ca.pem}}}}'
    with gateway(place, config(service.url, routes=ROUTES, upstreams=secure)) as running:
        yield running


@pytest.fixture(params=["plain", "edge"])
def client(front: Gateway, world: World, request: pytest.FixtureRequest) -> Iterator[Client]:
    tls: ssl.SSLContext | None = world.client("web") if request.param == "edge" else None
    with Client(front.address(request.param), tls) as connected:
        assert connected.socket.gettimeout() == PATIENCE
        yield connected


def framed(chunked: bool) -> tuple[str, bytes, bytes]:
    """Return the framing field of a body of SIZE bytes, what stands before each piece, and what ends the body."""
    if chunked:
        return "Transfer-Encoding: chunked", b"%x\r\n" % len(PIECE), b"0\r\n\r\n"
    return f"Content-Length: {SIZE}", b"", b""


def pieces(chunked: bool) -> Iterator[bytes]:
    _, before, end = framed(chunked)
    for _ in range(SIZE // len(PIECE)):
        yield before + PIECE + (b"\r\n" if chunked else b"")
    yield end


class Flow:
    """A sender that is stopped by back-pressure: how far it came tells that the slow side has stopped it."""

    def __init__(self) -> None:
        self.sent = 0
        self.thread: threading.Thread | None = None

    def start(self, sock: socket.socket, chunked: bool) -> None:
        self.thread = threading.Thread(target=self._send, args=(sock, chunked), daemon=True)
        self.thread.start()

    def _send(self, sock: socket.socket, chunked: bool) -> None:
        for piece in pieces(chunked):
            sock.sendall(piece)
            self.sent += len(piece)

    def finish(self) -> None:
        assert self.thread is not None
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()

    def wait_until_it_stalls(self) -> None:
        assert 0 < settled(lambda: self.sent) < SIZE // 2


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_upload_waits_for_a_slow_upstream(
    front: Gateway, service: RawUpstream, client: Client, chunked: bool
) -> None:
    go, received = threading.Event(), []

    def slow(sock: socket.socket) -> None:
        reader = Reader(sock)
        while reader.line():
            pass
        go.wait(PATIENCE)
        received.append(_count(reader, chunked))
        sock.sendall(ok(connection="close"))  # as it does: nobody may reuse it

    service.script = slow
    peak = Peak(front)
    client.send(f"POST /up HTTP/1.1\r\nHost: raw.example.org\r\n{framed(chunked)[0]}\r\n\r\n".encode())
    flow = Flow()
    flow.start(client.socket, chunked)
    flow.wait_until_it_stalls()
    assert peak.growth() < BOUND
    go.set()
    flow.finish()  # before anything is read: two threads must not share one TLS object
    assert client.answer().status == 200
    assert received == [SIZE]
    assert peak.growth() < BOUND


def test_an_upload_arrives_in_order_and_ends_where_the_next_request_begins(
    service: RawUpstream, client: Client
) -> None:
    body = random.Random(7).randbytes(4 * MIB)
    received: list[bytes] = []

    def serve(sock: socket.socket) -> None:
        reader = Reader(sock)
        for _ in range(2):
            received.append(reader.line())
            while reader.line():
                pass
            if not received[1:]:
                received.append(reader.exactly(len(body)))
                sock.sendall(ok())
        sock.sendall(ok(connection="close"))

    service.script = serve
    head = b"POST /up HTTP/1.1\r\nHost: raw.example.org\r\nContent-Length: %d\r\n\r\n" % len(body)
    client.send(head + body + b"GET /next HTTP/1.1\r\nHost: raw.example.org\r\n\r\n")
    assert [client.answer().status, client.answer().status] == [200, 200]
    assert received == [b"POST /up HTTP/1.1", body, b"GET /next HTTP/1.1"]


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_download_waits_for_a_slow_client(
    front: Gateway, service: RawUpstream, client: Client, chunked: bool
) -> None:
    flow = Flow()

    def fast(sock: socket.socket) -> None:
        reader = Reader(sock)
        while reader.line():
            pass
        sock.sendall(f"HTTP/1.1 200 OK\r\n{framed(chunked)[0]}\r\n\r\n".encode())
        flow.start(sock, chunked)
        flow.finish()

    service.script = fast
    peak = Peak(front)
    client.send(b"GET /down HTTP/1.1\r\nHost: raw.example.org\r\n\r\n")
    wait_for(lambda: flow.sent, "the answer's beginning")
    flow.wait_until_it_stalls()
    assert peak.growth() < BOUND
    while client.reader.line():
        pass
    assert _count(client.reader, chunked) == SIZE
    assert peak.growth() < BOUND


def _count(reader: Reader, chunked: bool) -> int:
    """Read a whole body, checking what is in it; return its length."""
    total = 0
    while chunked or total < SIZE:
        size = int(reader.line(), 16) if chunked else len(PIECE)
        data = reader.exactly(size)
        reader.seen.clear()
        at = total % len(PIECE)
        assert data == (PIECE * (2 + size // len(PIECE)))[at : at + size]
        total += size
        if chunked:
            assert reader.exactly(2) == b"\r\n"
            if size == 0:
                return total
    return total


def test_an_echo_waits_for_a_client_that_does_not_read(front: Gateway, service: RawUpstream, client: Client) -> None:
    def echo(sock: socket.socket) -> None:
        reader = Reader(sock)
        while reader.line():
            pass
        sock.sendall(f"HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n".encode())
        for _ in range(SIZE // len(PIECE)):
            sock.sendall(reader.exactly(len(PIECE)))
            reader.seen.clear()

    service.script = echo
    peak = Peak(front)
    client.send(f"POST /echo HTTP/1.1\r\nHost: raw.example.org\r\nContent-Length: {SIZE}\r\n\r\n".encode())
    client.socket.settimeout(HALT_SECONDS)
    sent = send_until_it_stalls(client.socket, 0)
    assert 0 < sent < SIZE // 2
    assert peak.growth() < BOUND
    while client.reader.line():
        pass
    for _ in range(SIZE // MIB):
        client.socket.settimeout(0.001)
        sent = send_until_it_stalls(client.socket, sent)
        client.socket.settimeout(PATIENCE)
        assert client.reader.exactly(MIB) == PIECE * (MIB // len(PIECE))
        client.reader.seen.clear()
    assert peak.growth() < BOUND


def send_until_it_stalls(sock: socket.socket, sent: int) -> int:
    """Send on from this byte of a body, until nothing is taken for a moment; return how far it came."""
    with suppress(TimeoutError):
        while sent < SIZE:
            sent += sock.send(PIECE[sent % len(PIECE) :])
    return sent


def test_an_answer_streams_back_while_its_request_streams_in(service: RawUpstream, client: Client) -> None:
    def echo(sock: socket.socket) -> None:
        reader = Reader(sock)
        while reader.line():
            pass
        sock.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while size := int(reader.line(), 16):
            data = reader.exactly(size)
            assert reader.exactly(2) == b"\r\n"
            sock.sendall(b"%x\r\n%b\r\n" % (len(data), data))
        sock.sendall(b"0\r\n\r\n")

    service.script = echo
    client.send(b"POST /echo HTTP/1.1\r\nHost: raw.example.org\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.send(b"5\r\nfirst\r\n")
    while client.reader.line():
        pass
    assert client.reader.exactly(10) == b"5\r\nfirst\r\n"
    for number in range(100):
        word = b"%06d" % number
        client.send(b"6\r\n" + word + b"\r\n")
        assert client.reader.exactly(11) == b"6\r\n" + word + b"\r\n"
    client.send(b"0\r\n\r\n")
    assert client.reader.exactly(5) == b"0\r\n\r\n"
