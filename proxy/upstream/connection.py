"""One connection to an endpoint: a stream that knows whether it was used before, and that distrusts surprises."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.transport.deadlines import Deadlines
from proxy.transport.stream import Stream

if TYPE_CHECKING:
    from proxy.upstream.pool import Pool


class UpstreamConnection(Stream):
    """A connection of a pool. `reused`: an exchange before this one went over it."""

    __slots__ = ("idle", "pool", "reused")

    def __init__(self, loop: asyncio.AbstractEventLoop, deadlines: Deadlines, pool: Pool) -> None:
        super().__init__(loop, deadlines)
        self.pool = pool
        self.reused = False
        self.idle = False

    def data_received(self, data: bytes) -> None:
        """Keep what arrived; bytes that nobody asked for make an idle connection unusable, whatever they say."""
        if self.idle:
            self.abort()
        else:
            super().data_received(data)

    def eof_received(self) -> bool:
        """Note the end; an idle connection closes."""
        super().eof_received()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the pool."""
        super().connection_lost(exc)
        self.pool.forget(self)
