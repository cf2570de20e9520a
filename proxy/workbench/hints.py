"""What a policy and its data give away about inputs that they tell apart: paths, and values that stand beside them.

It reads syntax trees. What is said at a path is a hint and no proof: whoever makes inputs of it evaluates them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.policy.syntax import LITERALS, Module, Node, input_path, part, references
from proxy.workbench.strings import strings_below

Path = tuple[str, ...]

MOST_WORDS: Final = 500


class NotConstant(ValueError):  # noqa: N818 - an expression is, a caller did nothing wrong
    """An expression whose value is not written out."""


@dataclass(slots=True)
class Hints:
    """Values by the path of the input that they stand beside.

    Attributes:
        at: scalars, by path.
        brought: values of any kind that a `with` brings, by path.
        words: every string, wherever it stands.
    """

    at: dict[Path, list[Any]] = field(default_factory=dict)
    brought: dict[Path, list[Any]] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)

    @property
    def paths(self) -> list[Path]:
        """Every path that is read, but for the input as a whole."""
        return [path for path in self.at if path]


def read_hints(modules: Iterable[Module], data: Any) -> Hints:
    """Return what modules and data give away.

    Args:
        modules: their trees, read.
        data: the policy's.
    """
    hints = Hints()
    words: dict[str, None] = {}
    for module in modules:
        for rule in module.rules:
            heads = [rule.key, rule.value, *rule.arguments]
            for statement in [*_statements([query for _, query in rule.bodies]), heads]:
                _note(statement, module, hints, words)
    for word in strings_below(data):
        if len(words) >= MOST_WORDS:
            break
        words[word] = None
    hints.words = list(words)
    return hints


def _statements(value: Any) -> Iterator[Any]:
    """Yield every statement, those of closures too."""
    if isinstance(value, dict):
        yield from value.get("stmts", ())
        for item in value.values():
            yield from _statements(item)
    elif isinstance(value, list):
        for item in value:
            yield from _statements(item)


def _note(statement: Any, module: Module, hints: Hints, words: dict[str, None]) -> None:
    literals = list(_literals(statement))
    words.update(dict.fromkeys(value for value in literals if isinstance(value, str)))
    for node in references(statement):
        path = input_path(node, module.imports)
        if path is not None:
            known = hints.at.setdefault(path, [])
            known += [value for value in literals if (value, type(value)) not in [(one, type(one)) for one in known]]
    for modifier in statement.get("with_mods") or () if isinstance(statement, dict) else ():
        path = input_path(modifier["refr"], module.imports)
        if path is not None:
            with suppress(NotConstant):
                hints.brought.setdefault(path, []).append(constant(modifier["as"]))


def _literals(value: Any) -> Iterator[Any]:
    """Yield every string, number and truth below a part of a tree."""
    if isinstance(value, list):
        for item in value:
            yield from _literals(item)
    elif isinstance(value, dict):
        kind = next(iter(value)) if len(value) == 1 else ""
        if kind in LITERALS and kind != "Null":
            yield constant(value)
        else:
            for item in value.values():
                yield from _literals(item)


def constant(node: Node) -> Any:
    """Return the value that an expression writes out. Raise NotConstant."""
    kind, content = part(node)
    if kind == "Null":
        return None
    if kind in LITERALS:
        return content["value"]
    if kind == "Array":
        return [constant(item) for item in content["items"]]
    if kind == "Object":
        pairs = [(constant(key), constant(value)) for _, key, value in content["fields"]]
        if all(isinstance(key, str) for key, _ in pairs):
            return dict(pairs)
    raise NotConstant(kind)
