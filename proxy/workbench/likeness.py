"""When two input documents are alike to a rule: equal, type for type, in everything that it reads.

`shown.Plan.tell` says the same of requests; here are documents, in which anything may stand anywhere. Of the default
policy more is known: it looks names up in its data, so names that are not in its data are all alike.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Final

from proxy.policy.reads import InputPath
from proxy.policy.shown import tree_of

Tell = Callable[[Any], Hashable]
_Branch = dict[str, "_Branch | Tell"]

_LACKING: Final = object()
# What the default policy does nothing with but look it up, and compare it with what it found.
LOOKED_UP: Final = (
    ("principal", "id"),
    ("principal", "email"),
    ("principal", "groups"),
    ("request", "path_segments"),
)


def tell(value: Any) -> Hashable:
    """Return what is equal for two values if and only if they are, type for type."""
    return value if type(value) is str or value is _LACKING else (repr(value),)


class Likeness:
    """Tells documents apart.

    Args:
        paths: what is read of them.
        names: those that the data holds, where nothing but looking them up is done with `LOOKED_UP`; None: anything
            may be done with it.
    """

    __slots__ = ("_names", "_tree")

    def __init__(self, paths: Iterable[InputPath], names: frozenset[str] | None = None) -> None:
        self._names = names or frozenset()
        self._tree = _told_by(tree_of(paths), (), {} if names is None else dict.fromkeys(LOOKED_UP, self._known))

    def key(self, document: Any) -> tuple[Hashable, ...]:
        """Return what is equal for two documents if and only if they are alike. Raise RecursionError."""
        key: list[Hashable] = []
        if callable(self._tree):
            return (self._tree(document),)
        _collect(document, self._tree, key.append)
        return tuple(key)

    def _known(self, value: Any) -> Hashable:
        names = self._names
        if type(value) is str:
            return value if value in names else ("other",)
        if type(value) is list and all(type(item) is str for item in value):
            return tuple([item if item in names else None for item in value])
        return (tell(value),)


def _told_by(tree: Any, path: InputPath, special: Mapping[InputPath, Tell]) -> Any:
    if tree is None:
        return special.get(path, tell)
    return {name: _told_by(below, (*path, name), special) for name, below in tree.items()}


def _collect(document: Any, tree: _Branch, add: Callable[[Hashable], None]) -> None:
    for name, below in tree.items():
        value = document.get(name, _LACKING)
        if type(below) is not dict:
            add(below(value))  # type: ignore[operator]
        elif type(value) is dict:
            _collect(value, below, add)
        else:
            add((0, tell(value)))  # no leaf is told so: what comes next stands beside it, and not below


def names_in(data: Any) -> frozenset[str]:
    """Return every name that data holds, and the parts of those that are paths."""
    found: set[str] = set()
    rest = [data]
    while rest:
        value = rest.pop()
        if isinstance(value, Mapping):
            rest += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            rest += value
        elif isinstance(value, str):
            found |= {value, *value.split("/")}
    return frozenset(found)
