"""A program on the same computer is let in, or not, in a real Chromium, which brings it the answer."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from proxy.cli.application import Application
from proxy.cli.loopback import Loopback
from tests.browser.chromium import violations
from tests.browser.story import Story, picture, prove
from tests.gateway import PATIENCE

STATE, VERIFIER = "s" * 43, "v" * 43


@pytest.mark.parametrize("button", ["Allow", "Don’t allow"])
def test_the_browser_brings_the_answer_to_where_the_program_waits(story: Story, page: Page, button: str) -> None:
    application = Application(story.url("wiki", "/deep/page"), None)
    with Loopback(STATE, application.done) as loopback:
        page.goto(application.page(loopback.redirect_uri, VERIFIER, STATE))
        page.get_by_role("link", name="Continue with Example SSO").click()
        prove(page, story.corp)
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        expect(page.get_by_role("heading")).to_have_text("Let a program act as you?")
        for text in ("Wiki", f"wiki.example.org:{story.port}", "ana@example.org", "ztproxy login"):
            expect(page.get_by_role("main")).to_contain_text(text)
        assert violations(page) == []
        picture(page, "program")
        assert loopback.wait(0) is None
        page.get_by_role("button", name=button, exact=True).click()
        expect(page.get_by_role("heading")).to_have_text("Back to your terminal")
        picture(page, "program-may")
        answer = loopback.wait(PATIENCE)
    assert answer is not None
    assert bool(answer.code) == (button == "Allow")
    assert page.url == application.done  # and the code is not in the address
    assert complaints == []
