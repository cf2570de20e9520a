"""A person's day in a real Chromium: a whole gateway, two real providers, and each page that the person comes to.

With `ZTPROXY_SCREENSHOTS` a picture of each page is written into that folder.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import chromium
from tests.gateway import Gateway, Upstream, ok, wait_for
from tests.oidc_provider.provider import OIDCProvider
from tests.world import World

# The development pages of the provider ask for a font of a foreign host, which no test may wait for.
NAMES = "--host-resolver-rules=MAP *.example.org 127.0.0.1, MAP *.googleapis.com ~NOTFOUND"
CONFIG = """\
version: 1
trust_domain: example.org
state_directory: state
listeners:
  - {{name: edge, address: "127.0.0.1:{port}", tls: {{certificate: edge.pem, key: edge.key}}}}
admin: {{address: "127.0.0.1:0"}}
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


@contextmanager
def providers(*redirect_uris: str) -> Iterator[list[OIDCProvider]]:
    """Run a provider for each redirect URI, in a loop of its own: playwright keeps that of this thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)

    def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run_coroutine_threadsafe(work(), loop).result(30)

    started = [OIDCProvider(uri) for uri in redirect_uris]
    thread.start()
    try:
        for provider in started:
            run(provider.start)
        yield started
    finally:
        for provider in started:
            run(provider.kill)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@dataclass
class Story:
    """Where it takes place."""

    browser: Browser
    directory: Path
    config: str
    port: int
    corp: str
    partners: str
    service: Upstream
    running: Gateway | None = None

    def url(self, host: str, path: str = "/") -> str:
        return f"https://{host}.example.org:{self.port}{path}"

    def start(self) -> None:
        self.running = Gateway(self.directory, self.config)
        self.running.wait_until_listening()

    def stop(self) -> None:
        if self.running is not None:
            assert self.running.stop() == 0, self.running.stderr


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    directory = tmp_path_factory.mktemp("story")
    World(directory)
    (directory / "story.rego").write_text(POLICY, encoding="utf-8")
    (directory / "client.secret").write_text("ztproxy-secret", encoding="utf-8")
    (directory / "client.secret").chmod(0o600)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    callback = f"https://access.example.org:{port}/.ztproxy/callback"
    page = ok(b"<!doctype html><title>An application</title><h1>An application</h1>", content_type="text/html")
    with ExitStack() as stack:
        browser = stack.enter_context(chromium(NAMES))
        service = stack.enter_context(closing(Upstream(lambda _request, _socket: page)))
        corp, partners = stack.enter_context(providers(f"{callback}/corp", f"{callback}/partners"))
        text = CONFIG.format(port=port, corp=corp.url, partners=partners.url, upstream=service.url)
        told = Story(browser, directory, text, port, corp.url, partners.url, service)
        stack.callback(told.stop)
        told.start()
        yield told


@pytest.fixture
def page(story: Story) -> Iterator[Page]:
    context = story.browser.new_context(ignore_https_errors=True, locale="en-GB")
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


def picture(page: Page, name: str) -> None:
    """Keep what a page shows, where somebody wants to look at it."""
    if folder := os.environ.get("ZTPROXY_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def prove(page: Page, provider: str, name: str = "ana") -> None:
    """Do at the provider what it asks for, until the browser is somewhere else."""
    while page.url.startswith(provider):
        if (login := page.locator("input[name=login]")).count():
            login.fill(name)
            page.locator("input[name=password]").fill("x")
        with page.expect_navigation():
            page.locator("button[type=submit]").click()


def sign_in(story: Story, page: Page, host: str = "wiki", path: str = "/", name: str = "ana") -> None:
    """Open a page without a session, by way of the first provider."""
    page.goto(story.url(host, path))
    page.get_by_role("link", name="Continue with Example SSO").click()
    prove(page, story.corp, name)
    assert page.url == story.url(host, path)


@pytest.mark.parametrize("title", ["Example SSO", "Partner Login"])
def test_whoever_chooses_a_provider_comes_to_the_exact_page_asked_for(story: Story, page: Page, title: str) -> None:
    target = "/page?q=a%20b&x=//y"
    page.goto(story.url("wiki", target))
    expect(page.get_by_role("link", name="Continue with")).to_have_count(2)
    picture(page, "choose")
    page.get_by_role("link", name=f"Continue with {title}").click()
    prove(page, story.corp if title == "Example SSO" else story.partners)
    assert page.url == story.url("wiki", target)
    expect(page.get_by_role("heading")).to_have_text("An application")
    assert story.service.requests[-1].values("cookie") == []
    picture(page, "application")


def test_the_portal_shows_what_opens_and_who_is_signed_in(story: Story, page: Page) -> None:
    sign_in(story, page)
    page.goto(story.url("access"))
    listed = page.get_by_role("list", name="My applications")
    expect(listed).to_contain_text("Wiki")
    expect(listed).not_to_contain_text("Payroll")
    picture(page, "applications")
    page.get_by_role("link", name="My account").click()
    for text in ("ana@example.org", "Example SSO", "engineering"):
        expect(page.get_by_role("main")).to_contain_text(text)
    picture(page, "who")


def test_a_refusal_names_application_person_reason_and_reference(story: Story, page: Page) -> None:
    sign_in(story, page)
    answer = page.goto(story.url("payroll"))
    assert answer is not None
    assert answer.status == 403
    expect(page.get_by_role("heading")).to_have_text("You can’t open Payroll")
    said = page.get_by_role("main")
    expect(said).to_contain_text("ana@example.org")
    expect(said).to_contain_text("Payroll is for finance.")
    picture(page, "refused")
    reference = page.locator("dd.code").last.inner_text()
    assert story.running is not None
    assert story.running.access(reference)["status"] == 403


def test_whoever_signs_out_here_is_sent_to_the_provider_again(story: Story, page: Page) -> None:
    sign_in(story, page)
    page.goto(story.url("access", "/.ztproxy/who"))
    page.get_by_role("button", name="Sign out here").click()
    expect(page.get_by_role("heading")).to_have_text("You are signed out")
    picture(page, "signed-out")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    def is_asked() -> bool:  # a second later at the most: until then a session that was just used may be remembered
        page.goto(story.url("wiki"))
        return any(url.startswith(story.corp) for url in asked)

    wait_for(is_asked, "a request to the provider")


def test_two_tabs_that_sign_in_at_once_both_arrive(story: Story, page: Page) -> None:
    tabs = [(page, "/one?tab=1"), (page.context.new_page(), "/two?tab=2")]
    for tab, path in tabs:
        tab.goto(story.url("wiki", path))
    for tab, _ in tabs:
        tab.get_by_role("link", name="Continue with Example SSO").click()
    for tab, path in tabs:
        prove(tab, story.corp)
        assert tab.url == story.url("wiki", path)


def test_a_session_survives_a_restart(story: Story, page: Page) -> None:
    sign_in(story, page)
    story.stop()
    story.start()
    page.goto(story.url("wiki", "/after"))
    assert page.url == story.url("wiki", "/after")


def test_a_policy_that_asks_for_a_fresh_sign_in_gets_one_and_opens(story: Story, page: Page) -> None:
    sign_in(story, page)  # of which the provider has not said when it was
    page.goto(story.url("vault", "/door?n=1"))
    assert page.url.startswith(story.corp)
    picture(page, "step-up-at-the-provider")
    assert page.locator("input[name=login]").count() == 1
    prove(page, story.corp)
    assert page.url == story.url("vault", "/door?n=1")
    expect(page.get_by_role("heading")).to_have_text("An application")
