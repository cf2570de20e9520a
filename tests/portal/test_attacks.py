"""Attacks on sign-ins and sessions that no other test of the portal makes."""

from __future__ import annotations

import pytest

from proxy.identity.sealed import Keyring
from proxy.portal.state import open_asked
from tests.portal.world import ACCESS, KEY, NOW, WIKI, Browser, World, location_of

HOME = f"https://{ACCESS}/.ztproxy/"


async def test_a_session_ends_by_itself(world: World, browser: Browser) -> None:
    await browser.sign_in()
    world.wait(3599)
    assert await browser.session(WIKI) is not None
    world.wait(3600)
    assert await browser.session(WIKI) is None
    browser = Browser(world)
    await browser.sign_in()
    for _ in range(12 * 60 - 1):  # used every minute for twelve hours
        world.wait(60)
        assert await browser.session(WIKI) is not None
    world.wait(60)
    assert await browser.session(WIKI) is None


async def test_a_clock_that_jumps_makes_no_session_last(world: World, browser: Browser) -> None:
    await browser.sign_in()
    world.wait(-86400)
    assert await browser.session(WIKI) is not None
    world.wait(86400 + 12 * 3600)
    assert await browser.session(WIKI) is None
    world.wait(-12 * 3600)
    url = location_of(browser.begin(f"https://{WIKI}/"))
    world.wait(-86400)
    assert (await browser.get(url or "")).code == "sign_in_expired"  # of a day that has not come


async def test_claims_of_any_size_are_no_cookie(world: World, browser: Browser) -> None:
    groups = tuple(f"group-{number}" for number in range(20_000))
    await browser.sign_in(groups=groups)
    session = await browser.session(WIKI)
    assert session is not None
    assert session.groups == groups
    assert all(len(value) <= 4096 for jar in browser.jar.values() for value in jar.values())


async def test_a_provider_signs_nobody_out_in_a_frame(world: World, browser: Browser) -> None:
    await browser.sign_in()
    for path in ("sign-out?iss=https://idp.example&sid=sid-1", "frontchannel-logout?iss=x", "signed-out?sid=sid-1"):
        await browser.get(HOME + path, (b"sec-fetch-dest", b"iframe"))
    assert await browser.session(ACCESS) is not None


@pytest.mark.parametrize("name", ["return", "rd", "logout", "post_logout_redirect_uri", "redirect_url", "to"])
async def test_signing_out_leads_nowhere_else(name: str, world: World, browser: Browser) -> None:
    await browser.sign_in()
    for path in ("sign-out", "signed-out"):
        told = await browser.get(f"{HOME}{path}?{name}=https://{ACCESS}%5C@evil.example")
        assert location_of(told) in (None, f"{HOME}who")
        assert b"evil" not in told.body
    await browser.get(f"{HOME}who")
    form = {"csrf": world.views.shown.values["token"], name: "https://evil.example/"}
    told = await browser.post(f"{HOME}sign-out", form)
    assert told.status == 200
    assert b"evil" not in told.body


def test_a_parameter_does_not_grow() -> None:
    """Nothing that a URL carries is decompressed, and what is too long is not even opened."""
    ring = Keyring.of(KEY)
    assert open_asked(ring, ring.seal("sign-in asked", b"[" * 4_000_000), NOW) is None
