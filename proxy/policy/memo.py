"""Remembered decisions: what a policy answered once, it answers again to whoever asks the same.

The same is what `shown.Plan.tell` says: the route and every value of the input that the policy can read, by value and
type, under one generation of policy and data. It remembers answers of policy, never verdicts: whether a sign-in is
fresh enough is judged anew each time, and so is whether the caller has lapsed. Failures are not remembered.

The table is one for each worker and outlives a reload; a `Memo` belongs to one snapshot.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from sys import getsizeof
from typing import Final

from proxy.policy.decision import Decision
from proxy.policy.engine import Engine
from proxy.policy.input import Inquiry
from proxy.policy.record import Told
from proxy.telemetry.metrics import Metrics

Key = tuple[object, str, tuple[Hashable, ...]]  # generation, path, what tells requests apart

# What Python needs for an entry beside the texts in it: the ordered dictionary's link and slots, tuples, the objects.
_ENTRY_BYTES: Final = 900
# A decision holds a result's strings again, as bytes, and its `dynamic_metadata` as objects.
_PARSED: Final = 5


class Remembered:
    """A policy's answer to one question.

    Args:
        decision: what it says, strictly read; an allowance or a denial.
        result: the answer as records tell it.
    """

    __slots__ = ("decision", "expires_at", "result", "size")

    def __init__(self, decision: Decision, result: Told | None) -> None:
        self.decision = decision
        self.result = result
        self.expires_at = 0.0  # POSIX seconds; `Memo.remember` sets it
        self.size = 0  # bytes, with the key


class Memory:
    """The table of a worker.

    Args:
        capacity: bytes that entries may take, all told; what was used longest ago goes first.
        metrics: where it is counted what became of the questions.
    """

    __slots__ = ("_entries", "_evicted", "_hits", "_misses", "bytes", "capacity", "generation", "unmemoizable")

    def __init__(self, capacity: int, metrics: Metrics) -> None:
        self._entries: OrderedDict[Key, Remembered] = OrderedDict()
        self.capacity = capacity
        self.generation: object = None
        self.bytes = 0
        self._hits = metrics.decision_memory.of("hit")
        self._misses = metrics.decision_memory.of("miss")
        self._evicted = metrics.decision_memory.of("evicted")
        self.unmemoizable = metrics.decision_memory.of("not_memoizable")
        metrics.decision_memory_bytes.set_function(lambda: self.bytes)

    def __len__(self) -> int:
        return len(self._entries)

    def recall(self, key: Key, now: float) -> Remembered | None:
        """Return what was answered, or None.

        Args:
            key: of `Memo.key`.
            now: POSIX seconds.
        """
        entry = self._entries.get(key)
        if entry is None or now >= entry.expires_at:
            self._misses.value += 1
            return None
        self._entries.move_to_end(key)
        self._hits.value += 1
        return entry

    def remember(self, key: Key, entry: Remembered) -> None:
        """Keep an answer, and let those go that there is no room for."""
        before = self._entries.pop(key, None)
        if before is not None:
            self.bytes -= before.size
        if entry.size > self.capacity:
            return
        self._entries[key] = entry
        self.bytes += entry.size
        self._shrink()

    def resize(self, capacity: int) -> None:
        """Change how many bytes entries may take."""
        self.capacity = capacity
        self._shrink()

    def _shrink(self) -> None:
        while self.bytes > self.capacity:
            self.bytes -= self._entries.popitem(last=False)[1].size
            self._evicted.value += 1

    def forget(self, generation: object) -> None:
        """Let everything go, for policy or data are others now; keys have their generation, so this is for the room."""
        self._entries.clear()
        self.bytes = 0
        self.generation = generation


class Memo:
    """Keys for one engine's questions, and their answers.

    Args:
        engine: whose answers they are.
        memory: the worker's table.
    """

    __slots__ = ("_engine", "_generation", "_memory")

    def __init__(self, engine: Engine, memory: Memory) -> None:
        self._engine = engine
        self._memory = memory
        self._generation: object = None

    def key(self, inquiry: Inquiry, path: str) -> Key | None:
        """Return under what the answer to a request is remembered; None: it cannot be.

        Args:
            inquiry: the request; its fields and query are known to be text.
            path: the rule that decides.

        Raises:
            Refused: INPUT_REFUSED.
        """
        engine = self._engine
        if engine.generation is not self._generation:
            self._renew()
        known, minute = inquiry.known, int(inquiry.time) // 60
        if known is not None and known[0] is self._generation and known[1] is path and known[2] == minute:
            return known[3]  # type: ignore[no-any-return]
        plan = engine.plan(path)
        if plan.reads.obstacle is not None:
            self._memory.unmemoizable.value += 1
            return None
        key = self._generation, path, plan.tell(inquiry)
        inquiry.known = self._generation, path, minute, key
        return key

    def recall(self, key: Key, now: float) -> Remembered | None:
        """Return what was answered to the same question and has not lapsed, or None.

        Args:
            key: of the question.
            now: POSIX seconds.
        """
        return self._memory.recall(key, now)

    def remember(self, key: Key, answer: Remembered, expires_at: float) -> None:
        """Keep an answer.

        It is dropped where the engine's policy has become another one since the key was made: nobody knows whose
        answer it is.

        Args:
            key: of the question.
            answer: what was answered.
            expires_at: POSIX seconds; when the principal lapses, or the peer if that is earlier.
        """
        if self._engine.generation is key[0]:
            answer.expires_at = expires_at
            answer.size = _ENTRY_BYTES + _size(key[2]) + _told_size(answer.result)
            self._memory.remember(key, answer)

    def _renew(self) -> None:
        """Begin a new generation; what a reload has carried over unchanged is no new one."""
        self._generation = self._engine.generation
        if self._memory.generation is not self._generation:
            self._memory.forget(self._generation)


def _size(value: Hashable) -> int:
    """Return the bytes of a key's part; what it shares with other keys is counted in each."""
    return getsizeof(value) + (sum(map(_size, value)) if type(value) is tuple else 0)


def _told_size(result: Told | None) -> int:
    return 0 if result is None else _PARSED * getsizeof(result.text) + _size(result.erased)
