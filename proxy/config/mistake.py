"""A mistake in a config: the value that every room returns about its own section.

`config/load` gives it its line; `server/snapshot` collects all of them before anything is refused, so that a person
sees every mistake of a file at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

Location = tuple[str | int, ...]

_MANY: Final = 1_000  # names; looking for the nearest of ten thousand takes a tenth of a second, for each mistake


@dataclass(frozen=True, slots=True)
class Mistake:
    """One broken rule at one place of the file.

    Args:
        location: keys and indexes from the root, such as `("routes", 2, "upstream")`.
        rule: the rule that is broken, lower case, no full stop.
        severity: a `warning` is told and does not stop anything.
    """

    location: Location
    rule: str
    severity: Literal["error", "warning"] = "error"

    @property
    def path(self) -> str:
        """The location as a person writes it: `routes[2].upstream`."""
        out = ""
        for step in self.location:
            out += f"[{step}]" if isinstance(step, int) else f".{step}" if out else step
        return out


def did_you_mean(word: str, names: Collection[str]) -> str:
    """Return ` (did you mean "wiki"?)` for the nearest of `names`, or nothing where none is near or they are many."""
    if len(names) > _MANY:
        return ""
    folded = {name.lower().replace("-", "_"): name for name in names}
    near = difflib.get_close_matches(word.lower().replace("-", "_"), folded, n=1)
    return f' (did you mean "{folded[near[0]]}"?)' if near else ""
