"""Policy tests: rules called `test_…` in `*_test.rego` files, run on the embedded engine as `opa test` runs them.

A test passes when its rule is true; false, undefined and every other value fail; one called `todo_test_…` is not run.
All files that are named are loaded together, as one policy with its data, so what passes here and under `opa test`
means the same to both.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from proxy.policy import syntax
from proxy.policy.modules import read_module
from proxy.policy.reading import Read, new_engine, read_policy, told
from proxy.policy.sources import Module, Sources, read_sources

PREFIX = "test_"
TODO = "todo_test_"
SUFFIX = "_test.rego"


Outcome = Literal["pass", "fail", "error", "skipped"]


class CannotRun(Exception):  # noqa: N818 - a state, not an accident
    """There is nothing to test, or it does not load; each argument is a line that says why."""


@dataclass(frozen=True, slots=True)
class Found:
    """A test rule, at its first definition."""

    package: str  # such as `data.examples.roles_test`
    name: str
    file: str
    line: int
    column: int

    @property
    def rule(self) -> str:
        """Its path from the root of data; what no policy holds has its name alone."""
        return f"{self.package}.{self.name}" if self.package else self.name

    @property
    def place(self) -> str:
        """Where it stands, for people and editors."""
        return f"{self.file}:{self.line}:{self.column}"

    @property
    def todo(self) -> bool:
        """Whether it is not to be run yet."""
        return self.name.startswith(TODO)


@dataclass(frozen=True, slots=True)
class Result:
    """How a test went.

    Args:
        test: which.
        outcome: `pass`; `fail`, for it is not true; `error`, for it could not be evaluated; `skipped`, for it is not to
            be run yet.
        duration_ns: nanoseconds.
        message: of an error.
        printed: what `print` wrote, each with its place.
    """

    test: Found
    outcome: Outcome
    duration_ns: int
    message: str = ""
    printed: tuple[str, ...] = ()


class Suite:
    """The tests of some files, loaded with all that they test.

    Attributes:
        engine: of regorus, loaded; it lives on the thread that made it.
        tests: in the order of files and lines; there may be none.
        spelled: the modules as the engine compiles them.
    """

    __slots__ = ("engine", "spelled", "tests")

    def __init__(self, engine: Any, spelled: Sequence[Module], tests: list[Found]) -> None:
        self.engine = engine
        self.spelled = spelled
        self.tests = tests

    @classmethod
    def of(cls, modules: list[Module], data: Mapping[str, Any]) -> Self:
        """Return the tests of modules.

        Raises:
            CannotRun: a module does not load, or a test would not be run.
        """
        # With it comes all that finds out what a policy does.
        from proxy.policy.embedded import as_compiled, compile_policy

        engine, faults, _ = compile_policy(modules, data, [])
        if engine is None:
            raise CannotRun(*faults)
        read = read_policy(tuple(modules))
        return cls(engine, as_compiled(modules), _find([read_module(tree) for tree in read.trees], read))

    @classmethod
    def again(cls, spelled: Sequence[Module], data: Mapping[str, Any], tests: list[Found]) -> Self:
        """Return tests that were loaded before, of which it is known that nothing is wrong."""
        engine = new_engine()
        for module in spelled:
            engine.add_policy(module.name, module.text)
        engine.add_data(data)
        return cls(engine, spelled, tests)

    def run(self, test: Found) -> Result:
        """Run one of the tests."""
        return Result(test, "skipped", 0) if test.todo else _run(self.engine, test)


def run_tests(paths: Iterable[Path]) -> list[Result]:
    """Load files and folders, and run every test in them in the order of files and lines.

    Raises:
        CannotRun: a path does not exist, a file does not load, or there is no test.
    """
    suite = Suite.of(*read_paths(paths))
    if not suite.tests:
        raise CannotRun(f"no test was found: tests are rules called {PREFIX}… in files called …{SUFFIX}")
    return [suite.run(test) for test in suite.tests]


def read_paths(paths: Iterable[Path]) -> tuple[list[Module], dict[str, Any]]:
    """Return the modules, tests too, and the data of files and folders.

    Raises:
        CannotRun: one does not exist, or cannot be read.
    """
    modules: dict[Path, Module] = {}
    data: dict[str, Any] = {}
    complaints: list[str] = []
    for path in dict.fromkeys(paths):
        sources, faults = _sources(path)
        complaints += faults
        for module in sources.modules:
            modules.setdefault(Path(module.name).resolve(), module)
        for key, value in sources.data.items():
            if data.setdefault(key, value) is not value:
                complaints.append(f"{path}: data.{key} is in an earlier path already")
    if complaints:
        raise CannotRun(*complaints)
    return [*modules.values()], data


def _sources(path: Path) -> tuple[Sources, list[str]]:
    """Return what a path holds, its tests too, and what is wrong with it. Dot files are passed over, as for serving."""
    if not path.exists():
        return Sources(), [f"{path}: there is no such file or folder"]
    files = [path] if path.is_file() else sorted(path.rglob("*.rego"))
    seen = [file for file in files if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    tests = [file for file in seen if file.name.endswith(SUFFIX)]
    served, mistakes = read_sources(path) if len(tests) < len(seen) else (None, [])
    sources, faults = served or Sources(), [mistake.rule for mistake in mistakes]
    for file in tests:
        try:
            sources.modules.append(Module(str(file), file.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            faults.append(f"{file}: must be utf-8")
        except OSError as error:
            faults.append(f"{file}: {error.strerror or 'cannot be read'}")
    return sources, faults


def _find(modules: list[syntax.Module], read: Read) -> list[Found]:
    """Return the tests of some modules, by file and line.

    Raises:
        CannotRun: a rule is called like a test and would not be run, or would hide another one.
    """
    tests: dict[str, Found] = {}
    hidden: list[str] = []
    for module in modules:
        for rule in module.rules if module.file.endswith(SUFFIX) else ():
            name = rule.steps[0]
            if not isinstance(name, str) or not name.startswith((PREFIX, TODO)):
                continue
            at = read.placed(module.problem(rule.span, ""))
            test = Found(syntax.dotted(("data", *module.package)), name, at.file, at.line, at.column)
            if rule.kind != "complete" or len(rule.steps) > 1:
                hidden.append(f"{test.place}: {name} must be a plain rule to be run as a test")
            elif tests.setdefault(test.rule, test) is not test:
                hidden.append(f"{test.place}: {name} must be defined once: of two, one that passes hides the other")
    if hidden:
        raise CannotRun(*hidden)
    return sorted(tests.values(), key=lambda test: (test.file, test.line))


def _run(engine: Any, test: Found) -> Result:
    engine.set_input({})
    engine.set_gather_prints(True)
    began = time.perf_counter_ns()
    outcome: Outcome = "error"
    message = ""
    try:
        outcome = "pass" if engine.eval_rule(test.rule) is True else "fail"
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the engine is no Exception
        message = told(error)
    duration = time.perf_counter_ns() - began
    return Result(test, outcome, duration, message, tuple(engine.take_prints()))
