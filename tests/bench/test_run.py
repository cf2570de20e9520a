"""A short run of the benchmark against ztproxy alone: every answer under load is good, and the results are written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_a_short_run(tmp_path: Path) -> None:
    if shutil.which("wrk") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("wrk is absent (Debian: apt install wrk)")
    command = [sys.executable, "-m", "bench", "--cases", "small,distinct", "--peers", "ztproxy", "--rounds", "1"]
    command += ["--seconds", "1", "--results", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "latest.json").read_text(encoding="utf-8"))["figures"]
    assert [(one["case"], one["series"], one["void"]) for one in figures] == [
        ("small", "ztproxy", ""),
        ("small", "ztproxy, a route for anyone", ""),
        ("distinct", "ztproxy", ""),
    ]
    assert all(one["values"]["rate"] > 0 for one in figures)
    assert {path.name for path in tmp_path.iterdir()} == {"latest.json", "latest.md", "latest.svg"}
