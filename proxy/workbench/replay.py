"""A decision log against a policy: what would stay as it was, and what would not, by route and by caller."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from proxy.workbench.again import ANSWERS, Again, Answer, Undecidable, answered
from proxy.workbench.desk import CannotRun, Desk
from proxy.workbench.logs import Log, Record

_EVERY: Final = 1024  # records between two words on how far it is
_MOST_FAULTS: Final = 20

Progress = Callable[[int, int], None]  # bytes that were read, records that were asked again


class Change(StrEnum):
    """What becomes of a decision."""

    SAME = "same"
    ALLOWED = "newly_allowed"
    DENIED = "newly_denied"
    UNDECIDABLE = "undecidable"


@dataclass(frozen=True, slots=True)
class Example:
    """One decision that changes.

    Args:
        decision_id: of its record.
        request: method and URL.
        was, now: how it was answered, and how it would be.
    """

    decision_id: str
    request: str
    was: str
    now: str


@dataclass(slots=True)
class Row:
    """The decisions about one caller on one route.

    Args:
        counts: of each change.
        examples: the first decision of each change but `SAME`.
    """

    counts: dict[Change, int] = field(default_factory=lambda: dict.fromkeys(Change, 0))
    examples: dict[Change, Example] = field(default_factory=dict)


@dataclass(slots=True)
class Replay:
    """What came of a log.

    Args:
        rows: by route and caller.
        counts: of each change.
        passed_over: lines that are no decision, and decisions that no policy made.
        failing: requests that were and would be refused, and would be for a failure of the policy now, by its code.
        unread: lines that could not be read, and `faults`, messages about them.
        notes: what should be known of the policy's rules.
    """

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    counts: dict[Change, int] = field(default_factory=lambda: dict.fromkeys(Change, 0))
    passed_over: int = 0
    failing: dict[str, int] = field(default_factory=dict)
    unread: int = 0
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def decisions(self) -> int:
        """How many decisions were asked again."""
        return sum(self.counts.values())

    @property
    def is_same(self) -> bool:
        """Whether every decision is known to stay as it was."""
        return self.counts[Change.SAME] == self.decisions and self.unread == 0

    def as_json(self) -> dict[str, Any]:
        """Return it for a program."""
        rows = [
            {"route": route, "principal": principal, **{str(change): count for change, count in row.counts.items()},
             "examples": {str(change): {name: getattr(example, name) for name in Example.__slots__}
                          for change, example in row.examples.items()}}
            for (route, principal), row in self.rows.items()
        ]  # fmt: skip
        return {
            "decisions": self.decisions,
            **{str(change): count for change, count in self.counts.items()},
            "passed_over": self.passed_over,
            "unread": self.unread,
            "failing": self.failing,
            "rows": rows,
            "notes": self.notes,
        }


def policy_of(config: Path | None, policy: Path | None, decision: str | None) -> Again:
    """Return the policy that a log is asked again at.

    Args:
        config, policy, decision: as of `Desk.open`. With a policy alone and no decision, each record's own rule is
            asked, where the policy has it.

    Raises:
        CannotRun: it does not load.
    """
    if config is not None or policy is None or decision is not None:
        return Again(Desk.open(config, policy, decision))

    def other(path: str) -> Desk | None:
        try:
            return Desk.open(None, policy, path)
        except CannotRun:
            return None

    return Again(Desk.open(None, policy), other)


def replay(again: Again, paths: Iterable[Path], progress: Progress = lambda done, records: None) -> Replay:
    """Ask every decision of some logs again.

    Args:
        again: the policy.
        paths: the logs.
        progress: is told now and then how far it is.

    Raises:
        OSError: a log cannot be read.
    """
    found, before = Replay(), 0
    for path in paths:
        log = Log(path)
        for line, record in log:
            try:
                _count(found, again, record)
            except RecursionError:
                log.fault(line, "the input nests too deep")
            if found.decisions % _EVERY == 0:
                progress(before + log.done(), found.decisions)
        found.passed_over += log.passed_over
        found.unread += log.unread
        found.faults += log.faults[: _MOST_FAULTS - len(found.faults)]
        before += log.size() or 0
        progress(before, found.decisions)
    found.notes = [
        note
        for asked in again.asked
        if asked.reads.obstacle is not None and asked.reads.obstacle.startswith("calls")
        for note in [f"{asked.point} {asked.reads.obstacle}: what it answers now need not be what it answered then"]
    ]
    return found


def _count(found: Replay, again: Again, record: Record) -> None:
    was = answered(record)
    if was is None:
        found.passed_over += 1
        return
    now = again.ask(record)
    change = _change(was, now)
    found.counts[change] += 1
    if change is Change.SAME and isinstance(now, Answer) and now.code is not None and now.code not in ANSWERS:
        found.failing[now.code] = found.failing.get(now.code, 0) + 1
    key = _whose(record["input"])
    row = found.rows.get(key)
    if row is None:
        row = found.rows[key] = Row()
    row.counts[change] += 1
    if change is not Change.SAME and change not in row.examples:
        row.examples[change] = _example(record, was, now)


def _change(was: Answer, now: Answer | Undecidable) -> Change:
    if isinstance(now, Undecidable):
        return Change.UNDECIDABLE
    if (was.code is None) is (now.code is None):
        return Change.SAME
    return Change.DENIED if was.code is None else Change.ALLOWED


def _whose(document: Record) -> tuple[str, str]:
    route, principal = document.get("route"), document.get("principal")
    name = route.get("name") if type(route) is dict else None
    if type(principal) is not dict or principal.get("kind") not in ("user", "workload"):
        return str(name or ""), "anonymous"
    return str(name or ""), f"{principal['kind']}:{principal.get('id')}"


def _example(record: Record, was: Answer, now: Answer | Undecidable) -> Example:
    would = f"unknown: it reads {now.read}, which was erased" if isinstance(now, Undecidable) else str(now)
    return Example(record["decision_id"], request_of(record["input"]), str(was), would)


def request_of(document: Record) -> str:
    """Return method and URL of a document's request, as far as it tells them."""
    request = document.get("request")
    if type(request) is not dict:
        return "a request that the record does not tell"
    query = f"?{request['query']}" if request.get("query") else ""
    authority = request.get("authority") or request.get("host") or ""
    return f"{request.get('method')} {request.get('scheme') or 'https'}://{authority}{request.get('path')}{query}"
