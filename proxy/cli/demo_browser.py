"""A person's browser in the demo's table: as much of one as signs in, which is cookies, redirects and a choice."""

from __future__ import annotations

import html
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from proxy.cli.demo_apps import SampleService
from proxy.cli.demo_calls import Call, Outcome, Reply, judge
from proxy.cli.demo_services import Gateway, Record
from proxy.cli.demo_world import PAYROLL, WIKI, World

VISITS = (
    Call("ben, who signs in with a browser", WIKI, "/", 200, subject="ben"),
    Call("ben, in the same browser", PAYROLL, "/", 403, "policy_denied"),
)
_WHO: Final = "ben"
_NAVIGATION: Final = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
_SECONDS: Final = 10.0


class _Loopback(AbstractResolver):
    """Finds every name on this machine, as browsers find those below `.localhost` (RFC 6761 section 6.3)."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing is held."""


class Browser:
    """One browser. Wherever the provider asks who somebody is, it is Ben."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def visit(self, call: Call, world: World, gateway: Gateway, service: SampleService) -> Outcome:
        """Open a page, signing in on the way if need be, and judge what came of it.

        Raises:
            GatewayFailed: no record of the page comes.
        """
        since = len(gateway.records)
        service.told.clear()
        reply = await self._open(world.url(call.host) + call.target.removeprefix("/"))

        def is_of_the_page(record: Record) -> bool:  # and of no step on the way to it
            if record["type"] != "access" or record["status"] == 303:
                return False
            return (record["host"].partition(":")[0], record["path"]) == (call.host, call.target)

        record = await gateway.record(is_of_the_page, since=since)
        return judge(call, reply, record, gateway.records[since:], service.told)

    async def _open(self, url: str) -> Reply:
        began = time.perf_counter()
        address, status, body = await self._get(URL(url))
        if choice := re.search(rf'href="(/authorize/{_WHO}\?[^"]*)"', body):
            _, status, body = await self._get(address.join(URL(html.unescape(choice[1]), encoded=True)))
        return Reply(status, {}, body.encode(), (time.perf_counter() - began) * 1000)

    async def _get(self, url: URL) -> tuple[URL, int, str]:
        async with self._session.get(url) as response:
            return response.url, response.status, await response.text()


@asynccontextmanager
async def browser(world: World) -> AsyncIterator[Browser]:
    """Start a browser that trusts the demo's authority."""
    trust = ssl.create_default_context(cafile=world.directory / "ca.pem")
    connector = aiohttp.TCPConnector(resolver=_Loopback(), ssl=trust)
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    async with aiohttp.ClientSession(connector=connector, headers=_NAVIGATION, timeout=timeout) as session:
        yield Browser(session)
