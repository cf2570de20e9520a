"""What every connection of a process shares: the current snapshot, the clocks, the counters, the ways out.

`snapshot` is the one mutable truth: a reload swaps the reference, an exchange takes it once.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

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

    __slots__ = ("_recording", "deadlines", "draining", "events", "in_flight", "metrics", "snapshot", "writers")

    def __init__(self, *, recording: bool = True) -> None:
        self.metrics = Metrics()
        self.writers = Writers(self.metrics)
        self.deadlines = Deadlines()
        self._recording = recording
        self.events = self.open_log("stdout")
        self.snapshot: Snapshot
        self.draining = False
        self.in_flight = 0
        self.metrics.http_requests_in_flight.set_function(lambda: self.in_flight)

    def open_log(self, to: str) -> Writer | None:
        """Return the writer of a sink (`stdout`, `off`, a path), or None where nothing is to be written."""
        return self.writers.open(to) if self._recording else None

    def observe(self, event: str, fields: dict[str, Any]) -> None:
        """Write an event record."""
        if self.events is not None:
            self.events.write(event_record(event, **fields))


class Ids(NamedTuple):
    """The random names of one exchange: two UUIDs (version 4), and a trace context's ids in hexadecimal."""

    request: str
    decision: str
    trace: str
    span: str


def fresh_ids() -> Ids:
    """Return new ids, all from one system call."""
    random = os.urandom(56).hex()
    return Ids(_uuid4(random[:32]), _uuid4(random[32:64]), random[64:96], random[96:])


def _uuid4(digits: str) -> str:
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
