"""The portal as a whole: which host answers what, and what its pages never tell."""

from __future__ import annotations

import pytest

from proxy.errors import POLICY_DENIED, Refused
from proxy.portal.request import PortalRequest
from tests.portal.world import ACCESS, GIT, NOW, WIKI, Browser, World, location_of, target

PAGE = f"https://{WIKI}/page?q=a%20b&x=//y"
HOME = f"https://{ACCESS}/.ztproxy/"


@pytest.mark.parametrize(
    ("url", "owned"),
    [
        (f"https://{WIKI}/.ztproxy/", True),
        (f"https://{WIKI}/.ztproxy/anything/else", True),
        (f"https://{WIKI}/%2Eztproxy/sign-in", True),
        ("https://other.example/.ztproxy/who", True),
        (f"https://{ACCESS}/", True),
        (f"https://{WIKI}/", False),
        (f"https://{WIKI}/.ztproxy", False),
        (f"https://{WIKI}/.ztproxyx/", False),
        (f"https://{WIKI}/a/.ztproxy/", False),
        (f"https://{ACCESS}:8443/", False),
    ],
)
def test_the_portal_owns_its_paths_on_every_host(url: str, owned: bool, world: World) -> None:
    assert world.portal.owns(target(url)) == owned


async def test_a_person_signs_in_and_returns_to_the_exact_address(world: World, browser: Browser) -> None:
    assert await browser.sign_in(PAGE) == PAGE
    session = await browser.session(WIKI)
    assert session is not None
    assert (session.subject, session.email, session.issuer) == ("alice", "alice@example.org", "corp")
    assert session == await browser.session(ACCESS)
    assert browser.cookies(WIKI)["__Host-ztproxy"] != browser.cookies(ACCESS)["__Host-ztproxy"]


@pytest.mark.parametrize(("path", "page"), [("", "applications"), ("who", "who"), ("?q=wiki", "applications")])
async def test_a_page_of_ones_own_is_shown_after_signing_in(
    path: str, page: str, world: World, browser: Browser
) -> None:
    end, told = await browser.follow(await browser.get(HOME + path))
    assert end == HOME + path.partition("?")[0]
    assert (told.status, world.views.shown.page) == (200, page)
    assert b"alice@example.org" in told.body
    told = await browser.get(HOME + path)
    assert (told.status, told.code) == (200, "")


async def test_the_root_of_the_sign_in_host_leads_to_the_applications(browser: Browser) -> None:
    assert location_of(await browser.get(f"https://{ACCESS}/")) == HOME
    assert location_of(await browser.get(f"https://{WIKI}/.ztproxy/")) == HOME
    assert location_of(await browser.get(f"https://{GIT}/.ztproxy/who")) == f"{HOME}who"


async def test_pages_hold_neither_handle_nor_token(world: World, browser: Browser) -> None:
    await browser.sign_in()
    session = await browser.session(ACCESS)
    assert session is not None
    for path in ("", "who"):
        told = await browser.get(HOME + path)
        whole = told.body + b"".join(name + value for name, value in told.headers)
        secrets = (
            session.refresh_token,
            session.id_token,
            "refresh-0",
            "id-token-0",
            *browser.cookies(ACCESS).values(),
        )
        for secret in secrets:
            assert secret == "corp" or secret.encode() not in whole  # the provider's name is no secret
        assert (b"cache-control", b"no-store") in told.headers


@pytest.mark.parametrize(
    ("host", "path"),
    [
        (ACCESS, "nothing"),
        (ACCESS, "handover"),
        (ACCESS, "callback"),
        (ACCESS, "static/../who".replace("../", "")),
        (WIKI, "callback/corp"),
        (WIKI, "nothing"),
        ("other.example", "nothing"),
    ],
)
async def test_what_is_no_page_is_not_found(host: str, path: str, browser: Browser) -> None:
    told = await browser.get(f"https://{host}/.ztproxy/{path}")
    assert (told.status, told.code) == (404, "route_not_found")


@pytest.mark.parametrize("host", ["other.example", f"{ACCESS}:8443", f"{WIKI}:8443", "127.0.0.1"])
async def test_a_host_that_is_none_of_ours_signs_nobody_in(host: str, world: World, browser: Browser) -> None:
    for path in ("sign-in", "sign-in?return=/", f"sign-in?return=https://{host}/"):
        told = await browser.get(f"https://{host}/.ztproxy/{path}")
        assert (told.status, told.code, location_of(told)) == (400, "target_refused", None)
    assert (await browser.get(f"https://{host}/.ztproxy/handover?code={'c' * 43}")).status == 400
    assert "__Host-ztproxy" not in browser.cookies(host)


@pytest.mark.parametrize("host", [ACCESS, WIKI])
async def test_what_pages_load_is_on_every_host(host: str, browser: Browser) -> None:
    told = await browser.get(HOME)
    told = (await browser.follow(told))[1]
    name = told.body.partition(b'href="/.ztproxy/static/')[2].partition(b'"')[0].decode()
    told = await browser.get(f"https://{host}/.ztproxy/static/{name}")
    assert told.status == 200
    assert any(b"immutable" in value for field, value in told.headers if field == b"cache-control")


async def test_a_program_gets_a_problem_document(world: World) -> None:
    request = PortalRequest(
        b"GET", target(f"{HOME}nothing"), [(b"accept", b"application/json")], b"", "192.0.2.1", None, "req-1", NOW
    )
    told = await world.portal.answer(request)
    assert (told.status, dict(told.headers)[b"content-type"]) == (404, b"application/problem+json")


async def test_who_is_refused_can_be_somebody_else(world: World, browser: Browser) -> None:
    await browser.sign_in(PAGE)
    session = await browser.session(WIKI)
    assert session is not None
    request = PortalRequest(b"GET", target(PAGE), browser.headers(WIKI), b"", "192.0.2.1", None, "req-1", NOW)
    told = world.portal.refused(Refused(POLICY_DENIED, "no"), request, session, "Wiki")
    assert (told.status, told.code) == (403, "policy_denied")
    assert b"https://wiki.example.org/.ztproxy/sign-in?return=/page%3Fq%3Da%2520b%26x%3D//y&amp;another=1" in told.body
    end, _ = await browser.follow(
        await browser.get(f"https://{WIKI}/.ztproxy/sign-in?return=/page%3Fq%3Da%2520b%26x%3D//y&another=1")
    )
    assert end == PAGE


@pytest.mark.parametrize("place", range(43))
async def test_a_handle_with_a_changed_character_is_none(place: int, browser: Browser) -> None:
    await browser.sign_in()
    handle = browser.cookies(ACCESS)["__Host-ztproxy"]
    other = "A" if handle[place] != "A" else "B"
    browser.cookies(ACCESS)["__Host-ztproxy"] = handle[:place] + other + handle[place + 1 :]
    assert await browser.session(ACCESS) is None
    assert location_of(await browser.get(f"{HOME}who")) == f"{HOME.removesuffix('/')}/sign-in?return=/.ztproxy/who"
