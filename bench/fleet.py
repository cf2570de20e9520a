"""Everybody who takes part, started when first needed and proven to decide as the rules say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.loads import Load
from bench.peers import PEERS
from bench.peers.peer import Peer
from bench.probes import prove
from bench.process import LOAD_CORE, accepts, end, free_port, start, wait_for
from bench.tools import ROOT
from bench.world import World


class Fleet:
    """The upstream, and the peers in front of it.

    Args:
        place: an empty directory for all files.
        seconds: that each load lasts.
        soak_seconds: that the load lasts under which memory is watched.
    """

    def __init__(self, place: Path, *, seconds: float, soak_seconds: float) -> None:
        self.place, self.seconds, self.soak_seconds = place, seconds, soak_seconds
        self.warm: set[tuple[str, Load]] = set()
        (place / "world").mkdir()
        self.world = World(place / "world")
        self.upstream = free_port()
        command = [sys.executable, "-m", "bench.upstream", str(self.upstream)]
        self._upstream: subprocess.Popen[bytes] = start(command, LOAD_CORE, place / "upstream.txt", directory=ROOT)
        self._peers: dict[str, Peer] = {}
        self._failed: dict[str, str] = {}  # why a peer cannot take part

    def __enter__(self) -> Fleet:
        wait_for(lambda: accepts(self.upstream), "the upstream is ready")
        return self

    def __exit__(self, *exception: object) -> None:
        for peer in self._peers.values():
            peer.stop()
        end(self._upstream)

    def peer(self, name: str) -> Peer:
        """Return a peer that runs; the first call starts it.

        Raises:
            RuntimeError: it did not start, or does not decide as the rules say.
        """
        if name in self._failed:
            raise RuntimeError(self._failed[name])
        if name not in self._peers:
            peer = self._peers[name] = PEERS[name](self.place / name, self.world, self.upstream)
            try:
                peer.start()
                _prove(name, peer)
            except (OSError, RuntimeError) as error:
                self._failed[name] = str(error)
                raise
        return self._peers[name]

    @contextmanager
    def fresh(self, name: str) -> Iterator[Peer]:
        """Run another process of a peer until the block ends."""
        peer = PEERS[name](self.place / f"{name}-fresh", self.world, self.upstream)
        try:
            peer.start()
            _prove(name, peer)
            yield peer
        finally:
            peer.stop()


def _prove(name: str, peer: Peer) -> None:
    if "-routes-" in name or "-allow-" in name:
        return  # they have rules of their own, under which their load is permitted
    if mistakes := prove(peer):
        raise RuntimeError(f"{name} does not decide as the rules say: {'; '.join(mistakes)}")
