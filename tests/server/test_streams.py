"""What lasts: WebSockets and server-sent events through the running gateway, and how they end when access does."""

from __future__ import annotations

import base64
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from proxy.http.websocket import accept_of
from tests.gateway import PATIENCE, Client, Gateway, RawUpstream, Reader, gateway, read_fields, read_request, wait_for
from tests.world import WEB, World, config

ROUTE = "  - {{name: raw, host: raw.example.org, upstream: wiki, allow: [{{{who}}}], timeouts: {{{timeouts}}}}}\n"
CUT_SECONDS = 2.0
DRAIN_SECONDS = 30.0  # unless a config says otherwise


def routes(who: str = "anyone: true", timeouts: str = "") -> str:
    return ROUTE.format(who=who, timeouts=timeouts)


def frame(opcode: int, payload: bytes, *, masked: bool) -> bytes:
    """Return one final frame; its mask is zero, which changes nothing of the payload."""
    size = len(payload)
    length = (
        bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2) if size < 65_536 else b"\x7f" + size.to_bytes(8)
    )
    head = bytes([0x80 | opcode, length[0] | (0x80 if masked else 0)]) + length[1:]
    return head + (b"\0" * 4 if masked else b"") + payload


def read_frame(reader: Reader) -> tuple[int, bytes]:
    first, second = reader.exactly(2)
    size = second & 0x7F
    if size > 125:
        size = int.from_bytes(reader.exactly(2 if size == 126 else 8))
    if second & 0x80:
        assert reader.exactly(4) == b"\0" * 4
    return first & 0x0F, reader.exactly(size)


Talk = Callable[[socket.socket, Reader], None]


def echo(sock: socket.socket, reader: Reader) -> None:
    """Answer every message with itself, and a Close frame with another one."""
    while True:
        opcode, payload = read_frame(reader)
        sock.sendall(frame(opcode, payload, masked=False))
        if opcode == 8:
            return


class Peer(RawUpstream):
    """An upstream that speaks WebSocket, and streams events where it is not asked to."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.talk: Talk = echo
        self.accept: bytes | None = None
        self.fields: list[tuple[str, str]] = []
        self.events: list[socket.socket] = []
        self.ended = threading.Event()
        self.may_switch = threading.Event()
        self.may_switch.set()

    def _answer(self, sock: socket.socket) -> None:
        reader = Reader(sock)
        reader.line()
        self.fields = read_fields(reader)
        asked = {name.lower(): value for name, value in self.fields}
        try:
            if "upgrade" in asked:
                assert self.may_switch.wait(PATIENCE)
                accept = self.accept or accept_of(asked["sec-websocket-key"].encode())
                sock.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
                )
                self.talk(sock, reader)
            else:
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
                self.events.append(sock)
                sock.recv(1)
        except EOFError:
            pass
        finally:
            self.ended.set()


@pytest.fixture
def peer() -> Iterator[Peer]:
    running = Peer()
    yield running
    running.close()


@pytest.fixture
def front(place: Path, peer: Peer, request: pytest.FixtureRequest) -> Iterator[Gateway]:
    with gateway(place, config(peer.url, routes=routes(**getattr(request, "param", {})))) as running:
        yield running


def open_websocket(client: Client, *fields: str) -> dict[str, str]:
    """Make the handshake; return the answer's fields, with `status` among them."""
    key = ask_for_websocket(client, *fields)
    status = client.reader.line().split(b" ")[1].decode()
    answer = {name.lower(): value for name, value in read_fields(client.reader)}
    if status == "101":
        assert answer["sec-websocket-accept"] == accept_of(key).decode()
        assert (answer["upgrade"], answer["connection"]) == ("websocket", "Upgrade")
    return {**answer, "status": status}


def ask_for_websocket(client: Client, *fields: str) -> bytes:
    """Send a handshake; return its key."""
    key = base64.b64encode(os.urandom(16))
    lines = [
        "GET /chat HTTP/1.1",
        "Host: raw.example.org",
        "Connection: keep-alive, Upgrade",
        "Upgrade: websocket",
        f"Sec-WebSocket-Key: {key.decode()}",
        "Sec-WebSocket-Version: 13",
        *fields,
    ]
    client.send(("\r\n".join(lines) + "\r\n\r\n").encode())
    return key


@pytest.fixture(params=["plain", "edge"])
def client(front: Gateway, world: World, request: pytest.FixtureRequest) -> Iterator[Client]:
    with Client(front.address(request.param), world.client() if request.param == "edge" else None) as connected:
        yield connected


def access(front: Gateway) -> dict[str, Any]:
    return wait_for(lambda: next(iter(front.of_type("access")), None), "an access record")


def test_a_websocket_carries_messages_both_ways_and_is_one_record(front: Gateway, client: Client, peer: Peer) -> None:
    assert open_websocket(client)["status"] == "101"
    total = 0
    for size in (0, 5, 300, 70_000, 1_000_000):
        message = frame(2, os.urandom(size), masked=True)
        total += len(message)
        client.send(message)
        opcode, payload = read_frame(client.reader)
        assert (opcode, payload) == (2, message[len(message) - size :])
    client.send(frame(8, b"\x03\xe8", masked=True))
    assert read_frame(client.reader) == (8, b"\x03\xe8")
    assert client.closed()
    record = access(front)
    assert (record["status"], record["code"], record["path"]) == (101, None, "/chat")
    assert record["bytes_in"] == total + 8
    assert record["bytes_out"] == total + 4 - 4 * 5
    assert len(front.of_type("access")) == 1
    names = [name.lower() for name, _ in peer.fields]
    assert names.count("connection") == names.count("upgrade") == names.count("sec-websocket-key") == 1


def test_what_the_upstream_says_with_its_switch_is_not_lost(client: Client, peer: Peer) -> None:
    peer.talk = lambda sock, reader: sock.sendall(frame(1, b"hello", masked=False) + frame(8, b"", masked=False))
    assert open_websocket(client)["status"] == "101"
    assert read_frame(client.reader) == (1, b"hello")
    assert read_frame(client.reader) == (8, b"")
    assert client.closed()


@pytest.mark.parametrize("front", [{"who": "groups: [nobody]"}], indirect=True)
def test_a_websocket_that_policy_denies_is_not_forwarded(client: Client, peer: Peer) -> None:
    assert open_websocket(client)["status"] == "401"
    assert peer.connections == 0


def test_a_switch_that_does_not_prove_the_handshake_was_read_is_502(client: Client, peer: Peer) -> None:
    peer.accept = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert open_websocket(client)["status"] == "502"


def test_a_slow_reader_stops_the_writer(front: Gateway, client: Client, peer: Peer) -> None:
    sent = 0

    def pour(sock: socket.socket, reader: Reader) -> None:
        nonlocal sent
        sock.settimeout(0.5)
        for _ in range(1024):
            sock.sendall(frame(2, b"x" * 65_536, masked=False))
            sent += 65_536

    peer.talk = pour
    assert open_websocket(client)["status"] == "101"
    assert peer.ended.wait(PATIENCE)
    assert sent < 32 * 1024 * 1024
    assert read_frame(client.reader) == (2, b"x" * 65_536)


@pytest.mark.parametrize("front", [{"timeouts": "idle: 500ms"}, {"timeouts": "lifetime: 500ms"}], indirect=True)
def test_a_websocket_that_is_silent_or_lasts_too_long_is_closed(front: Gateway, client: Client) -> None:
    assert open_websocket(client)["status"] == "101"
    opcode, payload = read_frame(client.reader)
    assert (opcode, payload[:2]) == (8, (1001).to_bytes(2))
    client.socket.close()
    assert access(front)["code"] == "tunnel_timeout"


def test_a_client_that_goes_without_a_word_ends_its_upstream_side(front: Gateway, client: Client, peer: Peer) -> None:
    assert open_websocket(client)["status"] == "101"
    client.socket.close()
    assert peer.ended.wait(PATIENCE)
    record = access(front)
    assert (record["status"], record["code"]) == (101, "client_gone")


def test_a_websocket_is_closed_with_1008_when_a_reload_denies_it(front: Gateway, client: Client, peer: Peer) -> None:
    assert open_websocket(client)["status"] == "101"
    front.reload(config(peer.url, routes=routes("groups: [nobody]")))
    front.event("reloaded")
    began = time.monotonic()
    opcode, payload = read_frame(client.reader)
    assert (opcode, payload[:2]) == (8, (1008).to_bytes(2))
    assert peer.ended.wait(PATIENCE)
    assert time.monotonic() - began < CUT_SECONDS
    client.socket.close()
    record = access(front)
    assert (record["status"], record["code"]) == (101, "access_ended")


def test_a_websocket_that_is_amid_a_frame_is_cut_without_a_close_frame(
    front: Gateway, client: Client, peer: Peer
) -> None:
    def halve(sock: socket.socket, reader: Reader) -> None:
        sock.sendall(frame(2, b"x" * 1000, masked=False)[:500])
        read_frame(reader)

    peer.talk = halve
    assert open_websocket(client)["status"] == "101"
    assert client.reader.exactly(500)[-1:] == b"x"
    front.reload(config(peer.url, routes=routes("groups: [nobody]")))
    assert client.closed()


def test_a_reload_that_still_permits_a_websocket_leaves_it_alone(front: Gateway, client: Client, peer: Peer) -> None:
    assert open_websocket(client)["status"] == "101"
    front.reload(config(peer.url, routes=routes("anyone: true, paths: [/chat]")))
    front.event("reloaded")
    wait_for(lambda: len(front.of_type("decision")) == 2, "a second decision")
    client.send(frame(1, b"still here", masked=True))
    assert read_frame(client.reader) == (1, b"still here")


def test_a_websocket_is_told_that_the_gateway_goes_away_and_does_not_hold_it_up(
    front: Gateway, client: Client, peer: Peer
) -> None:
    assert open_websocket(client)["status"] == "101"
    began = time.monotonic()
    front.process.send_signal(signal.SIGTERM)
    opcode, payload = read_frame(client.reader)
    assert (opcode, payload[:2]) == (8, (1001).to_bytes(2))
    client.send(frame(8, payload[:2], masked=True))
    assert front.process.wait(PATIENCE) == 0
    assert time.monotonic() - began < DRAIN_SECONDS / 3
    assert peer.ended.is_set()
    record = access(front)
    assert (record["status"], record["code"]) == (101, None)


def comes_in(front: Gateway) -> bool:
    try:
        Client(front.address("plain")).socket.close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_websocket_that_begins_while_the_gateway_goes_away_is_told_at_once(
    front: Gateway, client: Client, peer: Peer
) -> None:
    peer.may_switch.clear()
    ask_for_websocket(client)
    wait_for(lambda: peer.fields, "a handshake")
    front.process.send_signal(signal.SIGTERM)
    front.event("draining")
    wait_for(lambda: not comes_in(front), "a closed door")
    peer.may_switch.set()
    assert client.reader.line().split(b" ")[1] == b"101"
    read_fields(client.reader)
    assert read_frame(client.reader)[1][:2] == (1001).to_bytes(2)
    client.socket.close()
    assert front.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("front", [{"who": 'workloads: ["spiffe://example.org/ns/shop/*"]'}], indirect=True)
def test_a_websocket_ends_with_the_certificate_that_it_was_made_with(front: Gateway, world: World, place: Path) -> None:
    now = datetime.now(UTC)
    short = world.authority.issue_svid(WEB, not_before=now - timedelta(minutes=1), not_after=now + timedelta(seconds=3))
    short.write(place / "short")
    context = world.client()
    context.load_cert_chain(place / "short.pem", place / "short.key")
    with Client(front.address("edge"), context) as client:
        assert open_websocket(client)["status"] == "101"
        opcode, payload = read_frame(client.reader)
        assert (opcode, payload[:2]) == (8, (1008).to_bytes(2))
        assert datetime.now(UTC) - now < timedelta(seconds=3 + CUT_SECONDS)


def ask_for_events(client: Client, peer: Peer) -> socket.socket:
    client.send(b"GET /events HTTP/1.1\r\nHost: raw.example.org\r\n\r\n")
    assert client.reader.line() == b"HTTP/1.1 200 OK"
    assert ("transfer-encoding", "chunked") in [(n.lower(), v) for n, v in read_fields(client.reader)]
    return wait_for(lambda: next(iter(peer.events), None), "a stream of events")


def test_a_byte_of_an_event_stream_is_seen_within_5_ms(client: Client, peer: Peer) -> None:
    events = ask_for_events(client, peer)
    took = []
    for _ in range(20):
        began = time.perf_counter()
        events.sendall(b"\n")
        assert client.reader.exactly(6) == b"1\r\n\n\r\n"
        took.append(time.perf_counter() - began)
    assert min(took) < 0.005
    events.shutdown(socket.SHUT_RDWR)


def test_an_event_stream_is_cut_when_a_reload_denies_it_and_cannot_be_taken_for_whole(
    front: Gateway, client: Client, peer: Peer
) -> None:
    events = ask_for_events(client, peer)
    events.sendall(b"data: 1\n\n")
    assert client.reader.exactly(14) == b"9\r\ndata: 1\n\n\r\n"
    front.reload(config(peer.url, routes=routes("groups: [nobody]")))
    front.event("reloaded")
    began = time.monotonic()
    assert client.closed()
    assert time.monotonic() - began < CUT_SECONDS
    record = access(front)
    assert (record["status"], record["code"], record["bytes_out"]) == (200, "access_ended", 9)


class Poll(RawUpstream):
    """An upstream that answers at once, and a long poll when it may."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.may_answer = threading.Event()
        self.waits = threading.Event()

    def _answer(self, sock: socket.socket) -> None:
        reader = Reader(sock)
        try:
            while request := read_request(reader):
                if request.target == "/poll":
                    self.waits.set()
                    assert self.may_answer.wait(PATIENCE)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (EOFError, OSError):
            pass


@pytest.fixture
def poll() -> Iterator[Poll]:
    running = Poll()
    yield running
    running.may_answer.set()
    running.close()


@pytest.fixture
def polled(place: Path, poll: Poll) -> Iterator[Gateway]:
    with gateway(place, config(poll.url, routes=routes())) as running:
        yield running


@pytest.fixture(params=["in a task", "in no task"])
def polling(polled: Gateway, poll: Poll, request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client that waits for a long poll: on its first connection upstream, or on one that is idle."""
    with Client(polled.address("plain")) as client:
        if request.param == "in no task":
            for _ in range(2):
                assert client.get("/", "raw.example.org").body == b"ok"
        client.send(b"GET /poll HTTP/1.1\r\nHost: raw.example.org\r\n\r\n")
        assert poll.waits.wait(PATIENCE)
        yield client


def test_a_long_poll_is_cut_when_a_reload_denies_it(polled: Gateway, polling: Client, poll: Poll) -> None:
    polled.reload(config(poll.url, routes=routes("groups: [nobody]")))
    polled.event("reloaded")
    began = time.monotonic()
    assert polling.closed()
    assert time.monotonic() - began < CUT_SECONDS
    cut = wait_for(lambda: [each for each in polled.of_type("access") if each["code"] == "access_ended"], "a record")
    assert [each["path"] for each in cut] == ["/poll"]


def test_a_long_poll_that_is_still_permitted_gets_its_answer(polled: Gateway, polling: Client, poll: Poll) -> None:
    before = len(polled.of_type("decision"))
    polled.reload(config(poll.url, routes=routes("anyone: true, paths: [/poll]")))
    polled.event("reloaded")
    wait_for(lambda: len(polled.of_type("decision")) > before, "another decision")
    poll.may_answer.set()
    answer = polling.answer()
    assert (answer.status, answer.body) == (200, b"ok")
