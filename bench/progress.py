"""How far a run has come: a bar on a terminal, a line for each figure elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich import progress
from rich.console import Console

from bench.cases import Case, Run
from bench.loads import Outcome


class Progress:
    """Tells on stderr.

    Args:
        steps: how many measurements there will be.
    """

    def __init__(self, steps: int) -> None:
        self._steps, self._done, self._began = steps, 0, time.monotonic()
        columns = (progress.BarColumn(), progress.MofNCompleteColumn(), progress.TimeElapsedColumn())
        self._console = Console(stderr=True, highlight=False)
        self._bar = progress.Progress(
            *columns, progress.TextColumn("{task.description}"), console=self._console, refresh_per_second=1
        )
        self._task = self._bar.add_task("", total=steps)

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, number: int, case: Case, run: Run) -> None:
        """A measurement begins."""
        self._bar.update(self._task, description=f"round {number + 1}, {case.name}: {run.series}")

    def end(self, case: Case, run: Run, outcome: Outcome) -> None:
        """A measurement has ended."""
        self._done += 1
        value = outcome.values.get(case.metric)
        said = f"void: {outcome.void}" if outcome.void else f"{value:,.4g} {case.unit}" if value is not None else ""
        line = f"{case.name:13} {run.series:34} {said}"
        if self._console.is_terminal:
            self._bar.update(self._task, advance=1)
            self._console.print(line, markup=False)
        else:
            seconds = time.monotonic() - self._began
            sys.stderr.write(f"{self._done:4}/{self._steps} {seconds:6.0f} s  {line}\n")
            sys.stderr.flush()
