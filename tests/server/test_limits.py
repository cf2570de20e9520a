"""Every budget of `config/limits`: what passes it is refused with its own code, and costs no more than the budget."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.gateway import PATIENCE, Client, Gateway, RawUpstream, Upstream, gateway, ok, wait_for
from tests.world import World, config

ROUTES = """\
  - name: open
    host: open.example.org
    upstream: wiki
    allow: [{anyone: true}]
    timeouts: {response_head: 500ms, idle: 500ms}
  - {name: brief, host: brief.example.org, upstream: wiki, allow: [{anyone: true}], timeouts: {lifetime: 500ms}}
  - {name: hole, host: hole.example.org, upstream: hole, allow: [{anyone: true}]}
"""
TIGHT = """\
limits:
  header_bytes: 2KiB
  header_count: 10
  target_length: 256B
  body: 64KiB
  chunk_overhead: 1KiB
  request_head: 500ms
  handshake: 500ms
  idle: 700ms
  body_rate: 100KiB
  body_grace: 500ms
  requests_per_connection: 3
  connections_per_address: 5
  in_flight: 2
  upstream_connect: 300ms
  upstream_connections: 1
  upstream_wait: 300ms
  upstream_idle: 300ms
  upstream_response_head_bytes: 1KiB
  token_bytes: 1KiB
"""


@pytest.fixture(scope="module")
def service() -> Iterator[RawUpstream]:
    running = RawUpstream()
    yield running
    running.close()


@pytest.fixture(scope="module")
def tight(world: World, service: RawUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    place = world.copy_to(tmp_path_factory.mktemp("tight"))
    # A listening socket whose queue is full: the kernel answers no further SYN, as a host that is down does not.
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    fillers = [socket.socket() for _ in range(4)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(full.getsockname())
    hole = f'  hole: {{endpoints: ["http://127.0.0.1:{full.getsockname()[1]}"]}}'
    with gateway(place, config(service.url, routes=ROUTES, upstreams=hole, extra=TIGHT)) as running:
        yield running
    for filler in fillers:
        filler.close()
    full.close()


@pytest.fixture(autouse=True)
def _no_connection_of_another_test(service: RawUpstream) -> None:
    wait_for(lambda: service.open == 0, "end of idle upstream connections")


@pytest.fixture
def client(tight: Gateway) -> Iterator[Client]:
    with Client(tight.address("plain")) as connected:
        yield connected


def answering(answer: bytes) -> object:
    def script(sock: socket.socket) -> None:
        while b"\r\n\r\n" in sock.recv(65536):
            sock.sendall(answer)

    return script


def silent(sock: socket.socket) -> None:
    while sock.recv(65536):
        pass


def test_header_bytes(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost: open.example.org\r\nX: " + b"a" * 3000 + b"\r\n\r\n")
    answer = client.answer()
    assert (answer.status, answer.code) == (431, "headers_too_large")
    assert client.closed()


def test_header_bytes_of_a_head_that_never_ends(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost: open.example.org\r\nX: " + b"a" * 3000)
    assert client.answer().code == "headers_too_large"


def test_header_count(client: Client) -> None:
    fields = [f"X-{number}: 1" for number in range(12)]
    assert client.get("/", "open.example.org", *fields).code == "headers_too_large"


def test_target_length(client: Client) -> None:
    answer = client.get("/" + "a" * 300, "open.example.org")
    assert (answer.status, answer.code) == (414, "target_too_long")


def test_body_by_its_length(client: Client) -> None:
    client.send(b"POST / HTTP/1.1\r\nHost: open.example.org\r\nContent-Length: 70000\r\n\r\n")
    answer = client.answer()
    assert (answer.status, answer.code) == (413, "body_too_large")


def test_body_by_its_chunks(client: Client, service: RawUpstream) -> None:
    service.script = silent
    chunk = b"4000\r\n" + b"a" * 0x4000 + b"\r\n"
    client.send(b"POST / HTTP/1.1\r\nHost: open.example.org\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 5)
    assert client.answer().code == "body_too_large"


def test_what_is_no_body_in_a_chunked_body(client: Client, service: RawUpstream) -> None:
    service.script = silent
    client.send(b"POST / HTTP/1.1\r\nHost: open.example.org\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.send(b"1;" + b"x" * 2000 + b"\r\na\r\n")
    assert client.answer().status in (400, 431)


def test_request_head_time(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost: ")
    answer = client.answer()
    assert (answer.status, answer.code) == (408, "head_timeout")
    assert client.closed()


def test_a_connection_that_says_nothing_is_closed(client: Client) -> None:
    assert client.closed()


def test_handshake_time(tight: Gateway) -> None:
    before = len(tight.of_type("tls"))
    with Client(tight.address("edge")) as client:
        client.send(b"\x16\x03\x01")
        assert client.closed()
    assert wait_for(lambda: tight.of_type("tls")[before:], "tls record")[0]["reason"] == "handshake took too long"


def test_idle_time_between_requests(client: Client, service: RawUpstream) -> None:
    service.script = answering(ok())  # type: ignore[assignment]
    assert client.get("/", "open.example.org").status == 200
    assert client.closed()


def test_a_slow_body(client: Client, service: RawUpstream) -> None:
    service.script = silent
    client.send(b"POST / HTTP/1.1\r\nHost: open.example.org\r\nContent-Length: 50000\r\n\r\n")
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.05):
            try:
                client.send(b"x")
            except OSError:
                return

    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        answer = client.answer()
    finally:
        stop.set()
        dripping.join(PATIENCE)
    assert (answer.status, answer.code) == (408, "body_timeout")


def test_requests_per_connection(client: Client, service: RawUpstream) -> None:
    service.script = answering(ok())  # type: ignore[assignment]
    answers = [client.get("/", "open.example.org") for _ in range(3)]
    assert [answer.get("connection") for answer in answers] == [None, None, "close"]
    assert client.closed()


def test_connections_per_address(tight: Gateway, service: RawUpstream) -> None:
    service.script = answering(ok())  # type: ignore[assignment]

    def refused() -> bool:
        held = [Client(tight.address("plain")) for _ in range(6)]
        try:
            return held[-1].closed() and len(tight.of_type("tls")) > 0
        finally:
            for each in held:
                each.socket.close()

    wait_for(refused, "refusal of the sixth connection")
    wait_for(lambda: tight.metric('ztproxy_connections{listener="plain"}') == 0, "end of the connections")
    with Client(tight.address("plain")) as client:
        assert client.get("/", "open.example.org").status == 200


def test_in_flight_requests(tight: Gateway, service: RawUpstream) -> None:
    service.script = silent
    waiting = [Client(tight.address("plain")) for _ in range(2)]
    for each in waiting:
        each.send(b"GET / HTTP/1.1\r\nHost: open.example.org\r\n\r\n")
    wait_for(lambda: tight.metric("ztproxy_http_requests_in_flight") == 2, "two requests in flight")
    with Client(tight.address("plain")) as client:
        answer = client.get("/", "open.example.org")
    assert (answer.status, answer.code, answer.get("retry-after")) == (503, "overloaded", "1")
    for each in waiting:
        each.answer()
        each.socket.close()


def test_upstream_response_head_time(client: Client, service: RawUpstream) -> None:
    service.script = silent
    answer = client.get("/", "open.example.org")
    assert (answer.status, answer.code) == (504, "upstream_timeout")


def test_upstream_idle_time_cuts_an_answer_that_stops(client: Client, service: RawUpstream) -> None:
    def stops(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello")
        silent(sock)

    service.script = stops
    with pytest.raises(EOFError):
        client.get("/", "open.example.org")


def test_lifetime_of_an_exchange(client: Client, service: RawUpstream) -> None:
    def endless(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sock.sendall(b"x")

    service.script = endless
    with pytest.raises(EOFError):
        client.get("/", "brief.example.org")


def test_upstream_connect_time(client: Client, tight: Gateway) -> None:
    answer = client.get("/", "hole.example.org")
    assert (answer.status, answer.code) == (504, "upstream_connect_timeout")


def test_upstream_connections_are_bounded_and_the_wait_for_one_too(tight: Gateway, service: RawUpstream) -> None:
    service.script = silent
    with Client(tight.address("plain")) as first, Client(tight.address("plain")) as second:
        before = service.connections
        first.send(b"GET / HTTP/1.1\r\nHost: open.example.org\r\n\r\n")
        wait_for(lambda: service.connections > before, "first connection")
        answer = second.get("/", "open.example.org")
        assert (answer.status, answer.code, answer.get("retry-after")) == (503, "pool_exhausted", "1")
        assert first.answer().status == 504


def test_an_unused_upstream_connection_is_closed(client: Client, service: RawUpstream) -> None:
    closed = threading.Event()

    def once(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(ok())
        if not sock.recv(65536):
            closed.set()

    service.script = once
    assert client.get("/", "open.example.org").status == 200
    assert closed.wait(PATIENCE)


def test_upstream_response_head_bytes(client: Client, service: RawUpstream) -> None:
    service.script = answering(b"HTTP/1.1 200 OK\r\nx: " + b"a" * 2000 + b"\r\ncontent-length: 0\r\n\r\n")  # type: ignore[assignment]
    answer = client.get("/", "open.example.org")
    assert (answer.status, answer.code) == (502, "upstream_malformed")


def test_token_bytes(client: Client, world: World) -> None:
    assert client.get("/", "open.example.org", world.bearer(padding="x" * 1200)).code == "token_invalid"


def test_connections_of_a_listener_wait_their_turn(world: World, place: object, tmp_path: object) -> None:
    service = Upstream()
    text = config(service.url, routes=ROUTES.replace("hole", "wiki"), extra="limits: {connections: 2}")
    with gateway(place, text) as running:  # type: ignore[arg-type]
        held = [Client(running.address("plain")) for _ in range(2)]
        for each in held:
            assert each.get("/", "open.example.org").status == 200
        with Client(running.address("plain")) as third:
            third.send(b"GET /third HTTP/1.1\r\nHost: open.example.org\r\n\r\n")
            held[0].socket.close()
            assert third.answer().body == b"/third"
        held[1].socket.close()
    service.close()
