"""JSON lines to a sink, without the event loop ever waiting for it.

Rule 1: the loop encodes and queues; one daemon thread per sink writes, and alone may block.
Rule 2: the queue is bounded by count and by bytes. What does not fit, or cannot be written, is dropped and counted by
its type, and an outage is told on stderr once.

It must not know what is in a record beyond its `type`; how lines stay whole is `sink`'s.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from prometheus_client import Counter

from proxy.telemetry.metrics import Family, Metrics
from proxy.telemetry.sink import Sink, tell

QUEUE_RECORDS: Final = 10_000
QUEUE_BYTES: Final = 16 * 1024 * 1024
_CHUNK_BYTES: Final = 256 * 1024
# Seconds that the thread lets a batch grow once it is awake. Without it every record of a busy second would hand the
# interpreter lock to the thread and back, which costs the loop more than the record does.
_GATHER: Final = 0.005
# ASCII alone: neither a lone surrogate nor a terminal's control sequence gets into the log.
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


class RecordsUnavailable(Exception):  # noqa: N818 - the state's name, not an accident
    """A record that must be written before the request goes on was not."""


class _Ticket:
    """Somebody on the loop who waits for a line."""

    __slots__ = ("_loop", "abandoned", "written")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.written: asyncio.Future[bool] = self._loop.create_future()
        self.abandoned = False

    def settle(self, written: bool) -> None:
        """Tell the waiter; for any thread."""
        try:
            self._loop.call_soon_threadsafe(self._settle, written)
        except RuntimeError:  # its loop is closed, and so nobody waits
            return

    def _settle(self, written: bool) -> None:
        if not self.written.done():
            self.written.set_result(written)


class _Line(NamedTuple):
    data: bytes
    kind: str
    ticket: _Ticket | None

    def settle(self, written: bool) -> None:
        if self.ticket is not None:
            self.ticket.settle(written)


class Writer:
    """One sink and the thread that writes to it.

    Args:
        sink: belongs to the writer from here on.
        dropped: counter by record type.
        records, size: bounds of the queue, in records and in bytes; what is being written counts.
    """

    def __init__(
        self, sink: Sink, dropped: Family[Counter], *, records: int = QUEUE_RECORDS, size: int = QUEUE_BYTES
    ) -> None:
        self._sink = sink
        self._dropped = dropped
        self._max_records = records
        self._max_bytes = size

        # Shared with the thread, under `_condition`.
        self._condition = threading.Condition(threading.Lock())
        self._queue: deque[_Line] = deque()
        self._held_records = 0
        self._held_bytes = 0
        self._idle = False
        self._urgent = False
        self._closing = False
        self._reopening = False
        self._outage = False

        self._thread = threading.Thread(target=self._run, name=f"records {sink.name}", daemon=True)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Whether the records that were offered last were taken and written."""
        return not self._outage

    def write(self, record: dict[str, Any]) -> None:
        """Queue a record, or drop and count it. Never waits and never raises."""
        self._offer(record, None)

    async def write_through(self, record: dict[str, Any], timeout: float = 1.0) -> None:  # noqa: ASYNC109
        """Return once the record's line is on the descriptor.

        A waiter who is cancelled leaves the record in the queue: a client that hangs up must not unmake its record.

        Args:
            record: what to write.
            timeout: seconds to wait for a blocked sink.

        Raises:
            RecordsUnavailable: it is not written; a line that was torn in its middle is finished later all the same.
        """
        ticket = _Ticket()
        if not self._offer(record, ticket):
            raise RecordsUnavailable(f"{self._sink.name} takes no records")
        try:
            async with asyncio.timeout(timeout):
                written = await ticket.written
        except TimeoutError:
            ticket.abandoned = True
            raise RecordsUnavailable(f"{self._sink.name} is blocked") from None
        if not written:
            raise RecordsUnavailable(f"{self._sink.name} cannot be written")

    def reopen(self) -> None:
        """Open the file anew, for it was rotated. Until that has worked the old one is written."""
        with self._condition:
            self._reopening = True
            self._condition.notify()

    async def close(self, timeout: float) -> None:  # noqa: ASYNC109 - a blocked thread cannot be cancelled
        """Write what is queued and stop; after `timeout` seconds drop what is left.

        A thread that is still blocked then keeps its descriptor: closed under it, the number could be another file's.
        """
        with self._condition:
            self._closing = True
            self._condition.notify()
        await asyncio.to_thread(self._thread.join, timeout)
        if self._thread.is_alive():
            with self._condition:
                left, self._queue = self._queue, deque()
            self._drop(left, "is blocked")
        else:
            self._sink.close()

    # The loop's side.

    def _offer(self, record: dict[str, Any], ticket: _Ticket | None) -> bool:
        kind = str(record.get("type"))
        try:
            line = _Line(_encode(record).encode() + b"\n", kind, ticket)
        except (TypeError, ValueError, RecursionError) as error:
            self._dropped.of(kind).inc()
            tell(f"a record of type {kind} is not JSON: {error}")
            return False
        if self._take(line):
            return True
        self._drop((line,), "is closed" if self._closing else "takes records too slowly")
        return False

    def _take(self, line: _Line) -> bool:
        size = len(line.data)
        with self._condition:
            if self._closing or self._held_records >= self._max_records or self._held_bytes + size > self._max_bytes:
                return False
            self._queue.append(line)
            self._held_records += 1
            self._held_bytes += size
            if line.ticket is not None:
                self._urgent = True
            if self._idle or self._urgent:
                self._condition.notify()
        return True

    def _drop(self, lines: Iterable[_Line], reason: str) -> None:
        with self._condition:
            begins, self._outage = not self._outage, True
        if begins:
            tell(f"records are lost: {self._sink.name} {reason}")
        for line in lines:
            self._dropped.of(line.kind).inc()
            line.settle(False)

    # The thread's side.

    def _run(self) -> None:
        while self._wait():
            self._reopen_if_asked()
            with self._condition:
                batch, self._queue = self._queue, deque()
                self._urgent = False
            for chunk in _chunks(batch):
                self._put(chunk)

    def _wait(self) -> bool:
        with self._condition:
            self._idle = True
            self._condition.wait_for(lambda: self._queue or self._closing or self._reopening)
            self._idle = False
            self._condition.wait_for(lambda: self._urgent or self._closing or self._reopening, _GATHER)
            return bool(self._queue) or not self._closing

    def _reopen_if_asked(self) -> None:
        with self._condition:
            asked, self._reopening = self._reopening, False
        if not asked:
            return
        try:
            self._sink.reopen()
        except OSError as error:
            tell(f"{self._sink.name} cannot be opened anew, the old file is written on: {error.strerror}")

    def _put(self, chunk: list[_Line]) -> None:
        abandoned = [line for line in chunk if line.ticket is not None and line.ticket.abandoned]
        lines = [line for line in chunk if line not in abandoned] if abandoned else chunk
        whole, error = self._sink.put([line.data for line in lines])
        if error is not None:
            self._drop(lines[whole:], f"cannot be written: {error.strerror}")
        if abandoned:
            self._drop(abandoned, "was blocked")
        with self._condition:
            self._held_records -= len(chunk)
            self._held_bytes -= sum(len(line.data) for line in chunk)
            # Half: a sink that is barely too slow would begin an outage, and tell of it, with every batch.
            if (
                error is None
                and self._held_records * 2 <= self._max_records
                and self._held_bytes * 2 <= self._max_bytes
            ):
                self._outage = False
        for line in lines[:whole]:
            line.settle(True)


class Writers:
    """The sinks of one process; what goes to the same place shares a writer, so that lines do not mix."""

    def __init__(self, metrics: Metrics) -> None:
        self._dropped = metrics.records_dropped
        self._writers: dict[str, Writer] = {}

    def open(self, to: str) -> Writer | None:
        """Return the writer to `stdout` or to a file's path, or None for `off`.

        Raises:
            OSError: the file cannot be opened for appending.
        """
        if to == "off":
            return None
        key = to if to == "stdout" else os.path.realpath(to)
        if key not in self._writers:
            self._writers[key] = Writer(Sink(to, 1 if to == "stdout" else key), self._dropped)
        return self._writers[key]

    def reopen(self) -> None:
        """Open every file anew, for logrotate."""
        for writer in self._writers.values():
            writer.reopen()

    async def close(self, timeout: float) -> None:  # noqa: ASYNC109
        """Flush and stop every writer, each within `timeout` seconds."""
        await asyncio.gather(*(writer.close(timeout) for writer in self._writers.values()))
        self._writers.clear()


def _chunks(lines: Iterable[_Line]) -> Iterator[list[_Line]]:
    chunk: list[_Line] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line.data)
        if size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
