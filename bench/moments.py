"""What is waited for: the start, the help, an answer at a fixed rate, and an answer while the policy is loaded anew."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.loads import Hit, Outcome, hits, open_loop, percentile
from bench.peers.peer import Peer
from bench.peers.ztproxy import ROUTES, Ztproxy, with_routes
from bench.process import PROXY_CORE, on_core, processor_time, wait_for
from bench.world import ZTPROXY, World

RATE = 1_000
STARTED_ROUTES = 100
TIMES = 3
RELOADED = ROUTES.replace("groups: [engineering], methods: [GET]", "groups: [engineering], methods: [GET, PUT]")


def of_answers(peer: Peer, seconds: float) -> Outcome:
    """Return the latencies at a fixed rate, each from when its request was due."""
    peer.forget()
    before = processor_time(peer.processes)
    seen = hits(open_loop(peer, RATE, seconds + 1), RATE)
    spent = processor_time(peer.processes) - before
    peer.forget()
    latencies = [hit.latency * 1000 for hit in settled(seen)]
    values = {"p50": percentile(latencies, 50), "p99": percentile(latencies, 99), "cpu": spent * 1e6 / len(seen)}
    return Outcome(len(seen), values, _void(seen))


def of_the_start(place: Path, world: World, upstream: int) -> Outcome:
    """Return the seconds from the start of a process with a hundred routes until /readyz says that it serves."""
    place.mkdir(parents=True, exist_ok=True)

    def take() -> float:
        peer, began = Ztproxy(place, world, upstream, routes=with_routes(STARTED_ROUTES)), time.perf_counter()
        try:
            peer.start()
            return time.perf_counter() - began
        finally:
            peer.stop()

    return _usual(take)


def of_the_help() -> Outcome:
    """Return the seconds that `ztproxy --help` takes."""

    def take() -> float:
        began = time.perf_counter()
        subprocess.run(on_core(PROXY_CORE, [ZTPROXY, "--help"]), capture_output=True, check=True)
        return time.perf_counter() - began

    return _usual(take)


def of_a_reload(peer: Ztproxy, seconds: float) -> Outcome:
    """Return p99 in the second in which the policy's data change, and in the others, at a fixed rate."""
    before = peer.counts()["reloads"]
    attack = open_loop(peer, RATE, seconds)
    time.sleep(seconds / 2)
    peer.configure(RELOADED)
    reloaded = time.time()
    os.kill(peer.processes[0], signal.SIGHUP)
    seen = hits(attack, RATE)
    wait_for(lambda: peer.counts()["reloads"] > before, "reload")
    peer.configure(ROUTES)
    os.kill(peer.processes[0], signal.SIGHUP)
    wait_for(lambda: peer.counts()["reloads"] > before + 1, "reload")
    peer.forget()
    during = [hit.latency * 1000 for hit in settled(seen) if reloaded <= hit.due < reloaded + 1]
    others = [hit.latency * 1000 for hit in settled(seen) if not reloaded <= hit.due < reloaded + 1]
    p99, usual = percentile(during, 99), percentile(others, 99)
    return Outcome(len(seen), {"p99": p99, "usual p99": usual, "times": p99 / usual}, _void(seen))


def settled(seen: Sequence[Hit]) -> list[Hit]:
    """Return the requests after the first second, in which the connections are made."""
    began = min(hit.due for hit in seen)
    return [hit for hit in seen if hit.due >= began + 1]


def _usual(take: Callable[[], float]) -> Outcome:
    """Return the median of a few times; what comes before them reads the files from the disk."""
    take()
    return Outcome(TIMES, {"seconds": statistics.median(take() for _ in range(TIMES))})


def _void(seen: list[Hit]) -> str:
    bad = sum(hit.status != 200 for hit in seen)
    return f"{bad} answers were not 200" if bad else ""
