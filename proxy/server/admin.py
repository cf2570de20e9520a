"""What operators and load balancers ask: `/livez`, `/readyz`, and on the admin address `/metrics`.

Readiness says that this process takes requests. It does not hang on an issuer or an upstream being up: a fleet that
leaves its load balancer because an identity provider is down turns one outage into two.
"""

from __future__ import annotations

import socket

from aiohttp import web

from proxy.server.listener import unlink
from proxy.server.runtime import Runtime
from proxy.telemetry.metrics import CONTENT_TYPE


class Admin:
    """One of the two control addresses.

    Args:
        runtime: the serving process.
        with_metrics: serve `/metrics` too.
    """

    def __init__(self, runtime: Runtime, *, with_metrics: bool) -> None:
        self._runtime = runtime
        application = web.Application()
        application.router.add_get("/livez", self._livez)
        application.router.add_get("/readyz", self._readyz)
        if with_metrics:
            application.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False)

    async def start(self, sock: socket.socket) -> None:
        """Serve on a listening socket, which is ours from now on."""
        self._socket = sock
        await self._runner.setup()
        await web.SockSite(self._runner, sock).start()

    async def stop(self) -> None:
        """Stop serving."""
        unlink(self._socket)
        await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if self._runtime.draining:
            return web.Response(status=503, text="draining\n")
        return web.Response(text="ok\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._runtime.metrics.expose(), headers={"Content-Type": CONTENT_TYPE})
