"""Bodies with a slow side: whoever is slow stops the other side, and the gateway's memory stays as it was."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator

import pytest

from tests.gateway import PATIENCE, Client, Gateway, RawUpstream, Reader, gateway, ok, wait_for
from tests.world import World, config

MIB = 1024 * 1024
SIZE = 64 * MIB
BOUND = 16 * MIB
PIECE = bytes(range(256)) * 1024
ROUTES = "  - {name: raw, host: raw.example.org, upstream: wiki, allow: [{anyone: true}]}"


@pytest.fixture(scope="module")
def service() -> Iterator[RawUpstream]:
    running = RawUpstream()
    yield running
    running.close()


@pytest.fixture(scope="module")
def front(world: World, service: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    place = world.copy_to(tmp_path_factory.mktemp("bodies"))
    with gateway(place, config(service.url, routes=ROUTES)) as running:
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

    def wait_until_it_stalls(self) -> None:
        seen = [0, -1]

        def stalled() -> bool:
            seen.append(self.sent)
            return len(seen) > 50 and len(set(seen[-50:])) == 1

        wait_for(stalled, "back-pressure")
        assert 0 < self.sent < SIZE // 2


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
        sock.sendall(ok())

    service.script = slow
    before = front.memory()
    client.send(f"POST /up HTTP/1.1\r\nHost: raw.example.org\r\n{framed(chunked)[0]}\r\n\r\n".encode())
    flow = Flow()
    flow.start(client.socket, chunked)
    flow.wait_until_it_stalls()
    assert front.memory() - before < BOUND
    go.set()
    assert client.answer().status == 200
    assert received == [SIZE]
    assert front.memory() - before < BOUND


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
        assert flow.thread is not None
        flow.thread.join(PATIENCE)

    service.script = fast
    before = front.memory()
    client.send(b"GET /down HTTP/1.1\r\nHost: raw.example.org\r\n\r\n")
    wait_for(lambda: flow.sent, "the answer's beginning")
    flow.wait_until_it_stalls()
    assert front.memory() - before < BOUND
    while client.reader.line():
        pass
    assert _count(client.reader, chunked) == SIZE
    assert front.memory() - before < BOUND


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
