"""The application hosts' part of signing in."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from proxy.policy.decision import StepUp
from tests.portal.world import ACCESS, GIT, WIKI, Browser, World, location_of, parameter

PAGE = f"https://{WIKI}/page?q=1"


def test_a_browser_is_sent_to_the_sign_in_host_and_nowhere_else(browser: Browser) -> None:
    told = browser.begin(PAGE)
    assert (location_of(told) or "").startswith(f"https://{ACCESS}/.ztproxy/sign-in?to=")
    assert WIKI not in (location_of(told) or "")  # it is sealed
    headers = dict(told.headers)
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"referrer-policy"] == b"no-referrer"
    assert headers[b"x-request-id"] == b"req-0"


def test_tabs_share_a_nonce(browser: Browser) -> None:
    browser.begin(PAGE)
    first = browser.cookies(WIKI)["__Host-ztproxy-nonce"]
    browser.begin(PAGE)
    assert browser.cookies(WIKI)["__Host-ztproxy-nonce"] == first


@pytest.mark.parametrize(
    "url", [f"https://{WIKI}:8443/", "https://evil.example/", f"https://{WIKI}/open/x", f"https://{WIKI}.evil.example/"]
)
def test_nobody_signs_in_for_what_is_no_place_of_ours(url: str, world: World, browser: Browser) -> None:
    told = browser.begin(url)
    assert (told.status, told.code, location_of(told)) == (404, "route_not_found", None)
    assert browser.cookies(WIKI) == {}


async def test_a_browser_that_keeps_no_cookies_is_told(world: World, browser: Browser) -> None:
    there = location_of(browser.begin(PAGE))
    browser.jar[WIKI] = {}
    told = (await browser.follow(await browser.get(there or "")))[1]
    assert (told.status, told.code) == (400, "sign_in_expired")
    blocked = Browser(world)
    there = location_of(blocked.begin(PAGE))
    told = await blocked.get(there or "")
    blocked.jar = {}
    told = await blocked.get(world.provider.consent(location_of(told) or ""))
    assert (told.status, told.code) == (400, "sign_in_expired")


async def test_a_browser_that_keeps_no_session_is_stopped(world: World, browser: Browser) -> None:
    for _ in range(3):
        assert await browser.sign_in(PAGE) == PAGE
        browser.cookies(WIKI).pop("__Host-ztproxy")
    told = browser.begin(PAGE)
    assert (told.status, told.code, location_of(told)) == (403, "sign_in_repeated", None)
    assert world.views.shown.values["sentence"] is None
    assert world.views.shown.values["again"] == f"https://{WIKI}/.ztproxy/sign-in?return=/page%3Fq%3D1"


async def test_a_link_to_sign_in_leads_back_to_a_page_of_its_host(world: World, browser: Browser) -> None:
    told = await browser.get(f"https://{WIKI}/.ztproxy/sign-in?return=/page%3Fq%3D1")
    assert (await browser.follow(told))[0] == PAGE


@pytest.mark.parametrize(
    "back",
    ["https://evil.example/", "//evil.example", "/%5Cevil.example", f"https://{GIT}/", "/open/x", "/a%0d%0ab", "x"],
)
async def test_a_link_to_sign_in_leads_nowhere_else(back: str, browser: Browser) -> None:
    told = await browser.get(f"https://{WIKI}/.ztproxy/sign-in?return={back}")
    assert (told.status, told.code, location_of(told)) == (400, "target_refused", None)


async def test_a_link_signs_in_as_somebody_else(two: World) -> None:
    browser = Browser(two)
    await browser.follow(await browser.get(f"https://{WIKI}/.ztproxy/sign-in?provider=corp"))
    assert await browser.session(WIKI) is not None
    told = await browser.get(f"https://{WIKI}/.ztproxy/sign-in?another=1&provider=partner")
    assert parameter(location_of(told) or "", "provider") == "partner"
    changes = {"subject": "ben", "email": "", "provider_sid": "sid-9"}
    assert (await browser.follow(told, **changes))[0] == f"https://{WIKI}/"
    session = await browser.session(WIKI)
    assert session is not None
    assert (session.issuer, session.subject) == ("partner", "ben")


@pytest.mark.parametrize(
    ("page", "chosen"),
    [
        ("/page?provider=partner", "partner"),
        ("/page?a=%20b&provider=corp&x=//y", "corp"),
        ("/partners/page?provider=partner", "partner"),
        ("/partners/page?provider=corp", None),
        ("/page?provider=github", None),
        ("/page?provider=", None),
        ("/page?provider=corp&provider=partner", None),
        ("/page?provider=c%6Frp", None),
        ("/page?provider=corp%FF", None),
        ("/page?myprovider=corp", None),
        ("/page", None),
    ],
)
async def test_a_page_may_choose_the_provider_and_keeps_its_query(page: str, chosen: str | None, two: World) -> None:
    browser = Browser(two)
    there = location_of(browser.begin(f"https://{WIKI}{page}")) or ""
    assert parse_qs(urlsplit(there).query).get("provider", [None]) == [chosen]
    told = await browser.get(there)
    if chosen is None and not page.startswith("/partners/"):
        assert two.views.shown.page == "choose"
        (told,) = [
            await browser.get(f"https://{ACCESS}{url}")
            for title, url in two.views.shown.values["links"]
            if title == "Partner SSO"
        ]
    assert (await browser.follow(told))[0] == f"https://{WIKI}{page}"
    session = await browser.session(WIKI)
    assert session is not None
    assert session.issuer == (chosen or "partner")


async def test_a_step_up_goes_to_the_provider_of_the_session_whatever_the_page_asks_for(two: World) -> None:
    browser = Browser(two)
    page = f"https://{WIKI}/page?provider=partner"
    await browser.sign_in(f"https://{WIKI}/page?provider=corp")
    two.wait(120)
    there = location_of(browser.begin(page, StepUp(60))) or ""
    assert "provider" not in parse_qs(urlsplit(there).query)
    assert (location_of(await browser.get(there)) or "").startswith(two.providers["corp"].issuer_url)


async def test_a_step_up_is_sealed_into_the_way(world: World, browser: Browser) -> None:
    there = location_of(browser.begin(PAGE, StepUp(60, ("gold",))))
    location = location_of(await browser.get(there or ""))
    assert parameter(location or "", "max_age") == "60"
    assert parameter(location or "", "acr") == "gold"
