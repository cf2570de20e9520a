"""Parity: a policy on both engines, asked the same about many inputs; the real `opa` is the judge.

Every rule is asked, and not only the one that decides, so that what differs is found where it begins.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from proxy.policy import syntax
from proxy.policy.allow import route_data
from proxy.policy.embedded import EmbeddedEngine
from proxy.policy.modules import read_module
from proxy.policy.reading import NotLoaded, read_policy
from proxy.policy.sources import Module, read_sources
from proxy.policy.testing import SUFFIX, CannotRun
from proxy.workbench.agreement import Verdict, answer, smallest, verdict
from proxy.workbench.capture import capture_inputs
from proxy.workbench.desk import Desk
from proxy.workbench.hints import read_hints
from proxy.workbench.inputs import cases_of, completed, documents_of, make_inputs, read_log
from proxy.workbench.judge import Failure, Judge, opa
from proxy.workbench.suite import SUFFIX as TABLE
from proxy.workbench.tables import read_table

__all__ = ["CannotRun", "Parity", "Report"]

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_DIFFERENCES: Final = 10


@dataclass(frozen=True, slots=True)
class Asked:
    """A rule that both engines are asked.

    Args:
        path: such as `shop/authz/allow`.
        place: where it is defined first.
        varies: it reads something, so that its answer may depend on the input.
    """

    path: str
    place: str
    varies: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """A rule of which the engines say different things.

    Args:
        rule: which.
        document: the smallest input that was found to show it.
        ours, theirs: a value, `UNDEFINED` or a `Failure`.
    """

    rule: Asked
    document: dict[str, Any]
    ours: object
    theirs: object


@dataclass(slots=True)
class Report:
    """What came of it.

    Attributes:
        rules: that were asked.
        inputs: how many they were asked about.
        counted: answers by verdict.
        differences: of each rule at most one, and ten in all.
        stricter: a message of the embedded engine where it alone fails, by rule.
        constant: the rules that had one answer, whatever the input: little was learnt of them.
    """

    rules: list[Asked]
    inputs: int = 0
    counted: Counter[Verdict] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    stricter: dict[str, str] = field(default_factory=dict)
    constant: dict[str, object] = field(default_factory=dict)


class Parity:
    """A policy that can be compared.

    Args:
        config: the config, or None.
        policy: a policy in place of the config's, or without one.
        logs: decision logs.

    Raises:
        CannotRun: something does not load, or there is nothing to ask.
    """

    def __init__(self, config: Path | None, policy: Path | None, logs: Iterable[Path] = ()) -> None:
        # Which rule decides is of no matter here, and need not be told.
        decision = _first_rule(policy) if policy and not config else None
        desk = self._desk = Desk.open(config, policy, decision)
        root = desk.config.policy.path
        sources, _ = read_sources(root)
        assert sources is not None, "the desk has read them"
        self._sources = sources
        self._data = {**sources.data, **route_data(desk.config)}
        served = _read(sources.modules)
        tests = _tests(root)
        self.rules = _asked(served)
        self._hints = read_hints(_read([*sources.modules, *tests]), self._data)
        self._seeds = self._read_seeds(logs, tests, root)

    def _read_seeds(self, logs: Iterable[Path], tests: list[Module], root: Path | None) -> list[dict[str, Any]]:
        """Return the inputs that there are: of routes, table tests, logs and tests of Rego."""
        whole = [*documents_of(self._desk, [*cases_of(self._desk), *_table_cases(root)])]
        if not whole:
            raise CannotRun("no route leads to a decision")
        parts = [*(document for log in logs for document in read_log(log))]
        if tests:
            parts += capture_inputs([*self._sources.modules, *tests], self._data)
        return whole + [made for part in parts if (made := completed(part, whole[0])) is not None]

    def compare(self, binary: Path, seed: int, count: int, progress: Callable[[], object]) -> Report:
        """Ask both engines.

        Args:
            binary: the program `opa`.
            seed: of the dice that make the inputs.
            count: how many inputs.
            progress: is called after each.

        Raises:
            CannotRun: OPA does not start, or does not load what loads here.
        """
        engine = self._desk.engine
        assert isinstance(engine, EmbeddedEngine), "a desk's policy is embedded"
        report = Report(self.rules)
        with opa(binary, self._sources.modules, self._data) as judge:
            for document in make_inputs(self._seeds, self._hints, random.Random(seed), count):  # noqa: S311 - no secret
                report.inputs += 1
                self._ask(engine, judge, document, report)
                progress()
        return report

    def _ask(self, engine: EmbeddedEngine, judge: Judge, document: dict[str, Any], report: Report) -> None:
        theirs = judge.ask_all([rule.path for rule in self.rules], document)
        known = {difference.rule for difference in report.differences}
        for rule in self.rules:
            ours = answer(engine, rule.path, document)
            found = verdict(ours, theirs[rule.path])
            report.counted[found] += 1
            if report.inputs == 1 and rule.varies:
                report.constant[rule.path] = ours
            elif rule.path in report.constant and report.constant[rule.path] != ours:
                del report.constant[rule.path]
            if found is Verdict.STRICTER:
                report.stricter.setdefault(rule.path, ours.message if isinstance(ours, Failure) else "")
            if found is Verdict.DIFFERENT and rule not in known and len(known) < _MOST_DIFFERENCES:
                report.differences.append(_difference(rule, engine, judge, document))


def _difference(rule: Asked, engine: EmbeddedEngine, judge: Judge, document: dict[str, Any]) -> Difference:
    def still(smaller: dict[str, Any]) -> bool:
        return verdict(answer(engine, rule.path, smaller), judge.ask(rule.path, smaller)) is Verdict.DIFFERENT

    least = smallest(document, still)
    return Difference(rule, least, answer(engine, rule.path, least), judge.ask(rule.path, least))


def _first_rule(policy: Path) -> str:
    sources, mistakes = read_sources(policy)
    if sources is None:
        raise CannotRun(*(mistake.rule for mistake in mistakes))
    rules = _asked(_read(sources.modules))
    if not rules:
        raise CannotRun(f"{policy}: there is no rule to ask")
    return rules[0].path


def _read(modules: list[Module]) -> list[syntax.Module]:
    try:
        return [read_module(tree) for tree in read_policy(tuple(modules)).trees]
    except NotLoaded as unread:
        raise CannotRun(*unread.args) from None


def _asked(modules: list[syntax.Module]) -> list[Asked]:
    """Return the rules that can be asked, in the order of files and lines; of tests there are none."""
    found: dict[str, Asked] = {}
    for module in modules:
        for rule in module.rules:
            path = rule.path[:-1] if rule.kind == "object" and rule.path[-1] is None else rule.path
            steps = [step for step in path if step is not None]
            if not rule.is_function and len(steps) == len(path) and all(map(_NAME.fullmatch, steps)):
                name = "/".join(steps)
                place = f"{module.file}:{rule.span['line']}:{rule.span['col']}"
                varies = bool(rule.bodies) or any(True for _ in syntax.references([rule.key, rule.value]))
                known = found.setdefault(name, Asked(name, place, varies))
                found[name] = replace(known, varies=known.varies or varies)
    return list(found.values())


def _tests(root: Path | None) -> list[Module]:
    if root is None or not root.is_dir():
        return []
    files = [file for file in sorted(root.rglob(f"*{SUFFIX}")) if not _hidden(file, root)]
    return [Module(str(file), file.read_text(encoding="utf-8")) for file in files]


def _table_cases(root: Path | None) -> Iterator[Any]:
    """Yield the cases of the table tests beside a policy."""
    if root is None or not root.is_dir():
        return
    for file in sorted(root.rglob(f"*{TABLE}")):
        table, mistakes = read_table(file) if not _hidden(file, root) else (None, [])
        if table is not None and not mistakes:
            yield from (test.case for test in table.tests)


def _hidden(file: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(root).parts)
