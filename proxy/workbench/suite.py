"""All tests of some files and folders: rules of Rego and tables, loaded together and run one by one.

Everything is loaded once, by the process that asks; it is run wherever `pool` runs it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from proxy.policy.sources import TESTS
from proxy.policy.testing import PREFIX, CannotRun, Found, Result, Suite, read_paths
from proxy.policy.testing import SUFFIX as REGO
from proxy.server.cpus import usable_cpus
from proxy.workbench.coverage import Coverage, Covered
from proxy.workbench.known import load_suite
from proxy.workbench.pool import Lost, run_all

if TYPE_CHECKING:  # what goes the whole way of a request is loaded where there is a table to run
    from proxy.workbench.desk import Desk
    from proxy.workbench.tables import Table, TableTest
    from proxy.workbench.tracer import Tracer

SUFFIX: Final = ".policy.yaml"
TIMEOUT: Final = 5.0  # seconds, as `opa test` has it


@dataclass(frozen=True, slots=True)
class _Row:
    """A test of a table, with what it is asked at."""

    test: TableTest
    desk: Desk
    tracer: Tracer | None


class Tests:
    """Loaded tests.

    Attributes:
        found: where each stands; a test is named by its place in this list.
        rego: the suite of Rego, or None where there are tables alone.
        desks: at which tables are asked, of as many configs and policies as there are.
    """

    __slots__ = ("_covers", "_of_rego", "_rows", "desks", "found", "rego")

    def __init__(self, rego: Suite | None, rows: Sequence[_Row], chosen: re.Pattern[str] | None, covers: bool) -> None:
        self.rego = rego
        self._covers = covers
        self._of_rego = [test for test in (rego.tests if rego else ()) if _is_chosen(test.rule, chosen)]
        self._rows = [row for row in rows if _is_chosen(row.test.name, chosen)]
        self.found = [*self._of_rego, *(_found(row.test) for row in self._rows)]
        self.desks = [*{id(row.desk): row.desk for row in rows}.values()]
        if covers and rego is not None:
            rego.engine.set_enable_coverage(True)

    def run(self, number: int) -> Result:
        """Run one test, here and now."""
        if number < len(self._of_rego):
            assert self.rego is not None
            return self.rego.run(self._of_rego[number])
        return self._run_row(self._rows[number - len(self._of_rego)], self.found[number])

    def _run_row(self, row: _Row, found: Found) -> Result:
        from proxy.workbench.tables import run_table_test

        if row.test.todo:
            return Result(found, "skipped", 0)
        began = time.perf_counter_ns()
        outcome, wrong, answered = run_table_test(row.desk, row.test)
        duration = time.perf_counter_ns() - began
        if row.tracer is not None and answered is not None:
            row.tracer.see(answered)
        return Result(found, outcome, duration, "\n".join(wrong))

    def finish(self) -> Covered:
        """Return what of the policies was evaluated here."""
        covered: Covered = {}
        if not self._covers:
            return covered
        for engine in [*([self.rego.engine] if self.rego else ()), *(t.engine for t in self._tracers())]:
            Coverage.add(covered, engine)
        return covered

    def _tracers(self) -> Iterator[Tracer]:
        yield from {id(row.tracer): row.tracer for row in self._rows if row.tracer is not None}.values()

    def run_all(self, processes: int, timeout: float = TIMEOUT) -> tuple[list[Result], Coverage]:
        """Run all tests in processes of their own.

        Args:
            processes: how many at a time, or 0: as many as there are processors.
            timeout: seconds that one may take.

        Returns:
            The results in the order of `found`, and what of the policies was evaluated.
        """
        coverage, results = Coverage(), dict.fromkeys(range(len(self.found)), Lost("was not run"))
        got = run_all(self, results.copy(), processes or usable_cpus(), timeout, coverage.merge)
        done: dict[int, Any] = results | dict(got)
        return [self._told(number, done[number]) for number in range(len(self.found))], coverage

    def _told(self, number: int, result: Result | Lost) -> Result:
        """Return a result with the test that is known here; of one that was lost, an error."""
        if isinstance(result, Lost):
            return Result(self.found[number], "error", 0, f"the test {result.reason}")
        return replace(result, test=self.found[number])


def _is_chosen(name: str, chosen: re.Pattern[str] | None) -> bool:
    return chosen is None or chosen.search(name) is not None


def _found(test: TableTest) -> Found:
    return Found("", test.name, test.file, test.line, test.column)


def load_tests(
    paths: Iterable[Path], config: Path | None = None, chosen: str | None = None, *, covers: bool = False
) -> Tests:
    """Load the tests of files and folders.

    Args:
        paths: Rego files, table tests, or folders of them.
        config: what table tests are about that name neither config nor policy.
        chosen: run those alone in whose name this regular expression is found.
        covers: note what of the policies is evaluated.

    Raises:
        CannotRun: every mistake, a line each; or no test was found.
    """
    try:
        pattern = None if chosen is None else re.compile(chosen)
    except re.error as error:
        raise CannotRun(f"--run {chosen}: no regular expression: {error}") from None
    paths = [*dict.fromkeys(paths)]
    tables, rest = _tables(paths), [path for path in paths if not path.name.endswith(SUFFIX)]
    rego = load_suite(*read_paths(rest)) if rest else None
    rows, complaints = _rows(tables, config, covers)
    if complaints:
        raise CannotRun(*complaints)
    tests = Tests(rego, rows, pattern, covers)
    if not tests.found:
        rules = f"tests are rules called {PREFIX}… in files called …{REGO}, and files called …{SUFFIX}"
        raise CannotRun(f"no test was found{f' whose name has {chosen}' if pattern else ''}: {rules}")
    return tests


def _tables(paths: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Return every file of table tests, and the path that it was found by."""
    found: dict[Path, Path] = {}
    for path in paths:
        files = [path] if path.name.endswith(SUFFIX) else sorted(path.rglob(f"*{SUFFIX}")) if path.is_dir() else []
        for file in files:
            if path == file or not any(part.startswith(".") for part in file.relative_to(path).parts):
                found.setdefault(file, path)
    return [*found.items()]


def _rows(tables: Sequence[tuple[Path, Path]], config: Path | None, covers: bool) -> tuple[list[_Row], list[str]]:
    if not tables:
        return [], []
    from proxy.workbench.tables import read_table
    from proxy.workbench.tracer import Tracer

    desks: dict[tuple[object, ...], tuple[Desk, Tracer | None]] = {}
    rows: list[_Row] = []
    complaints: list[str] = []
    for file, root in tables:
        table, mistakes = read_table(file)
        complaints += mistakes
        if mistakes:
            continue
        policy = _policy_of(table, root) if config is None and table.config is None and table.policy is None else None
        key = table.config or config, table.policy or policy, table.decision
        try:
            if key not in desks:
                desk = table.open(config, policy)
                desks[key] = desk, Tracer.of(desk) if covers else None
        except CannotRun as reasons:
            complaints += [f"{file}: cannot be run:", *map(str, reasons.args)]
            continue
        rows += [_Row(test, *desks[key]) for test in table.tests]
    return rows, complaints


def _policy_of(table: Table, root: Path) -> Path:
    """Return the policy that a table which names none is about: of the nearest folder, up to the one that was named."""
    folder = table.path.parent
    while folder != root and root in folder.parents and not _has_policy(folder):
        folder = folder.parent
    return folder


def _has_policy(folder: Path) -> bool:
    return any(not file.name.endswith(TESTS) for file in folder.rglob("*.rego"))
