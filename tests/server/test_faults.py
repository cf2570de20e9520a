"""Faults while the gateway is busy: an answer is the right one or a refusal, and good service comes back by itself."""

from __future__ import annotations

import json
import resource
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.gateway import PATIENCE, Client, Gateway, RawUpstream, Received, Upstream, gateway, ok, wait_for
from tests.server.load import MIB, Ask, Peak, at_rest, descriptors, load, settled
from tests.world import World, config

ROUTES = """\
  - name: wiki
    host: wiki.example.org
    upstream: wiki
    allow: [{anyone: true, paths: [/public/]}, {groups: [engineering]}]
    timeouts: {response_head: 500ms, idle: 500ms}
"""
DEAF = """\
  - name: deaf
    host: deaf.example.org
    upstream: deaf
    allow: [{anyone: true}]
    timeouts: {response_head: 500ms, idle: 500ms}
"""


def reset(sock: socket.socket) -> None:
    """Close so that the other side gets a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Service(Upstream):
    """An upstream that fails on command, in one way at a time, and recovers."""

    def __init__(self) -> None:
        self._healed = threading.Event()
        super().__init__()

    def fail(self, how: str) -> None:
        self._healed.clear()
        if how == "refuses":
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # closing alone would not wake the thread in accept
            self.close()
        else:
            self.script = getattr(self, f"_{how}")

    def recover(self) -> None:
        self._healed.set()
        self.script = lambda request, sock: ok(request.target.encode())
        if self._socket.fileno() < 0:
            self._socket = socket.create_server(("127.0.0.1", self.port))
            threading.Thread(target=self._accept, daemon=True).start()

    def _resets(self, request: Received, sock: socket.socket) -> None:
        reset(sock)

    def _hangs(self, request: Received, sock: socket.socket) -> None:
        self._healed.wait(PATIENCE)

    def _talks_garbage(self, request: Received, sock: socket.socket) -> bytes:
        return b"\x00\xffgarbage\r\n\r\n" + ok(request.target.encode())

    def _closes(self, request: Received, sock: socket.socket) -> None:
        return None

    def _closes_within_its_head(self, request: Received, sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-le")

    def _closes_within_its_body(self, request: Received, sock: socket.socket) -> None:
        sock.sendall(ok(request.target.encode())[:-1])

    def _stops_within_its_body(self, request: Received, sock: socket.socket) -> None:
        sock.sendall(ok(request.target.encode())[:-1])
        self._healed.wait(PATIENCE)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.close()


@pytest.fixture(scope="module")
def deaf() -> Iterator[RawUpstream]:
    """An upstream that connects and reads nothing."""
    over = threading.Event()
    running = RawUpstream(lambda sock: over.wait())
    yield running
    over.set()
    running.close()


@pytest.fixture(scope="module")
def busy(
    world: World, service: Service, deaf: RawUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    place = world.copy_to(tmp_path_factory.mktemp("busy"))
    upstreams = f'  deaf: {{endpoints: ["{deaf.url}"]}}'
    with gateway(place, config(service.url, routes=ROUTES + DEAF, upstreams=upstreams)) as running:
        yield running


@pytest.fixture
def asks(world: World) -> tuple[Ask, ...]:
    """Requests that policy permits, and between them those that it does not: all of these are below `/secret`."""
    host = "wiki.example.org"
    return (
        Ask(host, "/public/page"),
        Ask(host, "/secret", refused="credentials_missing"),
        Ask(host, "/page", (world.bearer(groups=["engineering"]),)),
        Ask(host, "/secret", (world.bearer(groups=["sales"]),), refused="policy_denied"),
        Ask(host, "/public/../secret", refused="target_refused"),
        Ask(host, "/secret", (world.bearer(groups=["engineering"], exp=1),), refused="token_invalid"),
    )


FAULTS = {
    "refuses": "upstream_refused",
    "resets": "upstream_closed",
    "hangs": "upstream_timeout",
    "talks_garbage": "upstream_malformed",
    "closes": "upstream_closed",
    "closes_within_its_head": "upstream_closed",
    "closes_within_its_body": "cut",
    "stops_within_its_body": "cut",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_upstream_that_fails_under_load_is_told_of_and_taken_back(
    busy: Gateway, service: Service, asks: tuple[Ask, ...], fault: str
) -> None:
    expected = FAULTS[fault]
    excused = frozenset({expected, "upstream_closed"})
    with load(busy, asks, excused=excused, cut=expected == "cut") as running:
        running.see("good", 200)
        peak, open_before = Peak(busy), descriptors(busy)
        service.fail(fault)
        running.see(expected, 12)
        running.see("denied", 12)
        service.recover()
        running.see("good", 200)
        with Client(busy.address("plain")) as client:
            assert all(client.get("/public/after").status == 200 for _ in range(50))
        assert peak.growth() < 8 * MIB
        assert descriptors(busy) < open_before + 20
    assert [request for request in service.requests if "secret" in request.target] == []
    assert "Traceback" not in busy.stderr


# --- sides that do not read


def test_a_client_that_reads_nothing_of_its_answer_is_cut_and_the_upstream_let_go(
    busy: Gateway, service: Service
) -> None:
    ended = threading.Event()

    def endless(request: Received, sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with suppress(OSError):
            while True:
                sock.sendall(bytes(65536))
        ended.set()

    service.script = endless
    with Client(busy.address("plain")) as client:
        client.send(b"GET /public/endless HTTP/1.1\r\nHost: wiki.example.org\r\n\r\n")
        assert ended.wait(PATIENCE)
        record = wait_for(lambda: [r for r in busy.of_type("access") if r["path"] == "/public/endless"], "record")[0]
        assert record["code"] == "client_gone"
        at_rest(busy)
    service.recover()


def test_an_upstream_that_reads_nothing_of_a_body_is_504(busy: Gateway, deaf: RawUpstream) -> None:
    with Client(busy.address("plain")) as client:

        def upload() -> None:
            with suppress(OSError):
                client.send(bytes(64 * MIB))

        client.send(f"POST /up HTTP/1.1\r\nHost: deaf.example.org\r\nContent-Length: {64 * MIB}\r\n\r\n".encode())
        sending = threading.Thread(target=upload)
        sending.start()
        answer = client.answer()
        assert (answer.status, answer.code, answer.get("connection")) == (504, "upstream_timeout", "close")
        assert client.closed()
    sending.join(PATIENCE)
    at_rest(busy)


@pytest.mark.parametrize("required", [False, True], ids=["optional", "required"])
def test_a_disk_that_fills_under_load_is_survived(
    world: World, place: Path, service: Service, asks: tuple[Ask, ...], required: bool
) -> None:
    log = place / "decisions.log"
    extra = f"decision_log: {{to: {log.name}, required: {str(required).lower()}}}"
    excused = frozenset({"decision_log_unavailable"}) if required else frozenset()
    dropped = 'ztproxy_records_dropped_total{type="decision"}'
    with gateway(place, config(service.url, routes=ROUTES, extra=extra)) as front:
        with load(front, asks, excused=excused) as running:
            running.see("good", 100)
            # A file that may not grow is a disk that is full: a write ends short, and the next one fails.
            room = (log.stat().st_size + 100, resource.RLIM_INFINITY)
            unbounded = resource.prlimit(front.process.pid, resource.RLIMIT_FSIZE, room)
            wait_for(lambda: front.metric(dropped) > 0, "drop")
            if required:
                forwarded = settled(lambda: len(service.requests))
            running.see("decision_log_unavailable" if required else "good", 100)
            running.see("denied", 50)
            if required:
                assert len(service.requests) == forwarded
            resource.prlimit(front.process.pid, resource.RLIMIT_FSIZE, unbounded)
            running.see("good", 200)
        ids = {record["decision_id"] for record in front.of_type("access") if record["status"] == 200}
        lost = front.metric(dropped)
    lines = log.read_text(encoding="ascii").splitlines()
    written = {json.loads(line)["decision_id"] for line in lines}
    assert lost > 0
    assert bool(ids - written) is not required  # what is required to be recorded is recorded, whatever happened
    assert [request for request in service.requests if "secret" in request.target] == []
