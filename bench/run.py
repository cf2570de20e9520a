"""Requests a second and latency through the gateway, as a ratio to the upstream itself, in one run.

    python bench/run.py [--seconds 10] [--connections 32]

It starts an upstream and the gateway (TLS, one route, a bearer token that is verified, a Rego decision on every
request, access and decision records to /dev/null), each pinned to a core where there are two, and loads first the one
and then the other with wrk. Absolute figures are the machine's; the ratios are the point. Where others use the machine
too, the processor time of a request says more than the rate does.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.process import pin, processor_time  # noqa: E402 - the checkout is on the path now
from tests.gateway import Gateway, wait_for  # noqa: E402
from tests.world import World, config  # noqa: E402

ROUTES = """\
  - name: wiki
    host: localhost
    upstream: wiki
    allow:
      - {groups: [engineering], methods: [GET]}
      - {workloads: ["spiffe://example.org/ns/ci/*"], paths: [/api/]}
"""
LOGS = "access_log: {to: /dev/null}\ndecision_log: {to: /dev/null}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=32)
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is absent (Debian: apt install wrk)")
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        world = World(place)
        upstream = subprocess.Popen([sys.executable, str(ROOT / "bench" / "upstream.py")], stdout=subprocess.PIPE)
        assert upstream.stdout is not None
        port = int(upstream.stdout.readline())
        gateway = Gateway(place, config(f"http://127.0.0.1:{port}", routes=ROUTES, extra=LOGS))
        try:
            gateway.wait_until_listening()
            wait_for(lambda: any(record.get("event") == "keys_fetched" for record in gateway.records), "keys")
            pin(upstream.pid, 0)
            pin(gateway.process.pid, 1)
            compare(arguments, (upstream.pid, port), gateway, world)
        finally:
            gateway.stop()
            upstream.terminate()
            upstream.wait()


def compare(arguments: argparse.Namespace, upstream: tuple[int, int], gateway: Gateway, world: World) -> None:
    """Load the upstream and then the gateway, and print both.

    Args:
        arguments: of the command line.
        upstream: its process and its port.
        gateway, world: who is measured, and who mints the token.
    """
    process, port = upstream
    own = gateway.process.pid
    ports = {name: gateway.address(name)[1] for name in ("edge", "plain")}
    token = f"Authorization: Bearer {world.token(groups=['engineering'], exp=2**31)}"
    rows = {
        "the upstream itself": wrk(arguments, process, f"http://127.0.0.1:{port}/"),
        "through the gateway, TLS, token, decision": wrk(arguments, own, f"https://localhost:{ports['edge']}/", token),
        "the same without TLS": wrk(arguments, own, f"http://localhost:{ports['plain']}/", token),
    }
    base = rows["the upstream itself"].rate
    print(f"{'':44}{'req/s':>9}{'ratio':>8}{'p50 ms':>9}{'p99 ms':>9}{'CPU us':>9}{'not 2xx':>9}")
    for name, one in rows.items():
        print(
            f"{name:44}{one.rate:9.0f}{one.rate / base:8.3f}{one.p50:9.2f}{one.p99:9.2f}{one.processor:9.0f}{one.bad:9}"
        )
    print(f"gateway memory: {gateway.memory() / 2**20:.0f} MiB")


@dataclass(frozen=True)
class Figures:
    """What one load showed.

    Args:
        rate: requests a second.
        p50, p99: milliseconds.
        processor: microseconds that the server was on a processor for one request.
        bad: answers that were not 2xx.
    """

    rate: float
    p50: float
    p99: float
    processor: float
    bad: int


def wrk(arguments: argparse.Namespace, process: int, url: str, *fields: str) -> Figures:
    """Load a server, and say how it went."""
    command = ["wrk", "-t1", f"-c{arguments.connections}", f"-d{arguments.seconds}s", "--latency", url]
    for field in fields:
        command += ["-H", field]
    before = processor_time(process)
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    spent = processor_time(process) - before
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    return Figures(
        rate=_number(r"Requests/sec:\s+([\d.]+)", said),
        p50=_milliseconds(said, "50%"),
        p99=_milliseconds(said, "99%"),
        processor=spent * 1e6 / _number(r"(\d+) requests in", said),
        bad=int(bad[1]) if bad else 0,
    )


def _number(pattern: str, said: str) -> float:
    match = re.search(pattern, said)
    assert match is not None, said
    return float(match[1])


def _milliseconds(said: str, percentile: str) -> float:
    match = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)", said)
    assert match is not None, said
    return float(match[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[match[2]]


if __name__ == "__main__":
    main()
