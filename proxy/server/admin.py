"""What operators and load balancers ask: `/livez`, `/readyz`, and on the admin address `/metrics`.

Readiness says that this process takes requests. It does not hang on an issuer or an upstream being up: a fleet that
leaves its load balancer because an identity provider is down turns one outage into two.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from aiohttp import web

from proxy.server.sockets import ListeningSocket
from proxy.telemetry.metrics import CONTENT_TYPE

_CONNECTIONS = 64  # at once, on one address


class Admin:
    """One of the two control addresses.

    Args:
        unready: says why no request should come now; empty text where they may.
        metrics: what `/metrics` serves, or None: not here.
    """

    def __init__(self, unready: Callable[[], str], metrics: Callable[[], Awaitable[bytes]] | None) -> None:
        self._unready = unready
        self._exposition = metrics
        application = web.Application()
        application.router.add_get("/livez", self._livez)
        application.router.add_get("/readyz", self._readyz)
        if metrics is not None:
            application.router.add_get("/metrics", self._metrics)
        self._handlers: deque[web.RequestHandler] = deque()
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False)

    async def start(self, sock: ListeningSocket) -> None:
        """Serve on a listening socket, which is ours from now on."""
        self._socket = sock
        await self._runner.setup()
        self._server = await asyncio.get_running_loop().create_server(self._connection, sock=sock.socket)

    @property
    def address(self) -> str:
        """Where it is served."""
        return self._socket.address

    async def stop(self) -> None:
        """Stop serving."""
        self._socket.unlink()
        self._server.close()
        await self._runner.cleanup()

    def _connection(self) -> web.RequestHandler:
        """Return the protocol of a new connection, and end the oldest where there are too many.

        The library bounds neither their number nor how long one may be silent, and each holds a descriptor that the
        gateway's own clients would lack.
        """
        assert self._runner.server is not None
        handler = self._runner.server()
        self._handlers.append(handler)
        # Two turns from now: of many that come in one turn none has its transport yet, and to end it would do nothing.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._end_oldest)
        return handler

    def _end_oldest(self) -> None:
        if len(self._handlers) > _CONNECTIONS:
            self._handlers.popleft().force_close()

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if reason := self._unready():
            return web.Response(status=503, text=f"{reason}\n")
        return web.Response(text="ok\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        assert self._exposition is not None
        return web.Response(body=await self._exposition(), headers={"Content-Type": CONTENT_TYPE})
