"""The benchmarks start, measure and print; what they print is for people."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"


def run(*command: str) -> str:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_bodies_pass_through_in_little_memory() -> None:
    said = run(str(BENCH / "bodies.py"), "--gib", "0.1", "--slow-seconds", "0.5")
    grown = [float(each) for each in re.findall(r"memory grew by ([\d.]+) MiB", said)]
    assert len(grown) == 2
    assert max(grown) < 16


def test_every_answer_under_load_is_good() -> None:
    if shutil.which("wrk") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("wrk is absent (Debian: apt install wrk)")
    said = run(str(BENCH / "run.py"), "--seconds", "1", "--connections", "4")
    rows = [line.split() for line in said.splitlines()[1:4]]
    assert [row[-1] for row in rows] == ["0", "0", "0"]


def test_every_handshake_succeeds() -> None:
    assert "handshakes that failed: 0" in run(str(BENCH / "handshakes.py"), "--seconds", "0.3")
