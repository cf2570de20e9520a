"""One listening socket: an accept loop of our own, because the library's hides what counts here.

With `create_server(ssl=…)` a failed handshake fires no callback and a half-open one cannot be counted. Here a slot is
reserved before `accept`, each connection takes the TLS context of the snapshot that serves at that moment, and the
exact reason of a failed handshake is a record.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import stat
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from proxy.config import schema
from proxy.config.address import Address
from proxy.identity import tls as server_tls
from proxy.identity.tls import ServerTLS
from proxy.server.connection import Connection, is_within
from proxy.server.proxy_protocol import LONGEST, Incomplete, parse_proxy_header
from proxy.server.runtime import Runtime
from proxy.server.tasks import Tasks
from proxy.telemetry.access import tls_record

_BACKLOG = 1024
_LONGEST_HELLO = 16 * 1024 + 5  # one TLS record
_PEEK_PAUSE = 0.01  # seconds between two looks at a first flight that came in pieces


def bind(address: Address) -> socket.socket:
    """Return a listening socket. Raise OSError where the address is taken or not ours."""
    if address.kind == "unix":
        return _bind_unix(address.path)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address.host, address.port))
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_unix(path: str) -> socket.socket:
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            Path(path).unlink()  # left behind by a process that was killed
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(path)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def unlink(sock: socket.socket) -> None:
    """Take the name of a Unix socket away; what is connected stays so."""
    if sock.family == socket.AF_UNIX:
        with suppress(OSError):
            Path(sock.getsockname()).unlink()


def bound_address(sock: socket.socket) -> str:
    """Spell the address that a socket is bound to, with the port that the kernel chose for port 0."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    host, port = name[0], name[1]
    return f"[{host}]:{port}" if sock.family == socket.AF_INET6 else f"{host}:{port}"


class Listener:
    """A listener of the config, and its connections."""

    def __init__(self, config: schema.Listener, runtime: Runtime, sock: socket.socket) -> None:
        self.config = config
        self.address = bound_address(sock)
        self.connections: set[Connection] = set()
        self._runtime = runtime
        self._socket = sock
        self._tasks = Tasks()
        self._accepting: asyncio.Task[None] | None = None
        self._per_address: Counter[str] = Counter()
        self._open = 0
        self._freed = asyncio.Event()

    def start(self) -> None:
        """Accept from now on."""
        self._accepting = self._tasks.spawn(self._accept(), f"listener {self.config.name}")

    def stop(self) -> None:
        """Accept no more; connections go on, and close when the request under way is answered."""
        if self._accepting is not None:
            self._accepting.cancel()
            self._accepting = None
        self._empty_queue()
        unlink(self._socket)
        self._socket.close()
        for connection in list(self.connections):
            connection.retire()

    def _empty_queue(self) -> None:
        """Take what the kernel has accepted already: closing the socket would reset it."""
        with suppress(BlockingIOError, OSError):
            while True:
                sock, address = self._socket.accept()
                sock.setblocking(False)
                self._welcome(sock, address)

    async def finish(self, seconds: float) -> bool:
        """Wait for the connections to end; return whether all did. What has not ended is then ended."""
        ended = await self._tasks.finish(seconds)
        await self._tasks.end()
        return ended

    # --- accepting

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        pause = 0.005
        while True:
            limits = self._runtime.snapshot.config.limits
            while self._open >= limits.connections:
                self._freed.clear()
                await self._freed.wait()
            try:
                sock, address = await loop.sock_accept(self._socket)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED):
                    raise
                sys.stderr.write(f"ztproxy: listener {self.config.name}: accept failed: {error.strerror}\n")
                await asyncio.sleep(pause)  # out of descriptors or memory: spinning would make it worse
                pause = min(pause * 2, 1.0)
                continue
            pause = 0.005
            self._welcome(sock, address)

    def _welcome(self, sock: socket.socket, address: tuple[str, int]) -> None:
        self._open += 1
        remote = (address[0], address[1]) if self._socket.family != socket.AF_UNIX else ("", 0)
        self._tasks.spawn(self._serve(sock, remote), f"connection from {remote[0]}")

    async def _serve(self, sock: socket.socket, remote: tuple[str, int]) -> None:
        gauge = self._runtime.metrics.connections.of(self.config.name)
        gauge.inc()
        try:
            async with asyncio.timeout(self._runtime.snapshot.config.limits.handshake):
                remote = await self._real_remote(sock, remote)
            with self._counted(remote[0]):
                await self._serve_counted(sock, remote)
        except (OSError, ValueError) as error:
            self._failed(error, remote, None)
        finally:
            sock.close()  # where no transport has taken it over; a second close does nothing
            gauge.dec()
            self._open -= 1
            self._freed.set()

    async def _serve_counted(self, sock: socket.socket, remote: tuple[str, int]) -> None:
        connection = await self._establish(sock, remote)
        if connection is None:
            return
        self.connections.add(connection)
        try:
            connection.retiring = self._accepting is None
            await connection.serve()
        finally:
            self.connections.discard(connection)

    @contextmanager
    def _counted(self, address: str) -> Iterator[None]:
        """Count a client's address, the one that the PROXY protocol tells. Raise ConnectionAbortedError when full."""
        bound = self._runtime.snapshot.config.limits.connections_per_address
        if address and self._per_address[address] >= bound:
            raise ConnectionAbortedError(f"more than {bound} connections from one address")
        self._per_address[address] += 1
        try:
            yield
        finally:
            self._per_address[address] -= 1
            if not self._per_address[address]:
                del self._per_address[address]

    # --- before the first request

    async def _establish(self, sock: socket.socket, remote: tuple[str, int]) -> Connection | None:
        """Take over the socket, by a TLS handshake where the listener has one; return None when that fails."""
        if self.config.tls is None:
            return await self._connect(sock, remote, None, None)
        snapshot = self._runtime.snapshot
        server_name: str | None = None
        try:
            async with asyncio.timeout(snapshot.config.limits.handshake):
                tls = snapshot.server_tls.get(self.config.name)
                if tls is None:
                    raise ConnectionAbortedError("listener is no longer configured")
                if tls.needs_server_name:
                    server_name = await self._peek_server_name(sock)
                return await self._connect(sock, remote, tls, server_name)
        except (OSError, ValueError) as error:
            self._failed(error, remote, server_name)
            return None

    async def _connect(
        self, sock: socket.socket, remote: tuple[str, int], tls: ServerTLS | None, server_name: str | None
    ) -> Connection:
        loop = asyncio.get_running_loop()
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        context = tls.context_for(server_name) if tls is not None else None
        connection = Connection(self._runtime, self.config, self._tasks, remote)
        await loop.connect_accepted_socket(lambda: connection, sock, ssl=context)
        if tls is not None:
            self._handshake("ok")
        return connection

    async def _real_remote(self, sock: socket.socket, remote: tuple[str, int]) -> tuple[str, int]:
        rules = self.config.proxy_protocol
        if rules is None or not is_within(remote[0], rules.networks):
            return remote
        while True:
            data = await _peek(sock, LONGEST)
            try:
                header = parse_proxy_header(data)
            except Incomplete:
                await asyncio.sleep(_PEEK_PAUSE)
                continue
            sock.recv(header.length)
            return header.source or remote

    async def _peek_server_name(self, sock: socket.socket) -> str | None:
        while True:
            data = await _peek(sock, _LONGEST_HELLO)
            try:
                return server_tls.read_server_name(data)
            except server_tls.Incomplete:
                await asyncio.sleep(_PEEK_PAUSE)

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
