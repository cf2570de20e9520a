"""The session file when things go wrong: killed, full, locked, damaged, deleted, somebody else's."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import pytest

from proxy.errors import SESSIONS_UNAVAILABLE
from proxy.identity.sessions.session import digest_of
from proxy.identity.sessions.sqlite import SQLiteStore
from proxy.identity.sessions.store import StoreUnavailable
from tests.identity.sessions.made import handle, session

KILLED = 50


def sessions_db(tmp_path: Path) -> Path:
    return tmp_path / "sessions.db"


async def sign_in(store: SQLiteStore, **changes: object) -> bytes:
    """Keep a session; return its handle's digest."""
    made = session(**changes)
    record = handle(made)[1]
    assert await store.create(made, record, begun_at=0)
    return record.digest


async def fill(store: SQLiteStore) -> None:
    """Keep many sessions."""
    for _ in range(100):
        await sign_in(store, claims={"filling": "x" * 4000})


def output(command: list[str]) -> str:
    """Run a process, and return what it said."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


async def refusal(store: SQLiteStore, digest: bytes) -> str:
    """Return why neither a read nor a write is answered."""
    with pytest.raises(StoreUnavailable) as reading:
        await store.find(digest)
    with pytest.raises(StoreUnavailable) as writing:
        await sign_in(store)
    assert reading.value.row is writing.value.row is SESSIONS_UNAVAILABLE
    assert reading.value.status == 503
    return writing.value.detail


async def test_nothing_that_was_acknowledged_is_lost_when_writers_are_killed(tmp_path: Path) -> None:
    path = sessions_db(tmp_path)
    command = [sys.executable, "-m", "tests.identity.sessions.writer", str(path), str(KILLED)]
    told = defaultdict(dict)
    for line in (await asyncio.to_thread(output, command)).splitlines():
        what, session_id, *rest = line.split()
        told[what][session_id] = rest
    store = SQLiteStore(path)
    assert len(told["created"]) >= KILLED
    for session_id, (digest,) in told["created"].items():
        found = await store.find(bytes.fromhex(digest))
        if session_id in told["ended"]:
            assert found is None
            assert await store.ended(session_id) is not None
        elif found is None:  # its end was under way, and had not been acknowledged
            assert await store.ended(session_id) is not None
        else:
            assert found[0].version == 1 or session_id not in told["updated"]
    for session_id in told["once"]:
        assert not await store.once("jti", session_id, time.time() + 60)
    for session_id in told["code"]:
        assert await store.take_code(digest_of(session_id.encode())) == b"payload"
    await store.close()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_the_file_is_its_owner_s_alone_and_holds_no_handle(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "state" / "sessions.db")
    made = session()
    text, record = handle(made)
    await store.create(made, record, begun_at=0)
    files = list((tmp_path / "state").iterdir())
    assert len(files) == 3
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert not any(text in file.read_bytes() for file in files)
    await store.close()


async def test_what_was_kept_is_there_after_a_restart(tmp_path: Path) -> None:
    before = SQLiteStore(sessions_db(tmp_path))
    digest = await sign_in(before)
    await before.close()
    after = SQLiteStore(sessions_db(tmp_path))
    assert await after.find(digest) is not None
    await after.close()


async def test_a_locked_file_refuses_writes_within_the_deadline_and_is_read(tmp_path: Path) -> None:
    store = SQLiteStore(sessions_db(tmp_path))
    digest = await sign_in(store)
    other = sqlite3.connect(sessions_db(tmp_path), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable, match="locked by another process"):
        await sign_in(store)
    assert time.monotonic() - begun < 2.5
    assert await store.find(digest) is not None
    other.execute("ROLLBACK")
    other.close()
    assert await store.find(await sign_in(store)) is not None
    await store.close()


async def test_a_thread_that_hangs_is_waited_for_until_the_deadline(tmp_path: Path) -> None:
    store = SQLiteStore(sessions_db(tmp_path), deadline=0.05)
    held = threading.Event()
    with pytest.raises(StoreUnavailable, match=r"did not answer within 0\.05 s"):
        await store._database.write(lambda _: held.wait(10))
    with pytest.raises(StoreUnavailable, match="did not answer"):
        await sign_in(store)
    held.set()
    await store.close()


async def test_more_calls_than_can_be_answered_are_refused_at_once(tmp_path: Path) -> None:
    store = SQLiteStore(sessions_db(tmp_path))
    done = await asyncio.gather(*(store.find(b"x") for _ in range(600)), return_exceptions=True)
    refused = [each for each in done if each is not None]
    assert len(refused) == 600 - 512
    assert all("too many wait" in str(each) for each in refused)
    assert await store.find(b"x") is None
    await store.close()


FULL = """
import asyncio, resource, sys
from pathlib import Path
from proxy.identity.sessions.sqlite import SQLiteStore
from proxy.identity.sessions.store import StoreUnavailable
from tests.identity.sessions.made import handle, session

async def main():
    store, kept = SQLiteStore(Path(sys.argv[1])), []
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))
    while True:
        made = session(claims={"filling": "x" * 4000})
        record = handle(made)[1]
        try:
            await store.create(made, record, begun_at=0)
        except StoreUnavailable as refused:
            reason = refused.detail
            break
        kept.append(record.digest)
    lost = [digest for digest in kept if await store.find(digest) is None]
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    again = await store.create(made, record, begun_at=0)
    await store.close()
    print(len(kept), len(lost), again, reason)

asyncio.run(main())
"""


async def test_a_file_that_cannot_grow_refuses_loses_nothing_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL, str(sessions_db(tmp_path))]
    kept, lost, again, reason = (await asyncio.to_thread(output, command)).split(maxsplit=3)
    assert int(kept) > 10
    assert lost == "0"
    assert again == "True"
    assert reason.startswith("the session file cannot")


async def test_a_disk_that_is_full_is_called_so(tmp_path: Path) -> None:
    store = SQLiteStore(sessions_db(tmp_path))
    digest = await sign_in(store)
    await store._database.read(lambda db: db.execute("SELECT 1"))
    writer = store._database._writer.connection
    assert writer is not None
    writer.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StoreUnavailable, match="its disk is full"):
        await fill(store)
    assert await store.find(digest) is not None
    writer.execute("PRAGMA max_page_count = 100000")
    assert await store.find(await sign_in(store)) is not None
    await store.close()


@pytest.mark.parametrize("content", [b"no database at all\n" * 100, b""])
async def test_a_file_that_is_damaged_before_the_start_is_refused_or_begun(tmp_path: Path, content: bytes) -> None:
    sessions_db(tmp_path).write_bytes(content)
    store = SQLiteStore(sessions_db(tmp_path))
    if content:
        assert "damaged" in await refusal(store, b"x")
        assert sessions_db(tmp_path).read_bytes() == content
    else:
        assert await store.find(await sign_in(store)) is not None
    await store.close()


async def test_a_file_that_is_damaged_under_us_is_refused(tmp_path: Path) -> None:
    store = SQLiteStore(sessions_db(tmp_path))
    digests = [await sign_in(store, claims={"filling": "x" * 4000}) for _ in range(20)]
    await store.close()
    store = SQLiteStore(sessions_db(tmp_path))
    assert await store.find(digests[0]) is not None
    with sessions_db(tmp_path).open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(sessions_db(tmp_path).stat().st_size - 4096))
    outcomes = await asyncio.gather(*(store.find(digest) for digest in digests), return_exceptions=True)
    assert any(isinstance(each, StoreUnavailable) and "damaged" in each.detail for each in outcomes)
    with pytest.raises(StoreUnavailable, match="damaged"):
        await fill(store)
    await store.close()


async def test_a_session_that_cannot_be_read_is_refused_and_not_taken_for_none(tmp_path: Path) -> None:
    store = SQLiteStore(sessions_db(tmp_path))
    digest = await sign_in(store)
    await store._database.write(lambda db: db.execute("UPDATE sessions SET body = '{}'"))
    with pytest.raises(StoreUnavailable, match="no values of ours"):
        await store.find(digest)
    await store.close()


async def test_a_deleted_file_refuses_and_is_not_begun_anew_until_a_restart(tmp_path: Path) -> None:
    store = SQLiteStore(sessions_db(tmp_path))
    digest = await sign_in(store)
    sessions_db(tmp_path).unlink()
    assert "deleted" in await refusal(store, digest)
    assert "deleted" in await refusal(store, digest)
    assert not sessions_db(tmp_path).exists()
    restarted = SQLiteStore(sessions_db(tmp_path))
    assert await restarted.find(digest) is None
    new = await sign_in(restarted)
    assert await store.find(new) is not None  # the other one's, which is there for all
    await store.close()
    await restarted.close()


async def test_a_file_that_is_put_back_serves_again_and_everything_may_have_changed(tmp_path: Path) -> None:
    store = SQLiteStore(sessions_db(tmp_path))
    digest = await sign_in(store)
    cursor = (await store.changes(None)).cursor
    assert (await store.changes(cursor)).ids == frozenset()
    backup = tmp_path / "backup.db"
    with sqlite3.connect(sessions_db(tmp_path)) as source, sqlite3.connect(backup) as target:
        source.backup(target)
    source.close()
    target.close()
    shutil.move(backup, sessions_db(tmp_path))
    assert await store.find(digest) is not None
    assert (await store.changes(cursor)).ids is None
    await store.close()


async def test_a_file_that_is_deleted_while_it_is_written_acknowledges_nothing(tmp_path: Path) -> None:
    store = SQLiteStore(sessions_db(tmp_path))
    await sign_in(store)
    with pytest.raises(StoreUnavailable, match="was deleted or replaced"):
        await store._database.write(lambda _: sessions_db(tmp_path).unlink())
    await store.close()


async def test_a_file_of_a_later_release_or_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(sessions_db(tmp_path)) as db:
        db.execute("PRAGMA user_version = 7")
    db.close()
    store = SQLiteStore(sessions_db(tmp_path))
    assert "must be of 1" in await refusal(store, b"x")
    await store.close()


async def test_a_directory_that_cannot_be_made_is_a_reason(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "no" / "such" / "sessions.db")
    assert "no such file or directory" in await refusal(store, b"x")
    await store.close()


async def test_processes_that_start_at_once_make_one_file(tmp_path: Path) -> None:
    stores = [SQLiteStore(sessions_db(tmp_path)) for _ in range(6)]
    digests = await asyncio.gather(*map(sign_in, stores))
    for store in stores:
        for digest in digests:
            assert await store.find(digest) is not None
    for store in stores:
        await store.close()


async def test_changes_of_long_ago_cannot_be_told(tmp_path: Path) -> None:
    now = time.time()
    store = SQLiteStore(sessions_db(tmp_path))
    cursor = (await store.changes(None)).cursor
    made = session()
    await store.create(made, handle(made)[1], begun_at=0)
    await store.end(made.id, "x")
    await store.sweep(now + 3700, 0)
    assert (await store.changes(cursor)).ids is None
    await store.close()
