"""The watchdog, in processes of their own: it ends them."""

from __future__ import annotations

import subprocess
import sys

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
