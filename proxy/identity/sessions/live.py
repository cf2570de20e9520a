"""Sessions as requests ask for them: from memory without waiting, else from the store.

`recall` is on the way of every request and waits for nothing. What it cannot answer (unknown, changed, idle, or the
store silent for a second) `read` asks the store, which refuses where it cannot tell.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from proxy.identity.sessions.following import Following
from proxy.identity.sessions.session import HandleRecord, Session
from proxy.identity.sessions.store import Seen, Store, StoreUnavailable

CAPACITY: Final = 20_000  # handles that are remembered: some 4 KB each
_TOUCH_SECONDS: Final = 60.0  # that lie between two notes of a session's use, at most
_FLUSH_SECONDS: Final = 5.0
_SWEEP_SECONDS: Final = 60.0

Callback = Callable[[], None]


class _Known:
    """A session in memory, and when it was last used; all of its handles share it."""

    __slots__ = ("digests", "noted_at", "seen_at", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.seen_at = self.noted_at = session.seen_at
        self.digests: set[bytes] = set()


class _Entry:
    """A handle in memory."""

    __slots__ = ("device", "host", "known")

    def __init__(self, known: _Known, record: HandleRecord) -> None:
        self.known = known
        self.host = record.host
        self.device = record.device


class Sessions:
    """What requests ask.

    Args:
        store: where sessions are kept.
        idle: seconds after its last use from which a session is none.
        clock: POSIX seconds.
        monotonic: seconds.
        capacity: handles that are remembered.
    """

    def __init__(
        self,
        store: Store,
        *,
        idle: float,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        capacity: int = CAPACITY,
    ) -> None:
        self.following = Following(store, monotonic)
        self.following.tell_changes(self._forget)
        self._store = store
        self._idle = idle
        self._touch = min(_TOUCH_SECONDS, idle / 4)
        self._clock = clock
        self._monotonic = monotonic
        self._capacity = capacity
        self._entries: dict[bytes, _Entry] = {}
        self._known: dict[str, _Known] = {}
        self._noted: dict[str, Seen] = {}
        self._callbacks: defaultdict[str, set[Callback]] = defaultdict(set)

    def recall(self, handle: bytes, host: str, now: float, *, device: str = "", source: str = "") -> Session | None:
        """Return the session that a handle names, if memory can tell; None: `read` must.

        Args:
            handle: from the cookie.
            host: authority that the request is for, lower case, without a default port.
            now: POSIX seconds.
            device: id of the connection's peer, or empty.
            source: the client's address, for the list of sessions.
        """
        entry = self._entries.get(sha256(handle).digest())
        if entry is None or entry.host != host or self._monotonic() >= self.following.believed_until:
            return None
        known = entry.known
        session = known.session
        if now >= session.expires_at or now >= known.seen_at + self._idle:
            return None
        if entry.device and entry.device != device:
            return None
        self._use(known, now, source)
        return session

    async def read(self, handle: bytes, host: str, now: float, *, device: str = "", source: str = "") -> Session | None:
        """Return the session that a handle names, or None where there is none that is good here and now.

        Args are those of `recall`.

        Raises:
            StoreUnavailable: nobody knows.
        """
        told = self.following.told
        found = await self._store.find(sha256(handle).digest())
        if found is None:
            return None
        session, record = found
        if record.host != host or (record.device and record.device != device):
            return None
        known = self._known.get(session.id)
        if known is not None and known.session.version < session.version:
            self._drop_session(session.id)
            known = None
        if known is None:
            known = _Known(session)
        known.seen_at = max(known.seen_at, session.seen_at)
        if now >= session.expires_at or now >= known.seen_at + self._idle:
            return None
        if told == self.following.told:  # else it may have changed since it was read
            self._remember(known, record)
        self._use(known, now, source)
        return known.session

    def subscribe(self, session_id: str, callback: Callback) -> Callback:
        """Have somebody called whenever a session ends or changes, or nobody can tell any more.

        Subscribe first, and read then: what changes in between is told. The callback must not raise.

        Returns:
            What ends the subscription.
        """
        self._callbacks[session_id].add(callback)

        def unsubscribe() -> None:
            callbacks = self._callbacks.get(session_id)
            if callbacks is not None:
                callbacks.discard(callback)
                if not callbacks:
                    del self._callbacks[session_id]

        return unsubscribe

    async def run(self) -> None:
        """Follow changes, and write down what was used, until cancelled."""
        await asyncio.gather(self.following.run(), self._keep_house())

    async def flush(self) -> None:
        """Write down which sessions were used. Raise StoreUnavailable, and lose nothing of it."""
        noted, self._noted = self._noted, {}
        if not noted:
            return
        try:
            await self._store.touch(list(noted.values()))
        except StoreUnavailable:
            self._noted = noted | self._noted
            raise

    async def _keep_house(self) -> None:
        sweep_at = self._monotonic() + _SWEEP_SECONDS
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            try:
                await self.flush()
                if self._monotonic() >= sweep_at:
                    sweep_at = self._monotonic() + _SWEEP_SECONDS
                    await self._sweep()
            except StoreUnavailable:
                continue  # whoever follows tells of it, and it is done the next time

    async def _sweep(self) -> None:
        # Others may have used what they have not written down yet.
        now = self._clock()
        await self._store.sweep(now, now - self._idle - 2 * self._touch - 2 * _FLUSH_SECONDS)

    def _use(self, known: _Known, now: float, source: str) -> None:
        if now > known.seen_at:
            known.seen_at = now
            if now - known.noted_at >= self._touch:
                known.noted_at = now
                if len(self._noted) < self._capacity:
                    self._noted[known.session.id] = Seen(known.session.id, now, source or known.session.source)

    def _remember(self, known: _Known, record: HandleRecord) -> None:
        while len(self._entries) >= self._capacity:
            self._drop(next(iter(self._entries)))
        self._known[known.session.id] = known
        known.digests.add(record.digest)
        self._entries[record.digest] = _Entry(known, record)

    def _drop(self, digest: bytes) -> None:
        known = self._entries.pop(digest).known
        known.digests.discard(digest)
        if not known.digests:
            del self._known[known.session.id]

    def _drop_session(self, session_id: str) -> None:
        known = self._known.pop(session_id, None)
        for digest in known.digests if known is not None else ():
            del self._entries[digest]

    def _forget(self, ids: frozenset[str] | None) -> None:
        """Drop what has changed, and tell whoever lasts on it."""
        if ids is None:
            self._entries.clear()
            self._known.clear()
            ids = frozenset(self._callbacks)
        for each in ids:
            self._drop_session(each)
            for callback in tuple(self._callbacks.get(each, ())):
                callback()
