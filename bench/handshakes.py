"""New mTLS 1.3 connections through the gateway, as a ratio to the least that OpenSSL itself takes, in one run.

    python bench/handshakes.py [--seconds 5]

Clients make full handshakes, each with a certificate, and hang up. What is compared is the processor time that the
server spends on one: so the clients, who share the machine, need not be quicker than it is. The least is a loop in
Python that accepts, shakes hands with the same certificates, and closes.
"""

from __future__ import annotations

import argparse
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.process import processor_time  # noqa: E402 - the checkout is on the path now
from tests.gateway import Gateway  # noqa: E402
from tests.world import World, config  # noqa: E402

CLIENTS = 4
ROUTES = "  - {name: any, host: localhost, upstream: wiki, allow: [{authenticated: true}]}"
LISTENERS = """\
  - {name: edge, address: "127.0.0.1:0", tls: {certificate: edge.pem, key: edge.key, client_certificates: required}}"""
LEAST = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("edge.pem", "edge.key")
context.load_verify_locations("ca.pem")
context.verify_mode, context.num_tickets = ssl.CERT_REQUIRED, 0
with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
    print(listening.getsockname()[1], flush=True)
    while True:
        sock, _ = listening.accept()
        try:
            context.wrap_socket(sock, server_side=True).close()
        except OSError:
            sock.close()
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        world = World(place)
        context = world.client("web", version=ssl.TLSVersion.TLSv1_3)
        least = subprocess.Popen([sys.executable, "-c", LEAST], stdout=subprocess.PIPE, cwd=place)
        gateway = Gateway(place, config("http://127.0.0.1:9", routes=ROUTES, listeners=LISTENERS))
        try:
            gateway.wait_until_listening()
            assert least.stdout is not None
            floor = measure(least.pid, ("127.0.0.1", int(least.stdout.readline())), context, seconds)
            ours = measure(gateway.process.pid, gateway.address("edge"), context, seconds)
            failed = sum(record["type"] == "tls" for record in gateway.records)
        finally:
            gateway.stop()
            least.kill()
            least.wait()
    print(f"{'':24}{'handshakes':>11}{'ms each':>9}{'a second of one core':>22}{'ratio':>8}")
    for name, (count, spent) in {"OpenSSL, at the least": floor, "through the gateway": ours}.items():
        ratio = (count / spent) / (floor[0] / floor[1])
        print(f"{name:24}{count:11}{spent / count * 1000:9.2f}{count / spent:22.0f}{ratio:8.2f}")
    print(f"handshakes that failed: {failed}")


def measure(process: int, address: tuple[str, int], context: ssl.SSLContext, seconds: float) -> tuple[int, float]:
    """Connect and hang up for a while; return how often, and the seconds of processor time that the server took."""
    ends, counts = time.monotonic() + seconds, [0] * CLIENTS

    def connect(number: int) -> None:
        while time.monotonic() < ends:
            with context.wrap_socket(socket.create_connection(address), server_hostname="localhost") as sock:
                sock.settimeout(10)
                counts[number] += 1

    before = processor_time(process)
    threads = [threading.Thread(target=connect, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts), processor_time(process) - before


if __name__ == "__main__":
    main()
