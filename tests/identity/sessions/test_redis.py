"""The Redis store when its server is gone, back, full or not ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.identity.sessions.redis import RedisStore
from proxy.identity.sessions.store import StoreUnavailable
from tests.identity.sessions.made import handle, session
from tests.identity.sessions.redis_server import RedisServer


def content_of(directory: Path) -> bytes:
    """Return what is in the files of a directory."""
    return b"".join(file.read_bytes() for file in directory.rglob("*") if file.is_file())


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    made = RedisServer(tmp_path)
    try:
        await made.start()
        yield made
    finally:
        await made.end()


async def test_a_server_that_is_killed_refuses_and_has_lost_nothing_when_it_is_back(server: RedisServer) -> None:
    store = RedisStore(server.url)
    records = []
    for _ in range(20):
        made = session()
        records.append(handle(made)[1])
        assert await store.create(made, records[-1], begun_at=0)
    await server.kill()
    with pytest.raises(StoreUnavailable, match="Redis cannot be asked"):
        await store.find(records[0].digest)
    await server.start()
    for record in records:
        assert await store.find(record.digest) is not None
    await store.close()


async def test_two_hosts_see_the_same_sessions(server: RedisServer) -> None:
    here, there = RedisStore(server.url), RedisStore(server.url)
    cursor = (await there.changes(None)).cursor
    made = session()
    record = handle(made)[1]
    await here.create(made, record, begun_at=0)
    assert await there.find(record.digest) == (made, record)
    await here.end(made.id, "x")
    assert (await there.wait_changes(cursor)).ids == {made.id}
    await here.close()
    await there.close()


async def test_a_server_that_was_emptied_has_changed_altogether(server: RedisServer) -> None:
    store = RedisStore(server.url)
    cursor = (await store.changes(None)).cursor
    await store._ask("FLUSHALL")
    assert (await store.changes(cursor)).ids is None
    await store.close()


async def test_a_server_without_memory_refuses_and_says_so(server: RedisServer) -> None:
    store = RedisStore(server.url)
    made = session()
    record = handle(made)[1]
    await store.create(made, record, begun_at=0)
    await store._ask("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="no memory left"):
        await store.put_code(b"x", b"y", made.expires_at)
    with pytest.raises(StoreUnavailable, match="no memory left"):
        await store.create(session(), record, begun_at=0)
    await store._ask("CONFIG", "SET", "maxmemory", "0")
    assert await store.find(record.digest) is not None
    await store.close()


async def test_a_password_is_asked_for_and_never_told(server: RedisServer) -> None:
    store = RedisStore(server.url)
    await store._ask("CONFIG", "SET", "requirepass", "hunter2")
    await store.close()
    for url in (server.url, server.url.replace("unix://", "unix://:hunter3@")):
        other = RedisStore(url)
        with pytest.raises(StoreUnavailable) as refused:
            await other.get("0" * 32)
        assert "hunter" not in str(refused.value)
        await other.close()
    good = RedisStore(server.url.replace("unix://", "unix://:hunter2@"))
    assert await good.get("0" * 32) is None
    await good.close()


async def test_no_handle_is_in_the_server(server: RedisServer, tmp_path: Path) -> None:
    store = RedisStore(server.url)
    made = session()
    text, record = handle(made)
    await store.create(made, record, begun_at=0)
    await store.close()
    written = content_of(tmp_path)
    assert made.id.encode() in written
    assert text not in written
