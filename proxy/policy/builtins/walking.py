"""`walk`, and what `not` asks of an input: built-ins that are compiled in by `proxy/policy/mending`, never written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

_MOST_VALUES: Final = 50_000
_RANKS: Final[tuple[tuple[type, ...], ...]] = (
    (type(None),),
    (bool,),
    (int, float),
    (str,),
    (list, tuple),
    (dict,),
    (set, frozenset),
)


def walked(value: object) -> list[Any]:
    """Return every value inside of one, itself first, each with the path to it."""
    out: list[Any] = []
    for path, inner in _inside((), value):
        out.append([list(path), inner])
        if len(out) > _MOST_VALUES:
            raise ValueError(f"walk must not find more than {_MOST_VALUES} values")
    return out


def _inside(path: tuple[Any, ...], value: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _inside((*path, key), item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _inside((*path, index), item)
    elif isinstance(value, set | frozenset):
        for item in sorted(value, key=_order):
            yield from _inside((*path, item), item)


def _order(value: Any) -> tuple[Any, ...]:
    """Return by what a member of a set is put in Rego's order."""
    rank = next(rank for rank, kinds in enumerate(_RANKS) if isinstance(value, kinds))
    if isinstance(value, list | tuple):
        return rank, *map(_order, value)
    if isinstance(value, set | frozenset):
        return rank, *sorted(map(_order, value))
    return (rank,) if value is None else (rank, value)


def present(value: object) -> bool:
    """Return true: what is undefined never comes here."""
    return True
