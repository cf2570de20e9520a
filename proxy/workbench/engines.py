"""Tests by the engine that a person chooses: the embedded one, a real `opa`, or both, held against each other.

Rules of Rego are run by `opa test` itself. Of a table test OPA is asked what the embedded engine was asked, and what it
answers goes the rest of the way.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from proxy.errors import POLICY_FAILED, Refused
from proxy.policy.sources import read_sources
from proxy.policy.testing import CannotRun, Found, Result
from proxy.workbench.coverage import Coverage
from proxy.workbench.suite import SUFFIX, TIMEOUT, Tests, load_tests

if TYPE_CHECKING:  # what asks OPA, and what goes the whole way of a request, is loaded where it is needed
    from proxy.policy.engine import Engine
    from proxy.workbench.desk import Desk
    from proxy.workbench.judge import Judge

__all__ = ["CannotRun", "run_by"]

_IGNORED: Final = ("--ignore", ".*", "--ignore", f"*{SUFFIX}")


def run_by(
    engine: str,
    paths: list[Path],
    *,
    config: Path | None = None,
    chosen: str | None = None,
    processes: int = 0,
    timeout: float | None = None,
    opa: Path | None = None,
    covers: bool = False,
) -> tuple[list[Result], Coverage]:
    """Load and run the tests of files and folders.

    Args:
        engine: `embedded`, `opa` or `both`: then a test that differs fails.
        paths, config, chosen, covers: as of `suite.load_tests`.
        processes: as of `suite.Tests.run_all`.
        timeout: seconds that one test may take, or None: five, as `opa test` has it.
        opa: the program, or None: the one on the PATH.

    Raises:
        CannotRun: they do not load, there is none, or there is no `opa`.
    """
    timeout = TIMEOUT if timeout is None else timeout
    tests = load_tests(paths, config, chosen, covers=covers)
    if engine == "embedded":
        return tests.run_all(processes, timeout)
    from proxy.workbench.judge import find_opa

    binary = find_opa(opa)
    theirs = [*_by_opa(binary, tests, [path for path in paths if not path.name.endswith(SUFFIX)], timeout)]
    if engine == "opa":
        return theirs, Coverage()
    ours, coverage = tests.run_all(processes, timeout)
    return [*map(_compared, ours, theirs)], coverage


def _compared(ours: Result, theirs: Result) -> Result:
    """Return our result where both are the same, and else the failure that they differ."""
    if ours.outcome == theirs.outcome:
        return ours
    if ours.outcome == "error":
        rule = (
            f"a built-in that fails is an error to the gateway, and undefined to opa test, which says {theirs.outcome}"
        )
        return replace(ours, message=f"{ours.message}\n{rule}")
    told = f"the engines differ: embedded says {ours.outcome}, opa says {theirs.outcome}"
    return replace(ours, outcome="fail", message="\n".join(filter(None, (told, ours.message, theirs.message))))


def _by_opa(binary: Path, tests: Tests, paths: Iterable[Path], timeout: float) -> Iterator[Result]:
    """Yield the results in the order of `tests.found`."""
    rules = [test for test in tests.found if test.package]
    told = _opa_test(binary, paths, timeout) if rules else {}
    for test in rules:
        yield told.get((test.package, test.name)) or Result(test, "error", 0, "opa does not run this test")
    with _judged(binary, tests.desks if len(rules) < len(tests.found) else ()):
        for number in range(len(rules), len(tests.found)):
            yield tests.run(number)


def _opa_test(binary: Path, paths: Iterable[Path], timeout: float) -> dict[tuple[str, str], Result]:
    command = [str(binary), "test", "--format", "json", "--timeout", f"{timeout:g}s", *_IGNORED, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - named by the user, no shell
    try:
        listed: list[dict[str, Any]] = json.loads(done.stdout)
    except ValueError:
        raise CannotRun("opa test does not run these:", *(done.stderr or done.stdout).splitlines()) from None
    return {(one["package"], one["name"]): _read(one) for one in listed}


def _read(told: dict[str, Any]) -> Result:
    """Return what a result of `opa test` means."""
    place = told["location"]
    test = Found(told["package"], told["name"], place["file"], place["row"], place["col"])
    if told.get("skip"):
        return Result(test, "skipped", 0)
    if (error := told.get("error")) is not None:
        return Result(test, "error", told["duration"], str(error.get("message", error)))
    return Result(test, "fail" if told.get("fail") else "pass", told["duration"])


@contextmanager
def _judged(binary: Path, desks: Iterable[Desk]) -> Iterator[None]:
    """Have desks decide by OPA within the block."""
    rest = [*desks]
    if not rest:
        yield
        return
    from proxy.policy.allow import route_data
    from proxy.workbench.judge import opa

    desk = rest[0]
    sources, mistakes = read_sources(desk.config.policy.path)
    if sources is None:
        raise CannotRun(*(mistake.rule for mistake in mistakes))
    with opa(binary, sources.modules, {**sources.data, **route_data(desk.config)}) as judge:
        before, desk.engine = desk.engine, _Asked(desk.engine, judge)
        try:
            with _judged(binary, rest[1:]):
                yield
        finally:
            desk.engine = before


class _Asked:
    """An engine that shows what the embedded one would be shown to OPA, and answers what OPA does."""

    instant = True

    def __init__(self, embedded: Engine, judge: Judge) -> None:
        self._embedded = embedded
        self._judge = judge

    def __getattr__(self, name: str) -> Any:
        return getattr(self._embedded, name)

    def evaluate_now(self, path: str, document: dict[str, Any]) -> object:
        """Return what OPA answers. Raise Refused(POLICY_FAILED)."""
        from proxy.workbench.judge import Failure

        value = self._judge.ask(path, document)
        if isinstance(value, Failure):
            raise Refused(POLICY_FAILED, value.message)
        return value
