"""The hand-over: for one host, one browser and one time."""

from __future__ import annotations

from hashlib import sha256

import pytest

from proxy.identity.sessions.store import Store
from proxy.portal.handover import Nonce, new_nonce, nonce_of
from tests.portal.peers import peer
from tests.portal.world import ACCESS, GIT, NOW, WIKI, Browser, World, changed, location_of, parameter

PAGE = f"https://{WIKI}/page"


async def code_for(browser: Browser, page: str = PAGE) -> str:
    """Sign in as far as the hand-over; return its URL."""
    there = location_of(browser.begin(page))
    assert there is not None
    told = await browser.get(there)
    if (location := location_of(told)) is not None and location.startswith(browser.world.provider.issuer_url):
        told = await browser.get(browser.world.provider.consent(location))
    url = location_of(told)
    assert url is not None
    assert "/.ztproxy/handover?code=" in url
    return url


async def is_refused(browser: Browser, url: str, host: str = WIKI) -> bool:
    told = await browser.get(url)
    return (told.status, told.code, location_of(told)) == (400, "sign_in_expired", None) and (
        "__Host-ztproxy" not in browser.cookies(host)
    )


async def test_a_code_works_once(browser: Browser) -> None:
    url = await code_for(browser)
    assert location_of(await browser.get(url)) == PAGE
    browser.cookies(WIKI).pop("__Host-ztproxy")
    assert await is_refused(browser, url)


async def test_a_code_works_for_30_seconds(world: World, browser: Browser) -> None:
    url = await code_for(browser)
    world.wait(30)
    assert await is_refused(browser, url)


async def test_a_link_of_somebody_else_signs_nobody_in(world: World, browser: Browser) -> None:
    """Login CSRF: the attacker's code, with or without a sign-in that the victim has begun."""
    attacker = browser
    without, begun = Browser(world), Browser(world)
    begun.begin(PAGE)
    assert await is_refused(without, await code_for(attacker))
    assert await is_refused(begun, await code_for(attacker))


async def test_a_wish_that_somebody_else_sealed_hands_him_nothing(world: World, browser: Browser) -> None:
    """An attacker begins, the victim signs in at that link: the code is good in the attacker's browser alone."""
    attacker, victim = Browser(world), browser
    there = location_of(attacker.begin(PAGE))
    told = await victim.get(there or "")
    told = await victim.get(world.provider.consent(location_of(told) or ""))
    assert await is_refused(victim, location_of(told) or "")


async def test_a_code_that_was_tried_in_another_browser_is_spent(world: World, browser: Browser) -> None:
    url = await code_for(browser)
    assert await is_refused(Browser(world), url)
    assert await is_refused(browser, url)


async def test_a_code_is_for_one_host(world: World, browser: Browser) -> None:
    """A host that somebody else has taken over gets no session of another host."""
    browser.begin(f"https://{GIT}/")
    browser.cookies(GIT)["__Host-ztproxy-nonce"] = ""
    url = await code_for(browser)
    browser.cookies(GIT)["__Host-ztproxy-nonce"] = browser.cookies(WIKI)["__Host-ztproxy-nonce"]
    assert await is_refused(browser, url.replace(WIKI, GIT), GIT)
    assert await is_refused(browser, (await code_for(browser)).replace(WIKI, f"{WIKI}:8443"), f"{WIKI}:8443")


async def test_a_handle_is_for_one_host(world: World, browser: Browser) -> None:
    await browser.sign_in(PAGE)
    for host in (GIT, ACCESS, f"{WIKI}:8443"):
        browser.cookies(host)["__Host-ztproxy"] = browser.cookies(WIKI)["__Host-ztproxy"]
        assert await browser.session(host) is None


async def test_a_session_that_ended_is_not_handed_over(world: World, browser: Browser) -> None:
    url = await code_for(browser)
    (session,) = await world.store.sessions()
    await world.store.end(session.id, "test")
    assert await is_refused(browser, url)
    assert world.views.shown.values["again"] == f"https://{WIKI}/"


async def test_a_handle_that_was_there_is_forgotten(world: World, browser: Browser) -> None:
    await browser.sign_in(PAGE)
    old = browser.cookies(WIKI)["__Host-ztproxy"]
    await browser.sign_in(PAGE)
    assert browser.cookies(WIKI)["__Host-ztproxy"] != old
    assert await world.sessions.read(old.encode(), WIKI, world.now) is None


@pytest.mark.parametrize("query", ["", "?code=", "?code=x", "?code=" + "c" * 43, "?code=%C3%A4", "?code=" + "é" * 43])
async def test_what_is_no_code_is_refused(query: str, browser: Browser) -> None:
    browser.begin(PAGE)
    assert await is_refused(browser, f"https://{WIKI}/.ztproxy/handover" + query.replace("é", "%C3%A9"))


async def test_a_code_twice_is_refused(browser: Browser) -> None:
    url = await code_for(browser)
    told = await browser.get(f"{url}&code=x")
    assert (told.status, told.code) == (400, "target_refused")


async def test_what_the_store_keeps_of_a_code_cannot_be_read_or_written(world: World, store: Store) -> None:
    browser = Browser(world)
    url = await code_for(browser, f"https://{WIKI}/page?secret=value")
    key = sha256(parameter(url, "code").encode()).digest()
    kept = await store.take_code(key)
    assert kept is not None
    assert b"secret" not in kept
    await store.put_code(key, b'["x","wiki.example.org","/",""]', NOW + 30)
    assert await is_refused(browser, url)


def test_a_nonce_is_read_strictly() -> None:
    made = new_nonce(NOW)
    name, value = made.field()[1].split(b";")[0].split(b"=", 1)
    assert nonce_of({name: value}, NOW) == made
    for broken in (b"", value[1:], b"." + value, value + b".1", value.replace(b".0.", b".-1."), value + b"9" * 12):
        assert nonce_of({name: broken}, NOW) is None
    assert nonce_of({name: made.value.encode() + b".0.99999999999"}, NOW) == made


def test_rounds_are_counted_for_a_minute() -> None:
    nonce = Nonce("n" * 43, 0, int(NOW))
    for _ in range(3):
        assert not nonce.is_loop(NOW + 59)
        nonce = nonce.after_a_round(NOW + 1)
    assert nonce.is_loop(NOW + 59)
    assert not nonce.is_loop(NOW + 60)
    assert nonce.after_a_round(NOW + 60) == Nonce("n" * 43, 1, int(NOW) + 60)


async def test_a_changed_parameter_is_ignored(browser: Browser) -> None:
    url = changed(await code_for(browser), back="https://evil.example/")
    assert location_of(await browser.get(url)) == PAGE


@pytest.mark.parametrize("name", ["spiffe://example.org/pc/2", None])
async def test_a_session_of_one_device_is_not_handed_to_another(name: str | None, store: Store) -> None:
    world = World(store, bind_device=True)
    browser = Browser(world, peer("spiffe://example.org/pc/1"))
    url = await code_for(browser)
    browser.peer = None if name is None else peer(name)
    told = await browser.get(url)
    assert (told.status, told.code) == (403, "sign_in_refused")
    assert "__Host-ztproxy" not in browser.cookies(WIKI)
