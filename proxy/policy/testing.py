"""Policy tests: rules called `test_…` in `*_test.rego` files, run on the embedded engine as `opa test` runs them.

A test passes when its rule is true; false, undefined and every other value fail. All files that are named are loaded
together, as one policy with its data, so what passes here and under `opa test` means the same to both.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from proxy.policy.embedded import compile_policy, told
from proxy.policy.sources import Module, Sources, read_sources

PREFIX = "test_"
SUFFIX = "_test.rego"


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


@dataclass(frozen=True, slots=True)
class Result:
    """How a test went.

    Args:
        test: which.
        outcome: `pass`; `fail`, for it is not true; or `error`, for it could not be evaluated.
        duration_ns: nanoseconds.
        message: of an error.
    """

    test: Found
    outcome: Literal["pass", "fail", "error"]
    duration_ns: int
    message: str = ""


def run_tests(paths: Iterable[Path]) -> list[Result]:
    """Load files and folders, and run every test in them in the order of files and lines.

    Raises:
        CannotRun: a path does not exist, a file does not load, or there is no test.
    """
    modules, data = _read(paths)
    engine, faults, _ = compile_policy(modules, data, [])
    if engine is None:
        raise CannotRun(*faults)
    tests = find_tests(json.loads(engine.get_ast_as_json()))
    if not tests:
        raise CannotRun(f"no test was found: tests are rules called {PREFIX}… in files called …{SUFFIX}")
    return [_run(engine, test) for test in tests]


def _read(paths: Iterable[Path]) -> tuple[list[Module], dict[str, Any]]:
    modules: dict[Path, Module] = {}
    data: dict[str, Any] = {}
    complaints: list[str] = []
    for path in dict.fromkeys(paths):
        if not path.exists():
            complaints.append(f"{path}: there is no such file or folder")
            continue
        tests, rest = _rego_files(path)
        for file in tests:
            try:
                modules.setdefault(file.resolve(), Module(str(file), file.read_text(encoding="utf-8")))
            except UnicodeDecodeError:
                complaints.append(f"{file}: must be utf-8")
            except OSError as error:
                complaints.append(f"{file}: {error.strerror or 'cannot be read'}")
        sources, mistakes = read_sources(path) if rest else (Sources(), [])
        complaints += [mistake.rule for mistake in mistakes]
        for module in sources.modules if sources else ():
            modules.setdefault(Path(module.name).resolve(), module)
        for key, value in sources.data.items() if sources else ():
            if data.setdefault(key, value) is not value:
                complaints.append(f"{path}: data.{key} is in an earlier path already")
    if complaints:
        raise CannotRun(*complaints)
    return [*modules.values()], data


def _rego_files(path: Path) -> tuple[list[Path], list[Path]]:
    """Return the tests, and the policies, that a path means; like those that are served, without dot files."""
    files = [path] if path.is_file() else sorted(path.rglob("*.rego"))
    seen = [file for file in files if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    tests = [file for file in seen if file.name.endswith(SUFFIX)]
    return tests, [file for file in seen if file not in tests]


def find_tests(modules: list[dict[str, Any]]) -> list[Found]:
    """Return the tests of the syntax trees that the engine gives of its modules, by file and line.

    Raises:
        CannotRun: a rule is called like a test and would not be run, or would hide another one.
    """
    tests: dict[tuple[str, str], Found] = {}
    hidden: list[str] = []
    for module in modules:
        file = module["source"]["file"]
        if not file.endswith(SUFFIX):
            continue
        package = "data." + ".".join(_steps(module["ast"]["package"]["refr"]))
        for rule in module["ast"]["rules"]:
            [(kind, head)] = rule["Spec"]["head"].items() if "Spec" in rule else rule.items()
            name, *more = _steps(head["refr"])
            if not name.startswith(PREFIX):
                continue
            test = Found(package, name, file, head["span"]["line"], head["span"]["col"])
            if kind != "Compr" or more:
                hidden.append(f"{file}:{test.line}: {name} must be a plain rule to be run as a test")
            elif tests.setdefault((package, name), test) is not test:
                hidden.append(
                    f"{file}:{test.line}: {name} must be defined once: of two, the one that passes hides the other"
                )
    if hidden:
        raise CannotRun(*hidden)
    return sorted(tests.values(), key=lambda test: (test.file, test.line))


def _steps(reference: dict[str, Any]) -> Iterator[str]:
    """Yield the names of a reference such as `a.b["c"]`."""
    for kind, node in reference.items():
        if kind == "Var":
            yield node["value"]
        else:
            yield from _steps(node["refr"])
            yield node["field"][1] if kind == "RefDot" else next(iter(node["index"].values()))["value"]


def _run(engine: Any, test: Found) -> Result:
    engine.set_input({})
    began = time.perf_counter_ns()
    outcome: Literal["pass", "fail", "error"] = "error"
    message = ""
    try:
        outcome = "pass" if engine.eval_rule(f"{test.package}.{test.name}") is True else "fail"
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the engine is no Exception
        message = told(error)
    return Result(test, outcome, time.perf_counter_ns() - began, message)
