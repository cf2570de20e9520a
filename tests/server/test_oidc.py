"""The running gateway with the real oidc-provider: its tokens open a route, its keys rotate, it dies and comes back."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from tests.gateway import Client, Gateway, Upstream, gateway, wait_for
from tests.oidc_provider.provider import OIDCProvider
from tests.world import ISSUER, World, config

ROUTES = """\
  - {name: wiki, host: wiki.example.org, upstream: wiki, allow: [{groups: [engineering]}]}
  - {name: open, host: open.example.org, upstream: wiki, allow: [{anyone: true}]}
"""


def text(service: Upstream, provider: OIDCProvider) -> str:
    keys = f'issuer: "{ISSUER}", jwks_file: keys.json'
    return config(service.url, routes=ROUTES).replace(keys, f'issuer: "{provider.url}"')


def status(front: Gateway, token: bytes, host: str = "wiki.example.org") -> tuple[int, str | None]:
    with Client(front.address("plain")) as client:
        answer = client.get("/x", host, f"Authorization: Bearer {token.decode()}")
    return answer.status, answer.code


async def test_tokens_open_a_route_through_rotation_death_and_return(world: World, place: Path) -> None:
    service = Upstream()
    async with OIDCProvider() as provider:
        with gateway(place, text(service, provider)) as front:
            ana, ben = await provider.token("ana"), await provider.token("ben")
            assert await asyncio.to_thread(status, front, ana) == (200, None)
            assert await asyncio.to_thread(status, front, ben) == (403, "policy_denied")
            assert service.requests[-1].values("x-ztproxy-subject") == ["ana"]

            over, seen = threading.Event(), set()

            def load() -> None:
                while not over.is_set():
                    seen.add(status(front, ana))

            loading = asyncio.create_task(asyncio.to_thread(load))
            await provider.rotate(keep=True)
            rotated = await provider.token("ana")
            assert await asyncio.to_thread(status, front, rotated) == (200, None)  # an unknown key is fetched at once

            await provider.kill()
            front.reload()
            front.event("reloaded")
            assert await asyncio.to_thread(status, front, rotated) == (200, None)  # the last good keys serve on
            assert await asyncio.to_thread(status, front, ben) == (403, "policy_denied")
            over.set()
            await loading
            assert seen == {(200, None)}
    service.close()


async def test_a_provider_that_was_never_reached_makes_its_tokens_503_until_it_is(world: World, place: Path) -> None:
    service = Upstream()
    async with OIDCProvider() as provider:
        token = await provider.token("ana")
        await provider.kill()
        with gateway(place, text(service, provider)) as front:
            front.event("keys_failed")
            assert await asyncio.to_thread(status, front, token) == (503, "token_keys_unavailable")
            assert service.requests == []
            await provider.start()
            fresh = await provider.token("ana")

            def served() -> bool:
                return status(front, fresh) == (200, None)

            await asyncio.to_thread(wait_for, served, "keys")
    service.close()


async def test_a_key_that_is_withdrawn_under_load_opens_nothing_from_then_on(world: World, place: Path) -> None:
    service = Upstream()
    async with OIDCProvider() as provider:
        with gateway(place, text(service, provider)) as front:
            old = await provider.token("ana")
            assert await asyncio.to_thread(status, front, old) == (200, None)
            seen: list[tuple[int, str | None]] = []

            def load() -> None:
                while (401, "token_invalid") not in seen[-20:-10]:
                    seen.append(status(front, old))

            loading = asyncio.create_task(asyncio.to_thread(load))
            await asyncio.to_thread(wait_for, lambda: seen, "load")
            await provider.rotate()
            assert await asyncio.to_thread(status, front, await provider.token("ana")) == (200, None)
            async with asyncio.timeout(20):
                await loading
            withdrawn = seen.index((401, "token_invalid"))
            assert set(seen[:withdrawn]) == {(200, None)}
            assert set(seen[withdrawn:]) == {(401, "token_invalid")}
    service.close()
