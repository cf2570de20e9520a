"""A person's day in a real Chromium: a whole gateway, two real providers, and each page that the person comes to."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.story import Story, picture, prove, sign_in
from tests.gateway import wait_for


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
        return any(url.startswith(story.corp.url) for url in asked)

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
    assert page.url.startswith(story.corp.url)
    picture(page, "step-up-at-the-provider")
    assert page.locator("input[name=login]").count() == 1
    prove(page, story.corp)
    assert page.url == story.url("vault", "/door?n=1")
    expect(page.get_by_role("heading")).to_have_text("An application")
