"""The watchdog, in processes of their own: it ends them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.gateway import Client, Upstream, gateway, wait_for
from tests.world import World, config

ROOT = Path(__file__).resolve().parents[2]

STUCK_IN_REGO = """
import asyncio, regorus
from proxy.server.watchdog import Watchdog

async def main():
    engine = regorus.Engine()
    engine.add_policy("p.rego", "package p\\nx := count([1 | numbers.range(1, 30000)[_]; numbers.range(1, 30000)[_]])")
    task = asyncio.create_task(Watchdog(stuck=0.5).run())
    await asyncio.sleep(0)
    print("begins", flush=True)
    engine.eval_rule("data.p.x")
    print("ended", flush=True)

asyncio.run(main())
"""

ALIVE = """
import asyncio, faulthandler
from proxy.server.watchdog import Watchdog

STUCK = 0.4
said = []
outlived = asyncio.Event()
arm, disarm = faulthandler.dump_traceback_later, faulthandler.cancel_dump_traceback_later

def armed(seconds, *, exit):
    said.append("armed")
    arm(seconds, exit=exit)
    if said.count("armed") == 10:  # every tenth of a second: more than twice as long as a stuck loop would live
        outlived.set()

def disarmed():
    said.append("disarmed")
    disarm()

faulthandler.dump_traceback_later, faulthandler.cancel_dump_traceback_later = armed, disarmed

async def main():
    task = asyncio.create_task(Watchdog(stuck=STUCK).run())
    await outlived.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    print(said[-1])

asyncio.run(main())
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_a_process_that_is_stuck_in_an_evaluation_is_ended() -> None:
    ended = run(STUCK_IN_REGO)
    assert ended.returncode == 1
    assert ended.stdout == "begins\n"
    assert "Timeout" in ended.stderr
    assert "main" in ended.stderr


def test_a_loop_that_turns_is_left_alone_and_the_timer_goes_with_the_watchdog() -> None:
    ended = run(ALIVE)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "disarmed\n", "")


SOON = """
import sys
if any("member" in argument for argument in sys.orig_argv):
    from proxy.server import watchdog
    watchdog.Watchdog.__init__.__defaults__ = (1.0,)
"""

ENDLESS = """
package ztproxy.authz
import rego.v1

decision := {"allow": true} if not input.request.path == "/endless"

decision := {"allow": true} if {
	input.request.path == "/endless"
	count([1 | numbers.range(1, 30000)[_]; numbers.range(1, 30000)[_]]) > 0
}
"""


def test_a_worker_that_is_stuck_is_ended_and_made_again_while_the_other_serves(
    world: World, tmp_path: Path, upstream: Upstream
) -> None:
    place = world.copy_to(tmp_path)
    (place / "sitecustomize.py").write_text(SOON)
    (place / "authz.rego").write_text(ENDLESS)
    routes = "  - {name: open, host: open.example.org, upstream: wiki}"
    text = config(upstream.url, routes=routes, extra="policy: {path: authz.rego, deadline: 100ms}")
    paths = {"PYTHONPATH": f"{place}:{ROOT}"}
    with gateway(place, text, "--workers", "2", environment=paths) as front:
        with Client(front.address("plain")) as client:
            client.send(b"GET /endless HTTP/1.1\r\nHost: open.example.org\r\n\r\n")
            ended = front.event("worker_ended")
            assert client.closed()
        assert ended["reason"] == "status 1"
        assert "Timeout" in front.stderr
        for client in [Client(front.address("plain")) for _ in range(12)]:
            with client:
                assert client.get("/x", "open.example.org").status == 200
        wait_for(lambda: front.metric("ztproxy_workers") == 2, "replacement")
