"""What fails beneath a sign-in and a session: nobody gets in by it, and nobody is put out by what passes."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from joserfc.jwk import ECKey

from proxy.identity.sessions.following import BELIEVED_SECONDS
from tests.gateway import Gateway, Upstream
from tests.identity.sessions.redis_server import RedisServer
from tests.issuer import SigningKey
from tests.server.staff import PROGRAM, Person, Staffed, staffed_gateway
from tests.world import World

often_asked = pytest.mark.parametrize("staffed", [{"session": "{refresh: 1s}"}], indirect=True)


# The provider.


async def test_a_provider_that_is_slow_holds_up_its_own_sign_in_alone(
    world: World, ana: Person, staffed: Staffed
) -> None:
    await ana.sign_in("ana", "wiki")
    await staffed.provider.hold("/token")
    async with Person(world, staffed.port) as ben:
        arriving = asyncio.create_task(ben.sign_in("ben", "sales", "/page"))
        await staffed.provider.struck()
        assert (await ana.get("wiki"))[0].status == 200
        assert not arriving.done()
        await staffed.provider.mend()
        answer, page = await arriving
    assert (answer.status, page) == (200, "/page")


async def test_a_provider_that_was_never_reached_is_told_of_and_signs_in_when_it_is_back(
    ana: Person, staffed: Staffed
) -> None:
    staffed.gateway.event("keys_fetched")
    await staffed.provider.kill()
    answer, page = await ana.get("wiki", "/page")
    assert (answer.status, answer.url.host) == (503, "access.example.org")
    assert "sign_in_unavailable" in page
    await staffed.provider.start()
    answer, page = await ana.sign_in("ana", "wiki", "/page")
    assert (answer.status, page) == (200, "/page")


async def test_a_provider_that_dies_amid_a_sign_in_ends_it_and_says_how_to_go_on(ana: Person, staffed: Staffed) -> None:
    await staffed.provider.hold("/token")
    arriving = asyncio.create_task(ana.sign_in("ana", "wiki", "/page"))
    await staffed.provider.struck()
    await staffed.provider.kill()
    answer, page = await arriving
    assert (answer.status, answer.url.host) == (503, "access.example.org")
    assert "sign_in_unavailable" in page
    assert f'href="{ana.url("wiki", "/page")}"' in page
    await staffed.provider.start()  # with other keys
    assert (await ana.sign_in("ana", "wiki"))[0].status == 200


@often_asked
async def test_a_provider_that_is_down_at_a_refresh_puts_nobody_out(ana: Person, staffed: Staffed) -> None:
    await ana.sign_in("ana", "wiki")
    await staffed.provider.break_down("/token")
    struck = asyncio.create_task(staffed.provider.struck())
    while not struck.done():
        assert (await ana.get("wiki"))[0].status == 200
    await staffed.provider.kill()
    assert (await ana.get("wiki"))[0].status == 200


@often_asked
async def test_keys_that_were_rotated_since_the_sign_in_prove_what_a_refresh_says(
    ana: Person, staffed: Staffed
) -> None:
    await ana.sign_in("ana", "wiki")
    await staffed.provider.rotate()
    await staffed.provider.move("ana", "sales")
    await ana.until(200, "sales")
    assert (await ana.get("wiki"))[0].status == 403


@often_asked
async def test_a_refresh_token_that_somebody_else_uses_too_ends_the_session(ana: Person, staffed: Staffed) -> None:
    await ana.sign_in("ana", "wiki")
    (first,) = await staffed.provider.issued()
    while len(await staffed.provider.issued()) == 1:
        assert (await ana.get("wiki"))[0].status == 200
    assert await staffed.provider.refresh(first["refresh_token"]) == 400
    await ana.until(401, headers=PROGRAM)


@pytest.mark.parametrize("apart", [-90, 90])
async def test_clocks_that_are_90_seconds_apart_change_nothing_where_the_gateway_proves_itself_by_a_key(
    world: World, place: Path, service: Upstream, apart: int
) -> None:
    key = SigningKey.generate("client")
    pem = key.private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (place / "client.key").write_bytes(pem)
    (place / "client.key").chmod(0o600)
    registered = {**key.jwk, "kid": ECKey.import_key(pem).thumbprint()}
    client = {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [registered]}}
    options = {"session": "{refresh: 1s}", "login": "client_key_file: client.key", "client": client}
    async with staffed_gateway(place, service.url, **options) as staffed, Person(world, staffed.port) as ana:
        await staffed.provider.set_clock(apart)
        assert (await ana.sign_in("ana", "wiki"))[0].status == 200
        await staffed.provider.move("ana", "sales")
        await ana.until(200, "sales")
        await ana.leave(staffed.provider.url)
        await ana.until(401, "sales", headers=PROGRAM)


# What keeps sessions.


async def ask_until(person: Person, status: int, seen: list[tuple[float, int]], times: int = 1) -> None:
    """Ask again and again, and note when and with which answer, until one status has come so often in a row."""
    row = 0
    while row < times:
        began = time.monotonic()
        seen.append((began, (await person.get("wiki", headers=PROGRAM))[0].status))
        row = row + 1 if seen[-1][1] == status else 0


@pytest.mark.parametrize("staffed", [{"session": "{refresh: 1s}", "extra": "workers: 2"}], indirect=True)
async def test_of_two_workers_one_refreshes_and_both_know_who_has_signed_out(ana: Person, staffed: Staffed) -> None:
    await ana.sign_in("ana", "wiki")
    _, page = await ana.get("access", "/.ztproxy/who")
    (form,) = set(re.findall(r'name="csrf" value="([^"]+)"', page))
    seen: list[tuple[float, int]] = []
    asking = [asyncio.create_task(ask_until(ana, 401, seen, 16)) for _ in range(4)]
    while len(given := await staffed.provider.issued()) < 4:
        assert (await ana.get("wiki"))[0].status == 200
    assert len({each["refresh_token"] for each in given}) == len(given)
    assert {status for _, status in seen} == {200}
    assert (await ana.post("access", "/.ztproxy/sign-out", {"csrf": form}))[0].status == 200
    signed_out = time.monotonic()
    await asyncio.gather(*asking)
    assert all(began < signed_out + BELIEVED_SECONDS for began, status in seen if status == 200)


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    server = RedisServer(tmp_path)
    try:
        await server.start()
        yield server
    finally:
        await server.end()


async def test_redis_that_is_killed_while_requests_run_lets_nobody_in_until_it_is_back(
    world: World, place: Path, service: Upstream, redis: RedisServer
) -> None:
    (place / "redis.url").write_text(redis.url, encoding="utf-8")
    (place / "redis.url").chmod(0o600)
    session = "{store: redis, url_file: redis.url, keys_file: session.keys}"
    async with (
        staffed_gateway(place, service.url, session=session) as staffed,
        Person(world, staffed.port) as ana,
        Person(world, staffed.port) as ben,
    ):
        assert (await ana.sign_in("ana", "wiki"))[0].status == 200
        seen: list[tuple[float, int]] = []
        asking = [asyncio.create_task(ask_until(ana, 503, seen)) for _ in range(4)]
        await redis.kill()
        killed = time.monotonic()
        await asyncio.gather(*asking)
        assert {status for _, status in seen} == {200, 503}
        assert all(began < killed + BELIEVED_SECONDS for began, status in seen if status == 200)
        await refuses(ana, staffed.gateway, "Redis cannot be asked")
        assert (await ben.sign_in("ben", "sales"))[0].status == 503
        await redis.start()
        await ana.until(200, headers=PROGRAM)


async def refuses(person: Person, gateway: Gateway, reason: str) -> None:
    """Require that a session counts for nothing, and that the record says why."""
    answer, _ = await person.get("wiki", headers=PROGRAM)
    assert (answer.status, (await answer.json())["code"]) == (503, "sessions_unavailable")
    assert reason in gateway.access(answer.headers["X-Request-Id"])["detail"]
    assert (await person.get("wiki"))[0].status == 503


def session_files(staffed: Staffed) -> list[Path]:
    return [staffed.gateway.directory / "state" / f"sessions.db{suffix}" for suffix in ("", "-wal", "-shm")]


async def test_a_session_file_that_is_moved_away_lets_nobody_in_until_it_is_back(ana: Person, staffed: Staffed) -> None:
    await ana.sign_in("ana", "wiki")
    file, *_ = session_files(staffed)
    away = file.rename(file.with_name("away.db"))
    await ana.until(503, headers=PROGRAM)
    await refuses(ana, staffed.gateway, "the session file was deleted; restore it, or restart to begin anew")
    away.rename(file)
    await ana.until(200, headers=PROGRAM)


async def test_a_session_file_that_is_deleted_lets_nobody_in_and_a_restart_begins_anew(
    ana: Person, staffed: Staffed
) -> None:
    await ana.sign_in("ana", "wiki")
    for file in session_files(staffed):
        file.unlink()
    await ana.until(503, headers=PROGRAM)
    await refuses(ana, staffed.gateway, "the session file was deleted; restore it, or restart to begin anew")
    assert not any(file.exists() for file in session_files(staffed))
    running, text = staffed.gateway, staffed.gateway.path.read_text(encoding="utf-8")
    assert running.stop() == 0
    assert "sessions cannot be asked: the session file was deleted" in running.stderr
    again = Gateway(running.directory, text)
    try:
        again.wait_until_listening()
        assert (await ana.get("wiki", headers=PROGRAM))[0].status == 401
        assert (await ana.sign_in("ana", "wiki"))[0].status == 200
    finally:
        assert again.stop() == 0
