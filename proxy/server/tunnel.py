"""A WebSocket, once both sides have agreed on it: bytes both ways, until one side ends, a limit passes, or it is cut.

What passes is not read but for where frames end: a Close frame of ours can stand nowhere else. The pace is the slower
side's, either way; what lasts too long, or is silent for too long, ends.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy import errors
from proxy.http.websocket import GOING_AWAY, POLICY_VIOLATION, Frames, close_frame
from proxy.server.outcome import Outcome
from proxy.transport.stream import Stream
from proxy.transport.waiting import StreamClosed, StreamTimeout

if TYPE_CHECKING:
    from proxy.server.connection import Connection
    from proxy.upstream.connection import UpstreamConnection

_LAST_SECONDS = 1.0  # for a side's last bytes, when the other one has ended


class Tunnel:
    """One WebSocket between a client and an upstream.

    Args:
        idle: seconds without a byte, of either side, after which it ends.
        ends_at: `loop.time()` seconds at which it ends whatever passes.
        outcome: counts what passes.
    """

    __slots__ = ("_connection", "_cut", "_down", "_ends_at", "_idle", "_moved_at", "_outcome", "_up", "_upstream")

    def __init__(
        self, connection: Connection, upstream: UpstreamConnection, *, idle: float, ends_at: float, outcome: Outcome
    ) -> None:
        self._connection = connection
        self._upstream = upstream
        self._idle = idle
        self._ends_at = ends_at
        self._outcome = outcome
        self._up, self._down = Frames(masked=True), Frames(masked=False)
        self._moved_at = connection.loop.time()
        self._cut: asyncio.Future[tuple[int, str]] = connection.loop.create_future()

    def cut(self) -> None:
        """End it, for it is not permitted any more."""
        self._end_with(POLICY_VIOLATION, "access has ended")

    def go_away(self) -> None:
        """End it, for the process will: its client finds another one."""
        self._end_with(GOING_AWAY, "the gateway is going away")

    def _end_with(self, code: int, reason: str) -> None:
        if not self._cut.done():
            self._cut.set_result((code, reason))

    async def run(self) -> None:
        """Carry bytes both ways until the end; both sides have been told of the switch."""
        connection, upstream = self._connection, self._upstream
        up = connection.tasks.spawn(self._carry(connection, upstream, self._up), "tunnel up")
        down = connection.tasks.spawn(self._carry(upstream, connection, self._down), "tunnel down")
        try:
            await asyncio.wait([up, down, self._cut], return_when=asyncio.FIRST_COMPLETED)
            if up.done() and connection.eof and not connection.lost and self._pass_end():
                await asyncio.wait([down, self._cut], timeout=_LAST_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            # A client may leave a tunnel as it likes: that ends the tunnel, and is no failure.
            if not connection.lost or task is None or task.uncancel():
                raise
        finally:
            up.cancel()
            down.cancel()
            await asyncio.wait([up, down])
        late = any(not each.cancelled() and each.result() for each in (up, down))
        if self._cut.done():
            await self._close(*self._cut.result())
        elif late:
            self._outcome.code = errors.TUNNEL_TIMEOUT.code
            await self._close(GOING_AWAY, "idle or open for too long")
        else:
            await self._end()

    async def _carry(self, source: Stream, sink: Stream, frames: Frames) -> bool:
        """Carry one way until its source ends, or a limit passes; say whether that was it."""
        outcome = self._outcome
        try:
            while True:
                if source.buffer:
                    data = bytes(source.buffer)
                    source.buffer.clear()
                    self._moved_at = self._connection.loop.time()
                    if source is self._connection:
                        outcome.bytes_in += len(data)
                    else:
                        outcome.bytes_out += len(data)
                    frames.pass_over(data)
                    sink.write(data)
                    await sink.drain(self._ends_at)
                if not await self._more(source):
                    return False
        except StreamTimeout:
            return True
        except StreamClosed:
            return False

    async def _more(self, source: Stream) -> bool:
        """Wait for more of one side; what the other side sends puts the deadline off."""
        while True:
            try:
                return await source.fill(min(self._moved_at + self._idle, self._ends_at))
            except StreamTimeout:
                if self._connection.loop.time() < min(self._moved_at + self._idle, self._ends_at):
                    continue
                raise

    def _pass_end(self) -> bool:
        """Tell the upstream that the client has ended its side; say whether that can be told."""
        transport = self._upstream.transport
        if self._upstream.lost or not transport.can_write_eof():
            return False
        transport.write_eof()
        return True

    async def _close(self, code: int, reason: str) -> None:
        """End both sides, the client's with a Close frame where one can stand, for a moment in which it may answer."""
        connection = self._connection
        self._upstream.abort()
        if connection.lost or connection.congested or not self._down.may_be_closed:
            connection.abort()
            return
        connection.write(close_frame(code, reason))
        connection.patience = _LAST_SECONDS
        await self._read_out()

    async def _end(self) -> None:
        """Let what one side has sent reach the other, now that one of them has ended."""
        connection, upstream, outcome = self._connection, self._upstream, self._outcome
        if not (self._up.closed or self._down.closed):
            outcome.code = (errors.CLIENT_GONE if connection.eof else errors.UPSTREAM_CLOSED).code
        if not upstream.lost:
            if connection.buffer:
                upstream.write(bytes(connection.buffer))
            upstream.patience = _LAST_SECONDS
            upstream.close()
            await upstream.wait_closed()
        await self._read_out()

    async def _read_out(self) -> None:
        """Read on, for a moment, until the client has said its last word.

        Closing with unread bytes makes the kernel send a reset, which can destroy what is on its way to the client.
        """
        connection = self._connection
        deadline = connection.loop.time() + _LAST_SECONDS
        try:
            while not self._up.closed and not connection.eof:
                await connection.fill(deadline)
                self._up.pass_over(bytes(connection.buffer))
                connection.buffer.clear()
        except StreamTimeout:
            return
