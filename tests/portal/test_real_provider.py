"""The portal at a real provider: signing in, stepping up and leaving, as `oidc-provider` has it."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urljoin

import aiohttp
import pytest

from proxy.config.limits import Limits
from proxy.config.schema import Identity, Issuer
from proxy.identity.issuers import build_issuers
from proxy.identity.login.providers import build_providers
from proxy.identity.sessions.session import Session
from proxy.identity.sessions.sqlite import SQLiteStore
from proxy.identity.sessions.store import Store
from proxy.policy.decision import StepUp
from proxy.portal.refresh import Refresher
from proxy.portal.request import Told
from tests.identity.test_keys import running
from tests.oidc_provider.provider import OIDCProvider
from tests.portal.world import ACCESS, WIKI, Browser, World, location_of

PAGE = f"https://{WIKI}/page?q=1"


class Person:
    """A browser that fills in what the provider asks for."""

    def __init__(self, world: World, provider: str, session: aiohttp.ClientSession) -> None:
        self.browser = Browser(world)
        self.provider = provider
        self.session = session
        self.asked = 0  # how often for a name

    async def follow(self, told: Told, name: str = "ana") -> str:
        """Follow redirects to a page of an application, or to where they end; sign in as somebody."""
        while (location := location_of(told)) is not None:
            if location.startswith(self.provider):
                location = await self._through(location, name)
            if not location.startswith(f"https://{ACCESS}") and "/.ztproxy/" not in location:
                return location
            told = await self.browser.get(location)
        return told.code or str(told.status)

    async def _through(self, location: str, name: str) -> str:
        form: dict[str, str] | None = None
        while location.startswith(self.provider):
            method = "GET" if form is None else "POST"
            async with self.session.request(method, location, data=form, allow_redirects=False) as answer:
                page, form = await answer.text(), None
                if "location" in answer.headers:
                    location = urljoin(location, answer.headers["location"])
                    continue
            prompt, action = re.search(r'name="prompt" value="([a-z]+)"', page), re.search(r'action="([^"]+)"', page)
            assert prompt is not None and action is not None, page
            self.asked += prompt[1] == "login"
            location, form = urljoin(location, action[1]), {"prompt": prompt[1], "login": name, "password": "x"}
        return location


@pytest.fixture
async def real() -> AsyncIterator[OIDCProvider]:
    async with OIDCProvider(f"https://{ACCESS}/.ztproxy/callback/corp") as provider:
        yield provider


@pytest.fixture
async def world(tmp_path: Path, real: OIDCProvider) -> AsyncIterator[World]:
    """A world whose provider and clock are real."""
    secret = tmp_path / "secret"
    secret.write_text("ztproxy-secret", encoding="utf-8")
    secret.chmod(0o600)
    login = {"client_id": "ztproxy", "client_secret_file": str(secret), "title": "Example SSO"}
    identity = Identity.model_validate(
        {"issuers": {"corp": Issuer.model_validate({"issuer": real.url, "login": login})}}
    )
    issuers, wrong = build_issuers(identity, Limits(), None, lambda _event, _fields: None)
    providers, also_wrong = build_providers(identity, issuers)
    assert [*wrong, *also_wrong] == []
    store: Store = SQLiteStore(tmp_path / "sessions.db")
    made = World(store, *providers.values())  # type: ignore[arg-type]
    made.now = time.time()
    async with running(issuers.sources["corp"]):
        yield made
    await store.close()


@pytest.fixture
async def ana(world: World, real: OIDCProvider) -> AsyncIterator[Person]:
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        yield Person(world, real.url, session)


async def test_a_person_signs_in_and_opens_a_second_application(world: World, ana: Person) -> None:
    assert await ana.follow(ana.browser.begin(PAGE)) == PAGE
    session = await ana.browser.session(WIKI)
    assert session is not None
    assert (session.subject, session.email, session.groups) == ("ana", "ana@example.org", ("engineering",))
    assert await ana.follow(ana.browser.begin("https://git.example.org/")) == "https://git.example.org/"
    assert ana.asked == 1


async def test_a_person_steps_up(world: World, ana: Person) -> None:
    await ana.follow(ana.browser.begin(PAGE))
    before = await ana.browser.session(WIKI)
    handle = ana.browser.cookies(WIKI)["__Host-ztproxy"]
    assert before is not None
    world.now = before.authenticated_at + 100  # later than the provider's own clock: what was proven then is too old
    assert await ana.follow(ana.browser.begin(PAGE, StepUp(60))) == PAGE
    after = await ana.browser.session(WIKI)
    assert after is not None
    assert ana.asked == 2
    assert after.authenticated_at >= before.authenticated_at
    assert ana.browser.cookies(WIKI)["__Host-ztproxy"] != handle


async def test_a_provider_that_has_no_such_context_class_is_explained(world: World, ana: Person) -> None:
    await ana.follow(ana.browser.begin(PAGE))
    assert await ana.follow(ana.browser.begin(PAGE, StepUp(None, ("urn:none",)))) == "sign_in_refused"


async def test_a_provider_whose_clock_is_behind_by_more_than_max_age_is_explained(
    world: World, ana: Person, real: OIDCProvider
) -> None:
    await real.set_clock(-90)
    await ana.follow(ana.browser.begin(PAGE))
    ends = [await ana.follow(ana.browser.begin(PAGE, StepUp(60))) for _ in range(4)]
    assert ends[0] == PAGE
    assert ends[-1] == "sign_in_repeated"
    assert ana.asked <= len(ends)


async def test_tabs_that_sign_in_at_once_both_succeed(world: World, ana: Person) -> None:
    second = PAGE + "&tab=2"
    tabs = [await ana.browser.get(location_of(ana.browser.begin(page)) or "") for page in (PAGE, second)]
    assert [await ana.follow(tab) for tab in reversed(tabs)] == [second, PAGE]


async def test_a_code_is_good_once(world: World, ana: Person) -> None:
    told = await ana.browser.get(location_of(ana.browser.begin(PAGE)) or "")
    kept = dict(ana.browser.cookies(ACCESS))
    back = await ana._through(location_of(told) or "", "ana")
    assert await ana.follow(await ana.browser.get(back)) == PAGE
    ana.browser.jar[ACCESS] = kept
    assert (await ana.browser.get(back)).code == "sign_in_refused"


async def test_a_person_leaves_the_provider_too(world: World, ana: Person) -> None:
    await ana.follow(ana.browser.begin(PAGE))
    await ana.browser.get(f"https://{ACCESS}/.ztproxy/who")
    form = {"csrf": world.views.shown.values["token"]}
    assert (await ana.browser.post(f"https://{ACCESS}/.ztproxy/sign-out", form)).status == 200
    title, url = world.views.shown.values["way"]
    assert title == "Example SSO"
    async with ana.session.get(url) as answer:
        assert answer.status == 200
        assert "logout" in (await answer.text()).lower()


async def signed_in(world: World, ana: Person) -> Session:
    assert await ana.follow(ana.browser.begin(PAGE)) == PAGE
    session = await ana.browser.session(WIKI)
    assert session is not None
    return session


async def test_a_refresh_token_rotates_and_one_that_is_used_twice_ends_the_session(
    world: World, ana: Person, real: OIDCProvider
) -> None:
    session = await signed_in(world, ana)
    refresher = Refresher(world.site, lambda: world.now)
    for group in ("sales", "finance"):
        await real.move("ana", group)
        world.wait(600)
        await refresher.refresh(session.id)
        after = await world.store.get(session.id)
        assert after is not None
        assert after.groups == (group,)
    tokens = [each["refresh_token"] for each in await real.issued()]
    assert len(set(tokens)) == 3
    assert await real.refresh(tokens[1]) == 400
    world.wait(600)
    await refresher.refresh(session.id)
    assert await world.store.get(session.id) is None


async def test_a_provider_that_fails_when_it_has_spent_a_refresh_token_ends_no_session(
    world: World, ana: Person, real: OIDCProvider
) -> None:
    session = await signed_in(world, ana)
    refresher = Refresher(world.site, lambda: world.now)
    await real.break_down("/me")
    await real.move("ana", "sales")
    world.wait(600)
    await refresher.refresh(session.id)
    during = await world.store.get(session.id)
    assert during is not None
    assert during.groups == ("engineering",)
    await real.mend()
    world.wait(31)
    await refresher.refresh(session.id)
    after = await world.store.get(session.id)
    assert after is not None
    assert after.groups == ("sales",)
