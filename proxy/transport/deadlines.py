"""Deadlines without timers: each stream holds a few numbers, and one sweep compares them all.

A timer per wait costs 1 to 4 µs (`loop.call_later`, `asyncio.timeout`), several times a request; storing a float costs
nothing that can be measured. The price is that a deadline is noticed up to one sweep late.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

SWEEP_SECONDS = 0.1


class Expiring(Protocol):
    """What the sweep needs of a stream."""

    def expire(self, now: float) -> None:
        """End every wait whose deadline (`loop.time()` seconds) has passed."""


class Deadlines:
    """The set of streams that are swept."""

    __slots__ = ("_streams",)

    def __init__(self) -> None:
        self._streams: set[Expiring] = set()

    def add(self, stream: Expiring) -> None:
        """Sweep this stream from now on."""
        self._streams.add(stream)

    def discard(self, stream: Expiring) -> None:
        """Sweep it no more."""
        self._streams.discard(stream)

    def sweep(self, now: float) -> None:
        """Let every stream compare its deadlines with `now` (`loop.time()` seconds)."""
        for stream in list(self._streams):
            stream.expire(now)

    async def run(self) -> None:
        """Sweep until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sweep(loop.time())
