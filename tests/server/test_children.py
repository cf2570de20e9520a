"""When a worker is made again, and how."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from proxy.server.children import Backoff

ROOT = Path(__file__).resolve().parents[2]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_first_end_costs_no_time_and_quick_ones_after_it_ever_more() -> None:
    clock = Clock()
    backoff = Backoff(clock)
    backoff.served()
    clock.now += 3600
    assert backoff.ended() == 0
    pauses = []
    for _ in range(8):
        backoff.served()
        clock.now += 5
        pauses.append(backoff.ended())
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_worker_that_has_served_long_enough_is_forgiven() -> None:
    clock = Clock()
    backoff = Backoff(clock)
    for _ in range(4):
        backoff.served()
        backoff.ended()
    assert backoff.ended() == 8  # it has not served at all
    backoff.served()
    clock.now += 60
    assert backoff.ended() == 0


def test_a_worker_runs_as_its_supervisor_does_and_finds_modules_nowhere_else() -> None:
    code = "import sys; sys.path[0] = PATH; from proxy.server.children import interpreter; print(interpreter('m', 'x'))"

    def command(*flags: str, path: str) -> list[str]:
        told = subprocess.run(
            [sys.executable, *flags, "-c", code.replace("PATH", path)],
            cwd=ROOT, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        return eval(told.stdout)

    assert command("-W", "error", path="''") == [sys.executable, "-Werror", "-m", "m", "x"]
    assert command(path="'/opt/bin'") == [sys.executable, "-P", "-m", "m", "x"]
    assert command("-O", path=f"{str(ROOT)!r}") == [sys.executable, "-O", "-m", "m", "x"]
