"""An upstream's answer is distrusted: what has two readings, or ends early, is 502 or a cut, never half an answer."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.gateway import PATIENCE, Client, Gateway, RawUpstream, Reader, gateway, ok
from tests.world import World, config

HEAD = b"HTTP/1.1 200 OK\r\n"
HELLO = b"content-length: 4\r\n\r\nevil"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"

MALFORMED: dict[str, bytes] = {
    # The status line.
    "no status": b"HTTP/1.1 OK\r\n" + HELLO,
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n" + HELLO,
    "a status of two digits": b"HTTP/1.1 20 OK\r\n" + HELLO,
    "a status that is none": b"HTTP/1.1 600 OK\r\n" + HELLO,
    "a status with a sign": b"HTTP/1.1 +200 OK\r\n" + HELLO,
    "two spaces": b"HTTP/1.1  200 OK\r\n" + HELLO,
    "a tab": b"HTTP/1.1\t200 OK\r\n" + HELLO,
    "another version": b"HTTP/2.0 200 OK\r\n" + HELLO,
    "a version of the future": b"HTTP/1.2 200 OK\r\n" + HELLO,
    "a version in lower case": b"http/1.1 200 OK\r\n" + HELLO,
    "another protocol": b"ICY 200 OK\r\n" + HELLO,
    "an empty line first": b"\r\n" + ok(b"evil"),
    "a space first": b" " + ok(b"evil"),
    "no head at all": b"evil\r\n\r\n",
    "a bare carriage return in the reason": b"HTTP/1.1 200 O\rK\r\n" + HELLO,
    "NUL in the reason": b"HTTP/1.1 200 O\0K\r\n" + HELLO,
    # Another protocol's bytes.
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nevil",
    "settings of HTTP/2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80evil",
    "an alert of TLS": b"\x15\x03\x03\x00\x02\x02\x50",
    "a banner of SSH": b"SSH-2.0-evil\r\n",
    # Lines.
    "bare line feeds": b"HTTP/1.1 200 OK\ncontent-length: 4\n\nevil",
    "one bare line feed": HEAD + b"x: 1\n" + HELLO,
    "a bare carriage return": HEAD + b"x: 1\ry: 2\r\n" + HELLO,
    "a folded line": HEAD + b"x: 1\r\n y: 2\r\n" + HELLO,
    "a folded length": HEAD + b"content-length:\r\n 4\r\n\r\nevil",
    "a space before the colon": HEAD + b"content-length : 4\r\n\r\nevil",
    "no colon": HEAD + b"content-length\r\n" + HELLO,
    "no name": HEAD + b": 1\r\n" + HELLO,
    "NUL in a value": HEAD + b"x: a\0b\r\n" + HELLO,
    "NUL in a name": HEAD + b"x\0: a\r\n" + HELLO,
    # How the body ends.
    "two lengths": HEAD + b"content-length: 4\r\ncontent-length: 5\r\n\r\nevil",
    "the same length twice": HEAD + b"content-length: 4\r\ncontent-length: 4\r\n\r\nevil",
    "a list of lengths": HEAD + b"content-length: 4, 4\r\n\r\nevil",
    "a length with a sign": HEAD + b"content-length: +4\r\n\r\nevil",
    "a negative length": HEAD + b"content-length: -4\r\n\r\nevil",
    "a hexadecimal length": HEAD + b"content-length: 0x4\r\n\r\nevil",
    "a length with a leading zero": HEAD + b"content-length: 04\r\n\r\nevil",
    "an empty length": HEAD + b"content-length:\r\n\r\nevil",
    "a length beyond 64 bits": HEAD + b"content-length: 18446744073709551620\r\n\r\nevil",
    "length and coding": HEAD + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
    "coding and length": HEAD + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
    "an unknown coding": HEAD + b"transfer-encoding: gzip\r\n\r\nevil",
    "an unknown coding before chunked": HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"transfer-encoding: chunked, chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
    "two codings": HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
    "chunked and identity": HEAD + b"transfer-encoding: chunked, identity\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
    "a vertical tab before chunked": HEAD + b"transfer-encoding: \x0bchunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
    "a length of no content": b"HTTP/1.1 204 No Content\r\n" + HELLO,
    # What follows.
    "a second answer": ok(b"hello") + ok(b"evil"),
    "bytes behind the answer": ok(b"hello") + b"evil",
    "bytes behind no content": b"HTTP/1.1 204 No Content\r\n\r\nevil",
    "bytes behind not modified": b"HTTP/1.1 304 Not Modified\r\ncontent-length: 4\r\n\r\nevil",
    "bytes behind the last chunk": CHUNKED + b"0\r\n\r\nevil",
    # Chunks.
    "a chunk size that is none": CHUNKED + b"evil\r\n\r\n",
    "a chunk size with a sign": CHUNKED + b"+4\r\nevil\r\n0\r\n\r\n",
    "a chunk size with 0x": CHUNKED + b"0x4\r\nevil\r\n0\r\n\r\n",
    "a chunk size beyond 64 bits": CHUNKED + b"10000000000000004\r\nevil\r\n0\r\n\r\n",
    "a chunk size that ends in a line feed": CHUNKED + b"4\nevil\r\n0\r\n\r\n",
    "a chunk without its end": CHUNKED + b"4\r\nevil0\r\n\r\n",
    "a chunk that ends in a line feed": CHUNKED + b"4\r\nevil\n0\r\n\r\n",
    "a trailer that frames": CHUNKED + b"0\r\ncontent-length: 4\r\n\r\n",
    # Interim answers.
    "a switch of protocols": b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: evil\r\n\r\nevil",
    "a switch without a name": b"HTTP/1.1 101 Switching Protocols\r\n\r\nevil",
    "an interim answer with a length": b"HTTP/1.1 103 Early Hints\r\n" + HELLO + ok(b"evil"),
    "a flood of interim answers": b"HTTP/1.1 102 Processing\r\n\r\n" * 1000 + ok(b"evil"),
    # Bounds.
    "a head that is too long": HEAD + b"x: " + b"a" * 70_000 + b"\r\n" + HELLO,
    "a head that never ends": HEAD + b"x: " + b"a" * 70_000,
    "too many fields": HEAD + b"x: 1\r\n" * 200 + HELLO,
    "a reason that is too long": b"HTTP/1.1 200 " + b"a" * 70_000 + b"\r\n" + HELLO,
}  # fmt: skip
EARLY: dict[str, bytes] = {
    "before its head": b"",
    "within its status line": b"HTTP/1.1 2",
    "within its head": HEAD + b"content-length: 4\r\n",
    "after an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n",
    "before its body": HEAD + b"content-length: 4\r\n\r\n",
    "within its body": HEAD + b"content-length: 8\r\n\r\nevil",
    "before its chunks": CHUNKED,
    "within a chunk": CHUNKED + b"8\r\nevil",
    "before its last chunk": CHUNKED + b"4\r\nevil\r\n",
    "within its last chunk": CHUNKED + b"4\r\nevil\r\n0\r\n",
}  # fmt: skip


def read_head(sock: socket.socket) -> None:
    reader = Reader(sock)
    while reader.line():
        pass


def says(answer: bytes, *, closes: bool) -> Callable[[socket.socket], None]:
    """Return a script that answers the first request so; it then closes, or leaves that to the proxy."""

    def script(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(answer)
        while not closes and sock.recv(65536):
            pass

    return script


def serves_again(client: Client, raw: RawUpstream) -> None:
    """Say that the next request goes over another connection, and is answered well."""
    before = raw.connections
    raw.script = says(ok(b"good", connection="close"), closes=True)
    assert client.get("/after", "raw.example.org").body == b"good"
    assert raw.connections == before + 1


@pytest.mark.parametrize("closes", [False, True], ids=["and waits", "and closes"])
@pytest.mark.parametrize("said", MALFORMED)
def test_a_malformed_answer_is_502_and_not_a_byte_of_it_is_passed_on(
    edge: Gateway, raw: RawUpstream, said: str, closes: bool
) -> None:
    raw.script = says(MALFORMED[said], closes=closes)
    with Client(edge.address("plain")) as client:
        answer = client.get("/x", "raw.example.org")
        assert (answer.status, answer.code) == (502, "upstream_malformed")
        assert b"evil" not in answer.body
        assert raw.connections == 1  # what was understood once is not asked for again
        serves_again(client, raw)


@pytest.mark.parametrize("said", EARLY)
def test_an_answer_that_ends_early_is_502_or_cut(edge: Gateway, raw: RawUpstream, said: str) -> None:
    raw.script = says(EARLY[said], closes=True)
    with Client(edge.address("plain")) as client:
        try:
            answer = client.get("/x", "raw.example.org")
        except EOFError:
            assert not bytes(client.reader.seen).endswith(b"0\r\n\r\n")
        else:
            assert (answer.status, answer.code) == (502, "upstream_closed")
    with Client(edge.address("plain")) as client:
        serves_again(client, raw)


def test_content_in_the_answer_to_head_ends_the_connection_and_is_not_passed_on(
    edge: Gateway, raw: RawUpstream
) -> None:
    raw.script = says(HEAD + HELLO, closes=False)
    with Client(edge.address("plain")) as client:
        answer = client.get("/x", "raw.example.org", method="HEAD")
        assert answer.status == 502
        serves_again(client, raw)


def test_bytes_that_come_after_the_answer_was_passed_on_end_the_connection(edge: Gateway, raw: RawUpstream) -> None:
    received, ended = threading.Event(), threading.Event()

    def late(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(ok(b"good"))
        assert received.wait(PATIENCE)
        sock.sendall(ok(b"evil"))
        with suppress(ConnectionResetError):
            assert sock.recv(65536) == b""
        ended.set()

    raw.script = late
    with Client(edge.address("plain")) as client:
        assert client.get("/x", "raw.example.org").body == b"good"
        received.set()
        assert ended.wait(PATIENCE)
        serves_again(client, raw)


# --- an end that comes when the answer has begun: what was passed on must not look whole


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def wait_and_spoil(sock: socket.socket) -> None:
    sock.sendall(b"-4\r\nevil\r\n0\r\n\r\n")
    sock.recv(65536)


ENDS: dict[str, tuple[bytes, Callable[[socket.socket], None]]] = {
    "a length, closed": (HEAD + b"content-length: 8\r\n\r\ngood", lambda sock: None),
    "a length, reset": (HEAD + b"content-length: 8\r\n\r\ngood", reset),
    "chunks, closed": (CHUNKED + b"4\r\ngood\r\n", lambda sock: None),
    "chunks, reset": (CHUNKED + b"4\r\ngood\r\n", reset),
    "chunks, malformed": (CHUNKED + b"4\r\ngood\r\n", wait_and_spoil),
    "until the end, reset": (HEAD + b"\r\ngood", reset),
}


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("end", ENDS)
def test_an_answer_that_breaks_when_it_has_begun_does_not_look_whole(
    edge: Gateway, raw: RawUpstream, end: str, version: str
) -> None:
    begins, breaks = ENDS[end]
    received = threading.Event()

    def script(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(begins)
        assert received.wait(PATIENCE)
        breaks(sock)

    raw.script = script
    with Client(edge.address("plain")) as client:
        client.send(f"GET /x {version}\r\nHost: raw.example.org\r\n\r\n".encode())
        arrived, how = take_all(client.socket, received)
    assert b"good" in arrived
    assert b"evil" not in arrived
    # HTTP/1.0 has no last chunk: there the end of the connection is the end of the answer, unless it is a reset.
    assert not arrived.endswith(b"0\r\n\r\n")
    assert how == "reset" or version == "HTTP/1.1" or b"content-length" in arrived


def take_all(sock: socket.socket, received: threading.Event) -> tuple[bytes, str]:
    """Return what arrives and how it ends; set the event once the answer's first bytes are here."""
    arrived = b""
    try:
        while data := sock.recv(65536):
            arrived += data
            if b"good" in arrived:
                received.set()
    except ConnectionResetError:
        return arrived, "reset"
    return arrived, "closed"


@pytest.fixture(scope="module")
def secure(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, RawUpstream]]:
    """A gateway whose upstream speaks TLS, and that upstream."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(world.directory / "edge.pem", world.directory / "edge.key")
    upstream = RawUpstream()
    place = world.copy_to(tmp_path_factory.mktemp("secure"))
    text = config(
        upstream.url,
        routes="  - {name: raw, host: raw.example.org, upstream: raw, allow: [{anyone: true}]}",
        upstreams=f'  raw: {{endpoints: ["https://127.0.0.1:{upstream.port}"], tls: {{ca: ca.pem}}}}',
    )

    def wrapped(script: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
        def run(sock: socket.socket) -> None:
            with context.wrap_socket(sock, server_side=True) as secured:
                script(secured)

        return run

    upstream.wrapped = wrapped  # type: ignore[attr-defined]
    with gateway(place, text) as running:
        yield running, upstream
    upstream.close()


@pytest.mark.parametrize("says_so", [True, False], ids=["close_notify", "no close_notify"])
def test_an_answer_until_the_end_of_tls_is_whole_only_if_tls_says_so(
    secure: tuple[Gateway, RawUpstream], says_so: bool
) -> None:
    running, upstream = secure
    received = threading.Event()

    def script(sock: socket.socket) -> None:
        assert isinstance(sock, ssl.SSLSocket)
        read_head(sock)
        sock.sendall(HEAD + b"\r\ngood")
        assert received.wait(PATIENCE)
        if says_so:
            sock.unwrap()

    upstream.script = upstream.wrapped(script)  # type: ignore[attr-defined]
    with Client(running.address("plain")) as client:
        client.send(b"GET /x HTTP/1.1\r\nHost: raw.example.org\r\nConnection: close\r\n\r\n")
        arrived, _ = take_all(client.socket, received)
    assert b"good" in arrived
    assert arrived.endswith(b"0\r\n\r\n") is says_so
