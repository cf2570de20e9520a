"""What every connection of a process shares: the current snapshot, the clocks, the counters, the ways out.

`snapshot` is the one mutable truth: a reload swaps the reference, an exchange takes it once.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

from proxy.policy.memo import Memory
from proxy.server.lasting import Registry
from proxy.server.turn import Turn
from proxy.telemetry.access import event_record
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.records import Writer, Writers
from proxy.transport.deadlines import Deadlines

if TYPE_CHECKING:
    from proxy.server.snapshot import Snapshot


class Runtime:
    """The surroundings of one serving process.

    Args:
        recording: write records; without, as for a look at a config, no sink is opened.
    """

    __slots__ = (
        "_recording",
        "deadlines",
        "decisions",
        "draining",
        "events",
        "ids",
        "in_flight",
        "lasting",
        "metrics",
        "snapshot",
        "turn",
        "writers",
    )

    def __init__(self, *, recording: bool = True) -> None:
        self.metrics = Metrics()
        self.writers = Writers(self.metrics)
        self.deadlines = Deadlines()
        self.ids = Ids()
        self.turn = Turn()
        self.decisions = Memory(0, self.metrics)  # each snapshot says how big it may be
        self._recording = recording
        self.events = self.open_log("stdout")
        self.snapshot: Snapshot
        self.draining = False
        self.in_flight = 0
        self.lasting = Registry(self)
        self.metrics.http_requests_in_flight.set_function(lambda: self.in_flight)

    @property
    def recording(self) -> bool:
        """Whether this process serves, and leaves traces; without, it only looks at a config."""
        return self._recording

    def open_log(self, to: str) -> Writer | None:
        """Return the writer of a sink (`stdout`, `off`, a path), or None where nothing is to be written."""
        return self.writers.open(to) if self._recording else None

    def observe(self, event: str, fields: dict[str, Any]) -> None:
        """Write an event record."""
        if self.events is not None:
            self.events.write(event_record(event, **fields))


class Ids:
    """The random names of exchanges, many from one system call: UUIDs (version 4), and ids of traces and spans."""

    __slots__ = ("_at", "_digits")
    _EACH: ClassVar[int] = 56  # bytes: two UUIDs, a trace and a span
    _MANY: ClassVar[int] = 64

    def __init__(self) -> None:
        self._digits = ""
        self._at = 0

    def fresh(self) -> tuple[str, str, str, str]:
        """Return new ids: of a request, of its decision, of a trace and of a span; the last two in hexadecimal."""
        at = self._at
        if at == len(self._digits):
            self._digits = os.urandom(self._EACH * self._MANY).hex()
            at = 0
        self._at = at + self._EACH * 2
        d = self._digits
        return (
            f"{d[at : at + 8]}-{d[at + 8 : at + 12]}-4{d[at + 13 : at + 16]}-"
            f"{_VARIANT[d[at + 16]]}{d[at + 17 : at + 20]}-{d[at + 20 : at + 32]}",
            f"{d[at + 32 : at + 40]}-{d[at + 40 : at + 44]}-4{d[at + 45 : at + 48]}-"
            f"{_VARIANT[d[at + 48]]}{d[at + 49 : at + 52]}-{d[at + 52 : at + 64]}",
            d[at + 64 : at + 96],
            d[at + 96 : at + 112],
        )


_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}  # RFC 9562 section 4.1
