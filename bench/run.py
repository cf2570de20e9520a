"""Requests a second and latency through the gateway, as a ratio to the upstream itself, in one run.

    python bench/run.py [--seconds 10] [--connections 32]

It starts an upstream and the gateway (TLS, one route, a bearer token that is verified, a Rego decision on every
request, access and decision records to /dev/null), each pinned to a core where there are two, and loads first the one
and then the other with wrk. Absolute figures are the machine's; the ratios are the point.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.gateway import Gateway, wait_for  # noqa: E402 - the checkout is on the path now
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
            compare(arguments, port, gateway, world)
        finally:
            gateway.stop()
            upstream.terminate()
            upstream.wait()


def pin(process: int, core: int) -> None:
    """Keep a process on a core, where there are two."""
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(process, {core})


def compare(arguments: argparse.Namespace, port: int, gateway: Gateway, world: World) -> None:
    """Load the upstream and then the gateway, and print both."""
    host, tls_port = gateway.address("edge")
    plain_port = gateway.address("plain")[1]
    token = f"Authorization: Bearer {world.token(groups=['engineering'], exp=2**31)}"
    rows = {
        "the upstream itself": wrk(arguments, f"http://127.0.0.1:{port}/"),
        "through the gateway, TLS, token, decision": wrk(arguments, f"https://localhost:{tls_port}/", token),
        "the same without TLS": wrk(arguments, f"http://localhost:{plain_port}/", token),
    }
    base = rows["the upstream itself"][0]
    print(f"{'':44}{'req/s':>9}{'ratio':>8}{'p50 ms':>9}{'p99 ms':>9}{'not 2xx':>9}")
    for name, (rate, p50, p99, errors) in rows.items():
        print(f"{name:44}{rate:9.0f}{rate / base:8.3f}{p50:9.2f}{p99:9.2f}{errors:9}")
    print(f"gateway memory: {gateway.memory() / 2**20:.0f} MiB; decisions of {host} were in-process")


def wrk(arguments: argparse.Namespace, url: str, *fields: str) -> tuple[float, float, float, int]:
    """Return requests a second, p50 and p99 in milliseconds, and how many answers were not 2xx."""
    command = ["wrk", "-t1", f"-c{arguments.connections}", f"-d{arguments.seconds}s", "--latency", url]
    for field in fields:
        command += ["-H", field]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert rate is not None, said
    return float(rate[1]), _milliseconds(said, "50%"), _milliseconds(said, "99%"), int(errors[1]) if errors else 0


def _milliseconds(said: str, percentile: str) -> float:
    match = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)", said)
    assert match is not None, said
    return float(match[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[match[2]]


if __name__ == "__main__":
    main()
