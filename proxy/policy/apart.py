"""Objects that are taken apart, spelled step by step: OPA wants exactly a pattern's keys, regorus at least these.

`{"a": x} := y` becomes an assignment of `y` to a name of its own, the question whether its keys are these, and
`x := name["a"]`; so do `=`, `some … in` and the arguments of functions. It knows trees and their places in the text.
What has a shape that is not spelled here is left, and the analysis refuses it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import permutations
from typing import Any, Final

from proxy.policy.sources import Module
from proxy.policy.spelling import Edit
from proxy.policy.syntax import LITERALS, Node, part, reference

_SIMPLE: Final = LITERALS | {"Var", "RefDot", "RefBrack"}
_OBJECT: Final = re.compile(r"\{\s*(?:#[^\n]*\s*)*[\"`]")  # an object or a set of texts


class _Unspelled(Exception):  # noqa: N818 - a shape, not an accident
    """A pattern of a shape that is not spelled."""


def spell_patterns(module: Module, tree: Node, taken: frozenset[str]) -> list[Edit]:
    """Return what to put in the place of what in a module's text, by offsets of bytes.

    Args:
        module: the text.
        tree: of the whole file.
        taken: the names of all rules and imports of the policy.
    """
    if not _OBJECT.search(module.text):
        return []
    speller, rules = _Speller(module.text.encode()), tree["ast"]["rules"]
    made = [edit for rule in rules if "Spec" in rule for edit in speller.made(rule["Spec"], taken)]
    return [*made, *speller.edits(rules)]


def names_of(trees: list[Node]) -> frozenset[str]:
    """Return the names of all rules and imports of some files."""
    names: set[str] = set()
    for tree in trees:
        for entry in tree["ast"]["imports"]:
            names.update(step for step in reference(entry["refr"])[1] if isinstance(step, str))
            if entry.get("as"):
                names.add(tree["source"]["contents"].encode()[entry["as"]["start"] : entry["as"]["end"]].decode())
        for rule in tree["ast"]["rules"]:
            head = rule["Default"] if "Default" in rule else next(iter(rule["Spec"]["head"].values()))
            names.add(str(part(reference(head["refr"])[0])[1].get("value")))
    return frozenset(names)


class _Speller:
    """Spells the patterns of one file."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._names = 0

    def edits(self, value: Any) -> list[Edit]:
        """Return the edits of all that is below a part of the tree."""
        found: list[Edit] = []
        if isinstance(value, list):
            for item in value:
                found += self.edits(item)
        elif isinstance(value, dict):
            for key, item in value.items():
                if key != "span":
                    found += self.edits(item)
            if "stmts" in value:
                for statement in value["stmts"]:
                    found += self._tried(self._statement(value, statement))
            if isinstance(value.get("head"), dict) and "Func" in value["head"]:
                found += self._tried(self._arguments(value))
        return found

    def _tried(self, edits: Iterator[Edit]) -> list[Edit]:
        try:
            return list(edits)
        except _Unspelled:
            return []

    # --- objects that are made, and not taken apart

    def made(self, rule: Node, taken: frozenset[str]) -> Iterator[Edit]:
        """Yield the edits that make assignments of a rule's `x = {…}`, where nothing else can have bound `x` before."""
        arguments = {name for node in rule["head"].get("Func", {}).get("args", ()) for name in _names(node)}
        for body in rule["bodies"]:
            for statement in body["query"]["stmts"]:
                kind, content = part(statement["literal"])
                if kind != "Expr" or part(content["expr"])[0] != "AssignExpr":
                    continue
                assignment = part(content["expr"])[1]
                (left_kind, left), right = part(assignment["lhs"]), assignment["rhs"]
                if assignment["op"] != "Eq" or left_kind != "Var" or not _is_pattern(right):
                    continue
                name, end = left["value"], left["span"]["end"]
                is_new = name != "_" and name not in taken | arguments | {"input", "data"}
                if is_new and not self._is_bound(body["query"], statement, assignment["lhs"]):
                    yield end, end + self._text[end:].index(b"=") + 1, " :="

    # --- statements

    def _statement(self, query: Node, statement: Node) -> Iterator[Edit]:
        kind, content = part(statement["literal"])
        if kind == "SomeIn":
            patterns, operator = [node for node in (content["key"], content["value"]) if node is not None], ":="
        elif kind == "Expr" and part(content["expr"])[0] == "AssignExpr":
            assignment = part(content["expr"])[1]
            operator = ":=" if assignment["op"] == "ColEq" else "="
            patterns = [assignment["lhs"]] if operator == ":=" else self._unified(query, statement, assignment)
        else:
            return
        patterns = [node for node in patterns if _has_object(node)]
        if not patterns:
            return
        steps: list[str] = []
        bound: set[str] = set()
        for node in patterns:
            yield from self._replaced(node, operator, steps, bound)
        start, end = statement["span"]["start"], statement["span"]["end"]
        alone = query["span"]["start"] == start and self._text[:start].rstrip().endswith(b"if")  # without braces
        yield end, end, "; " + "; ".join(steps) + (" }" if alone else "")
        if alone:
            yield start, start, "{ "

    def _unified(self, query: Node, statement: Node, assignment: Node) -> list[Node]:
        """Return the side of `=` that takes the other apart, where that has a value already."""
        for pattern, other in permutations((assignment["lhs"], assignment["rhs"])):
            if _is_pattern(pattern) and not (part(other)[0] == "Var" and not self._is_bound(query, statement, other)):
                return [pattern]
        return []

    def _is_bound(self, query: Node, statement: Node, variable: Node) -> bool:
        """Tell whether a variable is mentioned before a statement, so that something binds it."""
        if part(variable)[1]["value"] in ("input", "data"):
            return True
        name = re.escape(part(variable)[1]["value"].encode())
        before = self._text[query["span"]["start"] : statement["span"]["start"]]
        return re.search(rb"(?<![\w.])" + name + rb"(?!\w)", before) is not None

    def _replaced(self, node: Node, operator: str, steps: list[str], bound: set[str]) -> Iterator[Edit]:
        """Yield the edits that put names in the place of a pattern's objects, and note the steps that follow."""
        kind, content = part(node)
        if kind == "Array":
            for item in content["items"]:
                if _has_object(item):
                    yield from self._replaced(item, operator, steps, bound)
        elif kind == "Object":
            name = self._object(content, operator, steps, bound)
            end = content["span"]["end"]
            rest = self._text[end:]
            if operator == "=" and rest.lstrip().startswith(b"=") and not rest.lstrip().startswith(b"=="):
                yield self._start(content), end + rest.index(b"=") + 1, f"{name} :="  # whatever is there is its value
            else:
                yield self._start(content), end, name
        else:
            raise _Unspelled

    def _start(self, content: Node) -> int:
        """Return where an object's brace is: its place in the tree is that of its last field."""
        _, key, _ = content["fields"][0]
        before = self._text[: part(key)[1]["span"]["start"] - 1].rstrip()  # of a text the place is without the quotes
        if not before.endswith(b"{"):
            raise _Unspelled
        return len(before) - 1

    def _object(self, content: Node, operator: str, steps: list[str], bound: set[str]) -> str:
        """Return the name that an object is given, and note what must hold of it."""
        self._names += 1
        name, key = f"__object{self._names}__", f"__key{self._names}__"
        fields: dict[str, Node] = {}
        for _, field, value in content["fields"]:
            if part(field)[0] not in ("String", "RawString") or part(field)[1]["value"] in fields:
                raise _Unspelled
            fields[part(field)[1]["value"]] = value
        steps += [f"is_object({name})", f"[{key} | some {key}, _ in {name}] == {json.dumps(sorted(fields))}"]
        for wanted, value in fields.items():
            self._field(value, f"{name}[{json.dumps(wanted)}]", operator, steps, bound)
        return name

    def _field(self, value: Node, place: str, operator: str, steps: list[str], bound: set[str]) -> None:
        """Note what a field's value must be."""
        kind, content = part(value)
        if kind == "Object":
            inner: list[str] = []
            name = self._object(content, operator, inner, bound)
            steps += [f"{name} {operator} {place}", *inner]
        elif kind == "Var" and content["value"] == "_":
            return
        elif kind == "Var" and operator == ":=" and content["value"] not in bound:
            bound.add(content["value"])
            steps.append(f"{content['value']} := {place}")
        elif kind in _SIMPLE or (kind == "Array" and not _has_object(value) and operator == "="):
            steps.append(f"{self._spelled(value)} = {place}")
        else:
            raise _Unspelled

    def _spelled(self, node: Node) -> str:
        kind, content = part(node)
        if kind in ("String", "RawString"):
            return json.dumps(content["value"])
        return " ".join(self._text[content["span"]["start"] : content["span"]["end"]].decode().split())

    # --- functions

    def _arguments(self, rule: Node) -> Iterator[Edit]:
        head = rule["head"]["Func"]
        patterns = [node for node in head["args"] if _has_object(node)]
        if not patterns:
            return
        steps: list[str] = []
        bound = {part(node)[1]["value"] for node in head["args"] if part(node)[0] == "Var"}
        if bound & {name for node in patterns for name in _names(node)}:
            raise _Unspelled
        for node in patterns:
            yield from self._replaced(node, ":=", steps, bound)
        spelled = "; ".join(steps)
        if not rule["bodies"]:
            yield head["span"]["end"], head["span"]["end"], f" if {{ {spelled} }}"
        for body in rule["bodies"]:
            start, end = body["query"]["span"]["start"], body["query"]["span"]["end"]
            if not body["query"]["stmts"]:
                raise _Unspelled
            if self._text[start : start + 1] == b"{" and body["query"]["stmts"][0]["span"]["start"] != start:
                yield start + 1, start + 1, f" {spelled}; "
            else:
                yield start, start, f"{{ {spelled}; "
                yield end, end, " }"


def _has_object(node: Node) -> bool:
    kind, content = part(node)
    return kind == "Object" or (kind == "Array" and any(map(_has_object, content["items"])))


def _is_pattern(node: Node) -> bool:
    """Tell whether an object in an expression has a variable in it that would be bound."""
    kind, content = part(node)
    if kind == "Object":
        return any(True for _ in _names(node))
    return kind == "Array" and any(map(_is_pattern, content["items"]))


def _names(node: Node) -> Iterator[str]:
    kind, content = part(node)
    if kind == "Var":
        yield content["value"]
    elif kind == "Array":
        for item in content["items"]:
            yield from _names(item)
    elif kind == "Object":
        for _, _, value in content["fields"]:
            yield from _names(value)
