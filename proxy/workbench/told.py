"""How an explanation is told: as lines for a person, who has ten seconds, and as JSON for a program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from proxy.config.load import read
from proxy.workbench.desk import Desk
from proxy.workbench.entries import Entry
from proxy.workbench.explain import Explanation
from proxy.workbench.trace import Step

_MARKS: Final = {"held": "✓", "failed": "✗", "error": "!", "late": "·"}
_WIDTH: Final = 118


class Places:
    """Where the entries of a config's routes stand.

    Args:
        config: the file, or None: nowhere.
        desk: that was opened on it.
    """

    def __init__(self, config: Path | None, desk: Desk) -> None:
        self._config = config
        self._file = None if config is None else read(config)
        self._routes = {route.name: index for index, route in enumerate(desk.config.routes)}

    def of(self, route: str | None, index: int) -> str:
        """Return `FILE:LINE` of an entry, or nothing."""
        if self._file is None or route is None:
            return ""
        return f"{self._config}:{self._file.line_of(('routes', self._routes[route], 'allow', index))}"


def pretty(told: Explanation, places: Places) -> Iterator[str]:
    """Yield the lines for a person."""
    outcome = told.outcome
    verdict = "permitted" if outcome.allow else "answered" if outcome.code is None else "refused"
    status = f"{outcome.status} " if outcome.status else ""
    yield f"{verdict}: {status}{outcome.code or ''}".rstrip()
    reasons = ", ".join(outcome.reasons)
    rows = [("asked", told.title), ("route", outcome.route), ("rule", outcome.point), ("reasons", reasons)]
    rows += [("detail", outcome.detail if outcome.detail != reasons else "")]
    rows += [("note", note) for note in (*outcome.notes, *told.notes)]
    yield from (f"  {name:8} {value}" for name, value in rows if value)
    if told.entries:
        yield from _entries(told, places)
    elif told.tree:
        yield "why"
        for step in told.tree:
            yield from _steps(step, 1)
    yield from _search(told)


def _entries(told: Explanation, places: Places) -> Iterator[str]:
    yield "why: this entry of allow matches" if not told.entries[0].missing else "why: no entry of allow matches"
    for entry in told.entries:
        held = [key.name for key in entry.keys if key.holds and entry.missing]
        place = places.of(told.outcome.route, entry.index)
        note = f"({', '.join(held)} would do)" if held else ""
        yield "  ".join(filter(None, (f"  {'✗' if entry.missing else '✓'} {entry.name}", place, note)))
        for key in entry.missing or entry.keys:
            saw = f"  saw {key.saw}" if key.saw else ""
            yield f"      {'✓' if key.holds else '✗'} {key.name:10} {key.wanted}{saw}"
    if told.more:
        yield f"    and {told.more} more entries, which lack more"


def _steps(step: Step, depth: int) -> Iterator[str]:
    margin = "  " * depth
    first = "  ".join(filter(None, (f"{margin}{_MARKS[step.state]} {step.text}", step.place)))
    yield f"{first}  ({step.note})" if step.note else first
    yield from (f"{margin}    {line}" for line in _wrapped([f"{name} = {value}" for name, value in step.saw], depth))
    for below in step.below:
        yield from _steps(below, depth + 1)


def _wrapped(parts: Sequence[str], depth: int) -> Iterator[str]:
    """Yield parts on as few lines as they fit."""
    line = ""
    for part in parts:
        if line and len(line) + len(part) + 2 * depth > _WIDTH:
            yield line
            line = ""
        line = f"{line}, {part}" if line else part
    if line:
        yield line


def _search(told: Explanation) -> Iterator[str]:
    search = told.search
    if search is None:
        return
    if search.changes:
        yield "it would be permitted if"
        for number, change in enumerate(search.changes):
            reasons = ", ".join(change.outcome.reasons)
            yield f"  {'or ' if number else ''}{', and '.join(change.texts)}{f'  ({reasons})' if reasons else ''}"
        return
    end = "none is" if search.whole else "the search ended at its bound"
    yield f"no change that is known would permit it: {search.tried} were tried, and {end}"


def as_json(told: Explanation, places: Places) -> dict[str, Any]:
    """Return an explanation for a program."""
    out: dict[str, Any] = {"asked": told.title, "outcome": told.outcome.as_json()}
    if told.entries:
        out["entries"] = [_entry(entry, places.of(told.outcome.route, entry.index)) for entry in told.entries]
        out["more_entries"] = told.more
    if told.tree:
        out["why"] = [step.as_json() for step in told.tree]
    if told.notes:
        out["notes"] = told.notes
    if told.search is not None:
        changes = [{"if": [*one.texts], "asked": str(one.case)} for one in told.search.changes]
        out["permitted_if"] = changes
        out["tried"] = told.search.tried
        out["tried_all"] = told.search.whole
    return out


def _entry(entry: Entry, place: str) -> Mapping[str, Any]:
    keys = [{"key": one.name, "wanted": one.wanted, "saw": one.saw, "holds": one.holds} for one in entry.keys]
    return {"name": entry.name, "place": place, "matches": not entry.missing, "keys": keys}
