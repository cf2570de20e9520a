"""The applications of the demo: one service behind every route, which says whom it was told of.

Programs get what came as JSON; browsers get a page, and the live board a WebSocket. It believes the gateway, as an
application does that only the gateway can reach.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

from aiohttp import web

from proxy.cli.demo_pages import ASSETS, asset, page
from proxy.cli.demo_services import served
from proxy.cli.demo_world import APPLICATIONS, LIVE, Application, World

_REMEMBERED: Final = 100  # requests
_BEAT_SECONDS: Final = 1.0
_TOLD: Final = ("X-Ztproxy-Subject", "X-Ztproxy-Email", "X-Ztproxy-Groups", "Cookie", "Authorization")


class SampleService:
    """An upstream that answers with what it got, and remembers it.

    Args:
        world: whose applications it is.
    """

    def __init__(self, world: World) -> None:
        self.told: deque[dict[str, str]] = deque(maxlen=_REMEMBERED)
        self._world = world
        self._here: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        """Show a browser the application's page; echo the request as JSON to everybody else."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.told.append(headers)
        app = APPLICATIONS.get(_host(request))
        if app is None or "text/html" not in headers.get("accept", ""):
            return web.json_response({"method": request.method, "path": request.raw_path, "headers": headers})
        return self._page(app, request)

    async def live(self, request: web.Request) -> web.StreamResponse:
        """Say the time and who is here over a WebSocket, until it ends."""
        if _host(request) != LIVE:
            return await self.answer(request)
        who = request.headers.get("X-Ztproxy-Email", "nobody")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._here.append(who)
        try:
            while not socket.closed:
                await socket.send_json(
                    {"time": f"{datetime.now().astimezone():%H:%M:%S}", "here": sorted(set(self._here))}
                )
                await _wait(socket)
        except ConnectionError:  # it has gone between two messages
            pass
        finally:
            self._here.remove(who)
        return socket

    def _page(self, app: Application, request: web.Request) -> web.Response:
        fields = [(name, request.headers.get(name, "")) for name in _TOLD]
        others = [(other.title, self._world.url(host)) for host, other in APPLICATIONS.items() if other is not app]
        return page(
            "live.html" if _host(request) == LIVE else "application.html",
            app=app, subject=fields[0][1], email=fields[1][1], fields=fields, others=others, portal=self._world.portal,
        )  # fmt: skip


@asynccontextmanager
async def sample_service(world: World) -> AsyncIterator[tuple[SampleService, str]]:
    """Serve the applications; yield the service and its URL."""
    service = SampleService(world)
    app = web.Application()
    app.router.add_get(ASSETS + "{name}", asset)
    app.router.add_get("/live", service.live)
    app.router.add_route("*", "/{path:.*}", service.answer)
    async with served(app) as url:
        yield service, url


async def _wait(socket: web.WebSocketResponse) -> None:
    try:
        await socket.receive(timeout=_BEAT_SECONDS)
    except TimeoutError:
        return


def _host(request: web.Request) -> str:
    return request.host.partition(":")[0]
