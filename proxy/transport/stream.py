"""A byte stream under one coroutine: a buffer to parse from, back-pressure both ways, one deadline.

The protocol object only stores what arrives and wakes who waits; the coroutine that owns the stream reads the buffer
with a sans-io parser and calls `fill` when the parser wants more. Nothing here knows what the bytes mean.

At most one coroutine waits in `fill` and at most one in `drain`; they may be two, for an upload and a download share
their streams. So each wait has a deadline of its own.

A task that waits is woken through the event loop, which costs 3 µs. A coroutine that a `Driver` runs is resumed in the
very callback that brings the bytes. Whoever only passes bytes on sets a `sink`, which gets them before any buffer does.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Final, Protocol, cast

from proxy.transport.deadlines import Deadlines
from proxy.transport.waiting import StreamClosed, StreamTimeout, pause

# Reading pauses when this much waits unparsed, so a fast sender costs this much memory and no more.
READ_HIGH_WATER: Final = 128 * 1024
WRITE_HIGH_WATER = 128 * 1024
FOREVER: Final = float("inf")
CLOSE_SECONDS = 10.0
_NO_LINGER = struct.pack("ii", 1, 0)  # closing sends a reset (socket(7))


class Driver(Protocol):
    """Who runs a coroutine without a task, and resumes it when what it waits for has come."""

    @property
    def direct(self) -> bool:
        """Whether the coroutine is run so at this moment."""

    def resume(self) -> None:
        """Go on."""

    def throw(self, error: BaseException) -> None:
        """Go on with an exception where the coroutine waits."""


class Stream:
    """One connection's bytes."""

    __slots__ = (
        "_deadlines",
        "_drainer",
        "_ending",
        "_ends_at",
        "_filler",
        "_fresh",
        "_interrupted",
        "_read_by",
        "_reading_paused",
        "_unwritten",
        "_waiting",
        "_write_by",
        "_writing_paused",
        "buffer",
        "close_by",
        "driver",
        "eof",
        "failed",
        "loop",
        "lost",
        "patience",
        "resets",
        "sink",
        "transport",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, deadlines: Deadlines) -> None:
        self.loop = loop
        self._deadlines = deadlines

        # What the coroutine works on.
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)  # set before anything else happens
        self.buffer = bytearray()
        self.patience = FOREVER  # seconds that a write may make no progress
        self.eof = False
        self.lost = False
        self.failed = False  # lost without the other side's end: what came before may not be all
        self.driver: Driver | None = None  # whom a `fill` is waited for by, where it is no task
        self.sink: Callable[[bytes], bytes] | None = None  # takes what arrives, and gives back what it leaves
        self.resets = False  # an abort resets, for the end of this connection would be taken for a message's

        # Deadlines, `loop.time()` seconds: of `fill`, of `drain`, and of a stream that nobody waits on.
        self._read_by = FOREVER
        self._write_by = FOREVER
        self._ends_at = FOREVER  # progress does not move this one
        self.close_by = FOREVER

        # Flow control.
        self._fresh = False  # bytes have arrived that no `fill` has told of
        self._reading_paused = False
        self._writing_paused = False
        self._unwritten = 0
        self._filler: asyncio.Future[None] | None = None
        self._waiting = False  # the driver's coroutine is in `fill`
        self._drainer: asyncio.Future[None] | None = None
        self._ending: asyncio.Future[None] | None = None
        self._interrupted: BaseException | None = None

    # --- called by the event loop

    def as_protocol(self) -> asyncio.Protocol:
        """Return itself as what the event loop calls, which asks for these methods and for no base class."""
        return cast("asyncio.Protocol", self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport and enter the sweep."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        if transport.get_extra_info("ssl_object") is not None:
            # The TLS layer must not read on while we have paused it: it drops what it holds when it sees the socket's
            # end, and with it the last bytes of every answer whose sender closes and whose receiver is slower.
            transport.set_read_buffer_limits(high=1, low=0)  # type: ignore[attr-defined]  # of TLS transports alone
        self._deadlines.add(self)

    def data_received(self, data: bytes) -> None:
        """Keep what arrived, wake the reader, and pause when enough is kept."""
        if self.sink is not None and not self.buffer:
            data = self.sink(data)
            if not data:
                return
        self.buffer += data
        self._fresh = True
        self._wake_filler()
        # Even when a task is woken: the loop may read thirty times before it gets its turn.
        if len(self.buffer) >= READ_HIGH_WATER:
            self.pause_reading()

    def eof_received(self) -> bool:
        """Note the end. A plain connection stays half open, a TLS one closes itself (RFC 8446 section 6.1 aside)."""
        self.eof = True
        self._wake_filler()
        return self.transport.get_extra_info("ssl_object") is None

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake everybody who waits."""
        self.failed = exc is not None or not self.eof  # TLS that ends without its close_notify is told as no error
        self.lost = self.eof = True
        self._deadlines.discard(self)
        if self._drainer is not None and not self._drainer.done():
            self._drainer.set_exception(StreamClosed("connection lost"))
        if self._ending is not None and not self._ending.done():
            self._ending.set_result(None)
        self._wake_filler()

    def pause_writing(self) -> None:
        """Make `drain` wait."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """Let `drain` go on."""
        self._writing_paused = False
        if self._drainer is not None and not self._drainer.done():
            self._drainer.set_result(None)

    def expire(self, now: float) -> None:
        """End what has waited for too long, each wait by its own deadline (`loop.time()` seconds)."""
        if self._read_by <= now:
            self._read_by = FOREVER
            self._fail_filler(StreamTimeout("nothing arrived in time"))
        if self._write_by <= now:
            self._expire_write(now)
        if self.close_by <= now:
            self.abort()

    def _expire_write(self, now: float) -> None:
        """End a `drain`, unless the write makes progress, however slow: then it is given its patience again."""
        self._write_by = FOREVER
        if self._drainer is None or self._drainer.done():
            return
        unwritten = self.transport.get_write_buffer_size()
        if unwritten < self._unwritten and now < self._ends_at:
            self._unwritten = unwritten
            self._write_by = min(now + self.patience, self._ends_at)
        else:
            self._drainer.set_exception(StreamTimeout("write made no progress"))

    # --- called by the coroutine that owns the stream

    async def fill(self, deadline: float) -> bool:
        """Wait until something has arrived since the last `fill`; return False when nothing more will come.

        Args:
            deadline: `loop.time()` seconds at which StreamTimeout is raised.
        """
        if self._interrupted is not None:
            raise self._interrupted
        if not self._fresh and not self.eof:
            if self._reading_paused:
                self._reading_paused = False
                self.transport.resume_reading()
            self._read_by = deadline
            try:
                if self.driver is not None and self.driver.direct:
                    self._waiting = True
                    await pause()
                else:
                    self._filler = self.loop.create_future()
                    await self._filler
            finally:
                self._filler = None
                self._waiting = False
                self._read_by = FOREVER
        fresh, self._fresh = self._fresh, False
        return fresh

    def hasten(self, deadline: float) -> None:
        """Bring the deadline of a `fill` that is under way forward."""
        if self._filler is not None or self._waiting:
            self._read_by = min(self._read_by, deadline)

    def postpone(self, deadline: float) -> None:
        """Give a `fill` that is under way another deadline, for a sink has taken what arrived."""
        if self._filler is not None:
            self._read_by = deadline

    def rouse(self) -> None:
        """End a `fill`, the one that is under way or the next, for a sink has something for its coroutine to do."""
        self._fresh = True
        self._wake_filler()

    def pause_reading(self) -> None:
        """Read no more until the next `fill`."""
        if not self._reading_paused:
            self._reading_paused = True
            self.transport.pause_reading()

    def write(self, data: bytes) -> None:
        """Send bytes; raise StreamClosed when the other side is gone."""
        if self.lost:
            raise StreamClosed("connection lost")
        self.transport.write(data)

    @property
    def writable(self) -> bool:
        """Whether `write` would raise nothing and `drain` would not wait."""
        return not self.lost and not self._writing_paused

    @property
    def congested(self) -> bool:
        """Whether `drain` would wait."""
        return self._writing_paused

    async def drain(self, ends_at: float = FOREVER) -> None:
        """Wait until the other side has taken enough of what was written.

        Args:
            ends_at: `loop.time()` seconds at which even a write that makes progress is ended.

        Raises:
            StreamClosed: the other side is gone.
            StreamTimeout: it took nothing for as long as the stream's patience, or it is `ends_at`.
        """
        if not self._writing_paused:
            return
        if self.lost:
            raise StreamClosed("connection lost")
        self._unwritten = self.transport.get_write_buffer_size()
        self._ends_at = ends_at
        self._write_by = min(self.loop.time() + self.patience, ends_at)
        self._drainer = self.loop.create_future()
        try:
            await self._drainer
        finally:
            self._drainer = None
            self._write_by = FOREVER

    def interrupt(self, reason: BaseException) -> None:
        """End the `fill` that is under way, and every later one, with this exception."""
        self._interrupted = reason
        self._fail_filler(reason)

    def close(self) -> None:
        """Close after what was written has gone out, or when it has not done so for `CLOSE_SECONDS`."""
        if not self.lost:
            self.close_by = self.loop.time() + min(self.patience, CLOSE_SECONDS)
            self.transport.close()

    async def wait_closed(self) -> None:
        """Return when a connection that is closing is gone, with all that was written or without."""
        if not self.lost:
            self._ending = self.loop.create_future()
            await self._ending

    def abort(self) -> None:
        """Close at once."""
        if not self.lost:
            self.close_by = FOREVER
            if self.resets:
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            self.transport.abort()

    def _wake_filler(self) -> None:
        if self._waiting:
            assert self.driver is not None
            self._waiting = False
            self.driver.resume()
        elif self._filler is not None and not self._filler.done():
            self._filler.set_result(None)

    def _fail_filler(self, reason: BaseException) -> None:
        if self._waiting:
            assert self.driver is not None
            self._waiting = False
            self.driver.throw(reason)
        elif self._filler is not None and not self._filler.done():
            self._filler.set_exception(reason)
