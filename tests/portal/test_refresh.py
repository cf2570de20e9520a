"""Sessions are asked about at their provider: by one at a time, and without signing anybody out that it has not."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from proxy.identity.login.outcome import Ended, Postponed
from proxy.identity.sessions.session import Session
from proxy.identity.sessions.store import Store
from proxy.portal.holder import REFRESH_TOKEN
from proxy.portal.refresh import Refresher
from tests.portal.world import WIKI, Browser, WatchedStore, World


async def signed_in(world: World) -> Session:
    browser = Browser(world)
    await browser.sign_in()
    session = await browser.session(WIKI)
    assert session is not None
    return session


async def current(world: World, session: Session) -> Session:
    found = await world.store.get(session.id)
    assert found is not None
    return found


async def test_claims_are_read_again_and_tokens_rotate(world: World) -> None:
    session = await signed_in(world)
    world.wait(600)
    world.provider.refreshed = world.provider.identity(
        groups=("staff", "admins"), refresh_token="refresh-1", id_token="", authenticated_at=world.now, acr="gold"
    )
    await Refresher(world.site, lambda: world.now).refresh(session.id)
    after = await current(world, session)
    assert world.provider.refreshes == ["refresh-0"]
    assert after.groups == ("staff", "admins")
    assert world.keyring.open(REFRESH_TOKEN, after.refresh_token, world.now) == b"refresh-1"
    assert after.id_token == session.id_token
    assert after.refresh_at == world.now + 600
    assert after.expires_at == session.expires_at
    # A refresh is no sign-in: it makes nobody fresher or stronger.
    assert (after.authenticated_at, after.acr, after.amr) == (session.authenticated_at, "one", ("pwd",))


async def test_a_token_that_does_not_rotate_is_kept(world: World) -> None:
    session = await signed_in(world)
    world.wait(600)
    world.provider.refreshed = world.provider.identity(refresh_token="")
    refresher = Refresher(world.site, lambda: world.now)
    await refresher.refresh(session.id)
    world.wait(600)
    await refresher.refresh(session.id)
    assert world.provider.refreshes == ["refresh-0", "refresh-0"]


async def test_of_many_workers_one_asks(world: World) -> None:
    session = await signed_in(world)
    world.wait(600)
    world.provider.refreshed = world.provider.identity(refresh_token="refresh-1")
    workers = [Refresher(world.site, lambda: world.now) for _ in range(8)]
    await asyncio.gather(*(worker.refresh(session.id) for worker in workers))
    assert world.provider.refreshes == ["refresh-0"]


async def test_a_session_that_is_not_due_is_left(world: World) -> None:
    session = await signed_in(world)
    await Refresher(world.site, lambda: world.now).refresh(session.id)
    await Refresher(world.site, lambda: world.now).refresh("0" * 32)
    assert world.provider.refreshes == []


async def test_a_session_that_its_provider_has_ended_ends(world: World) -> None:
    session = await signed_in(world)
    world.wait(600)
    world.provider.refreshed = Ended("provider must accept the refresh token")
    await Refresher(world.site, lambda: world.now).refresh(session.id)
    assert await world.store.get(session.id) is None


async def test_a_provider_that_is_down_signs_nobody_out(world: World) -> None:
    session = await signed_in(world)
    world.wait(600)
    world.provider.down = True
    refresher = Refresher(world.site, lambda: world.now)
    for _ in range(5):
        await refresher.refresh(session.id)
    assert await current(world, session) == session
    other = Refresher(world.site, lambda: world.now)
    await other.refresh(session.id)
    assert len(world.provider.refreshes) == 1


async def test_a_provider_that_comes_back_and_says_no_ends_it(world: World) -> None:
    session = await signed_in(world)
    world.wait(600)
    world.provider.down = True
    refresher = Refresher(world.site, lambda: world.now)
    await refresher.refresh(session.id)
    world.provider.down, world.provider.refreshed = False, Ended("gone")
    world.wait(31)
    await refresher.refresh(session.id)
    assert await world.store.get(session.id) is None


async def test_a_token_that_came_without_what_it_was_asked_for_is_the_one_to_ask_with_next(world: World) -> None:
    session = await signed_in(world)
    world.wait(600)
    world.provider.refreshed = Postponed("userinfo: status must be 200, not 503", "refresh-1")
    refresher = Refresher(world.site, lambda: world.now)
    await refresher.refresh(session.id)
    after = await current(world, session)
    assert (after.groups, after.refresh_at) == (session.groups, session.refresh_at)
    world.wait(31)
    world.provider.refreshed = world.provider.identity(groups=("admins",), refresh_token="refresh-2")
    await refresher.refresh(session.id)
    assert world.provider.refreshes == ["refresh-0", "refresh-1"]
    assert (await current(world, session)).groups == ("admins",)


async def test_a_token_under_a_key_that_is_gone_ends_the_session(world: World, store: Store) -> None:
    session = await signed_in(world)
    await store.update(replace(session, refresh_token="unreadable"), session.version)
    world.wait(600)
    await Refresher(world.site, lambda: world.now).refresh(session.id)
    assert await store.get(session.id) is None


async def test_what_changes_meanwhile_is_not_lost(world: World) -> None:
    session = await signed_in(world)
    world.wait(600)

    async def refresh(token: str, of: Session) -> object:
        await world.store.update(replace(of, acr="gold", authenticated_at=world.now), of.version)  # a step-up
        return world.provider.identity(groups=("admins",), refresh_token="refresh-1")

    world.provider.refresh = refresh  # type: ignore[method-assign,assignment]
    await Refresher(world.site, lambda: world.now).refresh(session.id)
    after = await current(world, session)
    assert (after.acr, after.authenticated_at, after.groups) == ("gold", world.now, ("admins",))
    assert world.keyring.open(REFRESH_TOKEN, after.refresh_token, world.now) == b"refresh-1"


async def test_use_is_noticed_and_refreshed_beside(world: World) -> None:
    session = await signed_in(world)
    refresher = Refresher(world.site, lambda: world.now)
    refreshed = asyncio.Event()
    world.provider.refreshed = world.provider.identity(refresh_token="refresh-1")

    release = world.store.release

    async def released(name: str, owner: str) -> None:
        await release(name, owner)
        refreshed.set()

    world.store.release = released  # type: ignore[method-assign]
    running = asyncio.gather(refresher.run())
    refresher.notice(session, world.now)
    world.wait(600)
    for _ in range(100):
        refresher.notice(session, world.now)
    await asyncio.wait_for(refreshed.wait(), 5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert world.provider.refreshes == ["refresh-0"]


async def test_a_session_without_a_refresh_token_is_not_asked_about(world: World) -> None:
    browser = Browser(world)
    await browser.sign_in(refresh_token="")
    session = await browser.session(WIKI)
    assert session is not None
    assert session.refresh_at is None


async def test_a_refresh_that_began_is_ended_before_the_process(world: World) -> None:
    session = await signed_in(world)
    world.wait(600)
    asked, answer = asyncio.Event(), asyncio.Event()

    async def refresh(token: str, of: Session) -> object:
        asked.set()
        await answer.wait()
        return world.provider.identity(refresh_token="refresh-1")

    world.provider.refresh = refresh  # type: ignore[method-assign,assignment]
    refresher = Refresher(world.site, lambda: world.now)
    refresher.notice(session, world.now)
    running = asyncio.gather(refresher.run())
    await asyncio.wait_for(asked.wait(), 5)
    running.cancel()
    asyncio.get_running_loop().call_soon(answer.set)
    await asyncio.gather(running, return_exceptions=True)
    after = await current(world, session)
    assert world.keyring.open(REFRESH_TOKEN, after.refresh_token, world.now) == b"refresh-1"


async def test_a_store_that_is_gone_is_asked_again_later(store: Store) -> None:
    watched = WatchedStore(store)
    world = World(watched)  # type: ignore[arg-type]
    session = await signed_in(world)
    world.wait(600)
    watched.gone = True
    refresher = Refresher(world.site, lambda: world.now)
    await refresher.refresh(session.id)
    refresher.notice(session, world.now)
    assert not refresher._noticed
    world.wait(31)
    refresher.notice(session, world.now)
    assert session.id in refresher._noticed
