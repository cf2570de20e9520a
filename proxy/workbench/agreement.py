"""Whether the embedded engine and OPA agree about an input, and the smallest input about which they do not.

They agree where both give the same value, neither gives one, or neither can. Where the embedded engine alone fails, the
request is refused, which is safe and counted apart. All else is a difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any, Final

from proxy.errors import Refused
from proxy.policy.decision import UNDEFINED
from proxy.policy.embedded import EmbeddedEngine
from proxy.policy.negation import ALWAYS_IN_INPUT
from proxy.workbench.judge import Failure

_MOST_TRIES: Final = 2_000


class Verdict(StrEnum):
    """What two answers are to each other."""

    SAME = "same"
    STRICTER = "stricter"  # the embedded engine fails, OPA answers
    DIFFERENT = "different"


def answer(engine: EmbeddedEngine, path: str, document: dict[str, Any]) -> object:
    """Return what the embedded engine says of a rule: a value, `UNDEFINED`, or a `Failure`."""
    try:
        return engine.evaluate_now(path, document)
    except Refused as refused:
        return Failure(refused.detail)


def verdict(ours: object, theirs: object) -> Verdict:
    """Compare two answers, each a value, `UNDEFINED` or a `Failure`."""
    if isinstance(ours, Failure):
        return Verdict.SAME if isinstance(theirs, Failure) else Verdict.STRICTER
    if isinstance(theirs, Failure) or ours is UNDEFINED or theirs is UNDEFINED:
        return Verdict.SAME if ours is theirs else Verdict.DIFFERENT
    return Verdict.SAME if _equal(ours, theirs) else Verdict.DIFFERENT


def _equal(one: object, other: object) -> bool:
    """Tell whether two JSON values are equal; 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return one == other


def smallest(document: dict[str, Any], still: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return a document from which nothing more can be taken without losing what it shows.

    What every request's input has is not taken away, for without that it would show something else.

    Args:
        document: one that shows it.
        still: tells whether another one does; it is asked 2,000 times at most.
    """
    left = _MOST_TRIES
    sure = [path for path in ALWAYS_IN_INPUT if _has(document, path)]
    smaller = True
    while smaller:
        smaller = False
        for candidate in _lesser(document):
            if left == 0:
                return document
            if not all(_has(candidate, path) for path in sure):
                continue
            left -= 1
            if still(candidate):
                document, smaller = candidate, True
                break
    return document


def _has(document: Any, path: tuple[str, ...]) -> bool:
    for step in path:
        if not isinstance(document, dict) or step not in document:
            return False
        document = document[step]
    return True


def _lesser(value: Any) -> Iterator[Any]:
    """Yield what is a step simpler than a value: a member less, or a member that is simpler."""
    if isinstance(value, dict):
        for key in value:
            yield {name: item for name, item in value.items() if name != key}
        for key, item in value.items():
            for simpler in _lesser(item):
                yield {**value, key: simpler}
    elif isinstance(value, list):
        for at in range(len(value)):
            yield [*value[:at], *value[at + 1 :]]
        for at, item in enumerate(value):
            for simpler in _lesser(item):
                yield [*value[:at], simpler, *value[at + 1 :]]
    elif isinstance(value, str) and len(value) > 1:
        yield value[: len(value) // 2]
        yield value[:-1]
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) > 1:
        yield value // 2
