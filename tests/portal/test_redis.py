"""Two hosts that share their sessions in Redis: what one begins the other ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.identity.sessions.redis import RedisStore
from proxy.portal.refresh import Refresher
from tests.identity.sessions.redis_server import RedisServer
from tests.portal.world import ACCESS, WIKI, Browser, World, location_of

PAGE = f"https://{WIKI}/page"


@pytest.fixture
async def worlds(tmp_path: Path) -> AsyncIterator[tuple[World, World]]:
    server = RedisServer(tmp_path)
    try:
        await server.start()
        stores = [RedisStore(server.url) for _ in range(2)]
        one, other = (World(store) for store in stores)
        other.providers.update(one.providers)
        one.now = other.now = one.provider.now = time.time()
        yield one, other
        for store in stores:
            await store.close()
    finally:
        await server.end()


async def test_a_sign_in_begun_at_one_host_ends_at_another(worlds: tuple[World, World]) -> None:
    one, other = worlds
    browser = Browser(one)
    told = await browser.get(location_of(browser.begin(PAGE)) or "")
    browser.world = other
    told = await browser.get(one.provider.consent(location_of(told) or ""))
    handover = location_of(told) or ""
    browser.world = one
    assert location_of(await browser.get(handover)) == PAGE
    assert await browser.session(WIKI) is not None
    assert (await browser.get(handover)).code == "sign_in_expired"
    browser.world = other
    assert await browser.session(WIKI) is not None


async def test_signing_out_at_one_host_signs_out_of_both(worlds: tuple[World, World]) -> None:
    one, other = worlds
    browser = Browser(one)
    await browser.sign_in(PAGE)
    kept = dict(browser.cookies(WIKI))
    await browser.get(f"https://{ACCESS}/.ztproxy/who")
    token = one.views.shown.values["token"]
    browser.world = other
    assert (await browser.post(f"https://{ACCESS}/.ztproxy/sign-out", {"csrf": token})).status == 200
    browser.jar[WIKI] = kept
    for browser.world in worlds:
        assert await browser.session(WIKI) is None


async def test_of_two_hosts_one_refreshes(worlds: tuple[World, World]) -> None:
    one, other = worlds
    browser = Browser(one)
    await browser.sign_in(PAGE)
    session = await browser.session(WIKI)
    assert session is not None
    assert await one.store.update(replace(session, refresh_at=time.time() - 1), session.version)
    one.provider.refreshed = one.provider.identity(groups=("admins",), refresh_token="refresh-1")
    await asyncio.gather(*(Refresher(world.site).refresh(session.id) for world in worlds for _ in range(4)))
    assert one.provider.refreshes == ["refresh-0"]
    after = await other.store.get(session.id)
    assert after is not None
    assert after.groups == ("admins",)
