"""Reload and drain of the running gateway: nothing is dropped, a bad file changes nothing, the end is orderly."""

from __future__ import annotations

import http.client
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.identity.authority import Authority
from tests.gateway import PATIENCE, Client, Gateway, RawUpstream, Reader, Upstream, gateway, ok, wait_for
from tests.server.load import settled
from tests.world import DEFAULT_LISTENERS, World, config

OPEN = "  - {name: open, host: open.example.org, upstream: wiki, allow: [{anyone: true}]}\n"
CLOSED = "  - {name: open, host: open.example.org, upstream: wiki, allow: [{groups: [nobody]}]}\n"
API = '  - {name: api, host: api.example.org, upstream: wiki, allow: [{workloads: ["spiffe://example.org/ns/*"]}]}\n'


@pytest.fixture
def service() -> Iterator[Upstream]:
    running = Upstream()
    yield running
    running.close()


@pytest.fixture
def raw() -> Iterator[RawUpstream]:
    running = RawUpstream()
    yield running
    running.close()


@pytest.fixture
def front(place: Path, service: Upstream, request: pytest.FixtureRequest) -> Iterator[Gateway]:
    with gateway(place, config(service.url, routes=OPEN + API), *getattr(request, "param", ())) as running:
        yield running


TWO = ("--workers", "2")
with_workers_too = pytest.mark.parametrize("front", [(), TWO], ids=["alone", "two workers"], indirect=True)
arguments_of_both = pytest.mark.parametrize("arguments", [(), TWO], ids=["alone", "two workers"])


@with_workers_too
def test_a_reload_changes_the_answer_on_a_live_connection(front: Gateway, service: Upstream) -> None:
    with Client(front.address("plain")) as client:
        assert client.get("/x", "open.example.org").status == 200
        front.reload(config(service.url, routes=CLOSED))
        front.event("reloaded")
        assert client.get("/x", "open.example.org").status == 401
        assert client.get("/x", "api.example.org").status == 404
    assert front.metric('ztproxy_reloads_total{result="ok"}') == 1


@with_workers_too
def test_a_changed_file_is_noticed_without_a_signal(front: Gateway, service: Upstream) -> None:
    front.path.write_text(config(service.url, routes=CLOSED), encoding="utf-8")
    front.event("reloaded")
    with Client(front.address("plain")) as client:
        assert client.get("/x", "open.example.org").status == 401


@pytest.mark.parametrize(
    ("break_it", "rule"),
    [
        (lambda text: text.replace("upstream: wiki", "upstream: wikki"), 'no upstream is called "wikki"'),
        (lambda text: text + "colour: green\n", "colour"),
        (
            lambda text: text.replace('admin: {address: "127.0.0.1:0"}', 'admin: {address: "127.0.0.1:1"}'),
            "admin cannot change",
        ),
        (lambda text: ": [", "YAML"),
    ],
    ids=["dangling name", "unknown key", "admin address", "no YAML"],
)
def test_a_bad_file_changes_nothing_and_is_reported(
    front: Gateway, service: Upstream, break_it: object, rule: str
) -> None:
    front.reload(break_it(front.path.read_text(encoding="utf-8")))  # type: ignore[operator]
    event = front.event("reload_refused")
    assert any(rule.lower() in line.lower() for line in event["mistakes"])
    assert rule.lower() in front.stderr.lower()
    with Client(front.address("plain")) as client:
        assert client.get("/x", "open.example.org").status == 200
    assert front.metric('ztproxy_reloads_total{result="refused"}') >= 1


@with_workers_too
def test_a_listener_that_cannot_be_bound_changes_nothing(front: Gateway, service: Upstream) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        more = DEFAULT_LISTENERS + f'\n  - {{name: more, address: "127.0.0.1:{port}", plaintext: true}}'
        front.reload(config(service.url, routes=CLOSED, listeners=more))
        front.event("reload_refused")
    with Client(front.address("plain")) as client:
        assert client.get("/x", "open.example.org").status == 200


@with_workers_too
def test_listeners_come_and_go_and_their_connections_finish(front: Gateway, service: Upstream) -> None:
    plain = front.address("plain")
    with Client(plain) as client:
        assert client.get("/x", "open.example.org").status == 200
        only = DEFAULT_LISTENERS.splitlines()[0] + '\n  - {name: more, address: "127.0.0.1:0", plaintext: true}'
        front.reload(config(service.url, routes=OPEN, listeners=only))
        front.event("reloaded")
        assert client.closed()
        with pytest.raises(ConnectionRefusedError):
            Client(plain)
        listening = front.event("listening", 2)
        assert set(listening["listeners"]) == {"edge", "more"}
        with Client(front.address("more")) as fresh:
            assert fresh.get("/x", "open.example.org").status == 200


def test_a_request_in_flight_finishes_on_the_snapshot_that_it_began_with(place: Path, raw: RawUpstream) -> None:
    go = threading.Event()

    def slow(sock: socket.socket) -> None:
        Reader(sock).line()
        go.wait(PATIENCE)
        sock.sendall(ok(b"old"))

    raw.script = slow
    with gateway(place, config(raw.url, routes=OPEN)) as front, Client(front.address("plain")) as client:
        client.send(b"GET /x HTTP/1.1\r\nHost: open.example.org\r\n\r\n")
        wait_for(lambda: raw.connections, "upstream connection")
        front.reload(config(raw.url, routes=CLOSED))
        front.event("reloaded")
        go.set()
        assert client.answer().body == b"old"
        assert client.get("/x", "open.example.org").status == 401


def test_an_authority_that_is_taken_out_takes_its_workloads_with_it(
    front: Gateway, world: World, place: Path, service: Upstream
) -> None:
    with Client(front.address("edge"), world.client("web"), "api.example.org") as client:
        assert client.get("/x", "api.example.org").status == 200
        (place / "ca.pem").write_bytes(Authority.create("example.org").bundle_pem)
        front.event("reloaded")
        answer = client.get("/x", "api.example.org")
        assert (answer.status, answer.code, answer.get("connection")) == (401, "certificate_refused", "close")


def test_a_certificate_that_a_reload_requires_is_required_of_live_connections(
    front: Gateway, world: World, service: Upstream
) -> None:
    with Client(front.address("edge"), world.client(), "open.example.org") as client:
        assert client.get("/x", "open.example.org").status == 200
        required = DEFAULT_LISTENERS.replace("optional", "required")
        front.reload(config(service.url, routes=OPEN, listeners=required))
        front.event("reloaded")
        answer = client.get("/x", "open.example.org")
        assert (answer.status, answer.code, answer.get("connection")) == (401, "certificate_refused", "close")


def test_a_server_certificate_is_replaced_without_a_restart(front: Gateway, world: World, place: Path) -> None:
    def serial() -> str:
        with Client(front.address("edge"), world.client(), "wiki.example.org") as client:
            return str(client.socket.getpeercert()["serialNumber"])  # type: ignore[attr-defined]

    before = serial()
    world.authority.issue_server(["*.example.org"]).write(place / "edge", force=True)
    front.event("reloaded")
    wait_for(lambda: serial() != before, "new certificate")


def test_an_upstream_that_did_not_change_keeps_its_connections(front: Gateway, service: Upstream) -> None:
    with Client(front.address("plain")) as client:
        client.get("/x", "open.example.org")
        front.reload(config(service.url, routes=OPEN))
        front.event("reloaded")
        client.get("/x", "open.example.org")
    assert service.connections == 1


@arguments_of_both
def test_a_drain_lets_requests_finish_and_exits_with_0(
    place: Path, raw: RawUpstream, arguments: tuple[str, ...]
) -> None:
    go = threading.Event()

    def slow(sock: socket.socket) -> None:
        Reader(sock).line()
        go.wait(PATIENCE)
        sock.sendall(ok(b"finished"))

    raw.script = slow
    text = config(raw.url, routes=OPEN, extra="drain: {delay: 500ms, timeout: 20s}\nlimits: {request_head: 1s}")
    with gateway(place, text, *arguments) as front:
        busy, idle = Client(front.address("plain")), Client(front.address("plain"))
        busy.send(b"GET /x HTTP/1.1\r\nHost: open.example.org\r\n\r\n")
        wait_for(lambda: raw.connections, "upstream connection")
        front.process.send_signal(signal.SIGTERM)
        front.event("draining")
        assert front.status_of("/readyz") == 503
        assert front.status_of("/livez") == 200
        assert idle.closed()
        wait_for(lambda: refuses(front.address("plain")), "end of accepting")
        go.set()
        answer = busy.answer()
        assert (answer.body, answer.get("connection")) == (b"finished", "close")
        assert busy.closed()
        assert front.process.wait(PATIENCE) == 0
        busy.socket.close()
        idle.socket.close()


def refuses(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=PATIENCE).close()
    except ConnectionError:
        return True
    return False


@arguments_of_both
def test_a_drain_ends_what_does_not_finish(place: Path, raw: RawUpstream, arguments: tuple[str, ...]) -> None:
    raw.script = lambda sock: wait_for(lambda: not sock.recv(65536), "end")
    with gateway(place, config(raw.url, routes=OPEN, extra="drain: {timeout: 200ms}"), *arguments) as front:
        with Client(front.address("plain")) as client:
            client.send(b"GET /x HTTP/1.1\r\nHost: open.example.org\r\n\r\n")
            wait_for(lambda: raw.connections, "upstream connection")
            front.process.send_signal(signal.SIGTERM)
            assert client.closed()
        assert front.process.wait(PATIENCE) == 0


@arguments_of_both
def test_a_second_signal_ends_at_once(place: Path, raw: RawUpstream, arguments: tuple[str, ...]) -> None:
    raw.script = lambda sock: wait_for(lambda: not sock.recv(65536), "end")
    with gateway(place, config(raw.url, routes=OPEN), *arguments) as front, Client(front.address("plain")) as client:
        client.send(b"GET /x HTTP/1.1\r\nHost: open.example.org\r\n\r\n")
        wait_for(lambda: raw.connections, "upstream connection")
        front.process.send_signal(signal.SIGTERM)
        front.event("draining")
        front.process.send_signal(signal.SIGTERM)
        assert front.process.wait(PATIENCE) == 1


def test_readiness_and_liveness_have_an_address_of_their_own(place: Path, service: Upstream) -> None:
    text = config(service.url, routes=OPEN, extra='health: {address: "127.0.0.1:0"}')
    with gateway(place, text) as front:
        host, _, port = front.wait_until_listening()["health"].rpartition(":")
        for path, status in {"/livez": 200, "/readyz": 200, "/metrics": 404}.items():
            connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
            connection.request("GET", path)
            assert connection.getresponse().status == status
            connection.close()


def test_readiness_does_not_hang_on_an_issuer_and_its_tokens_are_503(
    place: Path, service: Upstream, world: World
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nowhere = f'jwks_url: "http://127.0.0.1:{taken.getsockname()[1]}/keys"'
    text = config(service.url, routes=OPEN).replace("jwks_file: keys.json", nowhere)
    with gateway(place, text) as front:
        front.event("keys_failed")
        assert front.status_of("/readyz") == 200
        with Client(front.address("plain")) as client:
            assert client.get("/x", "open.example.org").status == 200
            answer = client.get("/x", "open.example.org", world.bearer())
        assert (answer.status, answer.code) == (503, "token_keys_unavailable")


@arguments_of_both
def test_no_port_is_opened_when_the_config_is_bad(place: Path, service: Upstream, arguments: tuple[str, ...]) -> None:
    text = config(service.url, routes=OPEN.replace("wiki", "wikki")).replace("edge.pem", "absent.pem")
    running = Gateway(place, text, *arguments)
    assert running.process.wait(PATIENCE) == 2
    lines = running.stderr.splitlines()
    assert any('no upstream is called "wikki" (did you mean "wiki"?)' in line for line in lines)
    assert any("absent.pem" in line for line in lines)
    assert all(line.startswith(f"{running.path}:") for line in lines)
    assert running.of_type("event") == [] or not any(r["event"] == "listening" for r in running.of_type("event"))
    running.stop()


@arguments_of_both
def test_a_taken_address_is_a_runtime_failure(place: Path, service: Upstream, arguments: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listener = f'  - {{name: plain, address: "127.0.0.1:{taken.getsockname()[1]}", plaintext: true}}'
        running = Gateway(place, config(service.url, routes=OPEN, listeners=listener), *arguments)
        assert running.process.wait(PATIENCE) == 1
        assert "plain" in running.stderr
        running.stop()


def test_trust_that_a_reload_takes_away_is_gone_from_live_connections(place: Path, service: Upstream) -> None:
    listener = '  - {name: plain, address: "127.0.0.1:0", plaintext: true, TRUST}'
    trusting = listener.replace("TRUST", "trusted_proxies: {networks: [127.0.0.1/32]}")
    routes = "  - {name: n, host: n.example.org, upstream: wiki, allow: [{anyone: true, networks: [10.9.9.9/32]}]}"
    with (
        gateway(place, config(service.url, routes=routes, listeners=trusting)) as front,
        Client(front.address("plain")) as client,
    ):
        assert client.get("/x", "n.example.org", "X-Forwarded-For: 10.9.9.9").status == 200
        front.reload(config(service.url, routes=routes, listeners=listener.replace(", TRUST", "")))
        front.event("reloaded")
        assert client.get("/x", "n.example.org", "X-Forwarded-For: 10.9.9.9").status == 403


def test_a_log_that_cannot_be_opened_refuses_a_reload_and_the_next_one_works(front: Gateway, service: Upstream) -> None:
    log = "access_log: {to: /nonexistent/directory/access.log}"
    front.reload(config(service.url, routes=CLOSED, extra=log))
    assert any("/nonexistent" in line for line in front.event("reload_refused")["mistakes"])
    front.reload(config(service.url, routes=CLOSED))
    front.event("reloaded")
    with Client(front.address("plain")) as client:
        assert client.get("/x", "open.example.org").status == 401


@with_workers_too
def test_a_file_that_was_missing_is_noticed_when_it_appears(front: Gateway, service: Upstream, place: Path) -> None:
    text = config(service.url, routes=CLOSED).replace("ca.pem", "new.pem")
    front.reload(text)
    front.event("reload_refused")
    (place / "new.pem").write_bytes((place / "ca.pem").read_bytes())
    front.event("reloaded")
    with Client(front.address("plain")) as client:
        assert client.get("/x", "open.example.org").status == 401


@arguments_of_both
def test_a_reload_that_is_asked_for_during_a_drain_opens_nothing(
    place: Path, raw: RawUpstream, arguments: tuple[str, ...]
) -> None:
    raw.script = lambda sock: wait_for(lambda: not sock.recv(65536), "end")
    with gateway(place, config(raw.url, routes=OPEN, extra="drain: {timeout: 1s}"), *arguments) as front:
        with Client(front.address("plain")) as client:
            client.send(b"GET /x HTTP/1.1\r\nHost: open.example.org\r\n\r\n")
            wait_for(lambda: raw.connections, "upstream connection")
            front.process.send_signal(signal.SIGTERM)
            front.event("draining")
            more = DEFAULT_LISTENERS + '\n  - {name: more, address: "127.0.0.1:0", plaintext: true}'
            front.reload(config(raw.url, routes=OPEN, listeners=more))
            assert client.closed()
        assert front.process.wait(PATIENCE) == 0
    assert len([record for record in front.records if record.get("event") == "listening"]) == 1


@with_workers_too
def test_a_drain_answers_who_was_connected_and_had_not_asked_yet(front: Gateway, world: World) -> None:
    with (
        Client(front.address("plain")) as plain,
        Client(front.address("edge"), world.client(), "open.example.org") as tls,
    ):
        wait_for(lambda: front.metric('ztproxy_connections{listener="edge"}') == 1, "connection")
        front.process.send_signal(signal.SIGTERM)
        front.event("draining")
        for client in (plain, tls):
            answer = client.get("/x", "open.example.org")
            assert (answer.status, answer.get("connection")) == (200, "close")
    assert front.process.wait(PATIENCE) == 0


@arguments_of_both
def test_a_listener_that_is_renamed_keeps_its_address(
    place: Path, service: Upstream, arguments: tuple[str, ...]
) -> None:
    def listeners(name: str) -> str:
        return f'  - {{name: {name}, address: "unix:{place}/edge.sock", plaintext: true}}'

    def answers() -> bool:
        with socket.socket(socket.AF_UNIX) as local:
            local.connect(f"{place}/edge.sock")
            local.sendall(b"GET /x HTTP/1.1\r\nHost: open.example.org\r\nConnection: close\r\n\r\n")
            return local.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"

    with gateway(place, config(service.url, routes=OPEN, listeners=listeners("old")), *arguments) as front:
        assert answers()
        front.reload(config(service.url, routes=OPEN, listeners=listeners("new")))
        front.event("reloaded")
        assert answers()
        other = place / "other"
        other.mkdir()
        for name in ("ca.pem", "keys.json"):
            (other / name).write_bytes((place / name).read_bytes())
        thief = Gateway(other, config(service.url, routes=OPEN, listeners=listeners("thief")), *arguments)
        assert thief.process.wait(PATIENCE) == 1
        thief.stop()
        assert answers()


@with_workers_too
def test_silent_connections_to_the_admin_address_take_nothing_from_clients(front: Gateway) -> None:
    host, _, port = front.wait_until_listening()["admin"].rpartition(":")
    silent = [socket.create_connection((host, int(port)), timeout=PATIENCE) for _ in range(100)]
    assert front.status_of("/readyz") == 200
    descriptors = len(list(Path(f"/proc/{front.process.pid}/fd").iterdir()))
    assert descriptors < 100
    for sock in silent:
        sock.close()


def test_a_reload_that_raises_the_bound_of_connections_lets_in_who_waits(place: Path, service: Upstream) -> None:
    with (
        gateway(place, config(service.url, routes=OPEN, extra="limits: {connections: 1}")) as front,
        Client(front.address("plain")) as held,
        Client(front.address("plain")) as waiting,
    ):
        assert held.get("/held", "open.example.org").status == 200
        waiting.send(b"GET /waiting HTTP/1.1\r\nHost: open.example.org\r\n\r\n")
        front.reload(config(service.url, routes=OPEN, extra="limits: {connections: 10}"))
        front.event("reloaded")
        assert waiting.answer().body == b"/waiting"
        with Client(front.address("plain")) as third:
            assert third.get("/third", "open.example.org").status == 200


def test_a_drain_waits_until_a_client_has_the_last_byte(place: Path, service: Upstream) -> None:
    """An exchange is over when its last bytes are in our own buffer, and a process that ends then takes them along."""
    service.script = lambda request, sock: ok(bytes(int(request.target[1:])))
    with gateway(place, config(service.url, routes=OPEN)) as front:
        clients = {}
        for size in range(256 * 1024, 8 * 1024 * 1024, 96 * 1024):  # one of them just fills the kernel's buffers
            clients[size] = Client(front.address("plain"))
            clients[size].send(f"GET /{size} HTTP/1.1\r\nHost: open.example.org\r\nConnection: close\r\n\r\n".encode())
        settled(lambda: len(front.of_type("access")))
        over = {record["path"] for record in front.of_type("access")}
        for size in [size for size in clients if f"/{size}" not in over]:
            clients.pop(size).socket.close()
        front.process.send_signal(signal.SIGTERM)
        front.event("draining")
        settled(front.process.poll)  # so that it could have ended
        for size, client in clients.items():
            with client:
                assert len(client.answer().body) == size
        assert front.process.wait(PATIENCE) == 0
