"""Several workers behind their supervisor: one gateway to the outside, whatever happens to one of them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from tests.gateway import PATIENCE, Client, Gateway, Upstream, gateway, wait_for
from tests.server.load import Ask, load
from tests.world import World, config

TWO = ("--workers", "2")
HOST = "open.example.org"
OPEN = f"  - {{name: open, host: {HOST}, upstream: wiki, allow: [{{anyone: true}}]}}\n"
SERVED = 'ztproxy_http_requests_total{method="GET",route="open",status="200"}'


@pytest.fixture(scope="module")
def service() -> Iterator[Upstream]:
    running = Upstream()
    yield running
    running.close()


@pytest.fixture(scope="module")
def _pair(world: World, tmp_path_factory: pytest.TempPathFactory, service: Upstream) -> Iterator[Gateway]:
    place = world.copy_to(tmp_path_factory.mktemp("pair"))
    with gateway(place, config(service.url, routes=OPEN), *TWO) as running:
        yield running


@pytest.fixture
def pair(_pair: Gateway) -> Gateway:
    """The module's gateway, with both of its workers; a test may end them."""
    whole(_pair)
    return _pair


def whole(front: Gateway) -> list[int]:
    """Wait until two workers serve, and return their process ids."""
    wait_for(lambda: front.metric("ztproxy_workers") == 2, "two workers")
    return front.workers()


def clients(front: Gateway, number: int = 24) -> list[Client]:
    return [Client(front.address("plain")) for _ in range(number)]


def ask(client: Client) -> None:
    client.send(f"GET /x HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_metrics_are_the_sum_over_both_and_certificates_are_not_added_up(pair: Gateway) -> None:
    before = pair.metric(SERVED)
    held = clients(pair)
    for client in held:
        assert client.get("/x", HOST).status == 200
    assert pair.metric(SERVED) - before == len(held)
    assert pair.metric('ztproxy_connections{listener="plain"}') == len(held)
    lifetime = pair.metric(f'ztproxy_certificate_expiry_seconds{{name="{pair.directory}/edge.pem"}}')
    assert lifetime == pytest.approx(expiry(pair), abs=10)
    for client in held:
        client.socket.close()


def expiry(front: Gateway) -> float:
    """Return the remaining seconds of the server's certificate as OpenSSL reads it."""
    certificate = x509.load_pem_x509_certificate((front.directory / "edge.pem").read_bytes())
    return (certificate.not_valid_after_utc - datetime.now(UTC)).total_seconds()


def test_a_worker_that_is_killed_under_load_loses_only_its_own_connections(pair: Gateway) -> None:
    victim, other = whole(pair)
    restarts = pair.metric("ztproxy_worker_restarts_total")
    held = clients(pair)
    with load(pair, (Ask(HOST, "/load"),), cut=True) as busy:
        for client in held:
            assert client.get("/x", HOST).status == 200
        served = pair.metric(SERVED)
        busy.see("good", 20)
        kill(victim)
        kept = [client for client in held if answers(client)]
        assert 0 < len(kept) < len(held)
        busy.see("good", 20)
        assert pair.status_of("/readyz") == 200
        assert pair.metric(SERVED) >= served
        assert busy.counts["cut"] + busy.counts["unconnected"] <= 6  # one for each client of the load
        replaced = whole(pair)
        assert other in replaced
        assert victim not in replaced
        assert all(answers(client) for client in kept)
        for client in held:
            client.socket.close()
    assert pair.metric("ztproxy_worker_restarts_total") == restarts + 1
    event = next(e for e in pair.of_type("event") if e["event"] == "worker_ended" and e["pid"] == victim)
    assert event["reason"] == "signal 9 (Killed)"
    assert f"worker {event['worker']} ended by signal 9 (Killed)" in pair.stderr


def answers(client: Client) -> bool:
    try:
        return client.get("/x", HOST).status == 200
    except (EOFError, OSError):
        return False


def test_clients_of_a_worker_that_hangs_are_answered_when_it_has_ended(pair: Gateway) -> None:
    victim, _ = whole(pair)
    os.kill(victim, signal.SIGSTOP)
    waiting = clients(pair)
    for client in waiting:
        ask(client)
    kill(victim)
    for client in waiting:
        with client:
            assert client.answer().status == 200


def test_connections_that_wait_while_no_worker_is_left_are_answered_by_the_next_ones(pair: Gateway) -> None:
    for worker in whole(pair):
        os.kill(worker, signal.SIGSTOP)
    waiting = clients(pair)
    for client in waiting:
        ask(client)
    for worker in pair.workers():
        kill(worker)
    for client in waiting:
        with client:
            assert client.answer().status == 200


def test_a_worker_that_comes_back_finds_the_files_changed_and_all_take_them_or_none(
    pair: Gateway, service: Upstream
) -> None:
    good = pair.path.read_text(encoding="utf-8")
    whole(pair)
    refused = len([event for event in pair.of_type("event") if event["event"] == "reload_refused"])
    pair.path.write_text(good.replace("upstream: wiki", "upstream: wikki"), encoding="utf-8")
    pair.event("reload_refused", refused + 1)
    kill(pair.workers()[0])
    pair.event("reload_refused", refused + 2)  # told anew: one more process could not start
    for client in clients(pair):
        with client:
            assert client.get("/x", HOST).status == 200  # all of them, of the worker that is left
    assert pair.metric("ztproxy_workers") == 1
    pair.path.write_text(good, encoding="utf-8")
    whole(pair)
    assert pair.stderr.count("wikki") == 2


def test_a_reload_under_load_loses_nothing(pair: Gateway, service: Upstream) -> None:
    reloads = pair.metric('ztproxy_reloads_total{result="ok"}')
    text = pair.path.read_text(encoding="utf-8")
    more = text.replace("identity:", "limits: {idle: 60s}\nidentity:")
    with load(pair, (Ask(HOST, "/load"),)) as busy:
        busy.see("good", 20)
        pair.reload(more)
        wait_for(lambda: pair.metric('ztproxy_reloads_total{result="ok"}') > reloads, "reload")
        busy.see("good", 20)
        assert not busy.counts["unconnected"]
    pair.reload(text)
    wait_for(lambda: pair.metric('ztproxy_reloads_total{result="ok"}') > reloads + 1, "reload")


def test_the_number_of_workers_cannot_change_without_a_restart(pair: Gateway) -> None:
    good = pair.path.read_text(encoding="utf-8")
    before = len([event for event in pair.of_type("event") if event["event"] == "reload_refused"])
    pair.reload("workers: 3\n" + good)
    assert "workers cannot change without a restart" in pair.event("reload_refused", before + 1)["mistakes"][0]
    pair.reload(good)


def test_a_supervisor_that_is_killed_takes_its_workers_along(world: World, tmp_path: Path, service: Upstream) -> None:
    with gateway(world.copy_to(tmp_path), "workers: 2\n" + config(service.url, routes=OPEN)) as front:
        workers = whole(front)
        held = clients(front, 4)
        for client in held:
            assert client.get("/x", HOST).status == 200
        front.process.kill()
        wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), "end of the workers")
        assert all(client.closed() for client in held)
        for client in held:
            client.socket.close()


def test_the_option_takes_the_place_of_the_key_and_auto_on_one_cpu_is_one_process_by_itself(
    world: World, tmp_path: Path, service: Upstream
) -> None:
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    try:
        text = "workers: 2\n" + config(service.url, routes=OPEN)
        with gateway(world.copy_to(tmp_path), text, "--workers", "auto") as front:
            assert front.workers() == []
            assert front.metric("ztproxy_workers") == 1
    finally:
        os.sched_setaffinity(0, cpus)


def test_lines_of_a_slow_pipe_and_of_a_file_are_whole_though_a_worker_is_killed(
    world: World, tmp_path: Path, service: Upstream
) -> None:
    place = world.copy_to(tmp_path)
    extra = "access_log: {to: access.log}\nlimits: {target_length: 16KiB}"
    reading, writing = os.pipe()
    running = Gateway(place, config(service.url, routes=OPEN, extra=extra), *TWO, stdout=writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as stdout, closing_down(running):
        told = b""
        while b'"listening"' not in told:
            line = stdout.readline()
            assert line, running.stderr
            told += line
        host, _, port = json.loads(told.splitlines()[-1])["listeners"]["plain"].rpartition(":")
        long = "x" * 9000  # a decision record of it is longer than what a pipe takes in one piece
        held = {number: Client((host, int(port))) for number in range(16)}
        asked: set[str] = set()
        for turn in range(12):  # megabytes, and nobody reads them
            for number, client in list(held.items()):
                path = f"/{long}/{number}/{turn}"
                try:
                    assert client.get(path, HOST).status == 200
                except (EOFError, OSError):
                    held.pop(number).socket.close()
                else:
                    asked.add(path)
            if turn == 5:
                (place / "access.log").rename(place / "access.log.1")
                running.reload()
            if turn == 8:
                kill(running.workers()[0])
        running.process.send_signal(signal.SIGTERM)
        told += stdout.read()
        assert running.process.wait(PATIENCE) == 0
    for client in held.values():
        client.socket.close()
    # What the killed worker had not written is lost; what the other one did is there, whole.
    asked = {path for path in asked if int(path.split("/")[2]) in held}
    assert 0 < len(held) < 16
    assert told.endswith(b"\n")
    records = [json.loads(line) for line in told.splitlines()]
    assert records[-1]["event"] == "stopped"
    assert asked <= {record["input"]["request"]["path"] for record in records if record["type"] == "decision"}
    logs = [(place / name).read_bytes() for name in ("access.log.1", "access.log")]
    assert all(log.endswith(b"\n") for log in logs)
    assert asked <= {json.loads(line)["path"] for log in logs for line in log.splitlines()}


@contextmanager
def closing_down(running: Gateway) -> Iterator[None]:
    try:
        yield
    finally:
        running.stop()
