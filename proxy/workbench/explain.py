"""Why a request is permitted or refused, and what would have to be otherwise; what `ztproxy policy explain` tells."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from proxy.policy.input import envoy_shape
from proxy.policy.testing import CannotRun
from proxy.workbench.case import Case
from proxy.workbench.changes import Search, by_trial, for_entries
from proxy.workbench.desk import Desk
from proxy.workbench.documents import case_of, time_of
from proxy.workbench.entries import Entry, has_entries, look
from proxy.workbench.outcome import Outcome
from proxy.workbench.probe import Probe
from proxy.workbench.subjects import known_of, records
from proxy.workbench.trace import Step, Trace

_ENTRIES: Final = 8  # that are told of a route


@dataclass(slots=True)
class Explanation:
    """Why.

    Args:
        title: what was asked.
        outcome: the answer.
        entries: of the route's `allow`, held against the request, where they decide; those that lack the least first.
        more: how many entries are not told.
        tree: why the user's own policy answers so, where it decides.
        search: for the shortest change that is permitted; None: it is permitted, or there is no request to change.
        notes: what else there is to say.
    """

    title: str
    outcome: Outcome
    entries: list[Entry] = field(default_factory=list)
    more: int = 0
    tree: list[Step] = field(default_factory=list)
    search: Search | None = None
    notes: list[str] = field(default_factory=list)


def explain(desk: Desk, case: Case, tests: Iterable[Path] = (), logs: Iterable[Path] = ()) -> Explanation:
    """Return why a case gets the answer that it gets.

    Args:
        tests, logs: whose names the search for a change tries too.

    Raises:
        ValueError: nobody could make this request.
        CannotRun: a file cannot be read.
    """
    case = case if case.time is not None else replace(case, time=time.time())
    outcome = desk.decide(case)
    told = Explanation(str(case), outcome)
    if outcome.point and (document := outcome.input) is not None:
        _why(desk, told, document)
    if not outcome.allow and outcome.code is not None:
        told.search = _search(desk, case, told, tests, logs)
    return told


def explain_document(desk: Desk, document: dict[str, Any], title: str) -> Explanation:
    """Return why policy answers an input document as it does. Raise what `Desk.evaluate` raises."""
    outcome = desk.evaluate(document)
    told = Explanation(title, outcome)
    _why(desk, told, document)
    case = _case_of(desk, document, outcome)
    if case is not None and not outcome.allow:
        told.search = _search(desk, case, told, (), ())
    return told


def _case_of(desk: Desk, document: Mapping[str, Any], outcome: Outcome) -> Case | None:
    """Return the case of a document if the desk decides it as the document is decided; else None."""
    try:
        case = replace(case_of(document), time=time_of(document))
        decided = desk.decide(case)
    except ValueError:
        return None
    return case if decided.allow == outcome.allow and decided.route == outcome.route else None


def find_record(log: Path, decision_id: str) -> dict[str, Any]:
    """Return the record of a decision. Raise CannotRun where the log has none."""
    for record in records([log]):
        if record.get("decision_id") == decision_id:
            return record
    raise CannotRun(f"{log}: no decision has the id {decision_id}")


def explain_record(desk: Desk, record: Mapping[str, Any]) -> Explanation:
    """Return why a logged request is answered as it is, by the policy as it is now.

    Raises:
        ValueError: its input is none that an engine may see.
    """
    document = dict(record["input"])
    with suppress(KeyError):  # of a request that could not be told as text there are names alone
        document |= envoy_shape(document)
    request, principal = document.get("request", {}), document.get("principal", {})
    who = f"{principal.get('kind', 'anonymous')} {principal.get('id', '')}".strip()
    title = f"{who}: {request.get('method', '')} {request.get('host', '')}{request.get('path', '')}"
    told = explain_document(desk, document, title)
    if ("error" not in record) != told.outcome.allow:
        told.notes.append(
            "it was permitted then" if "error" not in record else f"it was refused then: {_error(record)}"
        )
    if record.get("erased"):
        told.notes.append(f"the record lacks what was erased: {', '.join(record['erased'])}")
    return told


def _error(record: Mapping[str, Any]) -> str:
    error = record["error"]
    return f"{error.get('code')}: {error.get('message')}" if isinstance(error, dict) else str(error)


def _why(desk: Desk, told: Explanation, document: dict[str, Any]) -> None:
    outcome = told.outcome
    route = None if outcome.route is None else desk.route(outcome.route)
    if route is not None and has_entries(desk, route):
        entries = look(desk, route, document)
        matching = [entry for entry in entries if not entry.missing]
        told.entries = matching or entries[:_ENTRIES]
        told.more = 0 if matching else len(entries) - len(told.entries)
    elif outcome.point:
        told.tree = Trace(Probe.of(desk), document).of(outcome.point, outcome.decision)


def _search(desk: Desk, case: Case, told: Explanation, tests: Iterable[Path], logs: Iterable[Path]) -> Search | None:
    route = None if told.outcome.route is None else desk.route(told.outcome.route)
    if route is None or not told.outcome.point:
        return None
    if told.entries:
        document = told.outcome.input
        return for_entries(desk, case, look(desk, route, document or {}), case.time or time.time())
    return by_trial(desk, case, known_of(desk, tests, logs))
