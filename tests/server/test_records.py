"""Records as an operator reads them: one access record an exchange, one decision record a decision, and no secret."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

import pytest

from tests.gateway import Client, Gateway, Upstream, gateway, ok, wait_for
from tests.world import World, config

OPEN = """\
  - name: open
    host: open.example.org
    upstream: wiki
    allow: [{groups: [engineering]}, {anyone: true, paths: [/public/]}]
"""

ACCESS = {
    "type", "time", "request_id", "connection_id", "listener", "source", "method", "host", "path", "protocol",
    "route", "principal", "peer", "status", "code", "decision_id", "upstream", "endpoint", "bytes_in", "bytes_out",
    "duration_ms",
}  # fmt: skip


def test_an_exchange_has_one_access_record_with_every_field(edge: Gateway, world: World, upstream: Upstream) -> None:
    with Client(edge.address("edge"), world.client("web")) as client:
        client.get("/x?secret=1", "wiki.example.org", world.bearer(groups=["engineering"]), method="POST", body=b"abc")
    request_id = upstream.requests[-1].values("x-request-id")[0]
    record = edge.access(request_id)
    assert set(record) >= ACCESS
    assert record | {
        "listener": "edge", "source": "127.0.0.1", "method": "POST", "host": "wiki.example.org", "path": "/x",
        "protocol": "http/1.1", "route": "wiki", "status": 200, "code": None, "upstream": "wiki", "bytes_in": 3,
        "bytes_out": len(b"/x?secret=1"), "peer": {"id": "spiffe://example.org/ns/shop/sa/web"},
        "principal": {"kind": "user", "id": "ana", "issuer": "corp"},
    } == record  # fmt: skip
    assert sum(r["request_id"] == request_id for r in edge.of_type("access")) == 1
    assert sum(r["decision_id"] == record["decision_id"] for r in edge.of_type("decision")) == 1


def test_a_request_that_was_never_decided_names_no_decision(edge: Gateway) -> None:
    with Client(edge.address("plain")) as client:
        answer = client.get("/a/../b")
    record = edge.access(answer.get("x-request-id") or "")
    assert (record["decision_id"], record["path"], record["route"]) == (None, "/a/../b", None)


def test_a_decision_record_is_in_opas_format_and_can_be_replayed(
    edge: Gateway, world: World, upstream: Upstream
) -> None:
    with Client(edge.address("plain")) as client:
        client.get("/x", "wiki.example.org", world.bearer(groups=["engineering"]))
    decision_id = edge.access(upstream.requests[-1].values("x-request-id")[0])["decision_id"]
    record = wait_for(lambda: [r for r in edge.of_type("decision") if r["decision_id"] == decision_id], "record")[0]
    assert set(record) >= {
        "decision_id",
        "path",
        "input",
        "result",
        "bundles",
        "metrics",
        "timestamp",
        "erased",
        "type",
    }
    assert record["path"] == "ztproxy/authz/decision"
    assert record["result"]["allow"] is True
    assert set(record["input"]) >= {"request", "principal", "peer", "route", "time"}
    assert record["metrics"]["timer_rego_query_eval_ns"] > 0


def test_no_secret_is_in_anything_that_is_written(world: World, tmp_path: Path) -> None:
    service = Upstream()
    place = world.copy_to(tmp_path)
    secrets = {
        "cookie": "c00kie-53cret", "password": "YmFzaWM6cGFzc3dvcmQ", "key": "ap1-k3y-53cret", "query": "qu3ry-t0ken",
        "garbage": "Z2FyYmFnZQ", "set": "s3t-c00kie",
    }  # fmt: skip
    token = world.token(groups=["engineering"])
    expired = world.token(exp=int(time.time()) - 600)
    service.script = lambda request, sock: ok(set_cookie=f"session={secrets['set']}")
    with gateway(place, config(service.url, routes=OPEN)) as front:
        with Client(front.address("plain")) as client:
            fields = (f"Cookie: a={secrets['cookie']}", f"X-Api-Key: {secrets['key']}")
            client.get(f"/public/x?access_token={secrets['query']}", "open.example.org", *fields)
            client.get("/x", "open.example.org", *fields, f"Authorization: Bearer {token}")
            client.get("/x", "open.example.org", f"Authorization: Bearer {expired}")
            client.get("/x", "open.example.org", f"Authorization: Bearer {secrets['garbage']}")
            client.get("/x", "open.example.org", f"Authorization: Basic {secrets['password']}")
            client.get("/x/../y", "open.example.org", *fields, f"Authorization: Bearer {token}")
        wait_for(lambda: len(front.of_type("access")) == 6, "six access records")
        metrics = front.metrics()
    written = json.dumps(front.records) + front.stderr + metrics
    for secret in (*secrets.values(), token, expired, *token.split("."), *expired.split(".")[1:]):
        assert secret not in written
    service.close()


def test_a_blocked_pipe_loses_records_and_no_request(world: World, tmp_path: Path) -> None:
    service, place = Upstream(), world.copy_to(tmp_path)
    reading, writing = os.pipe()
    with _Blocked(place, config(service.url, routes=OPEN), writing) as port, Client(("127.0.0.1", port)) as client:
        for _ in range(300):
            assert client.get("/public/x", "open.example.org", "X-Long: " + "a" * 4000).status == 200
    os.close(reading)
    os.close(writing)
    service.close()


def test_a_blocked_pipe_holds_no_more_heads_than_its_queue_may(world: World, tmp_path: Path) -> None:
    service, place = Upstream(), world.copy_to(tmp_path)
    reading, writing = os.pipe()
    blocked = _Blocked(place, config(service.url, routes=OPEN), writing)
    with blocked as port, Client(("127.0.0.1", port)) as client:
        grown = []
        for _ in range(2):
            for number in range(300):
                assert client.get("/public/x", "open.example.org", f"X-Long: {number}" + "a" * 50_000).status == 200
            grown.append(blocked.gateway.memory())
    assert grown[1] - grown[0] < 12 * 1024 * 1024  # 45 MB, if they were counted by their number alone
    os.close(reading)
    os.close(writing)
    service.close()


@pytest.mark.parametrize("sink", ["/dev/full"])
@pytest.mark.parametrize("required", [False, True])
def test_a_full_disk_refuses_requests_only_where_their_record_is_required(
    world: World, tmp_path: Path, sink: str, required: bool
) -> None:
    service, place = Upstream(), world.copy_to(tmp_path)
    extra = f"decision_log: {{to: {sink}, required: {str(required).lower()}}}"
    with gateway(place, config(service.url, routes=OPEN, extra=extra)) as front:
        with Client(front.address("plain")) as client:
            answer = client.get("/public/x", "open.example.org")
            if required:
                assert (answer.status, answer.code) == (503, "decision_log_unavailable")
                assert service.requests == []
            else:
                assert answer.status == 200
        wait_for(lambda: front.metric('ztproxy_records_dropped_total{type="decision"}') >= 1, "drop is counted")
        assert front.stderr.count("/dev/full") == 1
    service.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


class _Blocked:
    """A gateway whose records nobody reads: its port is told beforehand, for there is no event to read it from."""

    def __init__(self, place: Path, text: str, stdout: int) -> None:
        self.port = free_port()
        listener = f'  - {{name: plain, address: "127.0.0.1:{self.port}", plaintext: true}}'
        lines = text.splitlines()
        first, last = lines.index("listeners:"), next(i for i, line in enumerate(lines) if line.startswith("admin:"))
        self.gateway = Gateway(place, "\n".join([*lines[: first + 1], listener, *lines[last:]]), stdout=stdout)

    def __enter__(self) -> int:
        def reachable() -> bool:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                return False
            return True

        wait_for(reachable, "listening")
        return self.port

    def __exit__(self, *_: object) -> None:
        self.gateway.process.terminate()
        assert self.gateway.process.wait(20) == 0
        self.gateway.stop()


def test_a_file_takes_records_and_is_reopened_on_reload(world: World, tmp_path: Path) -> None:
    service, place = Upstream(), world.copy_to(tmp_path)
    with gateway(place, config(service.url, routes=OPEN, extra="access_log: {to: access.log}")) as front:
        log = place / "access.log"
        with Client(front.address("plain")) as client:
            client.get("/public/1", "open.example.org")
            wait_for(lambda: log.read_text().count("\n") == 1, "first record")
            log.rename(place / "access.log.1")
            front.reload()
            front.event("reloaded")
            client.get("/public/2", "open.example.org")
            wait_for(lambda: log.exists() and log.read_text().count("\n") == 1, "record in the new file")
        assert json.loads(log.read_text())["path"] == "/public/2"
    assert (place / "access.log.1").read_text().count("\n") == 1
    service.close()
