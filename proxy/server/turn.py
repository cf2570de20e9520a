"""What one turn of the event loop brings, served back to back.

A request is two callbacks with a kernel, a TLS library and an event loop between them, and what they leave of the
processor's caches makes Python two to three times as slow. So a callback only notes that its connection can go on, and
at the turn's end all that can go on do so in a row: the first of them warms the caches for the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol


class Resting(Protocol):
    """What waits for the end of the turn."""

    def go_on(self) -> None:
        """Do what came."""


class Turn:
    """Those that can go on."""

    __slots__ = ("_due",)

    def __init__(self) -> None:
        self._due: deque[Resting] = deque()

    def add(self, resting: Resting) -> None:
        """Let it go on at the end of this turn."""
        if not self._due:
            asyncio.get_running_loop().call_soon(self._serve)
        self._due.append(resting)

    def _serve(self) -> None:
        due = self._due
        try:
            for _ in range(len(due)):
                due.popleft().go_on()
        finally:
            if due:  # one of them raised, or made others able to go on
                asyncio.get_running_loop().call_soon(self._serve)
