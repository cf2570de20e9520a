"""The shortest change of a request, or of who makes it, that would be permitted: searched for, and proven by the desk.

Where entries of `allow` decide, what each lacks says what to change. Where rules of the user's own do, names that are
known are tried: one change, then two, then three, within bounds of number and time.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from proxy.workbench import edits
from proxy.workbench.case import Case, split_url
from proxy.workbench.desk import Desk
from proxy.workbench.edits import Edit
from proxy.workbench.entries import Entry
from proxy.workbench.outcome import Outcome
from proxy.workbench.subjects import Known

_MOST: Final = 6_000  # cases
_SECONDS: Final = 4.0
_DEEPEST: Final = 3  # changes at once
_TOLD: Final = 3
_WAYS: Final = 8  # of one entry
_OF_REQUEST: Final = frozenset({"method", "path", "source", "time"})


@dataclass(frozen=True, slots=True)
class Change:
    """A change that is permitted.

    Args:
        texts: what would be otherwise, a text each.
        case: with it.
        outcome: of that case.
    """

    texts: tuple[str, ...]
    case: Case
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Search:
    """What a search has found.

    Args:
        changes: the shortest ones; there may be none.
        tried: how many cases were decided.
        whole: there was nothing left to try within its depth.
    """

    changes: tuple[Change, ...]
    tried: int
    whole: bool


class _Trial:
    """Decides cases within bounds."""

    def __init__(self, desk: Desk, case: Case) -> None:
        self._desk = desk
        self._case = case
        self.tried = 0
        self._until = time.monotonic() + _SECONDS

    @property
    def is_over(self) -> bool:
        return self.tried >= _MOST or time.monotonic() > self._until

    def permits(self, changes: Sequence[Edit]) -> Change | None:
        self.tried += 1
        case = self._case
        for edit in changes:
            case = edit.apply(case)
        try:
            outcome = self._desk.decide(case)
        except ValueError:  # nobody could be that
            return None
        if not outcome.allow or outcome.notes:
            return None
        return Change(tuple(edit.text for edit in changes), case, outcome)


def for_entries(desk: Desk, case: Case, entries: Iterable[Entry], now: float) -> Search:
    """Return the shortest changes by which some entry of a route's `allow` matches.

    Args:
        entries: held against the case, those that lack the least first.
        now: POSIX seconds, of the case.
    """
    trial = _Trial(desk, case)
    found: list[Change] = []
    least = 0
    for entry in entries:
        if trial.is_over or (found and len(entry.missing) > least):
            break
        ways = itertools.islice(itertools.product(*edits.for_entry(entry, now)), _WAYS)
        change = next((change for way in ways if (change := trial.permits(_users_first(way))) is not None), None)
        if change is not None:
            least = len(entry.missing)
            found.append(change)
    return Search(_shortest(found), trial.tried, whole=not trial.is_over)


def _users_first(way: Iterable[Edit]) -> list[Edit]:
    """Return edits with those first that say who it is, for the others are about them."""
    return sorted(way, key=lambda edit: edit.kind not in ("user", "issuer"))


def by_trial(desk: Desk, case: Case, known: Known) -> Search:
    """Return the shortest changes among everything that is known, up to three at once."""
    trial = _Trial(desk, case)
    pool = [*_pool(desk, case, known)]
    found: dict[tuple[str, ...], Change] = {}  # by what is changed: of ten groups that would do one is told
    for depth in range(1, _DEEPEST + 1):
        for chosen in itertools.combinations(pool, depth):
            kinds = tuple(sorted(edit.kind for edit in chosen))
            if trial.is_over or len(found) >= _TOLD:
                break
            if kinds in found or not _together(chosen):
                continue
            if (change := trial.permits(_users_first(chosen))) is not None:
                found[kinds] = change
        if trial.is_over or any(_OF_REQUEST.isdisjoint(kinds) for kinds in found):
            break
        if found:  # another request would do; who it is that may make this one takes more
            pool = [edit for edit in pool if edit.kind not in _OF_REQUEST]
    return Search(_shortest([*found.values()]), trial.tried, whole=not trial.is_over)


def _shortest(found: Sequence[Change]) -> tuple[Change, ...]:
    distinct = {change.texts: change for change in found}
    return tuple(sorted(distinct.values(), key=lambda change: len(change.texts))[:_TOLD])


def _together(chosen: Sequence[Edit]) -> bool:
    kinds = [edit.kind for edit in chosen if edit.kind != "group"]
    return len(set(kinds)) == len(kinds)


def _pool(desk: Desk, case: Case, known: Known) -> Iterator[Edit]:
    """Yield single changes, the most likely first."""
    who = case.who
    if who.user is None or who.issuer is None:
        yield from (edits.of_issuer(name) for name in desk.config.identity.issuers)
    yield from (edits.in_group(name) for name in known.groups if name not in who.groups)
    if who.age is None or who.age > 0:
        yield edits.signed_in(0.0, "the user has just signed in")
    yield from (edits.on_device(name) for name in known.devices if name != who.device)
    yield from (edits.by_acr(value) for value in known.acr if value != who.acr)
    yield from (edits.by_amr(value) for value in known.amr if value not in who.amr)
    yield from (edits.with_method(name) for name in known.methods if name != case.method)
    named = dict.fromkeys(segment for segment in _segments(case.url) if segment)
    yield from (edits.as_user(name) for name in {**named, **known.users} if name != who.user)
    yield from (edits.with_claim(name, value) for name, values in known.claims.items() for value in values)
    yield from (edits.as_workload(name) for name in known.workloads if name != who.workload)
    yield from (edits.with_path(path) for path in known.paths)
    if who.user is not None:
        yield from _working_hours(case)


def _segments(url: str) -> list[str]:
    """Return the segments of a URL's path: one of them may be whose it is."""
    return split_url(url)[2].partition("?")[0].split("/")


def _working_hours(case: Case) -> Iterator[Edit]:
    """Yield a moment of a working day, for policies that look at the clock."""
    now = datetime.fromtimestamp(time.time() if case.time is None else case.time, UTC)
    noon = now.replace(hour=10, minute=0, second=0, microsecond=0)
    days = -noon.weekday() % 7 if noon.weekday() >= 5 else 0
    yield edits.at(noon + timedelta(days=days), f"it is {noon + timedelta(days=days):%A} 10:00 UTC")
