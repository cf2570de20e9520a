"""Whether what was taken out of a record is read by a policy: then nobody can say what it would have answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from proxy.policy.reads import InputPath

# The parts of Envoy's shape that are made of a part of our own that may have been erased.
_SHOWN_AGAIN: Final[tuple[tuple[InputPath, tuple[InputPath, ...]], ...]] = (
    (("request", "headers"), (("attributes", "request", "http", "headers"),)),
    (
        ("request", "query"),
        (("parsed_query",), ("attributes", "request", "http", "path"),
         ("attributes", "request", "http", "headers", ":path")),
    ),
)  # fmt: skip


def erased_read(pointers: Iterable[str], reads: Iterable[InputPath]) -> str | None:
    """Return what a rule reads of what was erased, such as `input.request.headers.cookie`; None: nothing.

    Args:
        pointers: JSON pointers (RFC 6901) into a record, as its `erased` and `masked` have them.
        reads: what the rule reads of the input.
    """
    paths = tuple(reads)
    for pointer in pointers:
        for erased in _shown(pointer):
            if any(erased[: len(read)] == read[: len(erased)] for read in paths):
                return ".".join(("input", *erased))
    return None


def _shown(pointer: str) -> Iterator[InputPath]:
    """Yield every place of the input at which what a pointer names is shown."""
    root, *steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]] or [""]
    if root != "input":
        return
    path = tuple(steps)
    yield path
    for own, again in _SHOWN_AGAIN:
        if path[: len(own)] == own:
            yield from ((*other, *path[len(own) :]) for other in again)
