"""Signing out: by a form of ours alone, of one session or of all, and at the provider."""

from __future__ import annotations

import pytest

from tests.portal.world import ACCESS, GIT, WIKI, Browser, World, location_of

WHO = f"https://{ACCESS}/.ztproxy/who"
SIGN_OUT = f"https://{ACCESS}/.ztproxy/sign-out"


async def token_of(browser: Browser) -> str:
    await browser.get(WHO)
    shown = browser.world.views.shown
    assert shown.page == "who"
    return str(shown.values["token"])


async def test_a_person_signs_out_of_every_host_at_once(world: World, browser: Browser) -> None:
    await browser.sign_in(f"https://{WIKI}/")
    await browser.sign_in(f"https://{GIT}/")
    handles = {host: browser.cookies(host)["__Host-ztproxy"] for host in (ACCESS, WIKI, GIT)}
    told = await browser.post(SIGN_OUT, {"csrf": await token_of(browser)})
    assert (told.status, world.views.shown.page) == (200, "signed out")
    assert "__Host-ztproxy" not in browser.cookies(ACCESS)
    for host, handle in handles.items():
        assert await world.sessions.read(handle.encode(), host, world.now) is None


async def test_the_provider_is_left_by_a_link(world: World, browser: Browser) -> None:
    await browser.sign_in()
    await browser.post(SIGN_OUT, {"csrf": await token_of(browser)})
    title, url = world.views.shown.values["way"]
    assert title == "Example SSO"
    assert url.startswith(
        "https://idp.example/end?id_token_hint=id-token-0&post_logout_redirect_uri=https%3A%2F%2Faccess"
    )
    world.provider.ends_sessions = False
    await browser.sign_in()
    await browser.post(SIGN_OUT, {"csrf": await token_of(browser)})
    assert world.views.shown.values["way"] is None


async def test_signing_out_everywhere_ends_the_sessions_of_all_browsers(world: World, browser: Browser) -> None:
    other, stranger = Browser(world), Browser(world)
    for each in (browser, other):
        await each.sign_in()
    await stranger.sign_in(subject="ben", provider_sid="sid-2")
    await browser.post(SIGN_OUT, {"csrf": await token_of(other), "where": "here"})
    assert await other.session(WIKI) is not None  # the token was another session's
    await browser.post(SIGN_OUT, {"csrf": await token_of(browser), "where": "everywhere"})
    assert await other.session(WIKI) is None
    assert await browser.session(WIKI) is None
    assert await stranger.session(WIKI) is not None


async def test_signing_out_here_leaves_other_browsers(world: World, browser: Browser) -> None:
    other = Browser(world)
    for each in (browser, other):
        await each.sign_in()
    await browser.post(SIGN_OUT, {"csrf": await token_of(browser), "where": "here"})
    assert await other.session(WIKI) is not None


async def test_a_link_signs_nobody_out(world: World, browser: Browser) -> None:
    await browser.sign_in()
    assert location_of(await browser.get(SIGN_OUT)) == WHO
    assert location_of(await browser.get(f"https://{WIKI}/.ztproxy/sign-out")) == SIGN_OUT
    assert await browser.session(ACCESS) is not None


@pytest.mark.parametrize(
    "fields",
    [
        [(b"sec-fetch-site", b"cross-site")],
        [(b"sec-fetch-site", b"same-site"), (b"origin", b"https://wiki.example.org")],
        [(b"sec-fetch-site", b"none")],
        [(b"sec-fetch-site", b""), (b"origin", b"null")],
        [(b"sec-fetch-site", b""), (b"origin", b"https://evil.example")],
        [(b"sec-fetch-site", b"")],
    ],
)
async def test_a_form_from_elsewhere_is_refused(
    fields: list[tuple[bytes, bytes]], world: World, browser: Browser
) -> None:
    await browser.sign_in()
    told = await browser.post(SIGN_OUT, {"csrf": await token_of(browser)}, *fields)
    assert (told.status, told.code) == (403, "form_refused")
    assert await browser.session(ACCESS) is not None


async def test_a_browser_without_fetch_metadata_says_its_origin(world: World, browser: Browser) -> None:
    await browser.sign_in()
    fields = [(b"sec-fetch-site", b""), (b"origin", b"https://access.example.org")]
    assert (await browser.post(SIGN_OUT, {"csrf": await token_of(browser)}, *fields)).status == 200


@pytest.mark.parametrize("token", ["", "x", "=" * 50, "é", "A" * 5000])
async def test_a_form_without_its_token_is_refused(token: str, world: World, browser: Browser) -> None:
    await browser.sign_in()
    told = await browser.post(SIGN_OUT, {"csrf": token})
    assert (told.status, told.code) == (403, "form_refused")
    assert await browser.session(ACCESS) is not None


async def test_a_token_of_another_session_is_refused(world: World, browser: Browser) -> None:
    other = Browser(world)
    for each in (browser, other):
        await each.sign_in()
    told = await browser.post(SIGN_OUT, {"csrf": await token_of(other)})
    assert (told.status, told.code) == (403, "form_refused")


async def test_a_token_ends_with_its_session(world: World, browser: Browser) -> None:
    await browser.sign_in()
    session = await browser.session(ACCESS)
    assert session is not None
    forms = world.portal._forms
    assert "=" not in forms.token(session, "sign-out")
    assert forms.token(session, "sign-out") != forms.token(session, "sign-out")


async def test_what_is_no_form_is_refused(world: World, browser: Browser) -> None:
    await browser.sign_in()
    told = await browser.post(SIGN_OUT, {"csrf": await token_of(browser)}, (b"content-type", b"text/plain"))
    assert (told.status, told.code) == (403, "form_refused")


async def test_who_has_no_session_is_signed_out_already(browser: Browser) -> None:
    browser.cookies(ACCESS)["__Host-ztproxy"] = "x" * 43
    told = await browser.post(SIGN_OUT, {})
    assert location_of(told) == f"https://{ACCESS}/.ztproxy/signed-out"
    assert browser.cookies(ACCESS) == {}
    assert (await browser.get(f"https://{ACCESS}/.ztproxy/signed-out")).status == 200


async def test_nobody_is_signed_out_by_another_method(browser: Browser) -> None:
    await browser.sign_in()
    told = await browser.get(SIGN_OUT, method=b"DELETE")
    assert (told.status, told.code) == (405, "method_refused")
