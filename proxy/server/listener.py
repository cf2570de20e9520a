"""One listener: an accept loop of our own, because the library's hides what counts here.

With `create_server(ssl=…)` a failed handshake fires no callback and a half-open one cannot be counted. Here a slot is
reserved before `accept`, each connection takes the TLS context of the snapshot that serves at that moment, and the
exact reason of a failed handshake is a record.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

from proxy.config import schema
from proxy.identity import tls as server_tls
from proxy.server.connection import Connection
from proxy.server.proxy_protocol import LONGEST, Incomplete, parse_proxy_header
from proxy.server.runtime import Runtime
from proxy.server.sockets import ListeningSocket
from proxy.server.standing import is_within
from proxy.server.tasks import Tasks
from proxy.telemetry.access import tls_record
from proxy.telemetry.sink import tell

_BATCH = 64  # connections that are accepted in one turn of the loop
_PAUSE = 0.1  # seconds, after accepting failed
_LONGEST_HELLO = 16 * 1024 + 5  # one TLS record
# Seconds between two looks at a first flight that came in pieces: the first and the longest, doubled in between.
_PEEK_FIRST, _PEEK_LONGEST = 0.01, 0.5


class Listener:
    """A listener of the config, and its connections."""

    def __init__(self, config: schema.Listener, runtime: Runtime, sock: ListeningSocket) -> None:
        self.config = config
        self.address = sock.address
        self.connections: set[Connection] = set()
        self._runtime = runtime
        self._socket = sock
        self._is_unix = sock.socket.family == socket.AF_UNIX
        self._minded: list[ListeningSocket] = []
        self._tasks = Tasks()
        self._accepting = False
        self._watching = False
        self._resume: asyncio.TimerHandle | None = None
        self._per_address: Counter[str] = Counter()
        self._open = 0
        runtime.metrics.connections.of(config.name)  # it is there, at zero, before the first client

    def start(self) -> None:
        """Accept from now on."""
        self._accepting = True
        self._watch()

    def stop(self) -> None:
        """Accept no more, and let go of the address.

        What the kernel has accepted already is taken first: closing the socket would reset it.
        """
        if self._accepting:
            for sock in (self._socket, *self._minded):
                while self._accept_one(sock):
                    pass
            self.hand_over().close()

    def hand_over(self) -> ListeningSocket:
        """Accept no more, and return the socket for another listener to serve.

        Connections go on, and close when the request under way, or the first, is answered.
        """
        self._accepting = False
        self._unwatch()
        self._let_go()
        for connection in list(self.connections):
            connection.retire()
        return self._socket

    def mind(self, sock: ListeningSocket) -> None:
        """Accept from another worker's socket too, for that one has ended and its clients wait."""
        self._unwatch()
        self._minded.append(sock)
        self.admit()

    def release(self) -> None:
        """Leave other workers' sockets to them. Connections go on."""
        if self._minded:
            self._unwatch()
            self._let_go()
            self.admit()

    def _let_go(self) -> None:
        for sock in self._minded:
            sock.close()
        self._minded.clear()

    @property
    def is_over(self) -> bool:
        """Whether nothing is accepted and no connection is left."""
        return not self._accepting and not len(self._tasks)

    async def finish(self, seconds: float) -> bool:
        """Wait for the connections to end; return whether all did. What has not ended is then ended."""
        ended = await self._tasks.finish(seconds)
        await self._tasks.end()
        return ended

    # --- accepting

    def admit(self) -> None:
        """Accept again if there is room: a connection has ended, or a reload has raised the bound."""
        room = self._open < self._runtime.snapshot.config.limits.connections
        if room and not self._watching and self._resume is None:
            self._watch()

    def _watch(self) -> None:
        self._resume = None
        if self._accepting:
            self._watching = True
            for sock in (self._socket, *self._minded):
                asyncio.get_running_loop().add_reader(sock.socket.fileno(), self._accept_ready, sock)

    def _unwatch(self) -> None:
        self._watching = False
        for sock in (self._socket, *self._minded):
            asyncio.get_running_loop().remove_reader(sock.socket.fileno())
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None

    def _accept_ready(self, sock: ListeningSocket) -> None:
        """Accept what waits, as far as there is room: a slot is there before a connection is taken."""
        for _ in range(_BATCH):
            if self._open >= self._runtime.snapshot.config.limits.connections:
                self._unwatch()  # until `admit`
                return
            if not self._accept_one(sock):
                return

    def _accept_one(self, listening: ListeningSocket) -> bool:
        try:
            sock, address = listening.socket.accept()
        except BlockingIOError:
            return False
        except ConnectionAbortedError:
            return True
        except OSError as error:
            # Out of descriptors or memory, or a network's error (accept(2) says to go on): spinning would not help.
            tell(f"listener {self.config.name}: accept failed: {error.strerror}")
            self._unwatch()
            self._resume = asyncio.get_running_loop().call_later(_PAUSE, self._watch)
            return False
        sock.setblocking(False)
        self._open += 1
        remote = ("", 0) if self._is_unix else (address[0], address[1])
        self._tasks.spawn(self._serve(sock, remote), f"connection from {remote[0]}")
        return True

    async def _serve(self, sock: socket.socket, remote: tuple[str, int]) -> None:
        gauge = self._runtime.metrics.connections.of(self.config.name)
        gauge.inc()
        try:
            if self.config.proxy_protocol is not None:
                async with asyncio.timeout(self._runtime.snapshot.config.limits.handshake):
                    remote = await self._real_remote(sock, remote)
            self._count(remote[0])
            try:
                await self._serve_counted(sock, remote)
            finally:
                self._uncount(remote[0])
        except (OSError, ValueError) as error:
            self._failed(error, remote, None)
        finally:
            sock.close()  # where no transport has taken it over; a second close does nothing
            gauge.dec()
            self._open -= 1
            self.admit()

    async def _serve_counted(self, sock: socket.socket, remote: tuple[str, int]) -> None:
        connection = await self._establish(sock, remote)
        if connection is None:
            return
        self.connections.add(connection)
        try:
            connection.retiring = not self._accepting
            await connection.serve()
        finally:
            self.connections.discard(connection)

    def _count(self, address: str) -> None:
        """Count a client's address, the one that the PROXY protocol tells. Raise ConnectionAbortedError when full."""
        bound = self._runtime.snapshot.config.limits.connections_per_address
        if address and self._per_address[address] >= bound:
            raise ConnectionAbortedError(f"more than {bound} connections from one address")
        self._per_address[address] += 1

    def _uncount(self, address: str) -> None:
        self._per_address[address] -= 1
        if not self._per_address[address]:
            del self._per_address[address]

    # --- before the first request

    async def _establish(self, sock: socket.socket, remote: tuple[str, int]) -> Connection | None:
        """Take over the socket, by a TLS handshake where the listener has one; return None when that fails."""
        if self.config.tls is None:
            connection = Connection(self._runtime, self.config, self._tasks, remote)
            await asyncio.get_running_loop().connect_accepted_socket(connection.as_protocol, sock)
            return connection
        snapshot = self._runtime.snapshot
        server_name: str | None = None
        try:
            tls, wait = snapshot.server_tls.get(self.config.name), snapshot.config.limits.handshake
            if tls is None:
                raise ConnectionAbortedError("listener is no longer configured")
            if not tls.needs_server_name:
                return await self._shake_hands(sock, remote, tls.context_for(None), wait)
            async with asyncio.timeout(wait):
                server_name = await self._peek_server_name(sock)
                return await self._shake_hands(sock, remote, tls.context_for(server_name), wait)
        except (OSError, ValueError) as error:
            self._failed(error, remote, server_name)
            return None

    async def _shake_hands(
        self, sock: socket.socket, remote: tuple[str, int], context: ssl.SSLContext, wait: float
    ) -> Connection:
        connection = Connection(self._runtime, self.config, self._tasks, remote)
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(connection.as_protocol, sock, ssl=context, ssl_handshake_timeout=wait)
        except ConnectionAbortedError:  # so the loop calls its own end of a handshake
            raise TimeoutError from None
        self._handshake("ok")
        return connection

    async def _real_remote(self, sock: socket.socket, remote: tuple[str, int]) -> tuple[str, int]:
        rules = self.config.proxy_protocol
        if rules is None or not is_within(remote[0], rules.networks):
            return remote
        for pause in _pauses():
            data = await _peek(sock, LONGEST)
            with suppress(Incomplete):
                header = parse_proxy_header(data)
                sock.recv(header.length)
                return header.source or remote
            await asyncio.sleep(pause)
        raise AssertionError("pauses do not end")

    async def _peek_server_name(self, sock: socket.socket) -> str | None:
        for pause in _pauses():
            data = await _peek(sock, _LONGEST_HELLO)
            with suppress(server_tls.Incomplete):
                return server_tls.read_server_name(data)
            await asyncio.sleep(pause)  # not where it is caught: its traceback holds a TLS object of 60 kB
        raise AssertionError("pauses do not end")

    # --- what is told of it

    def _failed(self, error: Exception, remote: tuple[str, int], server_name: str | None) -> None:
        reason = _reason(error)
        self._handshake("failed")
        if self._runtime.events is not None:
            self._runtime.events.write(
                tls_record(
                    listener=self.config.name,
                    connection_id=os.urandom(8).hex(),
                    source=remote[0],
                    sni=server_name,
                    reason=reason,
                )
            )

    def _handshake(self, result: str) -> None:
        self._runtime.metrics.tls_handshakes.of(self.config.name, result).inc()


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return (error.reason or "handshake failed").lower().replace("_", " ")
    if isinstance(error, TimeoutError):
        return "handshake took too long"
    if isinstance(error, OSError):
        return (error.strerror or str(error) or "client closed the connection").lower()
    return str(error)


def _pauses() -> Iterator[float]:
    pause = _PEEK_FIRST
    while True:
        yield pause
        pause = min(pause * 2, _PEEK_LONGEST)


async def _peek(sock: socket.socket, size: int) -> bytes:
    """Return what a socket holds, up to `size` bytes, without taking it. Raise ConnectionError at its end."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sock.fileno(), _settle, ready)
    try:
        await ready
    finally:
        loop.remove_reader(sock.fileno())
    data = sock.recv(size, socket.MSG_PEEK)
    if not data:
        raise ConnectionAbortedError("client closed the connection")
    return data


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
