"""Real TLS handshakes on loopback: the server on uvloop as the listener does it, the client on a plain socket."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from proxy.errors import Refused
from proxy.identity.authority import Issued
from proxy.identity.bundle import TrustBundles
from proxy.identity.principal import Peer
from proxy.identity.tls import peer_of

T = TypeVar("T")
TIMEOUT_S = 10.0


@dataclass
class Outcome:
    """What both ends saw of one connection."""

    server_error: Exception | None
    tls: ssl.SSLObject | None
    session: ssl.SSLSession | None
    alpn: str | None

    def peer(self, bundles: TrustBundles, now: float) -> Peer | None:
        assert self.tls is not None, self.server_error
        return peer_of(self.tls, bundles, now)

    def refusal(self, bundles: TrustBundles, now: float) -> str:
        """Return why the connection proves nothing; fail if it proves something, or asks for nothing."""
        if self.server_error is not None:
            return f"handshake: {self.server_error}"
        try:
            peer = self.peer(bundles, now)
        except Refused as refused:
            return refused.detail
        raise AssertionError(f"not refused: {peer}")


def on_uvloop(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def client_context(
    directory: Path, issued: Issued | None = None, *, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> ssl.SSLContext:
    """Make a client that shows this certificate, believes every server, and takes every key for good enough."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.set_alpn_protocols(["h2", "http/1.1"])
    if issued is not None:
        files = issued.write(directory / "client", force=True)
        context.load_cert_chain(*files)
    return context


async def handshake(
    server: ssl.SSLContext,
    client: ssl.SSLContext,
    *,
    server_name: str | None = "localhost",
    session: ssl.SSLSession | None = None,
) -> Outcome:
    """Connect once and return what both ends saw; the server's TLS object outlives the connection."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        dialling = asyncio.create_task(asyncio.to_thread(_dial, listener.getsockname(), client, server_name, session))
        accepted, _ = await loop.sock_accept(listener)
        server_error: Exception | None = None
        tls: ssl.SSLObject | None = None
        try:
            transport, _ = await loop.connect_accepted_socket(
                asyncio.Protocol, accepted, ssl=server, ssl_handshake_timeout=TIMEOUT_S
            )
        except (ssl.SSLError, ConnectionError) as error:
            server_error = error
            accepted.close()
        else:
            tls = transport.get_extra_info("ssl_object")
            transport.close()
        resumable, alpn = await dialling
    return Outcome(server_error, tls, resumable, alpn)


def _dial(
    address: tuple[str, int], context: ssl.SSLContext, server_name: str | None, session: ssl.SSLSession | None
) -> tuple[ssl.SSLSession | None, str | None]:
    with (
        suppress(OSError),
        socket.create_connection(address, timeout=TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=server_name, session=session) as tls,
    ):
        tls.recv(1)  # TLS 1.3 tells a refused client certificate, and gives tickets, after its handshake
        return tls.session, tls.selected_alpn_protocol()
    return None, None
