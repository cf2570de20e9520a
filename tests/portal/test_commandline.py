"""A program on somebody's computer: asked for on a page, and given a token that is good on one host."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from proxy.http.message import Headers
from proxy.identity.sessions.session import Session, host_of_program
from proxy.identity.sessions.store import Store
from proxy.portal.request import Told
from tests.portal.peers import peer
from tests.portal.world import ACCESS, GIT, WIKI, Browser, World, location_of

LISTENS = "http://127.0.0.1:4711"
REDIRECT = f"{LISTENS}/callback"
VERIFIER = "v" * 43
WISH = {
    "redirect_uri": REDIRECT,
    "code_challenge": urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode(),
    "code_challenge_method": "S256",
    "state": "s" * 43,
}


def page(host: str = WIKI, path: str = "", **changes: str) -> str:
    return f"https://{host}/.ztproxy/command-line{path}?{urlencode(WISH | changes)}"


def csrf(told: Told) -> str:
    (token,) = re.findall(r'name="csrf" value="([^"]+)"', told.body.decode())
    return str(token)


async def say(browser: Browser, answer: str, url: str | None = None) -> str:
    """Open the page and answer it; return where the browser is sent to."""
    url = url or page()
    told = await browser.post(url, {"csrf": csrf(await browser.get(url)), "answer": answer})
    location = location_of(told)
    assert location is not None, told.body
    return location


async def code_of(browser: Browser, url: str | None = None) -> str:
    split = urlsplit(await say(browser, "allow", url))
    assert f"{split.scheme}://{split.netloc}{split.path}" == REDIRECT
    query = parse_qs(split.query)
    assert query["state"] == [WISH["state"]]
    return query["code"][0]


async def redeem(world: World, code: str, host: str = WIKI, **changes: str) -> Told:
    """Redeem a code, as the program does."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT, "code_verifier": VERIFIER}
    return await Browser(world).post(f"https://{host}/.ztproxy/token", form | changes, *PROGRAM)


PROGRAM: tuple[tuple[bytes, bytes], ...] = ((b"accept", b"application/json"), (b"sec-fetch-site", b"none"))


async def token_of(world: World, browser: Browser) -> str:
    told = await redeem(world, await code_of(browser))
    assert told.status == 200, told
    return str(json.loads(told.body)["access_token"])


async def session_of(world: World, token: str, host: str = WIKI, device: str = "") -> Session | None:
    return await world.sessions.read(token.encode(), host_of_program(host), world.now, device=device)


def policy_of(headers: Headers) -> str:
    (policy,) = [value.decode() for name, value in headers if name == b"content-security-policy"]
    return policy


async def test_whoever_has_not_signed_in_does_so_and_comes_back_to_the_page(browser: Browser) -> None:
    place, told = await browser.follow(await browser.get(page(path="/deep/er")))
    assert place == page(path="/deep/er")
    assert "alice@example.org" in told.body.decode()
    assert "Wiki".casefold() in told.body.decode().casefold()


async def test_a_token_is_a_handle_of_the_same_session_on_one_host(world: World, browser: Browser) -> None:
    await browser.sign_in()
    told = await redeem(world, await code_of(browser))
    given = json.loads(told.body)
    token = given["access_token"]
    assert re.fullmatch(r"ztcl_[A-Za-z0-9_-]{43}", token)
    assert (given["token_type"], given["expires_in"], given["user"]) == ("Bearer", 12 * 3600, "alice@example.org")
    assert (b"cache-control", b"no-store") in told.headers
    session = await browser.session(WIKI)
    assert session is not None
    assert await session_of(world, token) == session
    assert await session_of(world, token, GIT) is None
    for host in (WIKI, host_of_program(WIKI)):  # neither is the other one
        cookie = browser.cookies(WIKI)["__Host-ztproxy"]
        assert (await world.sessions.read(token.encode(), host, world.now) is None) == (host == WIKI)
        assert (await world.sessions.read(cookie.encode(), host, world.now) is None) == (host != WIKI)


async def test_nothing_is_written_before_a_person_says_yes(world: World, browser: Browser) -> None:
    await browser.sign_in()
    session = await browser.session(WIKI)
    assert session is not None
    before = await world.store.handles(session.id)
    assert csrf(await browser.get(page()))
    assert await say(browser, "deny") == f"{REDIRECT}?error=access_denied&state={WISH['state']}"
    assert await say(browser, "whatever") == f"{REDIRECT}?error=access_denied&state={WISH['state']}"
    assert await world.store.handles(session.id) == before


async def test_the_page_may_be_framed_by_nobody_and_leads_to_the_program_alone(browser: Browser) -> None:
    await browser.sign_in()
    policy = policy_of((await browser.get(page())).headers)
    assert "frame-ancestors 'none'" in policy
    assert f"form-action 'self' {LISTENS};" in policy


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        ({}, ()),
        ({"csrf": ""}, ()),
        ({"csrf": "other wish"}, ()),
        ({"csrf": "other person"}, ()),
        ({"csrf": "right"}, ((b"sec-fetch-site", b"cross-site"),)),
        ({"csrf": "right"}, ((b"sec-fetch-site", b""), (b"origin", f"https://{ACCESS}".encode()))),
    ],
)
async def test_only_the_page_itself_can_say_yes(
    world: World, browser: Browser, form: dict[str, str], fields: tuple[tuple[bytes, bytes], ...]
) -> None:
    await browser.sign_in()
    other = Browser(world)
    await other.sign_in(subject="ben", provider_sid="sid-2")
    tokens = {
        "right": csrf(await browser.get(page())),
        "other wish": csrf(await browser.get(page(redirect_uri=f"{LISTENS}1/callback"))),
        "other person": csrf(await other.get(page())),
    }
    sent = {name: tokens.get(value, value) for name, value in form.items()}
    told = await browser.post(page(), {**sent, "answer": "allow"}, *fields)
    assert (told.status, told.code) == (403, "form_refused")


async def test_nobody_says_yes_whose_session_has_ended(world: World, browser: Browser) -> None:
    await browser.sign_in()
    token, session = csrf(await browser.get(page())), await browser.session(WIKI)
    assert session is not None
    await world.store.end(session.id, "a test")
    world.sessions._forget(None)
    told = await browser.post(page(), {"csrf": token, "answer": "allow"})
    assert (told.status, told.code) == (403, "form_refused")


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": uri}
        for uri in (
            "", "https://127.0.0.1:4711/callback", "http://localhost:4711/callback", "http://127.0.0.1/callback",
            "http://127.0.0.1:0/", "http://127.0.0.1:65536/", "http://127.0.0.1:4711", "http://127.0.0.2:4711/",
            "http://127.0.0.1:4711@evil.example/", "http://127.0.0.1.evil.example:4711/", "http://[::1]:4711/",
            "http://127.0.0.1:4711/?a=b", "http://127.0.0.1:4711/#", "http://127.0.0.1:4711/;", "http://127.0.0.1:4711/\n",
            "//127.0.0.1:4711/", "http://0.0.0.0:4711/", "http://127.1:4711/", "HTTP://127.0.0.1:4711/",
        )
    ]
    + [{"code_challenge": ""}, {"code_challenge": "a" * 42}, {"code_challenge": "a" * 42 + "="}]
    + [{"code_challenge_method": "plain"}, {"code_challenge_method": ""}]
    + [{"state": ""}, {"state": "short"}, {"state": "s" * 129}, {"state": "s" * 20 + "&x"}, {"state": "s" * 20 + "\n"}],
)  # fmt: skip
async def test_a_wish_that_is_malformed_is_refused_before_anybody_is_asked(
    browser: Browser, changes: dict[str, str]
) -> None:
    for signed_in in (False, True):
        if signed_in:
            await browser.sign_in()
        told = await browser.get(page(**changes))
        assert (told.status, told.code) == (400, "target_refused")


@pytest.mark.parametrize("path", ["/open", "/open/er"])
async def test_a_route_that_nobody_signs_in_on_gives_no_token(browser: Browser, path: str) -> None:
    await browser.sign_in()
    told = await browser.get(page(path=path))
    assert (told.status, told.code) == (404, "route_not_found")


async def test_a_route_of_other_providers_sends_people_to_those(two: World) -> None:
    browser = Browser(two)
    told = browser.begin(f"https://{WIKI}/partners/")
    await browser.follow(told)
    assert (session := await browser.session(WIKI)) is not None
    assert session.issuer == "partner"
    assert csrf(await browser.get(page(path="/partners/")))
    corp = Browser(two)
    there = location_of(corp.begin(f"https://{WIKI}/"))
    assert there is not None
    await corp.follow(await corp.get(f"{there}&provider=corp"))
    assert (location := location_of(await corp.get(page(path="/partners/")))) is not None
    assert location.startswith(f"https://{ACCESS}/.ztproxy/sign-in?to=")


@pytest.mark.parametrize(
    "changes",
    [
        {"code_verifier": "w" * 43},
        {"code_verifier": ""},
        {"code_verifier": WISH["code_challenge"]},
        {"code_verifier": "ü" * 43},
        {"redirect_uri": f"{LISTENS}1/callback"},
        {"redirect_uri": ""},
        {"grant_type": "password"},
        {"host": GIT},
        {"code": "c" * 43},
        {"code": ""},
        {"code": "ü" * 43},
    ],
)
async def test_a_code_is_good_for_the_program_that_asked_on_its_host_and_is_spent_by_a_mistake(
    world: World, browser: Browser, changes: dict[str, str]
) -> None:
    await browser.sign_in()
    code = await code_of(browser)
    host, changed_code = changes.pop("host", WIKI), changes.pop("code", code)
    told = await redeem(world, changed_code, host, **changes)
    assert (told.status, told.code) == (400, "sign_in_expired")
    assert b"access_token" not in told.body
    if changed_code == code:
        assert (await redeem(world, code)).status == 400


async def test_a_code_works_once_and_for_a_minute(world: World, browser: Browser) -> None:
    await browser.sign_in()
    code = await code_of(browser)
    world.wait(59)
    assert (await redeem(world, code)).status == 200
    assert (await redeem(world, code)).code == "sign_in_expired"
    late = await code_of(browser)
    world.wait(60)
    assert (await redeem(world, late)).code == "sign_in_expired"


async def test_a_code_of_a_session_that_has_ended_gives_nothing(world: World, browser: Browser) -> None:
    await browser.sign_in()
    code, session = await code_of(browser), await browser.session(WIKI)
    assert session is not None
    await world.store.end(session.id, "a test")
    assert (await redeem(world, code)).code == "sign_in_expired"


async def test_a_token_says_whose_it_is_until_its_session_ends(world: World, browser: Browser) -> None:
    await browser.sign_in()
    token = await token_of(world, browser)
    shown = (b"authorization", f"Bearer {token}".encode())
    told = await Browser(world).get(f"https://{WIKI}/.ztproxy/token", shown)
    assert json.loads(told.body) == {"expires_in": 12 * 3600, "user": "alice@example.org"}
    assert (await Browser(world).get(f"https://{GIT}/.ztproxy/token", shown)).code == "token_invalid"
    session = await browser.session(WIKI)
    assert session is not None
    await world.store.end(session.id, "a test")
    told = await Browser(world).get(f"https://{WIKI}/.ztproxy/token", shown)
    assert (told.status, told.code) == (401, "token_invalid")


@pytest.mark.parametrize("shown", ["", "Bearer", "Bearer x", "Basic ztcl_" + "a" * 43, "Bearer ztcl_" + "a" * 43])
async def test_what_is_no_token_is_nobodys(world: World, shown: str) -> None:
    told = await Browser(world).get(f"https://{WIKI}/.ztproxy/token", (b"authorization", shown.encode()))
    assert (told.status, told.code) == (401, "token_invalid")


async def test_a_handle_of_a_browser_is_no_token(world: World, browser: Browser) -> None:
    await browser.sign_in()
    handle = browser.cookies(WIKI)["__Host-ztproxy"]
    for text in (handle, f"ztcl_{handle}"):
        assert await session_of(world, text) is None


async def test_a_token_that_is_given_back_ends_alone(world: World, browser: Browser) -> None:
    await browser.sign_in()
    token, other = await token_of(world, browser), await token_of(world, browser)
    revoke = f"https://{WIKI}/.ztproxy/revoke"
    elsewhere = await Browser(world).post(f"https://{GIT}/.ztproxy/revoke", {"token": token}, *PROGRAM)
    assert (elsewhere.status, await session_of(world, token) is not None) == (200, True)
    for _ in range(2):
        assert (await Browser(world).post(revoke, {"token": token}, *PROGRAM)).status == 200
        assert await session_of(world, token) is None
    assert await session_of(world, other) is not None
    assert await browser.session(WIKI) is not None


async def test_a_person_sees_where_programs_act_for_them(world: World, browser: Browser) -> None:
    await browser.sign_in()
    await browser.sign_in(f"https://{GIT}/")
    seen: list[list[str]] = []
    for step in range(4):
        if step:
            host = (WIKI, GIT, WIKI)[step - 1]
            assert (await redeem(world, await code_of(browser, page(host)), host)).status == 200
        told = await browser.get(f"https://{ACCESS}/.ztproxy/who")
        seen.append(world.views.shown.values["programs"])
        assert (b"Command line" in told.body) == bool(step)
    assert seen == [[], [WIKI], [GIT, WIKI], [GIT, WIKI]]


async def test_a_cookie_cannot_be_given_back_as_a_token(world: World, browser: Browser) -> None:
    await browser.sign_in()
    handle = browser.cookies(WIKI)["__Host-ztproxy"]
    for text in (handle, "", "ztcl_x"):
        assert (await Browser(world).post(f"https://{WIKI}/.ztproxy/revoke", {"token": text}, *PROGRAM)).status == 200
    assert await browser.session(WIKI) is not None


@pytest.mark.parametrize(
    ("method", "name"),
    [(b"PUT", "token"), (b"GET", "revoke"), (b"PUT", "command-line"), (b"POST", "command-line-done")],
)
async def test_other_methods_are_refused(browser: Browser, method: bytes, name: str) -> None:
    assert (await browser.get(f"https://{WIKI}/.ztproxy/{name}", method=method)).status == 405


async def test_a_program_is_sent_back_to_its_terminal_in_either_language(browser: Browser) -> None:
    done = f"https://{WIKI}/.ztproxy/command-line-done"
    assert b"Back to your terminal" in (await browser.get(done)).body
    assert "Zurück zum Terminal".encode() in (await browser.get(done, (b"accept-language", b"de"))).body


async def test_a_token_of_a_device_is_good_on_that_device_alone(store: Store) -> None:
    world = World(store, bind_device=True)
    browser = Browser(world)
    browser.peer = peer("mdm:1")
    await browser.sign_in()
    token = await token_of(world, browser)  # the program redeems it on a connection of its own
    assert await session_of(world, token, device="mdm:1") is not None
    assert await session_of(world, token, device="mdm:2") is None
    assert await session_of(world, token) is None
