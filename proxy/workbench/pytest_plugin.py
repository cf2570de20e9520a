"""Table tests under pytest: files called `….policy.yaml` are collected, and each test in one is an item.

pytest loads this file wherever ztproxy is installed, so it imports nothing until there is a table to run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from proxy.workbench.desk import Desk
    from proxy.workbench.tables import TableTest

_SUFFIX = ".policy.yaml"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the configuration that tables are about which name none."""
    parser.addini("ztproxy_config", "the configuration that table tests are about which name none", "string", "")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Take files of table tests."""
    return TableFile.from_parent(parent, path=file_path) if file_path.name.endswith(_SUFFIX) else None


class Unreadable(Exception):  # noqa: N818 - of a file, not of ours
    """A file that cannot be run; each argument is a line that says why."""


class TableFile(pytest.File):
    """One file of table tests."""

    def collect(self) -> Iterator[TableItem]:
        """Yield its tests. Raise Unreadable with every mistake."""
        from proxy.workbench.desk import CannotRun
        from proxy.workbench.tables import read_table

        table, mistakes = read_table(self.path)
        if mistakes:
            raise Unreadable(*mistakes)
        named = self.config.getini("ztproxy_config")
        try:
            desk = table.open(self.config.rootpath / named if named else None)
        except CannotRun as reasons:
            raise Unreadable(*map(str, reasons.args)) from None
        for test in table.tests:
            yield TableItem.from_parent(self, name=test.name, desk=desk, test=test)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return what is told of a file that cannot be run."""
        if isinstance(excinfo.value, Unreadable):
            return "\n".join(map(str, excinfo.value.args))
        return super().repr_failure(excinfo)


class TableItem(pytest.Item):
    """One table test."""

    def __init__(self, *, desk: Desk, test: TableTest, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._desk = desk
        self._test = test
        if test.todo:
            self.add_marker(pytest.mark.skip(reason="todo"))

    def runtest(self) -> None:
        """Run it. Raise Unmet where it does not hold."""
        from proxy.workbench.tables import run_table_test

        outcome, wrong, _ = run_table_test(self._desk, self._test)
        if outcome != "pass":
            raise Unmet(*wrong)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return what is told of a test that does not hold."""
        if isinstance(excinfo.value, Unmet):
            return "\n".join(f"{self._test.place}: {line}" for line in excinfo.value.args)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return where it stands, lines from 0."""
        return self.path, self._test.line - 1, self.name


class Unmet(AssertionError):  # noqa: N818 - what is so, and no accident
    """What is expected is not so; each argument is a line."""


@pytest.fixture(scope="session")
def ztproxy_desk() -> Callable[..., Desk]:
    """Return what opens a desk, `ztproxy_desk(config=…, policy=…, decision=…)`, for tests in Python."""
    from proxy.workbench.desk import Desk

    def open_desk(config: Path | None = None, policy: Path | None = None, decision: str | None = None) -> Desk:
        return Desk.open(config, policy, decision)

    return open_desk
