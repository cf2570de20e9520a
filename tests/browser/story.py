"""Where a person's day takes place: a real Chromium, a whole gateway, two real providers, and an application.

With `ZTPROXY_SCREENSHOTS` a picture of each page is written into that folder.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from playwright.sync_api import Browser, Page, StorageState

from proxy.http.websocket import accept_of
from tests.gateway import Gateway, Reader, Received, Upstream, ok
from tests.oidc_provider.provider import OIDCProvider
from tests.world import World

T = TypeVar("T")

# The development pages of the provider ask for a font of a foreign host, which no test may wait for.
NAMES = "--host-resolver-rules=MAP *.example.org {address}, MAP *.googleapis.com ~NOTFOUND"
HERE = "127.0.0.1"
PAGE = ok(b"<!doctype html><title>An application</title><h1>An application</h1>", content_type="text/html")
CONFIG = """\
version: 1
trust_domain: example.org
state_directory: state
listeners:
  - {{name: edge, address: "{address}:{port}", tls: {{certificate: edge.pem, key: edge.key}}}}
admin: {{address: "127.0.0.1:0"}}
session: {session}
sign_in: {{host: "access.example.org:{port}"}}
portal: {{brand: Example, contact: it@example.org}}
identity:
  issuers:
    corp:
      issuer: {corp}
      login: {{client_id: ztproxy, client_secret_file: client.secret, title: Example SSO}}
    partners:
      issuer: {partners}
      login: {{client_id: ztproxy, client_secret_file: client.secret, title: Partner Login}}
policy: {{path: story.rego, decision: story/decision}}
upstreams:
  any: {{endpoints: ["{upstream}"]}}
routes:
  - name: wiki
    host: wiki.example.org
    upstream: any
    authenticate: {{sign_in: true}}
    portal: {{title: Wiki, description: What we know}}
  - name: vault
    host: vault.example.org
    upstream: any
    authenticate: {{sign_in: true, issuers: [corp]}}
    portal: {{title: Vault, description: What few may see}}
  - name: payroll
    host: payroll.example.org
    upstream: any
    authenticate: {{sign_in: true}}
    portal: {{title: Payroll}}
"""
POLICY = """\
package story

import rego.v1

default decision := {"allow": false, "public_reason": "This is for engineers."}

decision := {"allow": false, "public_reason": "Payroll is for finance."} if input.route.name == "payroll"

decision := {"allow": true, "require": {"max_age": "1m"}} if {
	input.route.name == "vault"
	"engineering" in input.principal.groups
}

decision := {"allow": true} if {
	input.route.name == "wiki"
	"engineering" in input.principal.groups
}
"""


class Loop:
    """A loop in a thread of its own: playwright keeps that of this thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def echo(sock: socket.socket, reader: Reader) -> None:
    """Say every short frame of a browser's again, its last one too."""
    while True:
        first, size = reader.exactly(2)
        mask = reader.exactly(4)
        payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(reader.exactly(size & 0x7F)))
        sock.sendall(bytes([first, len(payload)]) + payload)
        if first & 0x0F == 8:
            return


def application(received: Received, sock: socket.socket) -> bytes | None:
    """Answer with a page; or speak WebSocket, and say everything again."""
    keys = received.values("sec-websocket-key")
    if not keys:
        return PAGE
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: " + accept_of(keys[0].encode()) + b"\r\n\r\n"
    )
    with suppress(EOFError, OSError):
        echo(sock, Reader(sock))
    return None


@dataclass
class Story:
    """Where it takes place.

    Args:
        browser: finds every host at `HERE`.
        directory: the gateway's.
        port: of every host.
        loop: what the providers run in.
        service: the application.
    """

    browser: Browser
    directory: Path
    port: int
    loop: Loop
    corp: OIDCProvider
    partners: OIDCProvider
    service: Upstream
    running: Gateway = field(init=False)

    def url(self, host: str, path: str = "/") -> str:
        return f"https://{host}.example.org:{self.port}{path}"

    def written(self, *, address: str = HERE, session: str = "{}") -> str:
        """Return the config of a gateway at an address, which keeps sessions so."""
        facts = {"port": self.port, "corp": self.corp.url, "partners": self.partners.url}
        return CONFIG.format(address=address, session=session, upstream=self.service.url, **facts)

    def start(self) -> None:
        """Start the gateway."""
        self.running = Gateway(self.directory, self.written())
        self.running.wait_until_listening()

    def stop(self) -> None:
        """Stop the gateway."""
        assert self.running.stop() == 0, self.running.stderr


def a_page(browser: Browser, state: StorageState | None = None) -> Page:
    """Return a page of somebody who has been nowhere yet, or who brings cookies."""
    context = browser.new_context(ignore_https_errors=True, locale="en-GB", storage_state=state)
    context.set_default_timeout(15_000)
    return context.new_page()


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.socket() as sock:
        sock.bind((HERE, 0))
        port: int = sock.getsockname()[1]
        return port


def furnish(directory: Path) -> None:
    """Put everything but the config into a gateway's directory."""
    World(directory)
    (directory / "story.rego").write_text(POLICY, encoding="utf-8")
    (directory / "client.secret").write_text("ztproxy-secret", encoding="utf-8")
    (directory / "client.secret").chmod(0o600)


@contextmanager
def providers(directory: Path, port: int) -> Iterator[tuple[Loop, OIDCProvider, OIDCProvider]]:
    """Run the two providers; they tell the gateway at a port who has signed out."""
    portal = f"https://access.example.org:{port}/.ztproxy"
    made = []
    for name in ("corp", "partners"):
        told = {"backchannel_logout_uri": f"{portal}/backchannel-logout/{name}"}
        client = {**told, "backchannel_logout_session_required": True}
        made.append(OIDCProvider(f"{portal}/callback/{name}", client=client, ca=directory / "ca.pem"))
    with closing(Loop()) as loop, ExitStack() as stack:
        for provider in made:
            stack.callback(lambda provider=provider: loop.run(provider.kill()))
            loop.run(provider.start())
        yield loop, made[0], made[1]


@contextmanager
def told(browser: Browser, directory: Path) -> Iterator[Story]:
    """Run everything, and stop it."""
    furnish(directory)
    port = free_port()
    with closing(Upstream(application)) as service, providers(directory, port) as (loop, corp, partners):
        story = Story(browser, directory, port, loop, corp, partners, service)
        story.start()
        try:
            yield story
        finally:
            story.stop()


def picture(page: Page, name: str) -> None:
    """Keep what a page shows, where somebody wants to look at it."""
    if folder := os.environ.get("ZTPROXY_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def prove(page: Page, provider: OIDCProvider, name: str = "ana") -> None:
    """Do at the provider what it asks for, until the browser is somewhere else."""
    while page.url.startswith(provider.url):
        fill_in(page, name)
        with page.expect_navigation():
            page.locator("button[type=submit]").click()


def fill_in(page: Page, name: str) -> None:
    """Say who it is, where the provider asks for that."""
    if (login := page.locator("input[name=login]")).count():
        login.fill(name)
        page.locator("input[name=password]").fill("x")


def sign_in(story: Story, page: Page, host: str = "wiki", path: str = "/", name: str = "ana") -> None:
    """Open a page without a session, by way of the first provider."""
    page.goto(story.url(host, path))
    page.get_by_role("link", name="Continue with Example SSO").click()
    prove(page, story.corp, name)
    assert page.url == story.url(host, path)
