"""The parts of a rule's body: statements as they are written, what they declare, and the order in which they work.

It knows syntax trees and texts, and asks nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from proxy.policy.syntax import Module, Node, Path, children, expressions, part, references, walk


@dataclass(slots=True)
class Part:
    """One statement of a body, or what a head makes.

    Args:
        kind, content: as of `syntax.literals`; a head's kind is `Head`, and its content its expression.
        text: as it is written.
        line: where.
        asked: what it is held against, each as it is written, with its node.
        calls: of the policy's functions in it: path, name as it is written, arguments' texts.
        declares: names that it declares.
        binds: names that it may give a value, declared or not.
        names: that it mentions.
    """

    kind: str
    content: Any
    text: str
    line: int
    asked: dict[str, Node] = field(default_factory=dict)
    calls: list[tuple[Path, str, list[str]]] = field(default_factory=list)
    declares: frozenset[str] = frozenset()
    binds: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()


def text_of(module: Module, node: Node) -> str:
    """Return an expression as it is written."""
    start, end = _extent(module, node)
    return module.text[start:end].decode()


def _extent(module: Module, node: Node) -> tuple[int, int]:
    """Return where an expression begins and ends: spans of strings are without quotes, objects' begin anywhere."""
    kind, content = part(node)
    start, end = content["span"]["start"], content["span"]["end"]
    if kind in ("String", "RawString"):
        return start - 1, end + 1
    inner = [_extent(module, child) for child in children(node)]
    if kind == "Object" and inner:
        start = module.text.rfind(b"{", 0, min(begin for begin, _ in inner))
    return min([start, *(begin for begin, _ in inner)]), max([end, *(last for _, last in inner)])


def statement_text(module: Module, statement: Node) -> str:
    """Return a statement as it is written, with its modifiers."""
    kind, content = part(statement["literal"])
    nodes = [*expressions(kind, content), *(modifier["as"] for modifier in statement.get("with_mods") or ())]
    inner = [_extent(module, node) for node in nodes]
    span = statement["span"]
    start = min([span["start"], *(begin for begin, _ in inner)])
    return module.text[start : max([span["end"], *(last for _, last in inner)])].decode()


def roots(one: Part) -> list[Node]:
    """Return the expressions of a part that are there before it: a pattern that it binds is not."""
    if one.kind == "Head":
        return [one.content["expr"]]
    if one.kind == "SomeIn":
        return [one.content["collection"]]
    if one.kind == "Expr" and part(one.content["expr"])[0] == "AssignExpr":
        assignment = part(one.content["expr"])[1]
        return [assignment["rhs"]] if assignment["op"] == "ColEq" else [assignment["lhs"], assignment["rhs"]]
    return expressions(one.kind, one.content)


def declared(module: Module, kind: str, content: Any) -> Iterator[str]:
    patterns: list[Node] = []
    if kind == "SomeVars":
        yield from (module.name_at(span) for span in content["vars"])
    elif kind == "SomeIn":
        patterns = [content[name] for name in ("key", "value") if content[name] is not None]
    elif kind == "Expr" and part(content["expr"])[0] == "AssignExpr" and part(content["expr"])[1]["op"] == "ColEq":
        patterns = [part(content["expr"])[1]["lhs"]]
    for pattern in patterns:
        yield from pattern_names(pattern)


def unified(kind: str, content: Any) -> Iterator[str]:
    """Yield the variables that stand alone on a side of `=`."""
    node = part(content["expr"])[1] if kind == "Expr" and part(content["expr"])[0] == "AssignExpr" else {}
    for side in ("lhs", "rhs"):
        if side in node and part(node[side])[0] == "Var":
            yield part(node[side])[1]["value"]


def pattern_names(pattern: Node) -> Iterator[str]:
    """Yield the variables of a pattern."""
    for node in walk(pattern):
        kind, content = part(node)
        if kind == "Var" and content["value"] != "_":
            yield content["value"]


def names(content: Any) -> Iterator[str]:
    for node in references(content):
        head = node
        while part(head)[0] in ("RefDot", "RefBrack"):
            head = part(head)[1]["refr"]
        if part(head)[0] == "Var":
            yield part(head)[1]["value"]


def ordered(parts: Iterable[Part]) -> list[Part]:
    """Return statements with each behind those that bind a name that it has; else as they are written."""
    rest = [*parts]
    out: list[Part] = []
    while rest:
        bound: frozenset[str] = frozenset().union(*(one.binds for one in out))
        first = next((one for one in rest if not _waits(one, rest, bound)), rest[0])
        out.append(first)
        rest = [one for one in rest if one is not first]
    return out


def _waits(one: Part, rest: Iterable[Part], bound: frozenset[str]) -> bool:
    return any(one.names & (other.binds - one.binds - bound) for other in rest if other is not one)
