"""The running gateway with a real OPA server that decides: killed, hung and started again while requests go on."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway import PATIENCE, Answer, Client, Gateway, Upstream, gateway, wait_for
from tests.opa import OPAServer, opa_server
from tests.world import World, config

DEADLINE = 0.5  # seconds
ROUTES = """\
  - name: wiki
    host: wiki.example.org
    upstream: wiki
    allow: [{anyone: true, paths: [/public/]}, {groups: [engineering]}]
"""


@pytest.fixture(scope="module")
def service() -> Iterator[Upstream]:
    running = Upstream()
    yield running
    running.close()


@pytest.fixture(scope="module")
def decided(
    world: World, service: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Gateway, OPAServer]]:
    """A gateway, and the OPA server that it asks, with what `ztproxy policy export` wrote for it."""
    place = world.copy_to(tmp_path_factory.mktemp("opa"))
    exported = place / "exported"
    (place / "embedded.yaml").write_text(config(service.url, routes=ROUTES), encoding="utf-8")
    export = [sys.executable, "-m", "proxy", "policy", "export", "-c", str(place / "embedded.yaml"), str(exported)]
    subprocess.run(export, check=True, capture_output=True, cwd=Path(__file__).resolve().parents[2])
    with opa_server(exported) as server:
        policy = f'policy: {{engine: opa, deadline: {int(DEADLINE * 1000)}ms, opa: {{url: "{server.url}"}}}}'
        with gateway(place, config(service.url, routes=ROUTES, extra=policy)) as running:
            yield running, server


class Load:
    """Clients that ask without end for what is permitted and for what is not, each on a connection of its own."""

    def __init__(self, front: Gateway, world: World) -> None:
        self._front = front
        self._fields = {"/public/x": (), "/private": (), "/x": (world.bearer(groups=["engineering"]),)}
        self._over = threading.Event()
        self.answers: list[tuple[str, Answer, float]] = []
        self._threads = [
            threading.Thread(target=self._ask, args=(target,)) for target in self._fields for _ in range(2)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _ask(self, target: str) -> None:
        with Client(self._front.address("plain")) as client:
            while not self._over.is_set():
                began = time.monotonic()
                answer = client.get(target, "wiki.example.org", *self._fields[target])
                self.answers.append((target, answer, time.monotonic() - began))

    def wait_for(self, target: str, status: int, code: str | None = None) -> None:
        begin = len(self.answers)

        def seen() -> bool:
            return any((t, a.status, a.code) == (target, status, code) for t, a, _ in self.answers[begin:])

        wait_for(seen, f"{status} {code} for {target}")


def test_opa_decides_as_the_embedded_engine_does(decided: tuple[Gateway, OPAServer], world: World) -> None:
    with Client(decided[0].address("plain")) as client:
        assert client.get("/public/x").status == 200
        assert client.get("/private").code == "credentials_missing"
        assert client.get("/x", "wiki.example.org", world.bearer(groups=["sales"])).code == "policy_denied"
        assert client.get("/x", "wiki.example.org", world.bearer(groups=["engineering"])).status == 200


def test_nothing_passes_while_opa_is_gone_or_hangs_and_service_comes_back_by_itself(
    decided: tuple[Gateway, OPAServer], world: World, service: Upstream
) -> None:
    front, server = decided
    service.requests.clear()
    with Load(front, world) as load:
        load.wait_for("/public/x", 200)
        load.wait_for("/private", 401, "credentials_missing")
        server.kill()
        load.wait_for("/public/x", 503, "policy_unreachable")
        load.wait_for("/private", 503, "policy_unreachable")
        server.start()
        load.wait_for("/public/x", 200)
        server.hang()
        load.wait_for("/x", 503, "policy_too_slow")
        server.resume()
        load.wait_for("/x", 200)
        load.wait_for("/private", 401, "credentials_missing")
    codes = {(target, answer.status, answer.code) for target, answer, _ in load.answers}
    refused = {"policy_unreachable", "policy_too_slow"}
    assert {code for target, status, code in codes if status == 503} == refused
    assert all(status in (200, 503) for target, status, _ in codes if target != "/private")
    assert all(status in (401, 503) for target, status, _ in codes if target == "/private")
    assert {request.target for request in service.requests} == {"/public/x", "/x"}
    assert max(took for _, answer, took in load.answers if answer.status == 503) < DEADLINE + 5
    wait_for(lambda: front.metric("ztproxy_http_requests_in_flight") == 0, "end of the load")
