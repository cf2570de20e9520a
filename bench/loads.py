"""What loads a peer, and what it says of it: wrk, bombardier and vegeta, on the load's core.

Every load gives an `Outcome`. An answer that is not 200, an error on a socket, a request without an access record: each
voids it.
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.peers.peer import Peer
from bench.process import LOAD_CORE, on_core, others_time, processor_time, wait_for
from bench.tools import BOMBARDIER, VEGETA, WRK

HERE = Path(__file__).parent
RECORDS_SECONDS = 5.0  # within which records must be in their file
LAG_SECONDS = 0.05
OPEN_CONNECTIONS = 64  # without a bound, answers that are late bring handshakes that make them later


@dataclass
class Outcome:
    """What one load showed.

    Args:
        requests: that were answered.
        values: by their names: `rate` a second, `p50` and `p99` in milliseconds, `cpu` the microseconds that the peer
            was on a processor for a request, `bytes` a second in MB, `others` how much of a core other processes
            took of the two that are used here, and what else a case measures.
        void: why it does not count; empty when it does.
    """

    requests: int = 0
    values: dict[str, float] = field(default_factory=dict)
    void: str = ""


@dataclass(frozen=True)
class Load:
    """One load, to be put on any peer.

    Args:
        path: of the requests.
        connections: at once.
        script: of wrk, beside this file.
        arguments: of the script; in them `{token}` is the user's token and `{tokens}` the file with all users'.
        certificate: of the client; bombardier only.
        close: a new connection for each request; bombardier only.
        rate: requests a second at most; 0 for as many as it can. bombardier only.
        distinct: nothing of it may be answered from memory.
        sends: bytes of a body with each request, if it is these that count.
        settle: seconds in which all connections are made; what the peer records after them is its rate.
    """

    path: str = "/"
    connections: int = 32
    script: str = ""
    arguments: tuple[str, ...] = ()
    certificate: str = ""
    close: bool = False
    rate: int = 0
    distinct: bool = False
    sends: int = 0
    settle: float = 0

    def run(self, peer: Peer, seconds: float) -> Outcome:
        """Load a peer for a while."""
        if self.certificate:
            return _bombardier(self, peer, seconds)
        outcome = _wrk(self, peer, seconds)
        if self.sends:
            outcome.values["bytes"] = outcome.values["rate"] * self.sends / 1e6
        return outcome


def measure(load: Load, peer: Peer, seconds: float) -> Outcome:
    """Load a peer, and take its processor time and its records into account."""
    peer.forget()
    counts = peer.counts()
    others, before, began = others_time(), processor_time(peer.processes), time.monotonic()
    with _settled(load, peer, seconds) as window:
        outcome = load.run(peer, load.settle + seconds)
    spent = processor_time(peer.processes) - before
    outcome.values["cpu"] = spent * 1e6 / max(outcome.requests, 1)
    outcome.values["others"] = max(0.0, others_time() - others) / (time.monotonic() - began)
    own = {name: value - counts[name] for name, value in peer.counts().items()}
    outcome.void = outcome.void or _unrecorded(peer, outcome.requests) or _suspicious(own, load, outcome)
    if window:
        outcome.values["rate"] = _rate(window, peer)
    peer.forget()
    return outcome


@contextmanager
def _settled(load: Load, peer: Peer, seconds: float) -> Iterator[list[tuple[float, int]]]:
    """Look at a peer's records while it is loaded: once when it has settled, and once before the end."""
    window: list[tuple[float, int]] = []

    def look() -> None:
        for pause in (load.settle, seconds * 0.95):
            time.sleep(pause)
            window.append((time.monotonic(), peer.access_log.stat().st_size))

    looking = threading.Thread(target=look)
    if load.settle:
        looking.start()
    yield window
    if load.settle:
        looking.join()


def _rate(window: Sequence[tuple[float, int]], peer: Peer) -> float:
    """Return the records a second between two looks at their file; one is as long as another."""
    (began, before), (ended, after) = window
    return (after - before) / (ended - began) * peer.records() / peer.access_log.stat().st_size


def _unrecorded(peer: Peer, requests: int) -> str:
    try:
        wait_for(lambda: peer.records() >= requests, "records", seconds=RECORDS_SECONDS, pause=LAG_SECONDS)
    except TimeoutError:
        return f"{peer.records()} access records of {requests} requests"
    return ""


def _suspicious(own: dict[str, float], load: Load, outcome: Outcome) -> str:
    """Say what in a peer's own counters speaks against an outcome."""
    if not own:
        return ""
    outcome.values["evaluated"] = own["evaluated"] / max(own["decisions"], 1)
    if own["dropped"]:
        return f"{own['dropped']:.0f} records were dropped"
    if load.distinct and own["evaluated"] < outcome.requests:
        return f"{outcome.requests - own['evaluated']:.0f} decisions were remembered"
    return ""


def _wrk(load: Load, peer: Peer, seconds: float) -> Outcome:
    command = [WRK, "-t1", f"-c{load.connections}", f"-d{max(1, round(seconds))}s", "--latency"]
    if load.script:
        command += ["-s", str(HERE / load.script)]
    else:
        command += ["-H", f"Authorization: Bearer {peer.world.token}"]
    arguments = [each.format(token=peer.world.token, tokens=peer.world.tokens) for each in load.arguments]
    command += [f"https://localhost:{peer.port}{load.path}", "--", *arguments]
    return wrk_outcome(_run(command))


def wrk_outcome(said: str) -> Outcome:
    """Read what wrk says."""
    requests = int(_found(r"(\d+) requests in", said)[0])
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    errors = re.search(r"Socket errors: (.+)", said)
    values = {
        "rate": float(_found(r"Requests/sec:\s+([\d.]+)", said)[0]),
        "bytes": _megabytes(*_found(r"Transfer/sec:\s+([\d.]+)(B|KB|MB|GB)", said)),
        **{f"p{rank}": _milliseconds(*_found(rf"{rank}%\s+([\d.]+)(us|ms|s|m)", said)) for rank in (50, 99)},
    }
    void = f"{bad[1]} answers were not 200" if bad else f"socket errors: {errors[1]}" if errors else ""
    return Outcome(requests, values, void or ("" if requests else "no answer"))


def _bombardier(load: Load, peer: Peer, seconds: float) -> Outcome:
    file = peer.world.file
    command = [BOMBARDIER, "--connections", str(load.connections), "--duration", f"{max(1, round(seconds))}s"]
    command += ["--latencies", "--print", "result", "--format", "json", "--insecure", "--timeout", "10s"]
    command += ["--cert", file(f"{load.certificate}.pem"), "--key", file(f"{load.certificate}.key")]
    command += ["--header", "Connection: close"] if load.close else []
    command += ["--rate", str(load.rate)] if load.rate else []
    return bombardier_outcome(json.loads(_run([*command, f"https://localhost:{peer.port}{load.path}"])))


def bombardier_outcome(said: dict[str, Any]) -> Outcome:
    """Read what bombardier says."""
    result = said["result"]
    good, seconds = result["req2xx"], result["timeTakenSeconds"]
    others = sum(result[name] for name in ("req1xx", "req3xx", "req4xx", "req5xx", "others"))
    percentiles = result["latency"]["percentiles"]
    values = {
        "rate": good / seconds,
        "bytes": result["bytesRead"] / seconds / 1e6,
        "p50": percentiles["50"] / 1000,
        "p99": percentiles["99"] / 1000,
    }
    return Outcome(good, values, f"{others} answers were not 200" if others else "" if good else "no answer")


@dataclass(frozen=True)
class Hit:
    """One request of an open loop: when it was due and how long after that its answer was there, in seconds."""

    due: float
    latency: float
    status: int


def open_loop(peer: Peer, rate: int, seconds: float) -> subprocess.Popen[bytes]:
    """Start a load that sends at a fixed rate, whether or not answers come; `hits` waits for its end."""
    request = f"GET https://localhost:{peer.port}/\nAuthorization: Bearer {peer.world.token}\n"
    targets = peer.place / "targets.txt"
    targets.write_text(request, encoding="ascii")
    attack = [VEGETA, "attack", "-rate", f"{rate}/s", "-duration", f"{seconds:g}s", "-targets", str(targets)]
    attack += ["-root-certs", peer.world.file("ca.pem"), "-http2=false", "-max-body", "0"]
    attack += ["-workers", "32", "-max-connections", str(OPEN_CONNECTIONS)]
    return subprocess.Popen(on_core(LOAD_CORE, attack), stdout=subprocess.PIPE)


def hits(attack: subprocess.Popen[bytes], rate: int) -> list[Hit]:
    """Wait for the end of an open loop; return its requests, each from the moment that it was due."""
    with tempfile.TemporaryFile() as results:
        results.write(attack.communicate()[0])
        results.seek(0)
        command = [VEGETA, "encode", "-to", "csv"]
        said = subprocess.run(command, stdin=results, capture_output=True, text=True, check=True).stdout
    return due(csv.reader(said.splitlines()), rate)


def due(rows: Any, rate: int) -> list[Hit]:
    """Count each latency from when its request was due: counted from when it was sent, a late sender hides a wait.

    Args:
        rows: of vegeta's CSV: nanoseconds of the sending, status, nanoseconds of the latency, …, the request's number.
        rate: requests a second.
    """
    sent = [(int(row[0]) / 1e9, int(row[1]), int(row[2]) / 1e9, int(row[8])) for row in rows]
    began = min(at - number / rate for at, _, _, number in sent)
    return [
        Hit(began + number / rate, at + latency - began - number / rate, status) for at, status, latency, number in sent
    ]


def percentile(values: Sequence[float], rank: float) -> float:
    """Return the smallest value that so many of a hundred do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * rank / 100))]


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(on_core(LOAD_CORE, command), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} ended with {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


def _found(pattern: str, said: str) -> tuple[str, ...]:
    match = re.search(pattern, said)
    if match is None:
        raise ValueError(f"wrk said what is not understood: {said}")
    return match.groups()


def _milliseconds(number: str, unit: str) -> float:
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}[unit]


def _megabytes(number: str, unit: str) -> float:
    return float(number) * {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}[unit] / 1e6
