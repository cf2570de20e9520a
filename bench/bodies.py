"""A 2 GiB upload and a 2 GiB download through the gateway, over TLS, with a side that is slow at first.

    python bench/bodies.py [--gib 2] [--slow-seconds 10]

The slow side reads 1 MiB a second for a while, and then as fast as it can. What counts is by how much the gateway's
memory has grown at its worst.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.gateway import Client, Gateway, RawUpstream, Reader, ok  # noqa: E402 - the checkout is on the path now
from tests.world import World, config  # noqa: E402

MIB = 1024 * 1024
PIECE = bytes(MIB)
ROUTES = "  - {name: bodies, host: localhost, upstream: wiki, allow: [{anyone: true}], timeouts: {response_head: 1h}}"


class Watch:
    """The most memory that the gateway has had, looked at ten times a second."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._over = threading.Event()
        self.before = self.most = gateway.memory()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            self.most = max(self.most, self._gateway.memory())

    def grown(self) -> int:
        """Stop looking; return by how many bytes it has grown at its worst."""
        self._over.set()
        return self.most - self.before


def take(reader: Reader, size: int, slow_seconds: float) -> Iterator[int]:
    """Read a body, at first 1 MiB a second; give the bytes read so far."""
    began, taken = time.monotonic(), 0
    while taken < size:
        reader.exactly(len(PIECE))
        reader.seen.clear()
        taken += len(PIECE)
        if (passed := time.monotonic() - began) < slow_seconds:
            time.sleep(max(0.0, taken / MIB - passed))
        yield taken


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=float, default=2.0)
    parser.add_argument("--slow-seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    size = int(arguments.gib * 1024) * MIB
    slow = arguments.slow_seconds

    def upstream(sock: object) -> None:
        reader = Reader(sock)  # type: ignore[arg-type]
        method = reader.line().partition(b" ")[0]
        while reader.line():
            pass
        if method == b"POST":
            for _ in take(reader, size, slow):
                pass
            sock.sendall(ok())  # type: ignore[attr-defined]
        else:
            sock.sendall(f"HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n".encode())  # type: ignore[attr-defined]
            for _ in range(size // len(PIECE)):
                sock.sendall(PIECE)  # type: ignore[attr-defined]

    with tempfile.TemporaryDirectory() as directory:
        world, service = World(Path(directory)), RawUpstream(upstream)
        gateway = Gateway(Path(directory), config(service.url, routes=ROUTES))
        try:
            gateway.wait_until_listening()
            for name, run in {"upload": upload, "download": download}.items():
                with Client(gateway.address("edge"), world.client(), "localhost") as client:
                    watch, began = Watch(gateway), time.monotonic()
                    run(client, size, slow)
                    seconds = time.monotonic() - began
                fast = (size - slow * MIB) / max(seconds - slow, 0.001) / MIB
                print(
                    f"{name:9} {size // MIB} MiB, then {fast:.0f} MiB/s; memory grew by {watch.grown() / MIB:.1f} MiB"
                )
        finally:
            gateway.stop()
            service.close()


def upload(client: Client, size: int, slow: float) -> None:
    """Send a body as fast as the gateway takes it; the upstream is the slow side."""
    client.send(f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n".encode())
    for _ in range(size // len(PIECE)):
        client.send(PIECE)
    assert client.answer().status == 200


def download(client: Client, size: int, slow: float) -> None:
    """Read a body slowly at first; the upstream sends as fast as the gateway takes it."""
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    while client.reader.line():
        pass
    for _ in take(client.reader, size, slow):
        pass


if __name__ == "__main__":
    main()
