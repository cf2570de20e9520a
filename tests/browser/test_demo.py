"""The demo in a real Chromium, started as the demo says: three people, what each may open, and each page that it made.

With `ZTPROXY_SCREENSHOTS` a picture of each page is written into that folder; `portal.png` is the README's.
"""

from __future__ import annotations

import os
import re
import shlex
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from proxy.cli.demo_world import ANA, BEN, CLEO, Person
from tests.browser.chromium import chromium, violations
from tests.cli.demo import ROOT, Standing

WIDTH = 1100  # of the README's picture


@dataclass
class Demo:
    """A demo that runs, and a browser that was started with its command."""

    browser: Browser
    portal: str

    def url(self, host: str, path: str = "/") -> str:
        return self.portal.replace("access.", f"{host}.", 1).rstrip("/") + path


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    standing = Standing(tmp_path_factory.mktemp("demo"))
    (command,) = [line for line in standing.lines if line.lstrip().startswith("chromium ")]
    words = shlex.split(command)
    # The profile is the driver's own; everything else is as it was printed.
    arguments = [word for word in words[1:-1] if not word.startswith("--user-data-dir=")]
    assert words[-1] in (line.strip() for line in standing.lines)
    try:
        with chromium(*arguments) as browser:
            yield Demo(browser, words[-1])
    finally:
        standing.kill()


@pytest.fixture
def page(demo: Demo) -> Iterator[Page]:
    context = demo.browser.new_context(locale="en-GB", viewport={"width": WIDTH, "height": 700}, color_scheme="light")
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


def picture(page: Page, name: str, *, whole: bool = True) -> None:
    """Keep what a page shows, where somebody wants to look at it."""
    if folder := os.environ.get("ZTPROXY_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=whole)


def sign_in(demo: Demo, page: Page, person: Person, url: str = "") -> None:
    page.goto(url or demo.portal)
    page.get_by_role("link", name=person.name).click()
    expect(page).to_have_url(url or re.compile(re.escape(demo.portal)))


@pytest.mark.parametrize(
    ("person", "titles"),
    [
        (ANA, ["Live board", "Payroll", "Wiki"]),
        (BEN, ["Builds", "Live board", "Wiki"]),
        (CLEO, ["Live board"]),
    ],
    ids=lambda value: value.subject if isinstance(value, Person) else "",
)
def test_each_person_finds_what_he_may_open(demo: Demo, page: Page, person: Person, titles: list[str]) -> None:
    sign_in(demo, page, person)
    expect(page.get_by_role("heading", level=1)).to_contain_text(person.name)
    expect(page.get_by_role("list", name="My applications").locator("strong")).to_have_text(titles)
    picture(page, f"applications-{person.subject}")
    if person is ANA:
        page.set_viewport_size({"width": WIDTH, "height": 470})
        picture(page, "portal", whole=False)


def test_an_application_says_whom_it_was_told_of_and_got_no_cookie(demo: Demo, page: Page) -> None:
    sign_in(demo, page, BEN, demo.url("wiki", "/page?x=1"))
    told = page.get_by_role("region", name="Who this application was told is asking")
    for text in ("ben@example.org", "staff,engineering", "Cookienone came"):
        expect(told).to_contain_text(text)


def test_whom_policy_refuses_is_told_which_application_and_as_whom(demo: Demo, page: Page) -> None:
    sign_in(demo, page, BEN, demo.url("wiki"))
    page.get_by_role("link", name="Payroll").click()
    expect(page.get_by_role("heading")).to_have_text("You can’t open Payroll")
    expect(page.get_by_role("main")).to_contain_text("ben@example.org")
    picture(page, "refused")
    page.get_by_role("link", name="Sign in as somebody else").click()
    page.get_by_role("link", name=ANA.name).click()
    expect(page).to_have_url(demo.url("payroll"))


def test_the_live_board_is_closed_when_its_person_signs_out(demo: Demo, page: Page) -> None:
    sign_in(demo, page, CLEO, demo.url("live"))
    expect(page.get_by_role("status")).to_contain_text("Connected.")
    expect(page.get_by_role("region", name="Now").get_by_role("listitem")).to_have_text(["cleo@example.org"])
    other = page.context.new_page()
    other.goto(demo.portal)
    other.get_by_role("button", name="Sign out").click()
    expect(other.get_by_role("heading")).to_have_text("You are signed out")
    expect(page.get_by_role("status")).to_have_text("Closed by the gateway (1008): access has ended.")


def test_a_public_page_opens_for_nobody(demo: Demo, page: Page) -> None:
    page.goto(demo.url("wiki", "/public"))
    expect(page.get_by_role("main")).to_contain_text("Nobody: this page is public.")
    assert violations(page) == []


def test_the_people_can_be_chosen_by_keyboard_alone(demo: Demo, page: Page) -> None:
    page.goto(demo.url("wiki"))
    for _ in range(4):  # the way past the top, then Ana, Ben and Cleo
        page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page).to_have_url(demo.url("wiki"))
    expect(page.get_by_role("main")).to_contain_text("ben@example.org")


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_every_page_of_the_demo_is_accessible_and_fits(demo: Demo, width: int, scheme: str) -> None:
    size = {"width": width, "height": 800}
    context = demo.browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
    context.set_default_timeout(15_000)
    page, complaints = context.new_page(), list[str]()
    page.on("console", lambda message: complaints.append(message.text))

    def judge(name: str) -> None:
        assert violations(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        picture(page, f"{name}-{width}-{scheme}")

    page.goto(demo.portal)
    judge("people")
    provider = page.url.partition("/authorize")[0]
    page.get_by_role("link", name=BEN.name).click()
    for host in ("wiki", "live"):
        page.goto(demo.url(host))
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        judge(host)
    assert complaints == []  # a style or a script that was blocked would be one
    page.goto(f"{provider}/authorize?client_id=somebody")
    expect(page.get_by_role("main")).to_contain_text("client and redirect URI must be those of the portal")
    judge("wrong")
    context.close()


def test_the_picture_of_the_readme_is_small_and_as_wide_as_it_is_shown() -> None:
    assert "](docs/portal.png)" in (ROOT / "README.md").read_text(encoding="utf-8")
    content = (ROOT / "docs" / "portal.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">I", content[16:20]) == (WIDTH,)
    assert len(content) < 150_000
