"""Sessions in memory: what is believed, for how long, and who is told of an end."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from proxy.identity.sessions.following import OUTAGE_SECONDS
from proxy.identity.sessions.live import Sessions
from proxy.identity.sessions.service import ServiceToken, new_service_token
from proxy.identity.sessions.services import ServiceTokens
from proxy.identity.sessions.session import Session, digest_of, principal_of_session
from proxy.identity.sessions.sqlite import SQLiteStore
from proxy.identity.sessions.store import Changes, Cursor, StoreUnavailable
from tests.identity.sessions.made import HOST, handle, session

IDLE = 600.0


class Moody(SQLiteStore):
    """A store that can be out of reach."""

    away = False

    async def changes(self, cursor: Cursor | None) -> Changes:
        """Return what has changed, or refuse."""
        if self.away:
            raise StoreUnavailable("away")
        return await super().changes(cursor)


@dataclass
class World:
    """A store, what asks it, and the time."""

    store: Moody
    posix: float = field(default_factory=time.time)
    monotonic: float = 1000.0
    sessions: Sessions = field(init=False)

    def __post_init__(self) -> None:
        self.sessions = Sessions(
            self.store, idle=IDLE, clock=lambda: self.posix, monotonic=lambda: self.monotonic, capacity=10
        )

    async def signed_in(self, **changes: object) -> tuple[Session, bytes]:
        """Return a session that is kept, and a handle of it."""
        made = session(**changes)
        text, record = handle(made)
        assert await self.store.create(made, record, begun_at=0)
        return made, text

    def recall(self, text: bytes, host: str = HOST) -> Session | None:
        """Ask memory."""
        return self.sessions.recall(text, host, self.posix)

    async def read(self, text: bytes, host: str = HOST) -> Session | None:
        """Ask the store."""
        return await self.sessions.read(text, host, self.posix)

    async def follow(self) -> bool:
        """Learn what has changed."""
        return await self.sessions.following.step()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = Moody(tmp_path / "sessions.db")
    made = World(store)
    await made.follow()
    yield made
    await store.close()


async def test_what_was_read_is_recalled_without_waiting(world: World) -> None:
    made, text = await world.signed_in()
    assert world.recall(text) is None
    found = await world.read(text)
    assert found == made
    assert world.recall(text) is found
    assert principal_of_session(found) is principal_of_session(world.recall(text) or made)


async def test_recalling_takes_no_coroutine_and_few_microseconds(world: World) -> None:
    _, text = await world.signed_in()
    await world.read(text)
    recall, posix = world.sessions.recall, world.posix
    best = min(_timed(lambda: recall(text, HOST, posix)) for _ in range(5))
    assert best < 5e-6


def _timed(call: object) -> float:
    begun = time.perf_counter()
    for _ in range(2000):
        call()  # type: ignore[operator]
    return (time.perf_counter() - begun) / 2000


async def test_a_handle_is_good_at_its_host_alone(world: World) -> None:
    _, text = await world.signed_in()
    await world.read(text)
    assert world.recall(text, "git.example.org") is None
    assert await world.read(text, "git.example.org") is None


async def test_a_handle_that_is_bound_is_good_on_its_device_alone(world: World) -> None:
    made = session()
    text, record = handle(made)
    await world.store.create(made, replace(record, device="mdm:1"), begun_at=0)
    sessions, now = world.sessions, world.posix
    assert await sessions.read(text, HOST, now) is None
    assert await sessions.read(text, HOST, now, device="mdm:2") is None
    assert await sessions.read(text, HOST, now, device="mdm:1") == made
    assert sessions.recall(text, HOST, now, device="mdm:1") == made
    assert sessions.recall(text, HOST, now, device="mdm:2") is None
    assert sessions.recall(text, HOST, now) is None


async def test_handles_of_one_session_share_it(world: World) -> None:
    made, text = await world.signed_in()
    other, record = handle(made, "git.example.org")
    await world.store.add_handle(record)
    assert await world.read(text) is await world.read(other, "git.example.org")


async def test_nobody_is_believed_for_longer_than_a_second(world: World) -> None:
    _, text = await world.signed_in()
    await world.read(text)
    world.monotonic += 0.99
    assert world.recall(text) is not None
    world.monotonic += 0.02
    assert world.recall(text) is None
    await world.follow()
    assert world.recall(text) is not None


async def test_a_silent_store_refuses_and_a_store_that_is_back_is_believed(world: World) -> None:
    made, text = await world.signed_in()
    await world.read(text)
    world.store.away = True
    assert not await world.follow()
    world.monotonic += 1.1
    assert world.recall(text) is None
    world.store.away = False
    assert await world.read(text) == made  # it answers again, whether somebody follows or not
    await world.follow()
    assert world.recall(text) is not None


async def test_a_handle_that_is_dropped_elsewhere_is_forgotten_and_nobody_else_s(world: World) -> None:
    _, text = await world.signed_in()
    _, other = await world.signed_in(subject="bob")
    await world.read(text)
    await world.read(other)
    await world.store.drop_handle(digest_of(text))
    await world.follow()
    assert world.recall(text) is None
    assert await world.read(text) is None
    assert world.recall(other) is not None


async def test_an_ended_session_is_gone_and_a_changed_one_is_new(world: World) -> None:
    ended, gone = await world.signed_in()
    changed, text = await world.signed_in()
    for each in (gone, text):
        await world.read(each)
    await world.store.end(ended.id, "x")
    await world.store.update(replace(changed, groups=("guests",)), 0)
    await world.follow()
    assert world.recall(gone) is None
    assert await world.read(gone) is None
    assert world.recall(text) is None
    now = await world.read(text)
    assert now is not None
    assert (now.groups, now.version) == (("guests",), 1)


async def test_a_newer_version_that_is_read_takes_the_place_of_the_older_for_every_handle(world: World) -> None:
    made, text = await world.signed_in()
    other, record = handle(made, "git.example.org")
    await world.store.add_handle(record)
    await world.read(text)
    await world.store.update(replace(made, groups=("guests",)), 0)
    newer = await world.read(other, "git.example.org")
    assert newer is not None
    assert newer.version == 1
    assert world.recall(text) is None
    await world.read(text)
    await world.store.end(made.id, "x")
    await world.follow()
    assert world.recall(text) is None
    assert world.recall(other, "git.example.org") is None


async def test_what_changes_while_it_is_read_is_not_remembered(world: World) -> None:
    made, text = await world.signed_in()
    real = world.store.find

    async def slow(digest: bytes) -> object:
        found = await real(digest)
        await world.store.end(made.id, "x")
        await world.follow()
        return found

    world.store.find = slow  # type: ignore[method-assign, assignment]
    await world.read(text)
    assert world.recall(text) is None


async def test_a_session_ends_when_it_is_idle_and_lives_while_it_is_used(world: World) -> None:
    made, text = await world.signed_in()
    begun = world.posix = made.seen_at
    for _ in range(5):
        assert (await world.read(text)) is not None
        world.posix += IDLE - 1
        assert world.recall(text) is not None
    world.posix += IDLE
    assert world.recall(text) is None
    assert await world.read(text) is None
    assert world.posix > begun


async def test_use_elsewhere_keeps_a_session_alive_here(world: World) -> None:
    made, text = await world.signed_in()
    await world.read(text)
    other = Sessions(world.store, idle=IDLE, clock=lambda: world.posix)
    world.posix = made.seen_at + IDLE - 1
    assert await other.read(text, HOST, world.posix, source="198.51.100.9") == made
    await other.flush()
    world.posix += 2
    assert world.recall(text) is None
    assert await world.read(text) is not None
    kept = await world.store.get(made.id)
    assert kept is not None
    assert kept.source == "198.51.100.9"


async def test_use_is_noted_once_a_minute(world: World) -> None:
    made, text = await world.signed_in()
    world.posix = made.seen_at + 30
    await world.read(text)
    await world.sessions.flush()
    assert (await world.store.get(made.id) or made).seen_at == made.seen_at
    world.posix = made.seen_at + 61
    world.recall(text)
    await world.sessions.flush()
    assert (await world.store.get(made.id) or made).seen_at == made.seen_at + 61


async def test_a_session_ends_absolutely(world: World) -> None:
    made, text = await world.signed_in()
    await world.read(text)
    world.posix = made.expires_at
    assert world.recall(text) is None
    assert await world.read(text) is None


async def test_memory_is_bounded(world: World) -> None:
    texts = [(await world.signed_in())[1] for _ in range(15)]
    for text in texts:
        await world.read(text)
    assert sum(world.recall(text) is not None for text in texts) == 10
    for text in texts:
        assert await world.read(text) is not None


async def test_whoever_lasts_is_told_of_an_end(world: World) -> None:
    made, _ = await world.signed_in()
    other, _ = await world.signed_in()
    told: list[str] = []
    world.sessions.subscribe(made.id, lambda: told.append("first"))
    leave = world.sessions.subscribe(made.id, lambda: told.append("second"))
    world.sessions.subscribe(other.id, lambda: told.append("other"))
    await world.store.update(made, 0)
    await world.follow()
    assert sorted(told) == ["first", "second"]
    leave()
    leave()
    await world.store.end(made.id, "x")
    await world.follow()
    assert sorted(told) == ["first", "first", "second"]


async def test_whoever_lasts_outlives_a_short_outage_and_no_long_one(world: World) -> None:
    made, _ = await world.signed_in()
    told: list[str] = []
    world.sessions.subscribe(made.id, lambda: told.append(made.id))
    world.store.away = True
    world.monotonic += OUTAGE_SECONDS - 1
    await world.follow()
    assert told == []
    world.monotonic += 2
    await world.follow()
    await world.follow()
    assert told == [made.id]


async def test_whoever_lasts_is_told_when_nobody_follows_any_more(world: World) -> None:
    told = asyncio.Event()
    made, text = await world.signed_in()
    await world.read(text)
    running = asyncio.ensure_future(world.sessions.run())
    for _ in range(3):
        await asyncio.sleep(0)
    world.sessions.subscribe(made.id, told.set)
    running.cancel()
    await asyncio.wait([running])
    assert told.is_set()
    assert world.recall(text) is None


async def test_a_revocation_reaches_another_process_within_a_second(world: World) -> None:
    made, text = await world.signed_in()
    path = str(world.store._database._path)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.identity.sessions.follower", path, made.id, text.decode(), stdout=PIPE
    )
    assert child.stdout is not None
    try:
        assert await child.stdout.readline() == b"remembered\n"
        assert await world.store.end(made.id, "revoked")
        async with asyncio.timeout(1):
            assert await child.stdout.readline() == b"cut\n"
        assert await child.stdout.readline() == b"forgotten\n"
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def test_a_service_token_is_recalled_until_it_is_revoked_or_ends(world: World) -> None:
    text, now = new_service_token(), world.posix
    services = ServiceTokens(world.store, world.sessions.following)
    await world.store.add_service_token(ServiceToken("backup", digest_of(text), ("jobs",), now, now + 1000))
    assert services.recall(text, now) is None
    principal = await services.read(text, now)
    assert principal is not None
    assert services.recall(text, now + 1) is principal
    assert services.recall(text, now + 1000) is None
    assert await services.read(text, now + 1000) is None
    assert await services.read(new_service_token(), now) is None
    assert await services.read(b"anything", now) is None
    await world.store.revoke_service_token("backup")
    await world.follow()
    assert services.recall(text, now) is None
    assert await services.read(text, now) is None


async def test_the_use_of_a_service_token_is_noted_once_a_minute(world: World) -> None:
    text, now = new_service_token(), world.posix
    services = ServiceTokens(world.store, world.sessions.following)
    await world.store.add_service_token(ServiceToken("backup", digest_of(text), (), now, now + 1000))
    first = await services.read(text, now)
    assert (await world.store.service_tokens())[0].used_at == now
    await services.read(text, now + 59)
    assert (await world.store.service_tokens())[0].used_at == now
    assert services.recall(text, now + 60) is None
    assert await services.read(text, now + 60) is first
    assert (await world.store.service_tokens())[0].used_at == now + 60
    assert services.recall(text, now + 61) is first
