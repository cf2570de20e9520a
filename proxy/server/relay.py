"""Bodies, both ways, with back-pressure: at most two buffers of each direction are in memory, however big the body.

A body is read by a sans-io `BodyReader` from one stream and written to the other; the writer's `drain` stops the
reading. Who is too slow is found by deadlines alone: the time at which a body would fall below its rate if nothing
more came is known after every chunk.

A request's body of known length goes from the callback that brings it into the upstream's transport, uncopied; its task
is woken for what takes waiting alone.
"""

from __future__ import annotations

import asyncio
from functools import partial

from proxy import errors
from proxy.config.limits import Limits
from proxy.errors import Refused
from proxy.http.body import BodyReader, encode_chunk, encode_last_chunk
from proxy.http.headers import clean_trailers
from proxy.server.outcome import Outcome
from proxy.transport.stream import Stream
from proxy.transport.waiting import StreamClosed, StreamTimeout


def _frame(data: bytes, reader: BodyReader, chunked: bool) -> bytes:
    """Frame what was read for the other side, with the end if that has been read too."""
    if not chunked:
        return data
    framed = encode_chunk(data) if data else b""
    return framed + encode_last_chunk(clean_trailers(reader.trailers)) if reader.done else framed


class Upload:
    """A request's body on its way to the upstream."""

    __slots__ = ("_chunked", "_downstream", "_ends_at", "_idle", "_limits", "_outcome", "_received", "_since", "reader")

    def __init__(
        self,
        downstream: Stream,
        reader: BodyReader,
        *,
        chunked: bool,
        limits: Limits,
        idle: float,
        ends_at: float,
        outcome: Outcome,
    ) -> None:
        self._downstream = downstream
        self.reader = reader
        self._chunked = chunked
        self._limits = limits
        self._idle = idle  # seconds
        self._ends_at = ends_at  # loop.time() seconds
        self._outcome = outcome
        self._since = 0.0  # when the rest of the body began to come, put off by what the upstream was waited for
        self._received = 0  # bytes of the rest

    def available(self) -> bytes:
        """Return what has arrived already, framed for the upstream, with the end if that has arrived too."""
        data = self.reader.read(self._downstream.buffer)
        self._outcome.bytes_in += len(data)
        return _frame(data, self.reader, self._chunked)

    async def run(self, upstream: Stream) -> None:
        """Send the rest; a failure of the client's interrupts whoever waits for the upstream's answer."""
        try:
            await self._send(upstream)
        except Refused as refused:
            upstream.interrupt(refused)
        except StreamTimeout:
            upstream.interrupt(Refused(errors.UPSTREAM_TIMEOUT, "the upstream does not take the body"))
        except StreamClosed:
            pass  # the upstream's answer, or its absence, says more

    async def _send(self, upstream: Stream) -> None:
        loop = asyncio.get_running_loop()
        self._since = loop.time()
        self._downstream.sink = partial(self._pass, upstream)
        try:
            while not self.reader.done:
                try:
                    more = await self._downstream.fill(self._due(loop.time()))
                except StreamTimeout:
                    raise Refused(errors.BODY_TIMEOUT, "the request's body came too slowly") from None
                if not more:
                    raise Refused(errors.CLIENT_GONE, "the client ended within its request's body")
                data = self.available()
                self._received += len(data)
                if data:
                    upstream.write(data)
                waits = loop.time()
                await upstream.drain(self._ends_at)
                self._since += loop.time() - waits  # what the upstream takes is not the client's slowness
        finally:
            self._downstream.sink = None

    def _due(self, now: float) -> float:
        """Return when the next byte must have come (`loop.time()` seconds)."""
        falls_behind = self._since + max(self._limits.body_grace, self._received / self._limits.body_rate)
        return min(now + self._idle, falls_behind, self._ends_at)

    def _pass(self, upstream: Stream, data: bytes) -> bytes:
        """Send on at once what has just arrived, without the task; return what of it is not the body's.

        The task goes on at the body's end, and where the upstream must be waited for or is gone.
        """
        downstream = self._downstream
        if self._chunked or not upstream.writable:
            return data
        count = self.reader.pass_over(len(data))
        self._received += count
        self._outcome.bytes_in += count
        upstream.write(data if count == len(data) else data[:count])
        stalled = upstream.congested
        if stalled:
            downstream.pause_reading()
        if stalled or self.reader.done:
            downstream.rouse()
        else:
            downstream.postpone(self._due(downstream.loop.time()))
        return data[count:]


class Download:
    """An answer's body on its way to the client."""

    __slots__ = ("_chunked", "_ends_at", "_idle", "_outcome", "_until_close", "_upstream", "reader")

    def __init__(
        self,
        upstream: Stream,
        reader: BodyReader,
        *,
        until_close: bool,
        chunked: bool,
        idle: float,
        ends_at: float,
        outcome: Outcome,
    ) -> None:
        self._upstream = upstream
        self.reader = reader
        self._until_close = until_close
        self._chunked = chunked
        self._idle = idle
        self._ends_at = ends_at
        self._outcome = outcome

    def available(self) -> bytes:
        """Return what has arrived already, framed for the client, with the end if that has arrived too."""
        data = self.reader.read(self._upstream.buffer)
        if not self.reader.done and self._upstream.eof:
            if not self._until_close or self._upstream.failed:
                raise Refused(errors.UPSTREAM_CLOSED, "the upstream closed within its answer's body")
            self.reader.end()
        self._outcome.bytes_out += len(data)
        return _frame(data, self.reader, self._chunked)

    async def run(self, downstream: Stream) -> None:
        """Send the rest.

        Raises:
            Refused: UPSTREAM_TIMEOUT, UPSTREAM_MALFORMED or UPSTREAM_CLOSED.
            StreamClosed, StreamTimeout: the client's side.
        """
        loop = asyncio.get_running_loop()
        while not self.reader.done:
            if downstream.congested:
                await downstream.drain(self._ends_at)
            try:
                await self._upstream.fill(min(loop.time() + self._idle, self._ends_at))
            except StreamTimeout:
                raise Refused(errors.UPSTREAM_TIMEOUT, "the answer's body stopped") from None
            if data := self.available():
                downstream.write(data)
        if downstream.congested:
            await downstream.drain(self._ends_at)
