"""What is thought of a name, learned once.

This file is interpreted always: a dictionary that learns is nothing that the compiler takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

V = TypeVar("V")


class Learned(dict[bytes, V]):
    """What is thought of each name, learned once and remembered in a bounded number: a header costs one dict hit."""

    __slots__ = ("_judge",)
    BOUND = 4096
    LONGEST = 64

    def __init__(self, judge: Callable[[bytes], V]) -> None:
        super().__init__()
        self._judge = judge

    def __missing__(self, name: bytes) -> V:
        verdict = self._judge(name)
        if len(name) <= self.LONGEST:
            if len(self) >= self.BOUND:
                self.clear()
            self[name] = verdict
        return verdict
