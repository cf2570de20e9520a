"""Signing in at the sign-in host: only what this browser began, at the provider it went to, once."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from proxy.http.message import Target
from proxy.identity.sessions.store import Store
from proxy.policy.decision import StepUp
from proxy.portal.request import Told
from tests.portal.peers import peer
from tests.portal.world import (
    ACCESS,
    GIT,
    WIKI,
    Browser,
    FakeProvider,
    WatchedStore,
    World,
    changed,
    location_of,
    parameter,
    target,
)

PAGE = f"https://{WIKI}/page?q=a%20b&x=//y"
SIGN_IN = f"https://{ACCESS}/.ztproxy/sign-in"


async def to_provider(browser: Browser, page: str = PAGE, step_up: StepUp | None = None) -> str:
    """Go as far as the provider; return the address there."""
    there = location_of(browser.begin(page, step_up))
    assert there is not None
    told = await browser.get(there)
    location = location_of(told)
    assert location is not None, told
    return location


def is_refused(told: Told, browser: Browser, code: str) -> bool:
    """Tell whether an answer is a page that says no, and no session is begun."""
    jar = browser.cookies(ACCESS)
    return told.status in (400, 403) and told.code == code and "__Host-ztproxy" not in jar and location_of(told) is None


async def test_a_second_application_opens_without_the_provider(world: World, browser: Browser) -> None:
    await browser.sign_in()
    browser.trail.clear()
    assert await browser.sign_in(f"https://{GIT}/") == f"https://{GIT}/"
    assert not any(url.startswith(world.provider.issuer_url) for url in browser.trail)


async def test_the_redirect_uri_is_of_the_config(world: World, browser: Browser) -> None:
    location = await to_provider(browser)
    assert parameter(location, "redirect_uri") == f"https://{ACCESS}/.ztproxy/callback/corp"
    hostile = [
        (b"x-forwarded-host", b"evil.example"),
        (b"x-forwarded-proto", b"http"),
        (b"forwarded", b"host=evil.example"),
    ]
    told = await browser.get(SIGN_IN, *hostile)
    assert "evil" not in (location_of(told) or "")


async def test_verifiers_and_nonces_are_fresh_each_time(world: World, browser: Browser) -> None:
    seen = [await to_provider(browser) for _ in range(5)]
    for name in ("state", "nonce", "code_challenge"):
        values = {parameter(location, name) for location in seen}
        assert len(values) == 5
        assert all(len(value) == 43 for value in values)


async def test_a_callback_works_once(world: World, browser: Browser) -> None:
    back = world.provider.consent(await to_provider(browser))
    kept = dict(browser.cookies(ACCESS))
    assert location_of(await browser.get(back)) is not None
    browser.cookies(ACCESS).pop("__Host-ztproxy")
    assert is_refused(await browser.get(back), browser, "sign_in_expired")
    browser.jar[ACCESS] = kept  # a browser that kept its cookie: the code is spent
    assert is_refused(await browser.get(back), browser, "sign_in_refused")


async def test_a_state_works_once_even_if_a_provider_takes_a_code_twice(world: World, browser: Browser) -> None:
    location = await to_provider(browser)
    kept = dict(browser.cookies(ACCESS))
    await browser.get(world.provider.consent(location))
    browser.jar[ACCESS] = kept
    assert is_refused(await browser.get(world.provider.consent(location)), browser, "sign_in_expired")


async def test_a_callback_in_another_browser_signs_nobody_in(world: World, browser: Browser) -> None:
    victim = Browser(world)
    back = world.provider.consent(await to_provider(browser))
    assert is_refused(await victim.get(back), victim, "sign_in_expired")
    await to_provider(victim)  # one that is signing in itself
    assert is_refused(await victim.get(back), victim, "sign_in_expired")
    assert location_of(await browser.get(back)) is not None


async def test_the_code_of_somebody_else_is_refused(world: World, browser: Browser) -> None:
    attacker = Browser(world)
    stolen = parameter(world.provider.consent(await to_provider(browser)), "code")
    own = world.provider.consent(await to_provider(attacker))
    assert is_refused(await attacker.get(changed(own, code=stolen)), attacker, "sign_in_refused")


async def test_tabs_that_sign_in_at_once_all_succeed(world: World, browser: Browser) -> None:
    pages = [f"https://{WIKI}/{number}" for number in range(3)]
    left = [await to_provider(browser, page) for page in pages]
    for number in (2, 0, 1):
        told = await browser.get(world.provider.consent(left[number]))
        assert (await browser.follow(told))[0] == pages[number]
        assert await browser.session(WIKI) is not None
    assert len(await world.store.sessions()) == 1


async def test_tabs_whose_hand_overs_cross_all_succeed(world: World, browser: Browser) -> None:
    await browser.sign_in(f"https://{GIT}/")
    handovers = []
    for page in (f"https://{WIKI}/1", f"https://{WIKI}/2"):
        there = location_of(browser.begin(page))
        assert there is not None
        handovers.append(await browser.get(there))
    for number in (1, 0):
        assert (await browser.follow(handovers[number]))[0] == f"https://{WIKI}/{number + 1}"
        assert await browser.session(WIKI) is not None


async def test_sign_ins_that_strangers_begin_fill_neither_store_nor_browser(store: Store) -> None:
    watched = WatchedStore(store)
    world = World(watched)  # type: ignore[arg-type]
    browser = Browser(world)
    for number in range(200):
        await to_provider(browser, f"https://{WIKI}/{number}")
    await browser.get(changed(f"https://{ACCESS}/.ztproxy/callback/corp", state="x" * 43, code="y"))
    await browser.get(f"https://{WIKI}/.ztproxy/handover?code=short")
    assert watched.calls == []
    assert len(browser.cookies(ACCESS)) == 5
    assert len(browser.cookies(WIKI)) == 1


async def test_a_sign_in_left_open_for_an_hour_says_how_to_go_on(world: World, browser: Browser) -> None:
    location = await to_provider(browser)
    world.wait(3600)
    told = await browser.get(world.provider.consent(location))
    assert is_refused(told, browser, "sign_in_expired")


async def test_a_choice_left_open_for_an_hour_leads_back_to_the_page(two: World) -> None:
    browser = Browser(two)
    there = location_of(browser.begin(PAGE))
    assert there is not None
    two.wait(3600)
    told = await browser.get(there)
    assert is_refused(told, browser, "sign_in_expired")
    assert two.views.shown.values["again"] == PAGE


async def test_a_wish_that_was_changed_is_refused(world: World, browser: Browser) -> None:
    there = location_of(browser.begin(PAGE))
    assert there is not None
    sealed = parameter(there, "to")
    for place in range(0, len(sealed), 7):
        other = "A" if sealed[place] != "A" else "B"
        told = await browser.get(f"{SIGN_IN}?to={sealed[:place]}{other}{sealed[place + 1 :]}")
        assert is_refused(told, browser, "sign_in_expired")
    assert is_refused(await browser.get(f"{SIGN_IN}?to="), browser, "sign_in_expired")


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", f"https://{WIKI}/open/x"],
)
async def test_nobody_is_sent_elsewhere(url: str, world: World, browser: Browser) -> None:
    told = await browser.get(changed(SIGN_IN, **{"return": url}))
    assert is_refused(told, browser, "target_refused")
    await browser.sign_in()
    told = await browser.get(changed(SIGN_IN, **{"return": url}))
    assert (told.status, told.code, location_of(told)) == (400, "target_refused", None)


async def test_a_route_that_is_gone_meanwhile_is_no_return_address(world: World, browser: Browser) -> None:
    location = await to_provider(browser)
    world.site.returns._places = lambda host, segments: None
    told = await browser.get(world.provider.consent(location))
    assert (told.code, location_of(told)) == ("target_refused", None)


async def test_an_answer_of_another_provider_is_refused(two: World) -> None:
    browser = Browser(two)
    told = await browser.get(changed(location_of(browser.begin(PAGE)) or "", provider="corp"))
    back = two.provider.consent(location_of(told) or "")
    kept = dict(browser.cookies(ACCESS))
    for hostile in (
        back.replace("/callback/corp", "/callback/partner"),
        changed(back, iss="https://partner.example"),
        back.partition("&iss=")[0],
        back.replace("/callback/corp", "/callback/nobody"),
    ):
        browser.jar[ACCESS] = dict(kept)
        assert is_refused(await browser.get(hostile), browser, "sign_in_refused")
        assert not any(name.startswith("__Host-ztproxy-begun") for name in browser.cookies(ACCESS))
    browser.jar[ACCESS] = dict(kept)
    assert location_of(await browser.get(back)) is not None


@pytest.mark.parametrize("name", ["code", "state", "iss"])
async def test_a_parameter_that_is_there_twice_is_refused(name: str, world: World, browser: Browser) -> None:
    back = world.provider.consent(await to_provider(browser))
    told = await browser.get(f"{back}&{name}=x")
    assert is_refused(told, browser, "target_refused")


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS"])
async def test_a_provider_answers_with_get_alone(method: bytes, world: World, browser: Browser) -> None:
    back = world.provider.consent(await to_provider(browser))
    told = await browser.get(back, method=method)
    assert (told.status, told.code) == (405, "method_refused")
    assert (b"allow", b"GET") in told.headers
    assert location_of(await browser.get(back)) is not None  # and the code is not spent


@pytest.mark.parametrize(
    "query", ["", "?code=x", "?state=", "?state=x", "?error=access_denied", "?code=x&state=" + "s" * 43]
)
async def test_a_callback_without_a_sign_in_of_ours_is_refused(query: str, world: World, browser: Browser) -> None:
    told = await browser.get(f"https://{ACCESS}/.ztproxy/callback/corp{query}")
    assert is_refused(told, browser, "sign_in_expired")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("access_denied", "sign_in_refused"),
        ("login_required", "sign_in_refused"),
        ("<script>", "sign_in_refused"),
        ("temporarily_unavailable", "sign_in_unavailable"),
    ],
)
async def test_a_provider_that_says_no_is_told_about(error: str, code: str, world: World, browser: Browser) -> None:
    back = world.provider.consent(await to_provider(browser))
    told = await browser.get(changed(back, error=error))
    assert told.code == code
    assert "<" not in told.detail
    assert world.views.shown.values["again"] == PAGE
    assert "__Host-ztproxy" not in browser.cookies(ACCESS)


async def test_a_provider_that_is_down_is_told_about(world: World, browser: Browser) -> None:
    location = await to_provider(browser)
    world.provider.down = True
    told = await browser.get(world.provider.consent(location))
    assert (told.status, told.code) == (503, "sign_in_unavailable")
    there = location_of(browser.begin(PAGE))
    assert there is not None
    assert (await browser.get(there)).code == "sign_in_unavailable"
    assert world.views.shown.values["again"] == PAGE


async def test_nothing_secret_is_told_to_the_log(world: World, browser: Browser) -> None:
    location = await to_provider(browser)
    back = world.provider.consent(location)
    told = await browser.get(changed(back, code="spent-code"))
    assert told.detail
    for secret in ("spent-code", parameter(back, "state"), parameter(location, "nonce")):
        assert secret not in told.detail


# --- several providers


async def test_several_providers_are_offered(two: World) -> None:
    browser = Browser(two)
    await browser.follow(browser.begin(PAGE))
    shown = two.views.shown
    assert shown.page == "choose"
    assert [title for title, _ in shown.values["links"]] == ["Example SSO", "Partner SSO"]
    told = await browser.get(f"https://{ACCESS}{shown.values['links'][1][1]}")
    assert (location_of(told) or "").startswith("https://partner.example/")
    assert (await browser.follow(told))[0] == PAGE


async def test_a_choice_is_remembered(two: World) -> None:
    browser = Browser(two)
    await browser.get(f"{SIGN_IN}?provider=partner")
    assert (await browser.follow(await browser.get(f"{SIGN_IN}?provider=partner")))[0].startswith(f"https://{ACCESS}/")
    for host in (ACCESS, WIKI):
        browser.cookies(host).pop("__Host-ztproxy", None)
    browser.trail.clear()
    assert await browser.sign_in() == f"https://{WIKI}/page?q=1"
    assert any(url.startswith("https://partner.example") for url in browser.trail)
    await browser.get(f"{SIGN_IN}?another")
    assert two.views.shown.page == "choose"


async def test_a_route_has_its_own_providers(two: World) -> None:
    browser = Browser(two)
    await browser.follow(await browser.get(f"{SIGN_IN}?provider=corp"))
    browser.trail.clear()
    page = f"https://{WIKI}/partners/x"
    assert await browser.sign_in(page) == page  # the only one is not asked about; a session of another does not do
    assert any(url.startswith("https://partner.example") for url in browser.trail)
    there = location_of(browser.begin(page))
    told = await browser.get(changed(there or "", provider="corp", another="1"))
    assert told.code == "sign_in_refused"


async def test_a_provider_that_nobody_configured_is_refused(two: World) -> None:
    browser = Browser(two)
    assert is_refused(await browser.get(f"{SIGN_IN}?provider=evil"), browser, "sign_in_refused")
    browser.cookies(ACCESS)["__Host-ztproxy-provider"] = "evil"
    await browser.get(SIGN_IN)
    assert two.views.shown.page == "choose"


# --- who was there before


async def test_each_sign_in_gives_a_new_handle(world: World, browser: Browser) -> None:
    planted = "P" * 43
    for host in (ACCESS, WIKI):
        browser.cookies(host)["__Host-ztproxy"] = planted
    await browser.sign_in()
    first = {host: browser.cookies(host)["__Host-ztproxy"] for host in (ACCESS, WIKI)}
    assert planted not in first.values()
    await browser.follow(await browser.get(f"{SIGN_IN}?another"))
    browser.cookies(WIKI).pop("__Host-ztproxy")
    await browser.sign_in()
    second = {host: browser.cookies(host)["__Host-ztproxy"] for host in (ACCESS, WIKI)}
    assert len({*first.values(), *second.values()}) == 4
    assert await world.sessions.read(first[ACCESS].encode(), ACCESS, world.now) is None


async def test_somebody_else_ends_the_session_that_was_there(world: World, browser: Browser) -> None:
    await browser.sign_in()
    before = await browser.session(WIKI)
    assert before is not None
    told = await browser.get(f"{SIGN_IN}?another")
    assert parameter(location_of(told) or "", "prompt") == "select_account"
    await browser.follow(told, subject="ben", email="ben@example.org", provider_sid="sid-2")
    after = await browser.session(ACCESS)
    assert after is not None
    assert after.subject == "ben"
    assert await browser.session(WIKI) is None
    assert await world.store.get(before.id) is None


async def test_tokens_are_kept_sealed(world: World, browser: Browser) -> None:
    await browser.sign_in()
    session = await browser.session(WIKI)
    assert session is not None
    assert session.refresh_token and "refresh-0" not in session.refresh_token
    assert session.id_token and "id-token-0" not in session.id_token
    assert session.refresh_at == world.now + 600
    assert session.expires_at == world.now + 12 * 3600


async def test_a_session_of_a_device_says_so(store: Store) -> None:
    world = World(store, bind_device=True)
    browser = Browser(world, peer("spiffe://example.org/pc/1"))
    await browser.sign_in()
    session = await browser.session(WIKI)
    assert session is not None
    assert session.device == "spiffe://example.org/pc/1"
    stolen = Browser(world, peer("spiffe://example.org/pc/2"))
    stolen.jar = browser.jar
    assert await stolen.session(WIKI) is None
    assert await stolen.session(ACCESS) is None


# --- step-up


async def test_a_step_up_asks_the_provider_and_comes_back(world: World, browser: Browser) -> None:
    await browser.sign_in()
    before, handles = await browser.session(WIKI), dict(browser.cookies(WIKI))
    world.wait(1000)
    location = await to_provider(browser, PAGE, StepUp(900, ("two",)))
    assert parameter(location, "max_age") == "900"
    assert parameter(location, "acr") == "two"
    assert parameter(location, "prompt") == "login"
    assert parameter(location, "login_hint") == "alice@example.org"
    told = await browser.get(world.provider.consent(location, acr="two"))
    assert (await browser.follow(told))[0] == PAGE
    after = await browser.session(WIKI)
    assert before is not None and after is not None
    assert after.id == before.id
    assert (after.authenticated_at, after.acr) == (world.now, "two")
    assert browser.cookies(WIKI)["__Host-ztproxy"] != handles["__Host-ztproxy"]
    assert await world.sessions.read(handles["__Host-ztproxy"].encode(), WIKI, world.now) is None


@pytest.mark.parametrize(
    ("changes", "sentence"), [({"acr": "one"}, True), ({"authenticated_at": 1_800_000_000.0}, False)]
)
async def test_a_provider_that_does_not_step_up_is_explained(
    changes: dict[str, object], sentence: bool, world: World, browser: Browser
) -> None:
    await browser.sign_in()
    world.wait(1000)
    location = await to_provider(browser, PAGE, StepUp(900, ("two",)))
    told = await browser.get(world.provider.consent(location, **{"acr": "two", **changes}))
    assert (told.status, told.code) == (403, "sign_in_refused")
    assert (world.views.shown.values["sentence"] is not None) == sentence
    session = await browser.session(WIKI)
    assert session is not None
    assert session.acr == "one"


async def test_a_step_up_that_another_tab_made_is_not_made_again(world: World, browser: Browser) -> None:
    await browser.sign_in()
    world.wait(1000)
    await browser.follow(browser.begin(PAGE, StepUp(900)))
    browser.trail.clear()
    told = browser.begin(f"https://{WIKI}/other", StepUp(900))
    assert (await browser.follow(told))[0] == f"https://{WIKI}/other"
    assert not any(url.startswith(world.provider.issuer_url) for url in browser.trail)


async def test_a_step_up_that_policy_is_never_content_with_is_stopped(world: World, browser: Browser) -> None:
    await browser.sign_in()
    told = None
    for _ in range(10):
        told = browser.begin(PAGE, StepUp(0))
        if location_of(told) is None:
            break
        await browser.follow(told)
    assert told is not None
    assert (told.status, told.code) == (403, "sign_in_repeated")
    assert "again" in world.views.shown.values["sentence"]
    again = world.views.shown.values["again"]
    assert urlsplit(again).netloc == WIKI
    assert (await browser.follow(await browser.get(again)))[0] == PAGE  # whoever clicks may try once more
    world.wait(61)
    assert location_of(browser.begin(PAGE, StepUp(0))) is not None


def test_targets_of_this_world_are_parsed() -> None:
    assert isinstance(target(PAGE), Target)


async def test_a_store_that_is_gone_refuses_and_loses_nothing(store: Store) -> None:
    watched = WatchedStore(store)
    world = World(watched, FakeProvider())  # type: ignore[arg-type]
    browser = Browser(world)
    location = await to_provider(browser)
    watched.gone = True
    told = await browser.get(world.provider.consent(location))
    assert (told.status, told.code) == (503, "sessions_unavailable")
    assert "__Host-ztproxy" not in browser.cookies(ACCESS)
