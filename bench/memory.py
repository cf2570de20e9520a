"""Memory: of connections that do nothing, and over ten minutes of load."""

from __future__ import annotations

import socket
import ssl
import threading
import time

from bench import process
from bench.loads import Load, Outcome, measure
from bench.peers.peer import Peer

CONNECTIONS = 2_000
ADDRESSES = 4  # loopback addresses that they come from: one alone may not have so many
REQUEST = b"GET /api/builds HTTP/1.1\r\nHost: localhost\r\n\r\n"
WARM = Load(path="/api/builds", certificate="ci", connections=64)
LOAD = Load(path="/api/builds", certificate="ci")
LOADED = 0.7  # of what it can


def of_idle_connections(peer: Peer) -> Outcome:
    """Return the bytes that one idle mTLS connection takes, after a request on each."""
    measure(WARM, peer, 1)
    before = process.memory(peer.processes)
    context = peer.world.client("ci")
    held: list[ssl.SSLSocket] = []
    try:
        for number in range(CONNECTIONS):
            held.append(_connect(peer, context, f"127.0.0.{1 + number % ADDRESSES}"))
        grown = process.memory(peer.processes) - before
    except OSError as error:
        return Outcome(len(held), {}, f"connection {len(held)}: {error}")
    finally:
        for connection in held:
            connection.close()
        peer.forget()
    return Outcome(CONNECTIONS, {"kilobytes": grown / CONNECTIONS / 1000})


def under_load(peer: Peer, seconds: float) -> Outcome:
    """Load a peer with seven tenths of what it can; return by what part its memory has grown since the first minute."""
    most = measure(LOAD, peer, 3)
    if most.void:
        return most
    seen: list[tuple[float, int]] = []
    over = threading.Event()

    def watch() -> None:
        began = time.monotonic()
        while not over.wait(1):
            seen.append((time.monotonic() - began, process.memory(peer.processes)))
            peer.forget()  # ten minutes of records are gigabytes

    watching = threading.Thread(target=watch)
    watching.start()
    rate = int(most.values["rate"] * LOADED)
    outcome = Load(path=LOAD.path, certificate="ci", rate=rate).run(peer, seconds)
    over.set()
    watching.join()
    peer.forget()
    return Outcome(outcome.requests, {"rate": outcome.values["rate"], **growth(seen, seconds)}, outcome.void)


def growth(seen: list[tuple[float, int]], seconds: float) -> dict[str, float]:
    """Return the part by which the last tenth's most exceeds the first minute's, and the most in MB.

    Args:
        seen: the second of each look, and the bytes that it saw.
        seconds: how long the load lasted; of less than two minutes the first half stands for the first minute.
    """
    first = min(60.0, seconds / 2)
    early = max(size for at, size in seen if at <= first)
    late = max(size for at, size in seen if at >= seconds * 0.9)
    return {"growth": late / early - 1, "megabytes": max(size for _, size in seen) / 1e6}


def _connect(peer: Peer, context: ssl.SSLContext, source: str) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", peer.port), timeout=10, source_address=(source, 0))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or each request waits for a delayed ACK
    connection = context.wrap_socket(plain, server_hostname="localhost")
    connection.sendall(REQUEST)
    answer = b""
    while not answer.endswith(b"x" * 128):
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionResetError("the connection was closed")
        answer += piece
    if not answer.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(f"the answer was {answer[:40]!r}")
    return connection
