"""Which parts of the input a policy reads: the engine is handed those alone.

To hand over the whole document costs half as much as the default policy's decision. A part is left out only where every
reference to `input` names the parts that it reads, so that no rule could have reached it; a reference that takes the
input whole, or computes a step, is shown all that it might reach.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from proxy.policy.syntax import Node, input_path, part, read_module, reference

# For each member of the input its own members that are read, or None for the whole of it.
ReadSet = Mapping[str, tuple[str, ...] | None]


def read_set(trees: Iterable[Node]) -> ReadSet | None:
    """Return what the modules of some syntax trees read of the input; None: all of it."""
    reads: dict[str, set[str] | None] = {}
    for tree in trees:
        # A local variable may hide an import. Then this finds more than is read, which does no harm.
        for path in _paths(tree["ast"]["rules"], read_module(tree).imports):
            if not path:
                return None
            _note(reads, path)
    return {name: None if members is None else tuple(sorted(members)) for name, members in reads.items()}


def _note(reads: dict[str, set[str] | None], path: tuple[str, ...]) -> None:
    if len(path) == 1:
        reads[path[0]] = None
        return
    members = reads.setdefault(path[0], set())
    if members is not None:
        members.add(path[1])


def _paths(value: Any, imports: Mapping[str, tuple[str, ...]]) -> Iterable[tuple[str, ...]]:
    """Yield the constant beginning of each reference to the input."""
    if isinstance(value, list):
        for item in value:
            yield from _paths(item, imports)
    elif isinstance(value, dict):
        if len(value) == 1 and next(iter(value)) in ("Var", "RefDot", "RefBrack"):
            yield from _reference_paths(value, imports)
        else:
            for item in value.values():
                yield from _paths(item, imports)


def _reference_paths(node: Node, imports: Mapping[str, tuple[str, ...]]) -> Iterable[tuple[str, ...]]:
    head, steps = reference(node)
    if part(head)[0] != "Var":
        yield from _paths(head, imports)
    elif (path := input_path(node, imports)) is not None:
        yield path
    for step in steps:
        if not isinstance(step, str):
            yield from _paths(step, imports)


def shown(document: Mapping[str, Any], reads: ReadSet) -> dict[str, Any]:
    """Return the parts of a document that are read."""
    out: dict[str, Any] = {}
    for name, members in reads.items():
        if name in document:
            value = document[name]
            if members is None or type(value) is not dict:
                out[name] = value
            else:
                out[name] = {member: value[member] for member in members if member in value}
    return out
