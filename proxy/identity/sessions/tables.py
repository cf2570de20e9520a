"""The tables of the session file, and what a row of theirs is.

A change here is another `VERSION`, and needs a way from the one before.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Any, Final

from proxy.identity.sessions.service import ServiceToken
from proxy.identity.sessions.session import HandleRecord, Session, decode_session, encode_session

VERSION: Final = 1
SCHEMA: Final = """
CREATE TABLE epoch (value TEXT NOT NULL);
INSERT INTO epoch VALUES (lower(hex(randomblob(16))));
CREATE TABLE sessions (
    id TEXT PRIMARY KEY, issuer_url TEXT NOT NULL, subject TEXT NOT NULL, email TEXT NOT NULL,
    provider_sid TEXT NOT NULL, expires_at REAL NOT NULL, seen_at REAL NOT NULL, source TEXT NOT NULL,
    version INTEGER NOT NULL, body TEXT NOT NULL, ended_at REAL, reason TEXT
);
CREATE INDEX sessions_subject ON sessions (issuer_url, subject);
CREATE INDEX sessions_provider_sid ON sessions (issuer_url, provider_sid);
CREATE TABLE handles (
    digest BLOB PRIMARY KEY, session_id TEXT NOT NULL, host TEXT NOT NULL, created_at REAL NOT NULL,
    device TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX handles_session ON handles (session_id);
CREATE TABLE endings (
    issuer_url TEXT NOT NULL, subject TEXT, provider_sid TEXT, at REAL NOT NULL, expires_at REAL NOT NULL
);
CREATE INDEX endings_issuer ON endings (issuer_url);
CREATE TABLE once (
    kind TEXT NOT NULL, key TEXT NOT NULL, expires_at REAL NOT NULL, PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE TABLE codes (digest BLOB PRIMARY KEY, payload BLOB NOT NULL, expires_at REAL NOT NULL);
CREATE TABLE leases (name TEXT PRIMARY KEY, owner TEXT NOT NULL, expires_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE changes (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE service_tokens (
    name TEXT PRIMARY KEY, digest BLOB NOT NULL UNIQUE, member_of TEXT NOT NULL, created_at REAL NOT NULL,
    expires_at REAL NOT NULL, used_at REAL
) WITHOUT ROWID
"""

SESSION: Final = "sessions.body, sessions.seen_at, sessions.source, sessions.version"
HANDLE: Final = "handles.digest, handles.session_id, handles.host, handles.created_at, handles.device"
TOKEN: Final = "name, digest, member_of, created_at, expires_at, used_at"  # noqa: S105 - columns


def one(db: sqlite3.Connection, statement: str, *values: object) -> Any:
    """Return the first row, or None."""
    return db.execute(statement, values).fetchone()


def session_of(row: tuple[Any, ...]) -> Session:
    """Return the session of a row of `SESSION`. Raise ValueError where it is none."""
    body, seen_at, source, version = row
    return decode_session(body, seen_at=seen_at, source=source, version=version)


def token_of(row: tuple[Any, ...]) -> ServiceToken:
    """Return the service token of a row of `TOKEN`. Raise ValueError where it is none."""
    name, digest, groups, created_at, expires_at, used_at = row
    return ServiceToken(name, digest, tuple(json.loads(groups)), created_at, expires_at, used_at)


def found_by(session: Session) -> tuple[str | float, ...]:
    """Return the columns by which a session is found, its id first."""
    return (
        session.id,
        session.issuer_url,
        session.subject,
        session.email,
        session.provider_sid,
        session.expires_at,
    )


def insert_session(db: sqlite3.Connection, session: Session) -> None:
    """Write a new session."""
    db.execute(
        "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
        (*found_by(session), session.seen_at, session.source, session.version, encode_session(session)),
    )


def insert_handle(db: sqlite3.Connection, handle: HandleRecord) -> None:
    """Write a new handle."""
    db.execute(
        "INSERT INTO handles VALUES (?, ?, ?, ?, ?)",
        (handle.digest, handle.session_id, handle.host, handle.created_at, handle.device),
    )


def ended_meanwhile(db: sqlite3.Connection, session: Session, begun_at: float) -> bool:
    """Tell whether the provider has ended a session before it was made."""
    statement = (
        "SELECT 1 FROM endings WHERE issuer_url = ?1 AND (subject IS NULL OR subject = ?2)"
        " AND CASE WHEN provider_sid IS NULL THEN at >= ?4 ELSE provider_sid = ?3 END"
    )
    return one(db, statement, session.issuer_url, session.subject, session.provider_sid, begun_at) is not None


def note_changes(db: sqlite3.Connection, ids: Iterable[str], now: float) -> None:
    """Count changes of sessions and service tokens, for those who follow."""
    db.executemany("INSERT INTO changes (id, at) VALUES (?, ?)", [(each, now) for each in ids])


def changes_since(db: sqlite3.Connection, number: int | None) -> tuple[int, frozenset[str] | None]:
    """Return the last change's number, and what has changed since another one; None where that cannot be told."""
    row = one(db, "SELECT seq FROM sqlite_sequence WHERE name = 'changes'")
    last: int = 0 if row is None else row[0]
    if number is None or number > last:
        return last, None
    ids = [each for (each,) in db.execute("SELECT id FROM changes WHERE number > ?", (number,))]
    return last, frozenset(ids) if len(ids) == last - number else None  # numbers have no gap, but the oldest are swept
