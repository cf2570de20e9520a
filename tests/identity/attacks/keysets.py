"""Attacks on the key set, and failures of whoever serves it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from proxy.identity import fetch
from proxy.identity import keys as keys_room
from proxy.identity.principal import ANONYMOUS
from tests.identity.attacks.world import ATTACKER_RSA, World, attack
from tests.identity.test_fetch import make_certificate
from tests.identity.test_jwks import certificate
from tests.identity.test_keys import running
from tests.issuer import FakeIssuer, base64url


@attack("jwks-rotate-remove")
async def _(world: World) -> None:
    old = world.issuer.mint()
    await world.accepted(old)
    world.issuer.keys = world.issuer.keys[1:]
    await world.refresh()
    await world.refused(old)


@attack("jwks-down-later")
async def _(world: World) -> None:
    token = world.issuer.mint()
    await world.issuer.stop()
    await world.refresh()
    await world.accepted(token)
    world.issuers.sources["corp"]._good_until = 0.0  # as when `keys_stale_limit` has passed
    await world.undecided(token)


@attack("jwks-500")
async def _(world: World) -> None:
    token = world.issuer.mint()
    faults: list[Callable[[], None]] = [
        lambda: world.issuer.fail(500),
        lambda: world.issuer.fail(404),
        lambda: world.issuer.garbage(b"<html></html>"),
        lambda: world.issuer.garbage(b'{"keys":[]}'),
        lambda: world.issuer.garbage(b"{}"),
        lambda: world.issuer.fail(503, on="discovery"),
    ]
    for fault in faults:
        fault()
        await world.refresh()
        assert world.events[-1][0] == "keys_failed"
        await world.accepted(token)
        fresh = World(world.issuer, world.attacker)
        await fresh.refresh()
        await fresh.undecided(token)
        world.issuer.recover()


@attack("jwks-slow")
async def _(world: World) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetch, "TIMEOUT", 0.1)
        patch.setattr(keys_room, "PATIENCE", 0.05)
        world.issuer.drip()
        token = world.issuer.mint()
        fresh = World(world.issuer, world.attacker)
        async with running(fresh.issuers.sources["corp"]):
            await fresh.undecided(token)
            assert await fresh.call() is ANONYMOUS
            await world.accepted(token)


@attack("jwks-issuer-mismatch")
async def _(world: World) -> None:
    url = world.issuer.url
    for other in (url + "/", url.upper(), url.replace("http:", "https:"), url.replace("127.0.0.1", "localhost")):
        world.issuer.issuer = other
        fresh = World(world.issuer, world.attacker)
        await fresh.refresh()
        assert fresh.events[-1][1]["reason"] == "discovery: issuer must be the configured one, to the letter"
        await fresh.undecided(world.issuer.mint())


@attack("jwks-concurrent")
async def _(world: World) -> None:
    fresh = World(world.issuer, world.attacker)
    world.issuer.requests.clear()
    token = world.issuer.mint()
    async with running(fresh.issuers.sources["corp"]):
        users = await asyncio.gather(*(fresh.accepted(token) for _ in range(1000)))
    assert len(users) == 1000
    assert world.issuer.requests == {"discovery": 1, "keys": 1}


@attack("jwks-private-key")
async def _(world: World) -> None:
    # Stricter than the list, which would use it: whoever could read the set can sign with that key.
    world.key("ES256").jwk["d"] = base64url(b"d" * 32).decode()
    await world.refresh()
    assert world.events[-1][1]["dropped"] == ["key 0: a published key must be public"]
    await world.refused(world.issuer.mint())
    await world.accepted(world.issuer.mint(key=world.key("RS256")))


@attack("jwks-x5c-mismatch")
async def _(world: World) -> None:
    world.key("RS256").jwk["x5c"] = [base64.b64encode(certificate(ATTACKER_RSA)).decode()]
    await world.refresh()
    await world.refused(world.issuer.mint(key=world.key("RS256")), world.issuer.mint(key=ATTACKER_RSA))
    await world.accepted(world.issuer.mint())


@attack("jwks-tls-bad")
async def _(world: World) -> None:
    for address, days, known in (("127.0.0.1", 1, False), ("127.0.0.2", 1, True), ("127.0.0.1", -1, True)):
        with TemporaryDirectory() as folder:
            server, _ca = make_certificate(Path(folder), address, days)
            async with FakeIssuer(tls=server) as issuer:
                fresh = World(issuer, world.attacker)
                fresh.configure(ca=Path(folder, "idp.pem") if known else None)
                await fresh.refresh()
                assert fresh.events[-1][1]["reason"].startswith("certificate must be trusted")
                await fresh.undecided(issuer.mint())
                assert not issuer.requests


@attack("jwks-discovery-endpoints")
async def _(world: World) -> None:
    with TemporaryDirectory() as folder:
        server, _ca = make_certificate(Path(folder))
        async with FakeIssuer(tls=server) as issuer:
            for place in (world.attacker.jwks_url, "http://idp.example.org/jwks", "file:///etc/passwd", "/jwks"):
                issuer.jwks_uri = place
                fresh = World(issuer, world.attacker)
                fresh.configure(ca=Path(folder, "idp.pem"))
                await fresh.refresh()
                assert fresh.events[-1][1]["reason"].startswith("discovery: jwks_uri must be")
                await fresh.undecided(issuer.mint())
