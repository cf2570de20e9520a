"""Logout tokens: each works once, and ends what it names, sign-ins under way too."""

from __future__ import annotations

import pytest

from proxy.identity.login.outcome import LoginUnavailable, LogoutToken
from proxy.identity.sessions.store import Store
from proxy.portal.request import Told
from tests.portal.world import ACCESS, NOW, WIKI, Browser, FakeProvider, WatchedStore, World, location_of

ENDPOINT = f"https://{ACCESS}/.ztproxy/backchannel-logout/corp"


def order(world: World, name: str = "t1", **changes: str) -> str:
    """Have the provider sign a logout token; return it."""
    values = {"subject": "alice", "provider_sid": "sid-1", "jti": name} | changes
    world.provider.logout_tokens[name] = LogoutToken("corp", "https://idp.example", expires_at=NOW + 120, **values)
    return name


async def send(world: World, text: str, *fields: tuple[bytes, bytes]) -> Told:
    return await Browser(world).post(ENDPOINT, {"logout_token": text}, (b"sec-fetch-site", b""), *fields)


@pytest.mark.parametrize("changes", [{}, {"subject": ""}, {"provider_sid": ""}])
async def test_a_token_ends_sessions_on_every_host(changes: dict[str, str], world: World, browser: Browser) -> None:
    await browser.sign_in()
    told = await send(world, order(world, **changes))
    assert (told.status, told.body) == (200, b"")
    assert (b"cache-control", b"no-store") in told.headers
    assert await browser.session(WIKI) is None
    assert await browser.session(ACCESS) is None


@pytest.mark.parametrize(
    "changes", [{"provider_sid": "sid-9"}, {"subject": "ben"}, {"subject": "ben", "provider_sid": ""}]
)
async def test_a_token_leaves_other_sessions(changes: dict[str, str], world: World, browser: Browser) -> None:
    await browser.sign_in()
    assert (await send(world, order(world, **changes))).status == 200
    assert await browser.session(WIKI) is not None


async def test_a_token_works_once(world: World, browser: Browser) -> None:
    text = order(world, provider_sid="")
    assert (await send(world, text)).status == 200
    world.wait(1)
    await browser.sign_in()
    told = await send(world, text)
    assert (told.status, told.code) == (400, "logout_token_refused")
    assert (b"cache-control", b"no-store") in told.headers
    assert await browser.session(WIKI) is not None


async def test_a_sign_in_under_way_ends_too(world: World, browser: Browser) -> None:
    there = location_of(browser.begin(f"https://{WIKI}/"))
    location = location_of(await browser.get(there or ""))
    back = world.provider.consent(location or "")
    await send(world, order(world))
    told = await browser.get(back)
    assert (told.status, told.code) == (403, "sign_in_refused")
    assert "__Host-ztproxy" not in browser.cookies(ACCESS)
    assert await world.store.sessions() == []


async def test_a_hand_over_under_way_ends_too(world: World, browser: Browser) -> None:
    there = location_of(browser.begin(f"https://{WIKI}/"))
    location = location_of(await browser.get(there or ""))
    handover = location_of(await browser.get(world.provider.consent(location or "")))
    await send(world, order(world))
    assert (await browser.get(handover or "")).code == "sign_in_expired"


@pytest.mark.parametrize("text", ["", "forged", "x" * 20_000, "é"])
async def test_what_is_no_token_is_refused(text: str, world: World) -> None:
    told = await send(world, text)
    assert (told.status, told.code) == (400, "logout_token_refused")


async def test_only_a_form_is_read(world: World) -> None:
    told = await send(world, order(world), (b"content-type", b"application/json"))
    assert (told.status, told.code) == (400, "logout_token_refused")
    told = await Browser(world).get(f"{ENDPOINT}?logout_token=t1")
    assert (told.status, told.code) == (405, "method_refused")


async def test_an_endpoint_is_on_the_sign_in_host_for_a_provider_of_ours(world: World) -> None:
    text = order(world)
    for url in (ENDPOINT.replace("corp", "evil"), ENDPOINT.replace(ACCESS, WIKI)):
        told = await Browser(world).post(url, {"logout_token": text})
        assert told.status in (404, 405)
    assert (await send(world, text)).status == 200


async def test_a_store_or_a_provider_that_is_gone_says_try_again(store: Store) -> None:
    watched = WatchedStore(store)
    world = World(watched)  # type: ignore[arg-type]
    text = order(world)
    watched.gone = True
    assert (await send(world, text)).status == 503

    class Silent(FakeProvider):
        async def verify_logout_token(self, text: str, now: float) -> LogoutToken:
            raise LoginUnavailable("keys must be there")

    assert (await send(World(store, Silent()), text)).status == 503
