"""Tests in processes of their own, several at a time, each against the clock.

regorus holds the interpreter through an evaluation, has no timer, and ends its process where it runs out of stack. So
tests run in forks of the process that has loaded everything: one that takes too long is killed with its process,
another takes the place, and nothing else is lost. It knows numbers and results, and nothing of what a test is.
"""

from __future__ import annotations

import os
import pickle
import selectors
import signal
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

_LENGTH: Final = struct.Struct("!I")
_NUMBER: Final = struct.Struct("!i")
_END: Final = -1
_ALONE: Final = 0.1  # seconds after which another fork is worth its start
# A fork whose last piece took less than this many seconds is given so many at a time, lest each wait for the next.
_QUICK: Final = 0.002
_AHEAD: Final = 8


class Work(Protocol):
    """What a fork does."""

    def run(self, number: int) -> Any:
        """Do one piece; the result can be pickled."""

    def finish(self) -> Any:
        """Return what is left when there is no more to do."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A piece without a result. `reason`: why, such as `took longer than 5s`."""

    reason: str


class _Fork:
    """A process that does pieces, in the order in which they are given.

    Attributes:
        given: the pieces that it has not answered yet; `_END` is the last one.
        deadline: at which the first of them must be answered.
    """

    def __init__(self, pid: int, ask: int, answer: int, timeout: float) -> None:
        self.pid = pid
        self.ask = ask
        self.answer = answer
        self.given: deque[int] = deque()
        self._timeout = timeout
        self._began = time.monotonic()
        self.deadline = self._began + timeout
        self._ahead = 1
        self._received = bytearray()

    def give(self, waiting: deque[int]) -> None:
        """Give it what it has room for, or where nothing waits the end."""
        if self.given and self.given[-1] == _END:
            return
        while waiting and len(self.given) < self._ahead:
            self._ask(waiting.popleft())
        if not waiting and not self.given:
            self._ask(_END)

    def _ask(self, number: int) -> None:
        self.given.append(number)
        os.write(self.ask, _NUMBER.pack(number))

    def read(self, content: bytes) -> Iterator[tuple[int, bytes]]:
        """Take bytes; yield each piece that they answer, and the answer. What is quick is given several at a time."""
        self._received += content
        start = _LENGTH.size
        while len(self._received) >= start:
            end = start + _LENGTH.unpack_from(self._received)[0]
            if len(self._received) < end:
                return
            whole = bytes(self._received[start:end])
            del self._received[:end]
            now = time.monotonic()
            self._ahead = _AHEAD if now - self._began < _QUICK else 1
            self._began, self.deadline = now, now + self._timeout
            yield self.given.popleft(), whole

    def end(self) -> None:
        """End it, if it has not ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.close(self.ask)
        os.close(self.answer)
        os.waitpid(self.pid, 0)


def run_all(
    work: Work, numbers: Iterable[int], processes: int, timeout: float, finished: Callable[[Any], None]
) -> Iterator[tuple[int, Any]]:
    """Do all pieces of a work; yield the number and the result of each, or `Lost`, as they come.

    Args:
        work: it is loaded already, and forked with the process.
        numbers: of the pieces.
        processes: how many at a time, at most; there are more than one only where it takes longer than a moment.
        timeout: seconds that each may take.
        finished: told what each fork has left at its end; of one that was lost nothing is left.
    """
    pool = _Pool(work, deque(numbers), timeout, finished)
    try:
        yield from pool.run(processes)
    finally:
        pool.close()


class _Pool:
    def __init__(self, work: Work, waiting: deque[int], timeout: float, finished: Callable[[Any], None]) -> None:
        self._work = work
        self._waiting = waiting
        self._timeout = timeout
        self._finished = finished
        self._forks: list[_Fork] = []
        self._selector = selectors.DefaultSelector()

    def run(self, processes: int) -> Iterator[tuple[int, Any]]:
        if self._waiting:
            self._begin()
        grows = time.monotonic() + _ALONE
        while self._forks:
            until = min(fork.deadline for fork in self._forks)
            if self._waiting and len(self._forks) < processes:
                until = min(until, grows)
            ready = [key.data for key, _ in self._selector.select(max(0.0, until - time.monotonic()))]
            for fork in ready:
                yield from self._take(fork)
            now = time.monotonic()
            if now >= grows and self._waiting and len(self._forks) < processes:
                self._begin()
                grows = now + _ALONE
            for fork in [fork for fork in self._forks if fork not in ready and now > fork.deadline]:
                yield from self._lose(fork, f"took longer than {self._timeout:g}s")

    def close(self) -> None:
        for fork in [*self._forks]:
            self._end(fork)
        self._selector.close()

    def _begin(self) -> None:
        """Start a fork, and give it a piece."""
        asked, ask = os.pipe()
        answer, answered = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            for descriptor in (ask, answer, *(one for fork in self._forks for one in (fork.ask, fork.answer))):
                os.close(descriptor)
            _serve(self._work, asked, answered)
        os.close(asked)
        os.close(answered)
        fork = _Fork(pid, ask, answer, self._timeout)
        self._forks.append(fork)
        self._selector.register(answer, selectors.EVENT_READ, fork)
        fork.give(self._waiting)

    def _take(self, fork: _Fork) -> Iterator[tuple[int, Any]]:
        """Read what a fork says; whole results are yielded, and the next pieces given."""
        content = os.read(fork.answer, 65536)
        if not content:
            yield from self._lose(fork, "ended the process that it ran in")
            return
        for number, whole in fork.read(content):
            result = pickle.loads(whole)  # noqa: S301 - of a fork of our own
            if number == _END:
                self._finished(result)
                self._end(fork)
                return
            fork.give(self._waiting)
            yield number, result

    def _lose(self, fork: _Fork, reason: str) -> Iterator[tuple[int, Any]]:
        """Let a fork go that has ended, or must; another one goes on with what it had not begun."""
        self._end(fork)
        lost, *rest = fork.given
        self._waiting.extendleft(number for number in reversed(rest) if number != _END)
        if lost != _END:
            yield lost, Lost(reason)
        if self._waiting:
            self._begin()

    def _end(self, fork: _Fork) -> None:
        self._forks.remove(fork)
        self._selector.unregister(fork.answer)
        fork.end()


def _serve(work: Work, asked: int, answered: int) -> None:
    """Do what is asked until the end; this is the life of a fork, and does not return."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its forks
        while len(question := os.read(asked, _NUMBER.size)) == _NUMBER.size:
            (number,) = _NUMBER.unpack(question)
            text = pickle.dumps(work.finish() if number == _END else work.run(number))
            _write(answered, _LENGTH.pack(len(text)) + text)
            if number == _END:
                break
        status = 0
    finally:
        os._exit(status)


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
