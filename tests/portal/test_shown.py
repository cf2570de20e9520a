"""The pages in a real Chromium: every page, narrow and wide, light and dark, in both languages, judged by axe-core."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route

from proxy import errors
from proxy.errors import Refused
from proxy.http.respond import Answer, refusal
from proxy.portal.pages import Visit
from tests.browser.chromium import chromium, violations
from tests.portal.shown import NOW, every_page, pages

WHERE = "https://access.example.org/.ztproxy/"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


class Shown:
    """One page, served to a browser without a network."""

    def __init__(self, context: BrowserContext, answer: Answer) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._answer = answer
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.route("**/*", self._serve)
        self.page.goto(WHERE)

    def show(self, answer: Answer) -> None:
        """Go to another page."""
        self._answer = answer
        self.page.goto(WHERE)

    def _serve(self, route: Route) -> None:
        url = route.request.url
        self.requests.append(f"{route.request.method} {url}")
        answer = pages().asset(url.rpartition("/")[2]) if "/static/" in url else self._answer
        assert answer is not None, url
        headers = {name.decode(): value.decode() for name, value in answer.headers}
        # The status is tested elsewhere, and a refusal's would be a line of the console.
        route.fulfill(status=200, headers=headers, body=answer.body)


@pytest.mark.parametrize(
    ("language", "width", "scheme"),
    [("en", 360, "dark"), ("de", 360, "light"), ("en", 1280, "light"), ("de", 1280, "dark")],
)
def test_every_page_is_accessible_and_fits(browser: Browser, language: str, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    answers = every_page(Visit(language, "req-7c1e0d5b9a3f", NOW))
    shown = Shown(context, answers["who"])
    for name, answer in answers.items():
        shown.show(answer)
        assert violations(shown.page) == [], name
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert shown.complaints == [], name  # a blocked style or picture would be one
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_refusal_without_a_portal_is_accessible_too(browser: Browser, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    refused = Refused(errors.ROUTE_NOT_FOUND)
    shown = Shown(context, refusal(refused, request_id="req-7c1e0d5b9a3f", accept=b"text/html"))
    assert violations(shown.page) == []
    assert shown.complaints == []
    context.close()


def test_everything_works_without_scripts_and_by_keyboard_alone(browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    shown = Shown(context, every_page(Visit("en", "r", NOW))["applications"])
    page = shown.page
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the content"
    page.get_by_role("searchbox", name="Search applications").fill("wiki")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=wiki")
    assert shown.requests[-1] != f"GET {WHERE}"
    page.get_by_role("button", name="Sign out").press("Enter")
    page.wait_for_url("**/sign-out")
    assert f"POST {WHERE}sign-out" in shown.requests
    context.close()


def test_a_page_is_legible_with_letters_twice_as_large(browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 640, "height": 800})
    answers = every_page(Visit("de", "req-7c1e0d5b9a3f", NOW))
    shown = Shown(context, answers["who"])
    for name, answer in answers.items():
        shown.show(answer)
        shown.page.evaluate("document.documentElement.style.fontSize = '200%'")
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= 640, name
    context.close()
