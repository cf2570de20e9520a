"""What every store does: the same sentences for each of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.identity.sessions.redis import RedisStore
from proxy.identity.sessions.service import ServiceToken
from proxy.identity.sessions.session import digest_of
from proxy.identity.sessions.sqlite import SQLiteStore
from proxy.identity.sessions.store import Changes, Seen, Store
from tests.identity.sessions.made import ISSUER_URL, handle, session
from tests.identity.sessions.redis_server import RedisServer

CODE = digest_of(b"code")


@pytest.fixture(params=["sqlite", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store
    if request.param == "sqlite":
        made = SQLiteStore(tmp_path / "state" / "sessions.db")
        yield made
        await made.close()
        return
    server = RedisServer(tmp_path)
    try:
        await server.start()
        made = RedisStore(server.url)
        yield made
        await made.close()
    finally:
        await server.end()


async def test_a_session_is_found_by_its_handle(store: Store) -> None:
    made = session()
    _, record = handle(made)
    assert await store.create(made, record, begun_at=made.created_at)
    assert await store.find(record.digest) == (made, record)
    assert await store.find(digest_of(b"other")) is None
    assert await store.get(made.id) == made
    assert await store.get("0" * 32) is None


async def test_a_session_has_a_handle_for_each_host(store: Store) -> None:
    made = session()
    first, second = handle(made)[1], replace(handle(made, "git.example.org:8443")[1], device="spiffe://example.org/pc")
    await store.create(made, first, begun_at=0)
    assert await store.add_handle(second)
    assert await store.find(second.digest) == (made, second)
    assert sorted(each.host for each in await store.handles(made.id)) == [second.host, first.host]
    await store.drop_handle(first.digest)
    assert await store.find(first.digest) is None
    assert await store.find(second.digest) is not None


async def test_a_handle_is_replaced_once(store: Store) -> None:
    made = session()
    old, new, late = (handle(made)[1] for _ in range(3))
    await store.create(made, old, begun_at=0)
    assert await store.replace_handle(old.digest, new)
    assert not await store.replace_handle(old.digest, late)
    assert await store.find(old.digest) is None
    assert await store.find(late.digest) is None
    assert await store.find(new.digest) is not None


async def test_a_handle_is_replaced_by_one_of_its_session_alone(store: Store) -> None:
    mine, theirs = session(), session()
    for each in (mine, theirs):
        await store.create(each, handle(each)[1], begun_at=0)
    old = (await store.handles(mine.id))[0]
    assert not await store.replace_handle(old.digest, handle(theirs)[1])
    assert await store.find(old.digest) is not None


async def test_an_ended_session_is_gone_and_does_not_come_back(store: Store) -> None:
    made = session()
    record = handle(made)[1]
    await store.create(made, record, begun_at=0)
    assert await store.ended(made.id) is None
    assert await store.end(made.id, "revoked")
    assert not await store.end(made.id, "revoked again")
    assert await store.find(record.digest) is None
    assert await store.get(made.id) is None
    assert await store.handles(made.id) == []
    assert not await store.add_handle(handle(made)[1])
    assert not await store.update(made, 0)
    assert not await store.replace_handle(record.digest, handle(made)[1])
    ended = await store.ended(made.id)
    assert ended is not None
    assert ended.reason == "revoked"
    assert abs(ended.at - time.time()) < 60


async def test_a_session_is_updated_from_the_version_that_was_read(store: Store) -> None:
    made = session()
    record = handle(made)[1]
    await store.create(made, record, begun_at=0)
    changed = replace(made, groups=("guests",), refresh_token="", provider_sid="sid-2")
    assert await store.update(changed, 0)
    assert not await store.update(replace(changed, groups=("admin",)), 0)
    assert await store.get(made.id) == replace(changed, version=1)
    assert await store.end_matching(ISSUER_URL, None, "sid-1", "x") == []
    assert await store.end_matching(ISSUER_URL, None, "sid-2", "x") == [made.id]


async def test_of_those_who_update_at_once_one_succeeds(store: Store) -> None:
    made = session()
    await store.create(made, handle(made)[1], begun_at=0)
    done = await asyncio.gather(*(store.update(replace(made, acr=str(n)), 0) for n in range(8)))
    assert done.count(True) == 1


async def test_use_is_written_down_and_never_goes_back(store: Store) -> None:
    made = session()
    await store.create(made, handle(made)[1], begun_at=0)
    await store.touch([Seen(made.id, made.seen_at + 50, "198.51.100.1"), Seen("0" * 32, 1.0, "")])
    await store.touch([Seen(made.id, made.seen_at + 20, "198.51.100.1")])
    kept = await store.get(made.id)
    assert kept == replace(made, seen_at=made.seen_at + 50, source="198.51.100.1")


async def test_sessions_are_listed_by_user_last_seen_first(store: Store) -> None:
    now = time.time()
    old = session(seen_at=now - 100)
    new = session(seen_at=now)
    bob = session(subject="bob", email="", provider_sid="", seen_at=now - 50)
    over = session(expires_at=now - 1)
    gone = session()
    for each in (old, new, bob, over, gone):
        await store.create(each, handle(each)[1], begun_at=0)
    await store.end(gone.id, "x")
    assert [each.id for each in await store.sessions()] == [new.id, bob.id, old.id]
    assert [each.id for each in await store.sessions(limit=1)] == [new.id]
    assert [each.id for each in await store.sessions(user="Alice@example.org")] == [new.id, old.id]
    assert [each.id for each in await store.sessions(user="bob")] == [bob.id]
    assert await store.sessions(user="carol") == []


async def test_a_provider_ends_one_session_or_all_of_a_subject(store: Store) -> None:
    one, two, other = session(), session(provider_sid="sid-2"), session(issuer_url="https://other.example")
    for each in (one, two, other):
        await store.create(each, handle(each)[1], begun_at=0)
    assert await store.end_matching(ISSUER_URL, "mallory", "sid-1", "x") == []
    assert await store.end_matching(ISSUER_URL, "alice", "sid-1", "x") == [one.id]
    assert await store.end_matching(ISSUER_URL, "alice", None, "x") == [two.id]
    assert await store.end_matching(ISSUER_URL, "alice", None, "x") == []
    assert await store.get(other.id) is not None


@pytest.mark.parametrize(
    ("subject", "sid", "begun", "created"),
    [
        ("alice", None, -5, False),
        ("alice", None, +5, True),
        (None, "sid-1", -5, False),
        (None, "sid-1", +5, False),  # a provider's session that has ended does not begin again
        ("alice", "sid-1", -5, False),
        ("bob", "sid-1", -5, True),
        ("bob", None, -5, True),
        (None, "sid-2", -5, True),
    ],
)
async def test_a_sign_in_under_way_ends_with_what_the_provider_ends(
    store: Store, subject: str | None, sid: str | None, begun: float, created: bool
) -> None:
    await store.end_matching(ISSUER_URL, subject, sid, "x")
    made = session()
    record = handle(made)[1]
    assert await store.create(made, record, begun_at=time.time() + begun) is created
    assert (await store.find(record.digest) is not None) is created


async def test_somebody_must_be_meant_by_an_ending(store: Store) -> None:
    with pytest.raises(ValueError, match="must be named"):
        await store.end_matching(ISSUER_URL, None, None, "x")


async def test_a_value_is_good_once_until_it_has_expired(store: Store) -> None:
    later = time.time() + 60
    came = await asyncio.gather(*(store.once("jti", "a", later) for _ in range(5)))
    assert came.count(True) == 1
    assert await store.once("state", "a", later)
    assert await store.once("jti", "b", time.time() - 1)
    assert await store.once("jti", "b", later)
    assert not await store.once("jti", "b", later)


async def test_a_code_is_taken_once(store: Store) -> None:
    await store.put_code(CODE, b"\x00payload", time.time() + 60)
    taken = await asyncio.gather(*(store.take_code(CODE) for _ in range(5)))
    assert sorted(filter(None, taken)) == [b"\x00payload"]
    await store.put_code(CODE, b"old", time.time() - 1)
    assert await store.take_code(CODE) is None


async def test_a_lease_has_one_owner(store: Store) -> None:
    assert await store.lease("refresh", "a", 60)
    assert await store.lease("refresh", "a", 60)
    assert not await store.lease("refresh", "b", 60)
    assert await store.lease("other", "b", 60)
    await store.release("refresh", "b")
    assert not await store.lease("refresh", "b", 60)
    await store.release("refresh", "a")
    assert await store.lease("refresh", "b", 0.05)
    async with asyncio.timeout(2):
        while not await store.lease("refresh", "c", 60):
            pass


async def following(store: Store, since: Changes, wanted: str) -> Changes:
    """Follow until a change is told, which must be within a second."""
    async with asyncio.timeout(1):
        while True:
            since = await store.wait_changes(since.cursor)
            assert since.ids is not None
            if wanted in since.ids:
                return since


async def test_changes_are_told_once(store: Store) -> None:
    made = session()
    record = handle(made)[1]
    token = ServiceToken("backup", digest_of(b"t"), (), time.time(), time.time() + 60)
    begun = await store.changes(None)
    assert begun.ids is None
    await store.create(made, record, begun_at=0)
    await store.touch([Seen(made.id, made.seen_at + 1, "")])
    await store.update(made, 0)
    told = await following(store, begun, made.id)
    assert (await store.changes(told.cursor)).ids == frozenset()
    await store.drop_handle(record.digest)
    told = await following(store, told, made.id)
    await store.end(made.id, "x")
    told = await following(store, told, made.id)
    await store.add_service_token(token)
    await store.revoke_service_token("backup")
    told = await following(store, told, "service:backup")
    assert (await store.changes(replace(told.cursor, epoch="another"))).ids is None
    assert (await store.changes(replace(told.cursor, number=told.cursor.number + 1000))).ids is None


async def test_service_tokens_are_kept_by_name(store: Store) -> None:
    now = time.time()
    kept = ServiceToken("backup", digest_of(b"t"), ("jobs", "ärzte"), now, now + 60)
    assert await store.add_service_token(kept)
    assert not await store.add_service_token(replace(kept, digest=digest_of(b"u")))
    assert await store.add_service_token(ServiceToken("audit", digest_of(b"v"), (), now, now - 1))
    assert [each.name for each in await store.service_tokens()] == ["audit", "backup"]
    assert await store.find_service_token(kept.digest) == kept
    assert await store.find_service_token(digest_of(b"u")) is None
    await store.touch_service_token("backup", now + 5)
    await store.touch_service_token("backup", now + 3)
    assert (await store.service_tokens())[1] == replace(kept, used_at=now + 5)
    assert await store.revoke_service_token("backup")
    assert not await store.revoke_service_token("backup")
    assert await store.find_service_token(kept.digest) is None


async def test_the_name_of_an_expired_service_token_is_free(store: Store) -> None:
    now = time.time()
    old = ServiceToken("backup", digest_of(b"t"), (), now - 60, now - 1)
    new = replace(old, digest=digest_of(b"u"), expires_at=now + 60)
    assert await store.add_service_token(old)
    assert await store.add_service_token(new)
    assert await store.find_service_token(old.digest) is None
    assert await store.service_tokens() == [new]


async def test_what_has_expired_is_swept(store: Store) -> None:
    now = time.time()
    over, idle, good = session(expires_at=now + 10), session(seen_at=now - 500), session()
    for each in (over, idle, good):
        await store.create(each, handle(each)[1], begun_at=0)
    record = (await store.handles(over.id))[0]
    cursor = (await store.changes(None)).cursor
    await store.sweep(now + 20, now - 100)
    assert (await store.changes(cursor)).ids == {over.id, idle.id}
    assert await store.get(over.id) is None
    assert await store.find(record.digest) is None
    assert await store.get(idle.id) is None
    assert await store.get(good.id) == good
