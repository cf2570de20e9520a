"""How a session ends in a real Chromium: here, everywhere, at the provider, at another proxy; and what ends with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest
from playwright.sync_api import Page, expect

from proxy.identity.sessions.following import BELIEVED_SECONDS
from tests.browser.chromium import another
from tests.browser.story import HERE, NAMES, Story, a_page, fill_in, sign_in
from tests.gateway import Gateway, wait_for
from tests.identity.sessions.redis_server import RedisServer

THERE = "127.0.0.2"
CUT_SECONDS = 2.0
OPEN = """() => new Promise((resolve, reject) => {
    const live = new WebSocket(`wss://${location.host}/live`);
    window.ended = new Promise((end) => {
        live.onclose = (event) => {
            end([event.code, Date.now() / 1000]);
            reject(new Error('it must stay open'));
        };
    });
    live.onmessage = (event) => resolve(event.data);
    live.onopen = () => live.send('hello');
})"""


def open_socket(page: Page) -> None:
    """Have a page open a WebSocket of its own host, and hear from it."""
    assert page.evaluate(OPEN) == "hello"


def ended(page: Page) -> tuple[int, float]:
    """Return the close code of a page's WebSocket, and when it came."""
    code, at = page.evaluate("Promise.race([window.ended, new Promise((end) => setTimeout(end, 15_000, [0, 0]))])")
    return code, at


def sign_out(story: Story, page: Page, button: str) -> float:
    """Sign out, and return when that was asked for."""
    page.goto(story.url("access", "/.ztproxy/who"))
    began = time.time()
    page.get_by_role("button", name=button).click()
    expect(page.get_by_role("heading")).to_have_text("You are signed out")
    return began


def sign_out_at_the_provider(story: Story, page: Page) -> float:
    """Sign out at the provider, and return when that was asked for."""
    page.goto(f"{story.corp.url}/session/end")
    began = time.time()
    page.get_by_role("button", name="Yes, sign me out").click()
    expect(page.get_by_role("heading")).to_have_text("Sign-out Success")
    return began


def wait_until_asked(story: Story, page: Page) -> float:
    """Open an application until it sends the browser to sign in; return when it was last asked for and did not."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    opened = [0.0]

    def is_asked() -> bool:
        began = time.time()
        page.goto(story.url("wiki"))
        if any(url.startswith(story.url("access", "/.ztproxy/sign-in")) for url in asked):
            return True
        opened.append(began)
        return False

    wait_for(is_asked, "a question")
    return opened[-1]


@pytest.mark.parametrize("way", ["Sign out here", "Sign out everywhere"])
def test_a_websocket_is_cut_within_two_seconds_of_signing_out(story: Story, page: Page, way: str) -> None:
    sign_in(story, page)
    open_socket(page)
    began = sign_out(story, page.context.new_page(), way)
    code, at = ended(page)
    assert code == 1008
    assert at - began < CUT_SECONDS


def test_signing_out_everywhere_reaches_another_browser(story: Story, page: Page, elsewhere: Page) -> None:
    for each in (page, elsewhere):
        sign_in(story, each)
    open_socket(page)
    began = sign_out(story, elsewhere, "Sign out everywhere")
    code, at = ended(page)
    assert code == 1008
    assert at - began < CUT_SECONDS
    wait_until_asked(story, page)


def test_signing_out_here_leaves_another_browser_alone(story: Story, page: Page, elsewhere: Page) -> None:
    for each in (page, elsewhere):
        sign_in(story, each)
    sign_out(story, elsewhere, "Sign out here")
    wait_until_asked(story, elsewhere)
    page.goto(story.url("wiki", "/still"))
    assert page.url == story.url("wiki", "/still")


def test_signing_out_at_the_provider_ends_the_session_here(story: Story, page: Page, elsewhere: Page) -> None:
    for each in (page, elsewhere):
        sign_in(story, each)
    open_socket(page)
    began = sign_out_at_the_provider(story, page.context.new_page())
    code, at = ended(page)
    assert code == 1008
    assert at - began < CUT_SECONDS
    wait_until_asked(story, page)
    elsewhere.goto(story.url("wiki", "/still"))  # another session of the provider's
    assert elsewhere.url == story.url("wiki", "/still")


@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("/token", "userinfo: provider must accept the access token that it gave"),
        ("/me", "a provider must not have ended the session while the sign-in was under way"),
    ],
)
def test_a_sign_in_under_way_ends_when_the_provider_ends_its_session(
    story: Story, page: Page, path: str, rule: str
) -> None:
    page.goto(story.url("wiki"))
    page.get_by_role("link", name="Continue with Example SSO").click()
    fill_in(page, "ana")
    with page.expect_navigation():
        page.locator("button[type=submit]").click()
    story.loop.run(story.corp.hold(path))
    page.locator("button[type=submit]").click(no_wait_after=True)
    story.loop.run(story.corp.struck())  # it has been asked, and its answer has not come yet
    sign_out_at_the_provider(story, page.context.new_page())
    story.loop.run(story.corp.mend())
    expect(page.get_by_role("heading")).to_have_text("The sign-in was not accepted")
    reference = page.locator("dd.code").last.inner_text()
    assert story.running.access(reference)["detail"] == rule
    wait_until_asked(story, page)


@pytest.fixture
def pair(story: Story, tmp_path: Path) -> Iterator[tuple[Gateway, Gateway]]:
    """Two proxies of the same hosts, here and there, which keep their sessions in one Redis."""
    redis = RedisServer(tmp_path)
    story.stop()
    gateways = []
    try:
        story.loop.run(redis.start())
        for name, address in (("one", HERE), ("other", THERE)):
            directory = copytree(story.directory, tmp_path / name, ignore=ignore_patterns("state"))
            (directory / "redis.url").write_text(redis.url, encoding="utf-8")
            (directory / "redis.url").chmod(0o600)
            session = f"{{store: redis, url_file: redis.url, keys_file: {tmp_path / 'session.keys'}}}"
            gateways.append(Gateway(directory, story.written(address=address, session=session)))
        for gateway in gateways:
            gateway.wait_until_listening()
        yield gateways[0], gateways[1]
    finally:
        for gateway in gateways:
            assert gateway.stop() == 0, gateway.stderr
        story.loop.run(redis.end())
        story.start()


def test_two_proxies_that_share_redis_are_one(story: Story, pair: tuple[Gateway, Gateway], page: Page) -> None:
    sign_in(story, page)
    with another(story.browser, NAMES.format(address=THERE)) as browser:
        there = a_page(browser, page.context.storage_state())
        there.goto(story.url("wiki", "/moved"))
        assert there.url == story.url("wiki", "/moved")
        wait_for(lambda: [r for r in pair[1].of_type("access") if r["path"] == "/moved"], "a record of the other one")
        open_socket(there)
        began = sign_out(story, page, "Sign out here")
        signed_out = time.time()
        code, at = ended(there)
        assert code == 1008
        assert at - began < CUT_SECONDS
        assert wait_until_asked(story, there) < signed_out + BELIEVED_SECONDS
