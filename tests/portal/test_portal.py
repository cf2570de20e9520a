"""Signing in from end to end, with a provider that is a fake and a store that is not."""

from __future__ import annotations

from tests.portal.world import ACCESS, WIKI, Browser, World

PAGE = f"https://{WIKI}/page?q=a%20b&x=//y"


async def test_a_person_signs_in_and_returns_to_the_exact_address(world: World, browser: Browser) -> None:
    assert await browser.sign_in(PAGE) == PAGE
    session = await browser.session(WIKI)
    assert session is not None
    assert (session.subject, session.email, session.issuer) == ("alice", "alice@example.org", "corp")
    assert session == await browser.session(ACCESS)
    assert browser.cookies(WIKI)["__Host-ztproxy"] != browser.cookies(ACCESS)["__Host-ztproxy"]
