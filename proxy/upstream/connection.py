"""One connection to an endpoint: a stream that knows whether it was used before, and that distrusts surprises."""

from __future__ import annotations

import asyncio
import select
from typing import TYPE_CHECKING

from proxy.http.h1 import ResponseHeadParser
from proxy.transport.deadlines import Deadlines
from proxy.transport.stream import Stream

if TYPE_CHECKING:
    from proxy.upstream.pool import Pool


class UpstreamConnection(Stream):
    """A connection of a pool.

    Args:
        reused: an exchange before this one went over it.
        heard: a byte has come since this exchange took it.
        parser: of the heads of its answers, set by the first exchange.
    """

    __slots__ = ("_readable", "heard", "idle", "parser", "pool", "reused")

    def __init__(self, loop: asyncio.AbstractEventLoop, deadlines: Deadlines, pool: Pool) -> None:
        super().__init__(loop, deadlines)
        self.pool = pool
        self.reused = False
        self.heard = False
        self.idle = False
        self.parser: ResponseHeadParser | None = None
        self._readable = select.poll()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        super().connection_made(transport)
        self._readable.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing has come, to us or to the kernel, that a request not yet sent would take for its answer."""
        return not self.buffer and not self.eof and not (self.reused and self._readable.poll(0))

    def data_received(self, data: bytes) -> None:
        """Keep what arrived; bytes that nobody asked for make an idle connection unusable, whatever they say."""
        self.heard = True
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
