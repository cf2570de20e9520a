"""JSON lines to a sink, without the event loop ever waiting for it.

Rule 1: the loop queues, without a lock; one daemon thread per sink spells and writes, and alone may block. A hundred
records are spelled at once in a third of the time that they take one by one between requests: the processor's caches
hold the code.
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
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from prometheus_client import Counter

from proxy.telemetry.metrics import Family, Metrics
from proxy.telemetry.sink import Sink, tell

QUEUE_RECORDS: Final = 10_000
QUEUE_BYTES: Final = 16 * 1024 * 1024
FLUSH_SECONDS: Final = 5.0  # for what is queued when a process ends
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


Spell = Callable[..., bytes]
# What spells a record and of what, or None and the line itself; its type, who waits for it, and its size as it counts.
_Offer = tuple[Spell | None, Any, str, _Ticket | None, int]
# A line, its record's type, who waits for it, and the size that was counted.
_Line = tuple[bytes, str, _Ticket | None, int]


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

        # The loop appends and counts what was offered; the thread takes and counts what is done with. Each number has
        # one writer and an append is one step of the interpreter, so this needs no lock.
        self._queue: deque[_Offer] = deque()
        self._offered_records = self._offered_bytes = 0
        self._done_records = self._done_bytes = 0

        # Shared, under `_condition`.
        self._condition = threading.Condition(threading.Lock())
        self._idle = False
        self._urgent = False
        self._closing = False
        self._reopening = False
        self._outage = False

        self._writing = threading.Thread(target=self._run, name=f"records {sink.name}", daemon=True)
        self._writing.start()

    @property
    def healthy(self) -> bool:
        """Whether the records that were offered last were taken and written."""
        return not self._outage

    def write(self, record: dict[str, Any]) -> None:
        """Queue a record, or drop and count it. Never waits and never raises."""
        kind = str(record.get("type"))
        try:
            line = _encode(record).encode() + b"\n"
        except (TypeError, ValueError, RecursionError) as error:
            self._dropped.of(kind).inc()
            tell(f"a record of type {kind} is not JSON: {error}")
            return
        self.write_line(line, kind)

    def write_line(self, line: bytes, kind: str) -> None:
        """Queue a record that is spelled already, with its line's end, or drop and count it; for the loop's thread."""
        self._offer((None, line, kind, None, len(line)))

    def write_later(self, spell: Spell, values: tuple[Any, ...], kind: str, size: int) -> None:
        """Queue a record that the thread spells, or drop and count it; for the loop's thread.

        Args:
            spell: returns the line, with its end, of `values`, which nobody changes any more.
            size: bytes that it will have, about.
        """
        self._offer((spell, values, kind, None, size))

    async def write_through(self, line: bytes, kind: str, timeout: float = 1.0) -> None:  # noqa: ASYNC109
        """Return once a record's line is on the descriptor.

        A waiter who is cancelled leaves the record in the queue: a client that hangs up must not unmake its record.

        Args:
            line, kind: as of `write_line`.
            timeout: seconds to wait for a blocked sink.

        Raises:
            RecordsUnavailable: it is not written; a line that was torn in its middle is finished later all the same.
        """
        ticket = _Ticket()
        if not self._offer((None, line, kind, ticket, len(line))):
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
        await asyncio.to_thread(self._writing.join, timeout)
        if self._writing.is_alive():
            self._drop([(kind, ticket) for _, _, kind, ticket, _ in self._taken()], "is blocked")
        else:
            self._sink.close()

    # The loop's side.

    def _offer(self, offer: _Offer) -> bool:
        size, ticket = offer[4], offer[3]
        if (
            self._closing
            or self._offered_records - self._done_records >= self._max_records
            or self._offered_bytes - self._done_bytes + size > self._max_bytes
        ):
            self._drop([(offer[2], None)], "is closed" if self._closing else "takes records too slowly")
            return False
        self._offered_records += 1
        self._offered_bytes += size
        self._queue.append(offer)
        # The thread says that it is idle before it looks into the queue a last time, so one of us sees the other.
        if self._idle or ticket is not None:
            with self._condition:
                self._urgent = self._urgent or ticket is not None
                self._condition.notify()
        return True

    def _drop(self, lost: Iterable[tuple[str, _Ticket | None]], reason: str) -> None:
        with self._condition:
            begins, self._outage = not self._outage, True
        if begins:
            tell(f"records are lost: {self._sink.name} {reason}")
        for kind, ticket in lost:
            self._dropped.of(kind).inc()
            if ticket is not None:
                ticket.settle(False)

    # The thread's side.

    def _run(self) -> None:
        while self._wait():
            self._reopen_if_asked()
            with self._condition:
                self._urgent = False
            for chunk in _chunks(self._spelled(self._taken())):
                self._put(chunk)

    def _taken(self) -> list[_Offer]:
        """Take what is queued. At its end another thread may take the same queue, so emptiness is found by trying."""
        offers: list[_Offer] = []
        try:
            for _ in range(len(self._queue)):
                offers.append(self._queue.popleft())
        except IndexError:
            pass
        return offers

    def _spelled(self, offers: list[_Offer]) -> Iterator[_Line]:
        for spell, values, kind, ticket, size in offers:
            try:
                yield (values if spell is None else spell(*values)), kind, ticket, size
            except Exception as error:  # whatever it is, the other records are written
                self._dropped.of(kind).inc()
                tell(f"a record of type {kind} cannot be spelled: {type(error).__name__}: {error}")
                self._done_records += 1
                self._done_bytes += size

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
        abandoned = [line for line in chunk if line[2] is not None and line[2].abandoned]
        lines = [line for line in chunk if line not in abandoned] if abandoned else chunk
        whole, error = self._sink.put([line[0] for line in lines])
        if error is not None:
            self._drop([line[1:3] for line in lines[whole:]], f"cannot be written: {error.strerror}")
        if abandoned:
            self._drop([line[1:3] for line in abandoned], "was blocked")
        self._done_records += len(chunk)
        self._done_bytes += sum([line[3] for line in chunk])
        # Half: a sink that is barely too slow would begin an outage, and tell of it, with every batch.
        if (
            error is None
            and (self._offered_records - self._done_records) * 2 <= self._max_records
            and (self._offered_bytes - self._done_bytes) * 2 <= self._max_bytes
        ):
            with self._condition:
                self._outage = False
        for line in lines[:whole]:
            if line[2] is not None:
                line[2].settle(True)


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
        size += len(line[0])
        if size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
