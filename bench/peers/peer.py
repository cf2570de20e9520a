"""What every peer is: processes on the proxy's core that serve one port and write records to files."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.process import PROXY_CORE, accepts, end, free_port, start, wait_for
from bench.world import World

TOKEN, POLICY = "token", "policy"  # what a peer may claim to decide: whose token is good, and who may do what


class Peer:
    """A reverse proxy in front of the upstream.

    Args:
        place: gets its configuration, its records and what it says.
        world: certificates and tokens.
        upstream: the port of the upstream.
    """

    claims: frozenset[str] = frozenset()
    """What it decides. Whoever claims nothing lets everybody through."""

    def __init__(self, place: Path, world: World, upstream: int) -> None:
        self.place, self.world, self.upstream = place, world, upstream
        self.port = free_port()
        self.access_log = place / "access.log"
        self._output = place / "output.txt"
        self._processes: list[subprocess.Popen[bytes]] = []

    def commands(self) -> Sequence[Sequence[str]]:
        """Write the configuration; return what is to be started, in this order."""
        raise NotImplementedError

    def ready(self) -> bool:
        """Say whether it serves."""
        return accepts(self.port)

    def start(self) -> None:
        """Start it and wait until it serves. Raise TimeoutError when it does not, RuntimeError when it ends."""
        self.place.mkdir(parents=True, exist_ok=True)
        for command in self.commands():
            self._processes.append(start(command, PROXY_CORE, self._output, directory=self.place))
        wait_for(self._ready_or_gone, f"{self.place.name} is ready")

    def stop(self) -> None:
        """End it."""
        for process in self._processes:
            end(process)
        self._processes.clear()

    @property
    def processes(self) -> list[int]:
        """The processes that were started, without those that they start."""
        return [process.pid for process in self._processes]

    def records(self) -> int:
        """Return how many access records there are."""
        with self.access_log.open("rb") as file:
            return sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))

    def forget(self) -> None:
        """Empty the files of records, which all write at their end."""
        for log in self.place.glob("*.log"):
            os.truncate(log, 0)

    def counts(self) -> dict[str, float]:
        """Return what it says itself of its work, if it says anything."""
        return {}

    def _ready_or_gone(self) -> bool:
        for process in self._processes:
            if process.poll() is not None:
                said = self._output.read_text(encoding="utf-8", errors="replace")
                raise RuntimeError(f"{self.place.name} ended with {process.returncode}: {said[-2000:]}")
        return self.ready()
