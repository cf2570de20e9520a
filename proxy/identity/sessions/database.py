"""One SQLite file that several processes write: its threads, its deadline, and every way in which it can fail.

It knows transactions and no table. A file that was deleted, moved or replaced under us is noticed before and after each
transaction, for SQLite would go on to write into what nobody will read.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Final, TypeVar

from proxy.identity.sessions.store import StoreUnavailable

_T = TypeVar("_T")
Work = Callable[[sqlite3.Connection], _T]

DEADLINE: Final = 2.0  # seconds for a call, whatever it waits for
_BUSY_SECONDS: Final = 1.5  # that SQLite waits for another process' transaction; below the deadline, to name the reason
_PENDING: Final = 512  # calls that wait for a thread: more would not be answered in time

_REASONS: Final = {
    "SQLITE_BUSY": "the session file is locked by another process",
    "SQLITE_LOCKED": "the session file is locked by another process",
    "SQLITE_FULL": "the session file cannot grow: its disk is full",
    "SQLITE_CORRUPT": "the session file is damaged",
    "SQLITE_NOTADB": "the session file is damaged: it is no SQLite database",
    "SQLITE_READONLY": "the session file cannot be written",
    "SQLITE_CANTOPEN": "the session file cannot be opened",
    "SQLITE_PERM": "the session file cannot be opened",
    "SQLITE_IOERR": "the session file cannot be read or written",
}
_PASSING: Final = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL")  # with these a connection stays good


class Database:
    """The file.

    Args:
        path: made on first use, readable to its owner alone, in a directory that is made if its parent exists.
        schema: statements that make its tables.
        version: of the schema.
        deadline: seconds for a call.
    """

    def __init__(self, path: Path, schema: str, version: int, *, deadline: float = DEADLINE) -> None:
        self._path = path
        self._schema = schema
        self._version = version
        self._deadline = deadline
        self._opening = Lock()
        self._had: tuple[int, int] | None = None  # device and inode of the file that we have had
        self._writer = _Thread("sessions, writing")
        self._reader = _Thread("sessions, reading")

    async def write(self, work: Work[_T]) -> _T:
        """Do work in a transaction, and return what it returned once that is on disk.

        Raises:
            StoreUnavailable: it may be done or not.
        """
        return await self._run(self._writer, lambda: self._write(work))

    async def read(self, work: Work[_T]) -> _T:
        """Return what work reads. Raise StoreUnavailable."""
        return await self._run(self._reader, lambda: self._on(self._reader, work))

    @property
    def openings(self) -> int:
        """How often the file was opened for reading: with each, what was known of it may be of another file."""
        return self._reader.openings

    async def close(self) -> None:
        """Close connections and end the threads."""
        for thread in (self._writer, self._reader):
            with contextlib.suppress(StoreUnavailable):
                await self._run(thread, thread.drop)
            thread.executor.shutdown(wait=False)

    async def _run(self, thread: _Thread, job: Callable[[], _T]) -> _T:
        if thread.pending >= _PENDING:
            raise StoreUnavailable("too many wait for the session file")
        thread.pending += 1
        try:
            async with asyncio.timeout(self._deadline):
                return await asyncio.get_running_loop().run_in_executor(thread.executor, job)
        except TimeoutError:
            raise StoreUnavailable(f"the session file did not answer within {self._deadline:g} s") from None
        finally:
            thread.pending -= 1

    # What follows runs in a thread.

    def _write(self, work: Work[_T]) -> _T:
        def transaction(connection: sqlite3.Connection) -> _T:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
            return result

        return self._on(self._writer, transaction)

    def _on(self, thread: _Thread, work: Work[_T]) -> _T:
        """Do work on a thread's connection, between two looks at the file's place."""
        try:
            connection = self._connection(thread)
            result = work(connection)
            self._require_place(thread)
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            if not name.startswith(_PASSING):
                thread.drop()
            raise StoreUnavailable(_reason(name)) from None
        except OSError as error:
            thread.drop()
            raise StoreUnavailable(
                f"the session file cannot be used: {(error.strerror or 'no reason').lower()}"
            ) from None
        except (ValueError, TypeError):
            raise StoreUnavailable("the session file is damaged: it holds no values of ours") from None
        return result

    def _connection(self, thread: _Thread) -> sqlite3.Connection:
        if thread.connection is not None:
            if _identity(self._path) == thread.identity:
                return thread.connection
            thread.drop()
        with self._opening:
            return self._open(thread)

    def _require_place(self, thread: _Thread) -> None:
        if _identity(self._path) != thread.identity:
            thread.drop()
            raise StoreUnavailable("the session file was deleted or replaced")

    def _open(self, thread: _Thread) -> sqlite3.Connection:
        if _identity(self._path) is None:
            if self._had is not None:  # another one would be empty: nobody asked us to sign everybody out
                raise StoreUnavailable("the session file was deleted; restore it, or restart to begin anew")
            _make(self._path)
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        thread.connection, thread.identity = connection, _identity(self._path)
        # FULL: what is committed is on disk, so that what was acknowledged outlives a loss of power too.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        self._prepare(connection)
        self._had = thread.identity
        thread.openings += 1
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the tables of a new file; refuse one that is somebody else's, or a later release's."""
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == self._version:
            return
        if version:
            raise StoreUnavailable(f"the session file is of version {version}, and must be of {self._version}")
        if self._had is not None:
            raise StoreUnavailable("the session file was emptied; restore it, or restart to begin anew")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:  # else another process has made them while we waited
                for statement in self._schema.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {self._version}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


class _Thread:
    """A thread of its own, and the connection that only it uses."""

    def __init__(self, name: str) -> None:
        self.executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self.connection: sqlite3.Connection | None = None
        self.identity: tuple[int, int] | None = None
        self.openings = 0
        self.pending = 0

    def drop(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()


def _identity(path: Path) -> tuple[int, int] | None:
    """Return which file stands at a path. It must not be opened for that: closing it would drop SQLite's locks."""
    try:
        facts = os.stat(path)
    except FileNotFoundError:
        return None
    return facts.st_dev, facts.st_ino


def _make(path: Path) -> None:
    """Make an empty file for its owner alone; SQLite gives its companions the same mode."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    for suffix in ("-wal", "-shm"):  # of a file that was deleted: they would be taken for the new one's
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return  # another process was quicker
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _reason(name: str) -> str:
    for known, reason in _REASONS.items():
        if name.startswith(known):
            return reason
    return f"the session file is damaged ({name or 'no code'})"
