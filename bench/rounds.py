"""One whole run: every case in every round, so that what disturbs the machine disturbs everybody alike."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from bench.cases import Case, Run
from bench.figures import Figure, Figures
from bench.fleet import Fleet
from bench.loads import Outcome
from bench.progress import Progress


def run(cases: Sequence[Case], rounds: int, fleet: Fleet, progress: Progress) -> Figures:
    """Measure; a run that breaks is a void figure, and the others go on."""
    figures = Figures()
    for number in range(rounds):
        for case in cases:
            if case.once and number < rounds - 1:
                continue
            for one in turned(case.runs, number):
                progress.begin(number, case, one)
                outcome = attempt(one, fleet)
                figures.all.append(Figure(case.name, one.series, number, outcome.values, outcome.void))
                progress.end(case, one, outcome)
    return figures


def steps(cases: Sequence[Case], rounds: int) -> int:
    """Return how many measurements there will be."""
    return sum(len(case.runs) * (1 if case.once else rounds) for case in cases)


def turned(runs: Sequence[Run], number: int) -> Sequence[Run]:
    """Return the runs in an order of their own for each round: nobody is always first."""
    turn = number % len(runs)
    return [*runs[turn:], *runs[:turn]]


def attempt(one: Run, fleet: Fleet) -> Outcome:
    """Take one measurement; what breaks it voids it."""
    try:
        return one.take(fleet)
    except subprocess.CalledProcessError as error:
        return Outcome(void=f"{error.cmd[0]} ended with {error.returncode}: {last_line(error.stderr)}")
    except (OSError, RuntimeError, ValueError) as error:
        return Outcome(void=last_line(str(error)))


def last_line(text: str) -> str:
    """Return the last line of what a program said: the rest of it leads there."""
    return text.strip().rpartition("\n")[2][:300]
