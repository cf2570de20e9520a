"""Forks that do pieces of work: what is lost with one of them, and what is not."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest

from proxy.workbench.pool import Lost, run_all

KILL, HANG, BIG = 100, 200, 300


class Squares:
    """Numbers, squared; some of them end the process or never come."""

    def __init__(self) -> None:
        self.done: list[int] = []

    def run(self, number: int) -> Any:
        if number == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        if number == HANG:
            threading.Event().wait()
        self.done.append(number)
        return b"x" * 300_000 if number == BIG else number * number

    def finish(self) -> Any:
        return self.done


@pytest.mark.parametrize("processes", [1, 3])
def test_every_piece_is_done_once(processes: int) -> None:
    left: list[list[int]] = []
    results = dict(run_all(Squares(), range(20), processes, 5.0, left.append))
    assert results == {number: number * number for number in range(20)}
    assert sorted(number for done in left for number in done) == [*range(20)]
    assert len(left) <= processes


def test_a_piece_that_ends_its_process_is_lost_alone() -> None:
    results = dict(run_all(Squares(), [1, KILL, 2, KILL + 1], 1, 5.0, lambda left: None))
    assert results.pop(KILL) == Lost("ended the process that it ran in")
    assert results == {1: 1, 2: 4, KILL + 1: 10201}


def test_a_piece_that_takes_too_long_is_lost_alone() -> None:
    results = dict(run_all(Squares(), [1, HANG, 2], 1, 0.2, lambda left: None))
    assert results == {1: 1, HANG: Lost("took longer than 0.2s"), 2: 4}


def test_what_was_given_with_a_piece_that_is_lost_is_done_elsewhere() -> None:
    numbers = [*range(50), KILL, *range(50, 60), HANG, *range(60, 70)]
    results = dict(run_all(Squares(), numbers, 1, 0.3, lambda left: None))
    assert {number for number, result in results.items() if isinstance(result, Lost)} == {KILL, HANG}
    assert all(results[number] == number * number for number in range(70))


def test_a_large_result_arrives_whole() -> None:
    assert dict(run_all(Squares(), [BIG, 1], 1, 5.0, lambda left: None)) == {BIG: b"x" * 300_000, 1: 1}


def test_there_may_be_nothing_to_do() -> None:
    assert [*run_all(Squares(), [], 2, 5.0, lambda left: None)] == []


class Names(Squares):
    """Each piece names the fork that did it."""

    def run(self, number: int) -> Any:
        super().run(number)
        return os.getpid()


def test_no_fork_outlives_a_caller_that_stops_listening() -> None:
    results = run_all(Names(), [1, HANG], 1, 60.0, lambda left: None)
    _, fork = next(results)
    results.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(fork, 0)


def test_a_piece_that_takes_its_time_is_not_waited_for_by_the_others() -> None:
    results = run_all(Squares(), [HANG, 1, 2], 2, 60.0, lambda left: None)
    assert [next(results), next(results)] == [(1, 1), (2, 4)]
    results.close()  # type: ignore[attr-defined]
