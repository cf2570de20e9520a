"""Whether what a process remembers of a store may still be believed, and who is to be told when it may not.

A store counts its changes, and somebody here follows the count. What is remembered is believed for a second from a
moment at which it was known to be true; so a change reaches every process within a second, or the store is asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from proxy.identity.sessions.store import Changes, Cursor, Store, StoreUnavailable
from proxy.telemetry.sink import tell

BELIEVED_SECONDS: Final = 1.0
# Exchanges that last outlive a store's restart. After that nobody could end them, so that they are asked about anew.
OUTAGE_SECONDS: Final = 30.0
_RETRY_SECONDS: Final = 0.25

Forget = Callable[[frozenset[str] | None], None]


class Following:
    """Follows the changes of a store.

    Args:
        store: the one.
        monotonic: seconds.
    """

    def __init__(self, store: Store, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._monotonic = monotonic
        self._forgets: list[Forget] = []
        self._cursor: Cursor | None = None
        self._true_at = float("-inf")
        self._outage_told = False
        self.believed_until = float("-inf")  # monotonic seconds
        self.told = 0  # how often something has changed: what was read before may be older than it

    @property
    def is_believed(self) -> bool:
        """Whether what is remembered is still true, as far as anybody can tell within a second."""
        return self._monotonic() < self.believed_until

    def tell_changes(self, forget: Forget) -> None:
        """Have somebody told which ids have changed; None: each of them may have. It must not raise."""
        self._forgets.append(forget)

    async def run(self) -> None:
        """Follow, until cancelled; nothing is believed after that, and whoever lasts is told to ask somebody else."""
        try:
            while True:
                if not await self.step():
                    await asyncio.sleep(_RETRY_SECONDS)
        finally:
            self.believed_until = float("-inf")
            self._forget(None)

    async def step(self) -> bool:
        """Follow once; return False where the store could not be asked."""
        asked = self._monotonic()
        try:
            cursor = self._cursor
            changes = await (self._store.changes(None) if cursor is None else self._store.wait_changes(cursor))
        except StoreUnavailable as down:
            self._miss(asked, down.detail)
            return False
        self._cursor = changes.cursor
        self._apply(changes)
        self._true_at, self.believed_until = asked, asked + BELIEVED_SECONDS
        if self._outage_told:
            self._outage_told = False
            tell("sessions can be asked again")
        return True

    def _apply(self, changes: Changes) -> None:
        if changes.ids is None or changes.ids:
            self._forget(changes.ids)

    def _forget(self, ids: frozenset[str] | None) -> None:
        self.told += 1
        for forget in self._forgets:
            forget(ids)

    def _miss(self, now: float, reason: str) -> None:
        if not self._outage_told:
            self._outage_told = True
            tell(f"sessions cannot be asked: {reason}")
        if now - self._true_at > OUTAGE_SECONDS and self._cursor is not None:
            self._cursor = None  # whoever comes back may be another one
            self._forget(None)
