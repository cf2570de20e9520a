"""Exchanges that are run without a task: whatever befalls one ends as it would have ended in a task.

The second request on a connection is such a one, for the first has left an idle upstream connection behind.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from proxy.errors import Refused
from proxy.http.message import RequestHead
from proxy.server.connection import Connection
from proxy.server.runtime import Runtime
from proxy.server.tasks import Tasks
from proxy.transport.deadlines import Deadlines
from proxy.transport.waiting import pause
from tests.gateway import PATIENCE, Client, Gateway, RawUpstream, Reader, gateway, ok, read_request, wait_for
from tests.world import World, config, snapshot_of

HOST = "raw.example.org"
GET = b"GET /%b HTTP/1.1\r\nHost: raw.example.org\r\n\r\n"
RAW = """\
  - {name: raw, host: raw.example.org, upstream: raw, allow: [{anyone: true}],
     timeouts: {idle: 30s, response_head: 30s}}
  - {name: quick, host: quick.example.org, upstream: raw, allow: [{anyone: true}],
     timeouts: {idle: 300ms, response_head: 300ms}}
"""


class Service:
    """An upstream that answers its first request at once, and later ones as the test says, on a connection."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.then: Callable[[socket.socket], None] = lambda sock: sock.sendall(ok(b"second"))
        self.ended = threading.Event()
        self.raw = RawUpstream(self._serve)

    def _serve(self, sock: socket.socket) -> None:
        reader, number = Reader(sock), 0
        try:
            while read_request(reader) is not None:
                number += 1
                if number == 1:
                    sock.sendall(ok(b"first"))
                    continue
                self.asked.release()
                assert self.go.acquire(timeout=PATIENCE)
                self.then(sock)
                if sock.fileno() < 0:
                    return
        finally:
            self.ended.set()


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.raw.close()


LIMITS = "limits: {idle: 500ms, request_head: 5s, requests_per_connection: 1000}\n"


@pytest.fixture
def front(place: Path, service: Service) -> Iterator[Gateway]:
    upstreams = f'  raw: {{endpoints: ["{service.raw.url}"]}}'
    text = config("http://127.0.0.1:9", routes=RAW, upstreams=upstreams, extra=LIMITS)
    with gateway(place, text) as running:
        yield running
    assert "failed" not in running.stderr and "Traceback" not in running.stderr


def _begin(front: Gateway, service: Service, tls: ssl.SSLContext | None = None, host: str = HOST) -> Client:
    """Return a client whose second request is with the upstream."""
    client = Client(front.address("edge" if tls else "plain"), tls, HOST)
    assert client.get("/1", host).body == b"first"
    client.send(GET.replace(HOST.encode(), host.encode()) % b"2")
    assert service.asked.acquire(timeout=PATIENCE)
    return client


def _record(front: Gateway, number: int) -> dict[str, Any]:
    records: list[dict[str, Any]] = wait_for(
        lambda: len(front.of_type("access")) >= number and front.of_type("access"), "the records"
    )
    assert len(records) == number
    return records[-1]


def _reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_client_that_goes_away_while_it_waits_leaves_one_record_and_no_upstream_connection(
    front: Gateway, service: Service, world: World, secure: bool
) -> None:
    client = _begin(front, service, world.client() if secure else None)
    _reset(client.socket)
    record = _record(front, 2)
    assert (record["status"], record["code"], record["path"]) == (499, "client_gone", "/2")
    service.go.release()
    assert service.ended.wait(PATIENCE)
    assert front.metric("ztproxy_http_requests_in_flight") == 0
    listener = "edge" if secure else "plain"
    wait_for(lambda: front.metric(f'ztproxy_connections{{listener="{listener}"}}') == 0, "the connection's end")


def test_a_client_that_ends_its_side_still_gets_its_answer(front: Gateway, service: Service) -> None:
    with _begin(front, service) as client:
        client.socket.shutdown(socket.SHUT_WR)
        service.go.release()
        assert client.answer().body == b"second"
        assert client.closed()


def test_what_follows_a_request_waits_for_its_answer(front: Gateway, service: Service) -> None:
    with _begin(front, service) as client:
        client.send(b"\r\n" + GET % b"3" + GET % b"4" + b"GET /5 HT")
        for _ in range(3):
            service.go.release()
        assert [client.answer().body for _ in range(3)] == [b"second"] * 3
        client.send(b"TP/1.1\r\nHost: raw.example.org\r\n\r\n")
        service.go.release()
        assert client.answer().body == b"second"
    _record(front, 5)
    assert [record["path"] for record in front.of_type("access")] == ["/1", "/2", "/3", "/4", "/5"]


def test_nonsense_behind_a_request_is_refused_after_its_answer(front: Gateway, service: Service) -> None:
    with _begin(front, service) as client:
        client.send(b"\x00nonsense\r\n\r\n")
        service.go.release()
        assert client.answer().body == b"second"
        answer = client.answer()
        assert (answer.status, answer.code) == (400, "request_malformed")
        assert client.closed()


def test_an_idle_connection_closes_after_the_listeners_idle_time_not_the_routes(
    front: Gateway, service: Service
) -> None:
    with _begin(front, service) as client:
        service.go.release()
        assert client.answer().body == b"second"
        client.socket.settimeout(10)  # the route's is 30 s
        assert client.closed()


def test_an_empty_line_after_an_answer_does_not_shorten_the_idle_time(front: Gateway, service: Service) -> None:
    with _begin(front, service) as client:
        service.go.release()
        assert client.answer().body == b"second"
        client.send(b"\r\n")
        client.send(GET % b"3")
        service.go.release()
        assert client.answer().body == b"second"


def test_an_upstream_that_is_silent_is_504(front: Gateway, service: Service) -> None:
    with _begin(front, service, host="quick.example.org") as client:
        answer = client.answer()
        assert (answer.status, answer.code) == (504, "upstream_timeout")
        service.go.release()
        assert service.ended.wait(PATIENCE)


def _say(*parts: bytes, end: bool = False) -> Callable[[socket.socket], None]:
    def then(sock: socket.socket) -> None:
        for part in parts:
            sock.sendall(part)
        if end:
            sock.close()

    return then


def test_an_upstream_that_resets_within_its_head_is_502(front: Gateway, service: Service) -> None:
    service.then = lambda sock: (sock.sendall(b"HTTP/1.1 200"), _reset(sock))[1]
    with _begin(front, service) as client:
        service.go.release()
        assert client.answer().status == 502


def test_an_upstream_that_closes_a_used_connection_without_a_byte_is_asked_again(
    front: Gateway, service: Service
) -> None:
    service.then = _say(end=True)
    with _begin(front, service) as client:
        service.go.release()
        assert client.answer().body == b"first"  # of a new connection
    assert service.raw.connections == 2
    assert _record(front, 2)["status"] == 200


@pytest.mark.parametrize("size", [200, 300_000])
def test_bytes_behind_an_answer_are_never_the_next_ones(front: Gateway, service: Service, size: int) -> None:
    service.then = _say(ok(b"second") + b"x" * size)
    with _begin(front, service) as client:
        service.go.release()
        answer = client.answer()
        assert answer.status == 502 or answer.body == b"second"
        assert client.get("/3", HOST).body == b"first"  # over another connection


def test_interim_answers_go_through(front: Gateway, service: Service) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    service.then = _say(hints, hints + ok(b"second")[:20], ok(b"second")[20:])
    with _begin(front, service) as client:
        service.go.release()
        answer = client.answer()
        assert (answer.interim, answer.body) == ([103, 103], b"second")


def test_more_interim_answers_than_a_hint_needs_are_502(front: Gateway, service: Service) -> None:
    service.then = _say(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 40)
    with _begin(front, service) as client:
        service.go.release()
        assert client.answer().status == 502


BIG = 6 * 1024 * 1024
HUGE = 64 * 1024 * 1024  # more than the kernel keeps of a connection


def test_an_answer_that_its_client_takes_slowly_is_whole(front: Gateway, service: Service) -> None:
    body = bytes(range(256)) * (BIG // 256)
    service.then = _say(ok(body))
    with _begin(front, service) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        service.go.release()
        assert client.answer().body == body
        service.then = _say(ok(b"third"))
        client.send(GET % b"3")
        service.go.release()
        assert client.answer().body == b"third"
    records = wait_for(lambda: front.of_type("access")[1:2], "the record")
    assert [record["bytes_out"] for record in records] == [len(body)]


def test_a_client_that_leaves_a_big_answer_is_recorded_once(front: Gateway, service: Service) -> None:
    service.then = _say(ok(bytes(HUGE)))
    client = _begin(front, service)
    service.go.release()
    assert client.reader.line().startswith(b"HTTP/1.1 200")
    _reset(client.socket)
    record = _record(front, 2)
    assert (record["status"], record["code"]) == (200, "client_gone")
    assert service.ended.wait(PATIENCE)


def test_an_upstream_that_ends_within_its_body_cuts_the_answer(front: Gateway, service: Service) -> None:
    service.then = _say(ok(b"second")[:-3], end=True)
    with _begin(front, service) as client:
        service.go.release()
        with pytest.raises(EOFError):
            client.answer()
    assert _record(front, 2)["code"] == "upstream_closed"


def test_a_drain_waits_for_it(front: Gateway, service: Service) -> None:
    with _begin(front, service) as client:
        front.process.send_signal(signal.SIGTERM)
        front.event("draining")
        service.go.release()
        answer = client.answer()
        assert (answer.body, answer.get("connection")) == (b"second", "close")
        assert client.closed()
    assert front.process.wait(PATIENCE) == 0
    assert _record(front, 2)["status"] == 200


def test_requests_per_connection_are_counted(place: Path, service: Service) -> None:
    upstreams = f'  raw: {{endpoints: ["{service.raw.url}"]}}'
    few = LIMITS.replace("1000", "3")
    text = config("http://127.0.0.1:9", routes=RAW, upstreams=upstreams, extra=few)
    with gateway(place, text) as front, Client(front.address("plain")) as client:
        for _ in range(2):
            service.go.release()
        told = [client.get("/x", HOST).get("connection") for _ in range(3)]
        assert told == [None, None, "close"]
        assert client.closed()


# --- a connection and an exchange whose every step the test takes


PATIENT = "limits: {idle: 50s, request_head: 5s}\n"


class Stepped:
    """An exchange that takes the steps of a test."""

    steps: Callable[[Connection], Awaitable[bool]]

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def serve(self, head: RequestHead | Refused) -> bool:
        return await Stepped.steps(self._connection)


class Bench:
    """A connection on a socket pair, its task, and the client's end."""

    def __init__(self, connection: Connection, deadlines: Deadlines, tasks: Tasks, client: socket.socket) -> None:
        self.connection = connection
        self.deadlines = deadlines
        self.tasks = tasks
        self.client = client

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0)


@pytest_asyncio.fixture
async def bench(place: Path) -> AsyncIterator[Bench]:
    runtime, tasks = Runtime(recording=False), Tasks()
    text = config("http://127.0.0.1:9", routes=RAW.replace("raw,", "wiki,"), extra=PATIENT)
    runtime.snapshot = snapshot = snapshot_of(place, text, runtime)
    ours, client = socket.socketpair()
    ours.setblocking(False)
    client.setblocking(False)
    connection = Connection(runtime, snapshot.listeners["plain"], tasks, ("127.0.0.1", 1), Stepped)
    await asyncio.get_running_loop().create_connection(lambda: connection, sock=ours)
    tasks.spawn(connection.serve(), "connection")
    bench = Bench(connection, runtime.deadlines, tasks, client)
    await bench.until(lambda: connection._resting and connection._filler is not None)
    yield bench
    await tasks.end()
    client.close()
    await bench.until(lambda: connection.lost)


async def _answer(connection: Connection) -> bool:
    connection.write(b"ok")
    return True


async def _ask(bench: Bench) -> None:
    await asyncio.get_running_loop().sock_sendall(bench.client, GET % b"x")


async def _heard(bench: Bench) -> bytes:
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(bench.client, 100), 10)


async def test_an_exchange_that_waits_for_nothing_needs_no_task(bench: Bench) -> None:
    tasks: list[object] = []

    async def steps(connection: Connection) -> bool:
        tasks.append(asyncio.current_task())
        return await _answer(connection)

    Stepped.steps = steps
    for _ in range(3):
        await _ask(bench)
        assert await _heard(bench) == b"ok"
    assert tasks == [None] * 3


async def test_an_error_that_nobody_foresaw_ends_the_connection_and_not_who_woke_it(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    async def steps(connection: Connection) -> bool:
        await pause()
        raise ZeroDivisionError("of nobody's making")

    Stepped.steps = steps
    await _ask(bench)
    await bench.until(lambda: bench.connection._exchange is not None)
    bench.connection.resume()  # as an upstream does, and the sweep of deadlines: neither may be ended by it
    assert await _heard(bench) == b""
    await bench.until(lambda: not len(bench.tasks))
    assert "ZeroDivisionError: of nobody's making" in capsys.readouterr().err


async def test_an_exchange_whose_task_is_cancelled_before_it_takes_over_is_told_so(bench: Bench) -> None:
    told: list[BaseException] = []

    async def steps(connection: Connection) -> bool:
        connection.transport.abort()  # is told before the task has its turn
        try:
            await connection.become_task()
        except BaseException as error:
            told.append(error)
            raise
        return await _answer(connection)

    Stepped.steps = steps
    await _ask(bench)
    await bench.until(lambda: not len(bench.tasks))
    assert [type(error) for error in told] == [asyncio.CancelledError]


async def test_a_connection_that_is_lost_cancels_its_exchange_at_once(bench: Bench) -> None:
    told: list[BaseException] = []

    async def steps(connection: Connection) -> bool:
        try:
            await pause()
        except BaseException as error:
            told.append(error)
            raise
        return await _answer(connection)

    Stepped.steps = steps
    await _ask(bench)
    await bench.until(lambda: bench.connection._exchange is not None)
    bench.client.close()
    bench.connection.abort()
    await bench.until(lambda: not len(bench.tasks))
    assert [type(error) for error in told] == [asyncio.CancelledError]


async def test_a_task_that_takes_over_goes_on_where_the_exchange_was(bench: Bench) -> None:
    where: list[object] = []

    async def steps(connection: Connection) -> bool:
        where.append(asyncio.current_task())
        await connection.become_task()
        where.append(asyncio.current_task())
        await connection.become_task()  # is one already
        await asyncio.sleep(0)
        return await _answer(connection)

    Stepped.steps = steps
    await _ask(bench)
    assert await _heard(bench) == b"ok"
    assert where == [None, bench.connection.task]
    await bench.until(lambda: bench.connection._resting)


@pytest.mark.parametrize("stray", [b"", b"\r\n"], ids=["nothing", "an empty line"])
async def test_a_connection_rests_for_its_idle_time_after_an_exchange(bench: Bench, stray: bytes) -> None:
    Stepped.steps = _answer
    loop = asyncio.get_running_loop()
    await _ask(bench)
    assert await _heard(bench) == b"ok"
    bench.connection.patience = 1.0  # the route's, for its writes
    if stray:
        await loop.sock_sendall(bench.client, stray)
        await bench.until(lambda: bench.connection._parser._skipped and bench.connection._resting)
    bench.deadlines.sweep(loop.time() + 45)
    await asyncio.sleep(0)
    await _ask(bench)
    assert await _heard(bench) == b"ok"
    bench.deadlines.sweep(loop.time() + 55)
    assert await _heard(bench) == b""


async def test_a_connection_that_retires_at_rest_closes(bench: Bench) -> None:
    Stepped.steps = _answer
    await _ask(bench)
    assert await _heard(bench) == b"ok"
    bench.connection.retire()
    assert await _heard(bench) == b""
    await bench.until(lambda: not len(bench.tasks))


async def test_a_connection_that_retires_within_an_exchange_ends_it_first(bench: Bench) -> None:
    async def steps(connection: Connection) -> bool:
        await pause()
        return await _answer(connection)

    Stepped.steps = steps
    await _ask(bench)
    await bench.until(lambda: bench.connection._exchange is not None)
    bench.connection.retire()
    assert not bench.connection.lost
    bench.connection.resume()
    assert await _heard(bench) == b"ok"
    assert await _heard(bench) == b""
    await bench.until(lambda: not len(bench.tasks))


async def test_a_request_that_cannot_be_begun_ends_its_connection(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(connection: Connection) -> Stepped:
        raise ZeroDivisionError("of nobody's making")

    bench.connection._make = make
    await _ask(bench)
    assert await _heard(bench) == b""
    await bench.until(lambda: not len(bench.tasks))
    assert "ZeroDivisionError: of nobody's making" in capsys.readouterr().err
