"""Which parts of the input a policy reads: the engine is handed those alone.

To hand over the whole document costs half as much as the default policy's decision. A part is left out only where every
reference to `input` names the parts that it reads, so that no rule could have reached it; a reference that takes the
input whole, or computes a step, is shown all that it might reach.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from proxy.policy.modules import read_module
from proxy.policy.syntax import Node, input_path, references

# For each member of the input its own members that are read, or None for the whole of it.
ReadSet = Mapping[str, tuple[str, ...] | None]


def read_set(trees: Iterable[Node]) -> ReadSet | None:
    """Return what the modules of some syntax trees read of the input; None: all of it."""
    reads: dict[str, set[str] | None] = {}
    for tree in trees:
        imports = read_module(tree).imports
        # A local variable may hide an import. Then this finds more than is read, which does no harm.
        for node in references(tree["ast"]["rules"]):
            path = input_path(node, imports)
            if path == ():
                return None
            if path is not None:
                _note(reads, path)
    return {name: None if members is None else tuple(sorted(members)) for name, members in reads.items()}


def _note(reads: dict[str, set[str] | None], path: tuple[str, ...]) -> None:
    if len(path) == 1:
        reads[path[0]] = None
        return
    members = reads.setdefault(path[0], set())
    if members is not None:
        members.add(path[1])


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
