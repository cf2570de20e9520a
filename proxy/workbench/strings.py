"""The strings that are written in a policy, those first that stand beside something of the input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from proxy.policy.reading import NotLoaded, read_policy
from proxy.policy.sources import Module


def strings_of(modules: Sequence[Module]) -> list[str]:
    """Return the strings of modules, each once; none of a policy that does not load."""
    try:
        trees = read_policy(tuple(modules)).trees
    except NotLoaded:
        return []
    near: dict[str, None] = {}
    rest: dict[str, None] = {}
    for tree in trees:
        _collect(tree["ast"]["rules"], near, rest)
    return [*near, *(word for word in rest if word not in near)]


def _collect(value: Any, near: dict[str, None], rest: dict[str, None]) -> bool:
    """Put strings where they belong; tell whether something of the input is named."""
    if isinstance(value, list):
        found = [_collect(item, near, rest) for item in value]  # all of them
        return any(found)
    if not isinstance(value, dict):
        return False
    for kind, content in value.items():
        if kind in ("String", "RawString") and isinstance(content, dict):
            rest.setdefault(content["value"])
            return False
        if kind == "Var" and isinstance(content, dict):
            return content.get("value") == "input"
        if kind in ("BoolExpr", "Membership", "Call") and isinstance(content, dict):
            inside: dict[str, None] = {}
            reads = _collect([*content.values()], near, inside)
            (near if reads else rest).update(inside)
            return reads
    return _collect([*value.values()], near, rest)


def strings_below(value: Any) -> Iterator[str]:
    """Yield every string of a JSON value, the names of members too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from strings_below(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings_below(item)
