"""Sessions in one SQLite file, for all workers of one host.

Statements alone: threads, transactions and failures are the database's. Every change of a session or service token is
counted in a table, whose rows other processes follow.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from proxy.identity.sessions.database import DEADLINE, Database
from proxy.identity.sessions.service import ServiceToken
from proxy.identity.sessions.session import HandleRecord, Session, encode_session
from proxy.identity.sessions.store import ENDING_SECONDS, Changes, Cursor, Ended, Seen
from proxy.identity.sessions.tables import (
    HANDLE,
    SCHEMA,
    SESSION,
    TOKEN,
    VERSION,
    changes_since,
    ended_meanwhile,
    found_by,
    insert_handle,
    insert_session,
    note_changes,
    one,
    session_of,
    token_of,
)

_POLL_SECONDS: Final = 0.2
_CHANGES_SECONDS: Final = 3600.0  # that changes are kept: whoever follows is never so late


class SQLiteStore:
    """The store of one file; see `store.Store` for what each method promises.

    Args:
        path: made on first use.
        clock: POSIX seconds.
        deadline: seconds for a call.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time, deadline: float = DEADLINE) -> None:
        self._database = Database(path, SCHEMA, VERSION, deadline=deadline)
        self._clock = clock
        self._quiet: tuple[Cursor, int, int] | None = None  # how far this process has followed, at which commit

    # Sessions and their handles.

    async def create(self, session: Session, handle: HandleRecord, *, begun_at: float) -> bool:
        """Keep a new session and its first handle, unless the provider has ended it meanwhile."""

        def work(db: sqlite3.Connection) -> bool:
            if ended_meanwhile(db, session, begun_at):
                return False
            insert_session(db, session)
            insert_handle(db, handle)
            return True

        return await self._database.write(work)

    async def add_handle(self, handle: HandleRecord) -> bool:
        """Keep one more handle of a session."""

        def work(db: sqlite3.Connection) -> bool:
            if one(db, "SELECT 1 FROM sessions WHERE id = ? AND ended_at IS NULL", handle.session_id) is None:
                return False
            insert_handle(db, handle)
            return True

        return await self._database.write(work)

    async def find(self, digest: bytes) -> tuple[Session, HandleRecord] | None:
        """Return the session that a handle names, and what is kept of the handle."""
        statement = (
            f"SELECT {SESSION}, {HANDLE} FROM handles JOIN sessions ON sessions.id = handles.session_id"  # noqa: S608
            " WHERE handles.digest = ? AND sessions.ended_at IS NULL"
        )

        def work(db: sqlite3.Connection) -> tuple[Session, HandleRecord] | None:
            row = one(db, statement, digest)
            return None if row is None else (session_of(row[:4]), HandleRecord(*row[4:]))

        return await self._database.read(work)

    async def replace_handle(self, old: bytes, new: HandleRecord) -> bool:
        """Put a handle in the place of another one of the same session, once."""

        def work(db: sqlite3.Connection) -> bool:
            gone = db.execute("DELETE FROM handles WHERE digest = ? AND session_id = ?", (old, new.session_id))
            if gone.rowcount != 1:
                return False
            insert_handle(db, new)
            note_changes(db, [new.session_id], self._clock())
            return True

        return await self._database.write(work)

    async def drop_handle(self, digest: bytes) -> None:
        """Forget a handle; its session goes on."""

        def work(db: sqlite3.Connection) -> None:
            rows = db.execute("DELETE FROM handles WHERE digest = ? RETURNING session_id", (digest,)).fetchall()
            note_changes(db, [row[0] for row in rows], self._clock())

        await self._database.write(work)

    async def handles(self, session_id: str) -> list[HandleRecord]:
        """Return what is kept of a session's handles."""
        statement = f"SELECT {HANDLE} FROM handles WHERE session_id = ? ORDER BY created_at"  # noqa: S608
        rows = await self._database.read(lambda db: db.execute(statement, (session_id,)).fetchall())
        return [HandleRecord(*row) for row in rows]

    async def get(self, session_id: str) -> Session | None:
        """Return a session that has not ended."""
        statement = f"SELECT {SESSION} FROM sessions WHERE id = ? AND ended_at IS NULL"  # noqa: S608

        def work(db: sqlite3.Connection) -> Session | None:
            row = one(db, statement, session_id)
            return None if row is None else session_of(row)

        return await self._database.read(work)

    async def ended(self, session_id: str) -> Ended | None:
        """Return how a session ended."""
        statement = "SELECT ended_at, reason FROM sessions WHERE id = ? AND ended_at IS NOT NULL"
        row = await self._database.read(lambda db: one(db, statement, session_id))
        return None if row is None else Ended(*row)

    async def sessions(self, *, user: str | None = None, limit: int = 1000) -> list[Session]:
        """Return sessions that have not ended, last seen first."""
        statement = (
            f"SELECT {SESSION} FROM sessions WHERE ended_at IS NULL AND expires_at > ?1"  # noqa: S608
            " AND (?2 IS NULL OR email = ?2 COLLATE NOCASE OR subject = ?2) ORDER BY seen_at DESC LIMIT ?3"
        )
        now = self._clock()
        return await self._database.read(
            lambda db: [session_of(row) for row in db.execute(statement, (now, user, limit))]
        )

    async def touch(self, seen: Sequence[Seen]) -> None:
        """Write down when sessions were last used."""
        statement = "UPDATE sessions SET seen_at = max(seen_at, ?), source = ? WHERE id = ? AND ended_at IS NULL"
        rows = [(each.at, each.source, each.session_id) for each in seen]
        await self._database.write(lambda db: db.executemany(statement, rows))

    async def update(self, session: Session, expected_version: int) -> bool:
        """Replace a session if it still has the version that was read."""

        def work(db: sqlite3.Connection) -> bool:
            done = db.execute(
                "UPDATE sessions SET issuer_url = ?2, subject = ?3, email = ?4, provider_sid = ?5, expires_at = ?6,"
                " body = ?7, version = version + 1 WHERE id = ?1 AND version = ?8 AND ended_at IS NULL",
                (*found_by(session), encode_session(session), expected_version),
            )
            if done.rowcount != 1:
                return False
            note_changes(db, [session.id], self._clock())
            return True

        return await self._database.write(work)

    # Ends.

    async def end(self, session_id: str, reason: str) -> bool:
        """End a session with all of its handles."""
        return bool(await self._database.write(lambda db: self._end(db, "id = ?", [session_id], reason)))

    async def end_matching(
        self, issuer_url: str, subject: str | None, provider_sid: str | None, reason: str
    ) -> list[str]:
        """End what a provider says has ended, sign-ins under way too."""
        subject, provider_sid = subject or None, provider_sid or None
        if subject is None and provider_sid is None:
            raise ValueError("a subject or the provider's session must be named")
        wanted = {"issuer_url": issuer_url, "subject": subject, "provider_sid": provider_sid}
        named = {column: value for column, value in wanted.items() if value is not None}
        where = " AND ".join(f"{column} = ?" for column in named)
        now = self._clock()

        def work(db: sqlite3.Connection) -> list[str]:
            row = (issuer_url, subject, provider_sid, now, now + ENDING_SECONDS)
            db.execute("INSERT INTO endings VALUES (?, ?, ?, ?, ?)", row)
            return self._end(db, where, list(named.values()), reason)

        return await self._database.write(work)

    def _end(self, db: sqlite3.Connection, where: str, values: list[str], reason: str) -> list[str]:
        rows = db.execute(
            f"UPDATE sessions SET ended_at = ?, reason = ?, body = '' WHERE {where} AND ended_at IS NULL"  # noqa: S608
            " RETURNING id",
            (self._clock(), reason, *values),
        ).fetchall()
        ids = [row[0] for row in rows]
        db.executemany("DELETE FROM handles WHERE session_id = ?", [(each,) for each in ids])
        note_changes(db, ids, self._clock())
        return ids

    # Values that are good once, codes and leases.

    async def once(self, kind: str, key: str, expires_at: float) -> bool:
        """Return True the first time that a key of a kind comes, and False until it has expired."""
        statement = (
            "INSERT INTO once VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET expires_at = excluded.expires_at"
            " WHERE expires_at <= ?"
        )
        values = (kind, sha256(key.encode()).hexdigest(), expires_at, self._clock())
        return await self._database.write(lambda db: db.execute(statement, values).rowcount == 1)

    async def put_code(self, digest: bytes, payload: bytes, expires_at: float) -> None:
        """Keep what a one-time code stands for."""
        values = (digest, payload, expires_at)
        await self._database.write(lambda db: db.execute("INSERT INTO codes VALUES (?, ?, ?)", values))

    async def take_code(self, digest: bytes) -> bytes | None:
        """Return what a code stands for, the first time."""
        statement = "DELETE FROM codes WHERE digest = ? RETURNING payload, expires_at"
        rows = await self._database.write(lambda db: db.execute(statement, (digest,)).fetchall())
        return rows[0][0] if rows and self._clock() < rows[0][1] else None

    async def lease(self, name: str, owner: str, seconds: float) -> bool:
        """Take, or prolong, the sole right to do something."""
        statement = (
            "INSERT INTO leases VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET owner = ?2, expires_at = ?3"
            " WHERE owner = ?2 OR expires_at <= ?4"
        )
        now = self._clock()
        values = (name, owner, now + seconds, now)
        return await self._database.write(lambda db: db.execute(statement, values).rowcount == 1)

    async def release(self, name: str, owner: str) -> None:
        """Give up a lease that is one's own."""
        statement = "DELETE FROM leases WHERE name = ? AND owner = ?"
        await self._database.write(lambda db: db.execute(statement, (name, owner)))

    # What has changed.

    async def changes(self, cursor: Cursor | None) -> Changes:
        """Return what has changed since a cursor."""
        return await self._database.read(lambda db: self._changes(db, cursor))

    async def wait_changes(self, cursor: Cursor) -> Changes:
        """Wait for a moment, and return what has changed since a cursor."""
        await asyncio.sleep(_POLL_SECONDS)
        return await self.changes(cursor)

    def _changes(self, db: sqlite3.Connection, cursor: Cursor | None) -> Changes:
        # It counts what others have committed, and this connection never commits; another one begins to count anew.
        (commits,) = one(db, "PRAGMA data_version")
        openings = self._database.openings
        if cursor is not None and self._quiet == (cursor, commits, openings):
            return Changes(cursor, frozenset())
        db.execute("BEGIN")
        try:
            (value,) = one(db, "SELECT value FROM epoch")
            epoch = f"{value} {openings}"
            known = cursor.number if cursor is not None and cursor.epoch == epoch else None
            last, ids = changes_since(db, known)
        finally:
            db.execute("ROLLBACK")
        now = Cursor(epoch, last)
        self._quiet = now, commits, openings
        return Changes(now, ids)

    # Service tokens.

    async def add_service_token(self, token: ServiceToken) -> bool:
        """Keep a service token."""
        groups = json.dumps(token.groups)
        values = (token.name, token.digest, groups, token.created_at, token.expires_at, token.used_at)

        def work(db: sqlite3.Connection) -> bool:
            db.execute("DELETE FROM service_tokens WHERE name = ? AND expires_at <= ?", (token.name, self._clock()))
            return db.execute(
                "INSERT INTO service_tokens VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", values
            ).rowcount == 1  # fmt: skip

        return await self._database.write(work)

    async def service_tokens(self) -> list[ServiceToken]:
        """Return what is kept of service tokens, by name."""
        statement = f"SELECT {TOKEN} FROM service_tokens ORDER BY name"  # noqa: S608
        return await self._database.read(lambda db: [token_of(row) for row in db.execute(statement)])

    async def revoke_service_token(self, name: str) -> bool:
        """Forget a service token."""

        def work(db: sqlite3.Connection) -> bool:
            if db.execute("DELETE FROM service_tokens WHERE name = ?", (name,)).rowcount != 1:
                return False
            note_changes(db, [f"service:{name}"], self._clock())
            return True

        return await self._database.write(work)

    async def find_service_token(self, digest: bytes) -> ServiceToken | None:
        """Return what is kept of a service token."""
        statement = f"SELECT {TOKEN} FROM service_tokens WHERE digest = ?"  # noqa: S608

        def work(db: sqlite3.Connection) -> ServiceToken | None:
            row = one(db, statement, digest)
            return None if row is None else token_of(row)

        return await self._database.read(work)

    async def touch_service_token(self, name: str, at: float) -> None:
        """Write down when a service token was last used."""
        statement = "UPDATE service_tokens SET used_at = max(coalesce(used_at, 0), ?) WHERE name = ?"
        await self._database.write(lambda db: db.execute(statement, (at, name)))

    async def sweep(self, now: float, seen_before: float) -> None:
        """Forget what has expired, and sessions that nobody uses; what lasts on these must end too."""

        def work(db: sqlite3.Connection) -> None:
            statement = (
                "DELETE FROM sessions WHERE expires_at <= ? OR (ended_at IS NULL AND seen_at < ?)"
                " RETURNING id, ended_at"
            )
            gone = db.execute(statement, (now, seen_before)).fetchall()
            note_changes(db, [each for each, ended_at in gone if ended_at is None], self._clock())
            db.execute("DELETE FROM handles WHERE session_id NOT IN (SELECT id FROM sessions)")
            for table in ("endings", "once", "codes", "leases"):
                db.execute(f"DELETE FROM {table} WHERE expires_at <= ?", (now,))  # noqa: S608
            db.execute("DELETE FROM changes WHERE at <= ?", (now - _CHANGES_SECONDS,))

        await self._database.write(work)

    async def close(self) -> None:
        """Let go of the file."""
        await self._database.close()
