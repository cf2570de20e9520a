"""Rego files as regorus is given them: spelled so that it can parse them, and told of where they stood.

It knows regorus, its limits and its messages, and the two ways in which a text is spelled anew.
"""

from __future__ import annotations

import json
import os
import re
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

import regorus

from proxy.policy import builtins
from proxy.policy.apart import names_of, spell_patterns
from proxy.policy.outputs import spell_outputs
from proxy.policy.sources import Module
from proxy.policy.spelling import Shifts, SpellingError, edited, spell
from proxy.policy.syntax import Node, Problem

# Each value that is undefined is an error inside regorus, and would capture a stack: several times as slow. It is read
# once, at the first of them.
os.environ["RUST_BACKTRACE"] = os.environ["RUST_LIB_BACKTRACE"] = "0"

# The parser tries a bracket as a literal and as a comprehension, both again inside: twelve levels take 10 ms, twenty a
# minute.
_MOST_BRACKETS: Final = 12
_LENGTHS: Final = {"max_col": 20_000, "max_file_bytes": 4 * 1024**2, "max_lines": 50_000}


def new_engine() -> Any:
    """Return an empty engine that has our built-ins where its own would not agree with OPA."""
    engine = regorus.Engine()
    engine.set_policy_length_config(**_LENGTHS)
    for name, (arity, function) in (builtins.EXTENSIONS | builtins.COMPILED).items():
        engine.add_extension(name, arity, function)
    return engine


def first_lines(error: BaseException) -> str:
    """Return what regorus says without the stack that may follow it."""
    return str(error).split("\n\nStack backtrace:", 1)[0].strip()


_PLACE: Final = re.compile(r"-->\s*(.+:[0-9]+:[0-9]+)$", re.MULTILINE)
_RULE: Final = re.compile(
    r"^error: (?:extension '(?P<name>[^']*)' raises Python error: \w+: )?(?P<rule>.*)$", re.MULTILINE
)
_VALUE: Final = re.compile(r"`(?![A-Za-z_.]+`)[^`]*`")


def told(error: BaseException) -> str:
    """Return an error of regorus in one line that begins with its place; values of the input are left out."""
    text = first_lines(error)
    place, rule = _PLACE.search(text), _RULE.search(text)
    said = rule["rule"] if rule is not None else text.splitlines()[-1] if text else type(error).__name__
    if rule is not None and rule["name"]:
        said = f"{rule['name']}: {said}"
    said = _VALUE.sub("`…`", said.split(" Got ", 1)[0])
    return f"{place[1]}: {said}" if place is not None else said


def load_fault(add: Any, *what: object) -> str | None:
    """Return what regorus says against something that is added, or None."""
    try:
        add(*what)
    except Exception as error:  # regorus has RuntimeError for everything
        return told(error)
    return None


def nesting_fault(module: Module) -> str | None:
    """Return why a module must not be parsed: it would take minutes. None: it may."""
    depth = 0
    for number, line in enumerate(module.text.splitlines(), start=1):
        for character in line:
            if character in "[{":
                depth += 1
                if depth > _MOST_BRACKETS:
                    return f"{module.name}:{number}:1: brackets must not nest more than {_MOST_BRACKETS} deep"
            elif character in "]}":
                depth = max(depth - 1, 0)
    return None


# Names that nobody wrote, and what is wrong where one of them is told.
_OWN_NAMES: Final = {
    "__object": "an object must be taken apart where it has a value, and each of its variables once; use engine: opa",
    "__value": "a string interpolation must show what has a value: nothing binds a variable of it",
}


class NotLoaded(Exception):  # noqa: N818 - a state, not an accident
    """Some files are no Rego; each argument is a line that says why."""


class Read(NamedTuple):
    """A policy's files, read.

    Args:
        modules: as regorus parses them.
        trees: of each.
        shifts: by file, how far columns were moved.
    """

    modules: tuple[Module, ...]
    trees: list[Node]
    shifts: dict[str, Shifts]

    def placed(self, problem: Problem) -> Problem:
        """Return a problem at its place in the file as it was written."""
        shifts = self.shifts.get(problem.file, Shifts())
        rule = next((rule for name, rule in _OWN_NAMES.items() if name in problem.rule), problem.rule)
        return Problem(problem.file, problem.line, shifts.original(problem.line, problem.column), rule)


@lru_cache(maxsize=4)
def read_policy(modules: tuple[Module, ...]) -> Read:
    """Return the files of a policy as regorus reads them. Raise NotLoaded."""
    shifts: dict[str, Shifts] = {}
    spelled: list[Module] = []
    faults: list[str] = []
    for module in modules:
        try:
            found = spell(module)
        except SpellingError as error:
            line = module.text.count("\n", 0, error.offset) + 1
            column = error.offset - module.text.rfind("\n", 0, error.offset)
            faults.append(f"{module.name}:{line}:{column}: {error}")
        else:
            spelled += found.modules
            shifts[module.name] = found.shifts
    if faults:
        raise NotLoaded(*faults)
    trees = _trees(spelled)
    arities = {name: arity for name, (arity, _) in builtins.EXTENSIONS.items()}
    for edits_of in (partial(spell_outputs, arities=arities), partial(spell_patterns, taken=names_of(trees))):
        again = [
            edited(module, edits_of(module, tree), shifts[module.name])
            for module, tree in zip(spelled, trees, strict=True)
        ]
        if again != spelled:
            spelled, trees = again, _trees(again)
    return Read(tuple(spelled), trees, shifts)


def _trees(modules: list[Module]) -> list[Node]:
    engine = new_engine()
    faults = [nesting_fault(module) or load_fault(engine.add_policy, module.name, module.text) for module in modules]
    if any(faults):
        raise NotLoaded(*(fault for fault in faults if fault is not None))
    trees: list[Node] = json.loads(engine.get_ast_as_json())
    return trees
