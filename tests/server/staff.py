"""People before a whole gateway: a browser as far as cookies, redirects and forms go, and a real provider behind it."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from tests.gateway import PATIENCE, Gateway, gateway
from tests.oidc_provider.provider import OIDCProvider
from tests.world import World

# What a program's request says of itself: it is told, and not led to a page.
PROGRAM = {"Sec-Fetch-Mode": "cors", "Accept": "application/json"}
CONFIG = """\
version: 1
trust_domain: example.org
state_directory: state
listeners:
  - {{name: edge, address: "127.0.0.1:{port}", tls: {{certificate: edge.pem, key: edge.key}}}}
admin: {{address: "127.0.0.1:0"}}
sign_in: {{host: "access.example.org:{port}"}}
session: {session}
{extra}
portal: {{brand: Example, contact: it@example.org}}
identity:
  issuers:
    corp:
      issuer: {issuer}
      bearer: {{audiences: [ztproxy]}}
      login: {{client_id: ztproxy, {login}, title: Example SSO}}
upstreams:
  wiki: {{endpoints: ["{upstream}"]}}
routes:
  - name: wiki
    host: wiki.example.org
    upstream: wiki
    authenticate: {{sign_in: true}}
    portal: {{title: Wiki}}
    allow: [{{groups: [engineering]}}]
  - name: sales
    host: sales.example.org
    upstream: wiki
    authenticate: {{sign_in: true}}
    allow: [{{groups: [sales]}}]
"""


class Loopback(AbstractResolver):
    """Every host is this machine."""

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)
        ]  # fmt: skip

    async def close(self) -> None:
        pass


class Person:
    """A browser, as far as cookies, redirects and forms go; `seen` are the answers that it got, every step of them."""

    def __init__(self, world: World, port: int) -> None:
        self._port = port
        connector = aiohttp.TCPConnector(resolver=Loopback(), ssl=world.client(), force_close=True)
        headers = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
        jar = aiohttp.CookieJar(unsafe=True)
        self.session = aiohttp.ClientSession(connector=connector, headers=headers, cookie_jar=jar)
        self.seen: list[aiohttp.ClientResponse] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    def url(self, host: str, path: str = "/") -> str:
        return f"https://{host}.example.org:{self._port}{path}"

    async def get(self, host: str, path: str = "/", **options: Any) -> tuple[aiohttp.ClientResponse, str]:
        return await self._ask("GET", self.url(host, path), **options)

    async def post(
        self, host: str, path: str, form: dict[str, str], **options: Any
    ) -> tuple[aiohttp.ClientResponse, str]:
        """Send a form from a page of the same host."""
        fields = {"Sec-Fetch-Site": "same-origin"}
        return await self._ask("POST", self.url(host, path), data=form, headers=fields, **options)

    async def sign_in(self, name: str, host: str, path: str = "/") -> tuple[aiohttp.ClientResponse, str]:
        """Ask for a page, and do at the provider what it asks for until the browser is somewhere else."""
        answer, page = await self.get(host, path)
        while answer.url.scheme == "http":
            action = re.search(r'action="([^"]+)"', page)
            assert action is not None, page
            prompt = re.search(r'name="prompt" value="([a-z]+)"', page)
            assert prompt is not None, page
            form = {"prompt": prompt[1], "login": name, "password": "x"}
            answer, page = await self._ask("POST", str(answer.url.join(type(answer.url)(action[1]))), data=form)
        return answer, page

    async def leave(self, provider: str) -> None:
        """Sign out at a provider, on its own page."""
        answer, page = await self._ask("GET", f"{provider}/session/end")
        secret = re.search(r'name="xsrf" value="([^"]+)"', page)
        assert secret is not None, page
        form = {"xsrf": secret[1], "logout": "yes"}
        answer, page = await self._ask("POST", f"{provider}/session/end/confirm", data=form)
        assert answer.status == 200, page

    async def until(self, status: int, host: str = "wiki", **options: Any) -> tuple[aiohttp.ClientResponse, str]:
        """Ask for a page again and again, until the answer is of this status; return that one."""
        async with asyncio.timeout(PATIENCE):
            while (got := await self.get(host, **options))[0].status != status:
                pass
        return got

    async def _ask(self, method: str, url: str, **options: Any) -> tuple[aiohttp.ClientResponse, str]:
        async with self.session.request(method, url, **options) as answer:
            self.seen += [*answer.history, answer]
            return answer, await answer.text()


@dataclass
class Staffed:
    """A gateway that people sign in to, the port that it is reached at, and where they prove who they are."""

    gateway: Gateway
    port: int
    provider: OIDCProvider


@asynccontextmanager
async def staffed_gateway(
    directory: Path,
    upstream: str,
    *,
    session: str = "{}",
    extra: str = "",
    login: str = "client_secret_file: corp.secret",
    client: dict[str, Any] | None = None,
) -> AsyncIterator[Staffed]:
    """Run a gateway and a provider that tells it who has signed out.

    Args:
        directory: holds the world's files, and gets the gateway's.
        upstream: the URL of every application.
        session, login: YAML of these sections; extra: of further ones.
        client: further metadata of the gateway's, at the provider.
    """
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    (directory / "corp.secret").write_text("ztproxy-secret", encoding="utf-8")
    (directory / "corp.secret").chmod(0o600)
    portal = f"https://access.example.org:{port}/.ztproxy"
    told = {"backchannel_logout_uri": f"{portal}/backchannel-logout/corp", "backchannel_logout_session_required": True}
    facts = {"client": {**told, **(client or {})}, "ca": directory / "ca.pem"}
    async with OIDCProvider(f"{portal}/callback/corp", **facts) as provider:
        places = {"port": port, "issuer": provider.url, "upstream": upstream}
        text = CONFIG.format(session=session, login=login, extra=extra, **places)
        with gateway(directory, text) as running:
            yield Staffed(running, port, provider)
