"""The demo as a process: `ztproxy demo` as somebody starts it who has just met the project."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def start(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start it; its files go below a directory."""
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "proxy", "demo", *arguments],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(directory)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


class Standing:
    """A demo that stays up, read as far as its invitation."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.process = start(directory)
        assert self.process.stdout is not None
        self.lines: list[str] = []
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if line.startswith("Each call shows here"):
                break

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=30)
        return self.process.returncode

    def kill(self) -> None:
        """End it, if it is still there."""
        if self.process.poll() is None:
            self.end(signal.SIGTERM)
