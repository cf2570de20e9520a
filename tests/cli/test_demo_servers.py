"""What the demo serves on its own: the provider, by the rules of its specifications, and the applications."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import jwt
import pytest

from proxy.cli.demo_apps import sample_service
from proxy.cli.demo_provider import Provider, challenge_of
from proxy.cli.demo_services import served
from proxy.cli.demo_world import CLIENT, World

VERIFIER = "v" * 43


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Asked:
    """A provider, and a client that asks it."""

    def __init__(self, world: World, provider: Provider, clock: Clock, session: aiohttp.ClientSession) -> None:
        self.world = world
        self.url = provider.url
        self.clock = clock
        self._session = session

    async def authorize(self, name: str = "ben", **changed: str) -> tuple[int, dict[str, str]]:
        """Choose somebody; return the status, and the parameters that the browser is sent back with."""
        request = {
            "client_id": CLIENT, "redirect_uri": self.world.redirect_uri, "response_type": "code", "scope": "openid",
            "code_challenge": challenge_of(VERIFIER), "code_challenge_method": "S256", "state": "s&t", "nonce": "n",
        }  # fmt: skip
        url = f"{self.url}/authorize/{name}?{urlencode(request | changed)}"
        async with self._session.get(url, allow_redirects=False) as response:
            location = response.headers.get("Location", "")
            assert location.startswith(f"{self.world.redirect_uri}?") or not location
            return response.status, {key: value for key, [value] in parse_qs(urlsplit(location).query).items()}

    async def redeem(self, code: str, *, secret: str = "", **changed: str) -> tuple[int, dict[str, Any]]:
        """Redeem a code; return status and answer."""
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": self.world.redirect_uri,
            "code_verifier": VERIFIER,
        }  # fmt: skip
        proof = base64.b64encode(f"{CLIENT}:{secret or self.world.client_secret}".encode()).decode()
        fields = {"Authorization": f"Basic {proof}"}
        async with self._session.post(f"{self.url}/token", data=form | changed, headers=fields) as response:
            return response.status, await response.json()

    async def code(self) -> str:
        return (await self.authorize())[1]["code"]


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[Asked]:
    clock = Clock()
    provider = Provider(World(tmp_path, 8443), clock)
    async with served(provider.application()) as provider.url, aiohttp.ClientSession() as session:
        yield Asked(provider._world, provider, clock, session)


async def test_a_person_who_is_chosen_is_the_one_of_the_id_token(asked: Asked) -> None:
    status, answer = await asked.authorize("cleo")
    assert status == 303
    assert answer | {"code": ""} == {"code": "", "state": "s&t", "iss": asked.url}
    status, tokens = await asked.redeem(answer["code"])
    assert status == 200
    key = asked.world.signing_key.public_key()
    claims = jwt.decode(tokens["id_token"], key, ["ES256"], audience=CLIENT, issuer=asked.url)
    assert (claims["sub"], claims["nonce"], claims["groups"]) == ("cleo", "n", ["contractors"])


@pytest.mark.parametrize(
    "changed",
    [
        {"client_id": "other"},
        {"redirect_uri": "https://access.localhost:8443/.ztproxy/callback/corp?x"},
        {"response_type": "token"},
        {"scope": "email"},
        {"code_challenge_method": "plain"},
        {"code_challenge": ""},
        {"code_challenge": "ü"},
        {"state": ""},
        {"nonce": ""},
        {"name": "dora"},
    ],
    ids=str,
)
async def test_a_request_that_is_not_the_portals_gets_a_page_and_no_code(asked: Asked, changed: dict[str, str]) -> None:
    assert await asked.authorize(**changed) == (400, {})


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"secret": "other"}, (401, "invalid_client")),
        ({"grant_type": "refresh_token"}, (400, "unsupported_grant_type")),
        ({"code": "other"}, (400, "invalid_grant")),
        ({"redirect_uri": "https://other.localhost/"}, (400, "invalid_grant")),
        ({"code_verifier": "w" * 43}, (400, "invalid_grant")),
    ],
)
async def test_a_code_is_no_good_with_anything_else_than_its_own(
    asked: Asked, changed: dict[str, str], error: tuple[int, str]
) -> None:
    status, answer = await asked.redeem(**{"code": await asked.code(), **changed})
    assert (status, answer) == (error[0], {"error": error[1]})


async def test_a_code_is_good_once_and_for_a_minute(asked: Asked) -> None:
    first, second = await asked.code(), await asked.code()
    assert (await asked.redeem(first))[0] == 200
    assert (await asked.redeem(first))[0] == 400
    asked.clock.now = 60.0
    assert (await asked.redeem(second))[0] == 400


@pytest.mark.parametrize(("host", "script"), [("wiki.localhost:8443", False), ("live.localhost", True)])
async def test_a_page_escapes_what_it_was_told_and_runs_one_script_at_most(
    tmp_path: Path, host: str, script: bool
) -> None:
    told = {"Host": host, "Accept": "text/html", "X-Ztproxy-Subject": "<script>x</script>"}
    async with (
        sample_service(World(tmp_path, 8443)) as (_, url),
        aiohttp.ClientSession() as session,
        session.get(url, headers=told) as response,
    ):
        page = await response.text()
        assert "&lt;script&gt;x" in page
        assert page.count("<script") == script
        assert ("script-src 'self'" in response.headers["Content-Security-Policy"]) == script


async def test_a_program_gets_what_came(tmp_path: Path) -> None:
    async with (
        sample_service(World(tmp_path, 8443)) as (service, url),
        aiohttp.ClientSession() as session,
        session.put(f"{url}/items?x=1", headers={"Host": "wiki.localhost"}, data=b"") as response,
    ):
        said = await response.json()
    assert (said["method"], said["path"], said["headers"]["host"]) == ("PUT", "/items?x=1", "wiki.localhost")
    assert [told["host"] for told in service.told] == ["wiki.localhost"]


async def test_only_files_of_the_pages_are_served(tmp_path: Path) -> None:
    async with sample_service(World(tmp_path, 8443)) as (_, url), aiohttp.ClientSession() as session:
        statuses = []
        for name in ("portal.css", "live.js", "frame.html", "..%2fdemo.py"):
            async with session.get(f"{url}/public/{name}") as response:
                statuses.append(response.status)
    assert statuses == [200, 200, 404, 404]
