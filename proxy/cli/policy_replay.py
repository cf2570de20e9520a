"""`ztproxy policy replay`: a decision log against another policy."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from proxy.cli import policy_case as said
from proxy.cli.policy_case import FAILED, Format, stop

if TYPE_CHECKING:
    from proxy.workbench.replay import Replay, Row

_MOST: Final = 20  # callers of each change that a person is told of


def replay(
    logs: Annotated[list[Path], typer.Argument(metavar="LOG…", help="Decision logs, also .gz; - is stdin.")],
    policy: said.Policy = None,
    config: said.Config = None,
    decision: said.Decision = None,
    form: said.Form = Format.PRETTY,
) -> None:
    """Ask every decision of a log again, at another policy, and say which would be another.

    LOG is of ztproxy's decision records or of OPA's; other lines in it are passed over. A decision is undecidable where
    the policy reads what was erased from its record. Exit status: 0 when every decision stays as it was, 1 when one
    does not or nobody can say, 2 when the log or the policy cannot be read.

    Example: ztproxy policy replay decisions.jsonl --policy next/

    Example: ztproxy policy replay --format json decisions.jsonl.gz -c ztproxy.yaml
    """
    from proxy.workbench.desk import CannotRun
    from proxy.workbench.replay import policy_of
    from proxy.workbench.replay import replay as ask_again

    try:
        again = policy_of(config, policy, decision)
    except CannotRun as reasons:
        stop(*reasons.args)
    began = time.perf_counter()
    try:
        with _Bar(logs) as bar:
            found = ask_again(again, logs, bar.move)
    except OSError as error:
        stop(f"{error.filename}: cannot be read: {(error.strerror or '').lower()}")
    seconds = time.perf_counter() - began
    for line in [*found.faults, *(f"note: {note}" for note in found.notes)]:
        typer.echo(line, err=True)
    if not found.decisions:
        stop("no decision of a policy was found: a log has a decision record, a JSON object, on each line")
    if form is Format.JSON:
        typer.echo(json.dumps(found.as_json(), indent=2))
    else:
        for line in pretty(found):
            typer.echo(line)
        typer.echo(f"{seconds:.1f} s, {found.decisions / seconds:,.0f} decisions a second", err=True)
    raise typer.Exit(0 if found.is_same else FAILED)


class _Bar:
    """How far it is, on stderr, where a person looks at it."""

    def __init__(self, logs: list[Path]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._progress = Progress(
            BarColumn(), TextColumn("{task.percentage:>3.0f}%  {task.fields[records]:,} decisions"),
            TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        known = [log.stat().st_size if log.is_file() else None for log in logs]
        total = None if None in known else sum(size or 0 for size in known)
        self._task = self._progress.add_task("", total=total, records=0)

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._progress.stop()

    def move(self, done: int, records: int) -> None:
        self._progress.update(self._task, completed=done, records=records)


def pretty(found: Replay) -> Iterator[str]:
    """Yield the lines that tell a person what came of a log."""
    from proxy.workbench.replay import Change

    counts = ", ".join(f"{count:,} {_words(change)}" for change, count in found.counts.items())
    yield f"{found.decisions:,} decisions: {counts}"
    for change in (Change.ALLOWED, Change.DENIED, Change.UNDECIDABLE):
        rows = sorted(
            ((key, row) for key, row in found.rows.items() if row.counts[change]),
            key=lambda one: (-one[1].counts[change], one[0]),
        )
        for (route, principal), row in rows[:_MOST]:
            yield from _told(change, route, principal, row)
        if len(rows) > _MOST:
            yield f"… and {len(rows) - _MOST:,} more callers {_words(change)}: --format json has them all"
    if found.failing:
        failing = ", ".join(f"{count:,} {code}" for code, count in found.failing.items())
        yield f"refused as before, but because the policy fails: {failing}"
    if found.passed_over:
        yield f"{found.passed_over:,} other records were passed over"
    if found.unread:
        yield f"{found.unread:,} lines could not be read"


def _told(change: object, route: str, principal: str, row: Row) -> Iterator[str]:
    from proxy.workbench.replay import Change

    assert isinstance(change, Change)
    example = row.examples[change]
    yield ""
    count, of = row.counts[change], sum(row.counts.values())
    yield f"{_words(change)}: {principal} on {route or 'no route'}, {count:,} of {of:,}"
    yield f"  such as  {example.request}"
    yield f"  was      {example.was}"
    yield f"  would be {example.now}"
    yield f"  decision {example.decision_id}"


def _words(change: object) -> str:
    return str(change).replace("_", " ")
