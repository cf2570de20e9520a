"""Rego syntax trees as regorus hands them out, read into what the analysis asks for.

A node is an object of one key, its kind. Nothing here judges a policy; what it does not know it refuses to read, so
that a newer engine's syntax does not pass unseen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Final

Node = dict[str, Any]
Query = dict[str, Any]
Path = tuple[str | None, ...]  # None: a variable

LITERALS: Final = frozenset({"String", "RawString", "Number", "Bool", "Null"})
COMPREHENSIONS: Final = frozenset({"ArrayCompr", "SetCompr", "ObjectCompr"})
OPERATIONS: Final = frozenset({"BinExpr", "BoolExpr", "ArithExpr", "AssignExpr"})
_NAME: Final = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")


class Unreadable(ValueError):  # noqa: N818 - a tree is, a caller did nothing wrong
    """A syntax tree of a shape that is not known."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A rule that a policy breaks, and where."""

    file: str
    line: int
    column: int
    rule: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.rule}"


@dataclass(slots=True)
class Rule:
    """One rule as it is written; several may define the same path.

    Args:
        module: where it stands.
        path: from the root of data, package included.
        steps: its head's reference below the package: names, and nodes where something is computed.
        kind: `function`, `complete`, `set` (contains), `object` (a variable in its head), or `default`.
        arguments: of a function.
        key: of a set.
        value: what it is assigned, or None for true.
        bodies: value (None: the head's) and query of the body and of each else.
        end: where it ends in the text, in bytes.
    """

    module: Module
    path: Path
    steps: list[str | Node]
    kind: str
    span: Node
    arguments: list[Node] = field(default_factory=list)
    key: Node | None = None
    value: Node | None = None
    bodies: list[tuple[Node | None, Query]] = field(default_factory=list)
    end: int = 0

    @property
    def is_function(self) -> bool:
        """Tell whether it is called; a default of a function is too."""
        return self.kind == "function" or bool(self.arguments)

    @property
    def name(self) -> str:
        """The path for people."""
        return dotted(("data", *(step if step is not None else "[…]" for step in self.path)))


@dataclass(slots=True)
class Module:
    """One Rego file."""

    file: str
    text: bytes
    package: tuple[str, ...]
    imports: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    misread: list[Problem] = field(default_factory=list)

    def problem(self, span: Node, rule: str) -> Problem:
        """Return a problem at a span of this file."""
        return Problem(self.file, span["line"], span["col"], rule)

    def name_at(self, span: Node) -> str:
        """Return the identifier at a span: trees name some variables by their place alone."""
        match = _NAME.fullmatch(self.text[span["start"] : span["end"]])
        if match is None:
            raise Unreadable(f"{self.file}:{span['line']}:{span['col']}: a name was expected")
        return match[0].decode("ascii")


def dotted(steps: tuple[str, ...]) -> str:
    """Return a path as Rego spells it."""
    return steps[0] + "".join(f".{step}" if step.isidentifier() else f'["{step}"]' for step in steps[1:])


def part(node: Node) -> tuple[str, Any]:
    """Return a node's kind and what it holds."""
    if len(node) != 1:
        raise Unreadable("a node of one kind was expected")
    [(kind, content)] = node.items()
    return kind, content


def start_of(node: Node) -> Node:
    """Return the span where an expression begins; its own is that of its operator, bracket or dot."""
    kind, content = part(node)
    if kind in ("RefDot", "RefBrack"):
        return start_of(content["refr"])
    if kind == "Call":
        return start_of(content["fcn"])
    if kind in OPERATIONS:
        return start_of(content["lhs"])
    if kind == "Membership":
        return start_of(content["key"] if content["key"] is not None else content["value"])
    span: Node = content["span"]
    return span


def reference(node: Node) -> tuple[Node, list[str | Node]]:
    """Return a reference's head and its steps: strings where they are constant, nodes where not."""
    steps: list[str | Node] = []
    kind, content = part(node)
    while kind in ("RefDot", "RefBrack"):
        if kind == "RefDot":
            steps.append(content["field"][1])
        else:
            index_kind, index = part(content["index"])
            steps.append(index["value"] if index_kind in ("String", "RawString") else content["index"])
        node = content["refr"]
        kind, content = part(node)
    return node, steps[::-1]


def spelled(node: Node) -> tuple[str, ...] | None:
    """Return the words of a reference, or None: it computes a step, or begins with no name."""
    head, steps = reference(node)
    kind, content = part(head)
    names = tuple(step for step in steps if isinstance(step, str))
    return (content["value"], *names) if kind == "Var" and len(names) == len(steps) else None


def input_path(node: Node, imports: Mapping[str, tuple[str, ...]]) -> tuple[str, ...] | None:
    """Return the constant beginning of what a reference reads of the input, or None: it begins elsewhere.

    A local variable may hide an import; who must know that asks the scope.
    """
    head, steps = reference(node)
    kind, content = part(head)
    if kind != "Var":
        return None
    name = content["value"]
    root = imports.get(name, (name,)) if name != "input" else (name,)
    constant = takewhile(lambda step: isinstance(step, str), steps)
    return (*root[1:], *map(str, constant)) if root[0] == "input" else None


def children(node: Node) -> Iterator[Node]:
    """Yield the expressions directly inside one; what a comprehension holds is a scope of its own, not among them."""
    kind, content = part(node)
    if kind == "Var" or kind in LITERALS or kind in COMPREHENSIONS:
        return
    if kind in ("Array", "Set"):
        yield from content["items"]
    elif kind == "Object":
        for _, key, value in content["fields"]:
            yield key
            yield value
    elif kind in OPERATIONS:
        yield content["lhs"]
        yield content["rhs"]
    elif kind == "Call":
        yield from content["params"]
    elif kind == "RefDot":
        yield content["refr"]
    elif kind == "RefBrack":
        yield content["refr"]
        yield content["index"]
    elif kind == "Membership":
        yield from (content[name] for name in ("key", "value", "collection") if content[name] is not None)
    elif kind == "UnaryExpr":
        yield content["expr"]
    else:
        raise Unreadable(f"an expression of the kind {kind} is not known")


def walk(node: Node) -> Iterator[Node]:
    """Yield an expression and all below it, comprehensions included and unopened."""
    yield node
    for child in children(node):
        yield from walk(child)


def references(value: Any) -> Iterator[Node]:
    """Yield each reference and variable anywhere below, closures included, and not its beginnings again."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("Var", "RefDot", "RefBrack"):
        head, steps = reference(value)
        if part(head)[0] == "Var":
            yield value
        else:
            yield from references(head)
        for step in steps:
            if not isinstance(step, str):
                yield from references(step)
    elif isinstance(value, dict):
        for item in value.values():
            yield from references(item)


def references_outside_closures(root: Node) -> Iterator[Node]:
    """Yield each reference and variable of an expression, longest first and not its beginnings again."""
    kind, _ = part(root)
    if kind == "Var":
        yield root
    elif kind in ("RefDot", "RefBrack"):
        head, steps = reference(root)
        if part(head)[0] == "Var":
            yield root
        else:
            yield from references_outside_closures(head)
        for step in steps:
            if not isinstance(step, str):
                yield from references_outside_closures(step)
    else:
        for child in children(root):
            yield from references_outside_closures(child)


def terms(comprehension: Node) -> list[Node]:
    """Return what a comprehension makes."""
    content = part(comprehension)[1]
    return [content[name] for name in ("term", "key", "value") if name in content]


def literals(query: Query) -> Iterator[tuple[str, Any, list[Node]]]:
    """Yield each statement of a query: its kind, its content, and its `with` modifiers."""
    for statement in query["stmts"]:
        kind, content = part(statement["literal"])
        if kind not in ("Expr", "NotExpr", "SomeIn", "SomeVars", "Every"):
            raise Unreadable(f"a statement of the kind {kind} is not known")
        yield kind, content, statement.get("with_mods") or []


def expressions(kind: str, content: Any) -> list[Node]:
    """Return the expressions of a statement; the body of `every` is a scope of its own and not among them."""
    if kind in ("Expr", "NotExpr"):
        return [content["expr"]]
    if kind == "Every":
        return [content["domain"]]
    if kind == "SomeIn":
        return [content[name] for name in ("key", "value", "collection") if content[name] is not None]
    return []
