"""Decisions of a log asked again: what was answered then, and what a policy answers to the same input.

The input is shown to the policy as the record has it, cut to what the rule reads, and answers are remembered by what
was read of it, as the gateway remembers them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from proxy import errors
from proxy.errors import Refused
from proxy.policy.allow import route_data
from proxy.policy.authorize import verdict
from proxy.policy.decision import UNDEFINED, Decision
from proxy.policy.input import ENVOY_VERSION, envoy_shape
from proxy.policy.reads import InputPath, Reads
from proxy.policy.scalars import check_input
from proxy.policy.shown import Tree, cut, tree_of
from proxy.workbench.desk import Desk
from proxy.workbench.documents import principal_of, time_of
from proxy.workbench.erasure import erased_read
from proxy.workbench.likeness import Likeness, names_in
from proxy.workbench.logs import Record
from proxy.workbench.way import read_answer

# Refusals that are a policy's answer, or its failure; any other has a cause that another policy does not change.
OF_POLICY: Final = frozenset(
    row.code
    for row in (
        errors.POLICY_DENIED, errors.STEP_UP_REQUIRED, errors.POLICY_UNDEFINED, errors.POLICY_MALFORMED,
        errors.POLICY_FAILED, errors.POLICY_TOO_SLOW, errors.POLICY_UNREACHABLE, errors.POLICY_PANICKED,
    )
)  # fmt: skip
ANSWERS: Final = frozenset({errors.POLICY_DENIED.code, errors.STEP_UP_REQUIRED.code, errors.POLICY_UNDEFINED.code})
_ENVOY: Final = frozenset(
    {"attributes", "parsed_path", "parsed_query", "source_principal", "truncated_body", "version"}
)
_CLAIMS: Final = ("principal", "claims")
_MOST: Final = 100_000  # remembered answers of a rule
_LACKING: Final = object()


class Answer(NamedTuple):
    """What policy says of a request.

    Args:
        code: of the refusal; None: it is allowed.
        reasons: the policy's, or what is wrong.
    """

    code: str | None
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return it as a person would say it."""
        why = f" ({', '.join(self.reasons)})" if self.reasons else ""
        return f"{'allowed' if self.code is None else self.code}{why}"


def answer(value: object, document: Record) -> Answer:
    """Return what an engine's value means for the request of a document. What is no decision is a refusal."""
    try:
        return _judged(read_answer(value), document)
    except Refused as refused:
        return _refused(refused)


def _judged(decision: Decision | None, document: Record) -> Answer:
    if decision is not None and decision.require is None:
        return Answer(None if decision.allow else errors.POLICY_DENIED.code, decision.reasons)
    try:
        return Answer(None, verdict(decision, principal_of(document), time_of(document)).reasons)
    except Refused as refused:
        return _refused(refused)


def _refused(refused: Refused) -> Answer:
    return Answer(refused.row.code, (refused.detail,) if refused.detail else ())


def answered(record: Record) -> Answer | None:
    """Return what was answered to the request of a record; None: policy did not answer, or was not asked."""
    error, result = record.get("error"), record.get("result", UNDEFINED)
    if not record["path"]:
        return None  # a preflight that its route passes on
    if error is None:
        return answer(result, record["input"]) if record.get("type") != "decision" else Answer(None, _reasons(result))
    code = error.get("code") if isinstance(error, dict) else None
    if record.get("type") != "decision":  # to OPA every error is one of evaluation
        return Answer(errors.POLICY_FAILED.code, (str(code),))
    if code in OF_POLICY:
        return Answer(code, _reasons(result) or ((str(error["message"]),) if error.get("message") else ()))
    return None if result is UNDEFINED else answer(result, record["input"])


def _reasons(result: Any) -> tuple[str, ...]:
    reasons = result.get("reasons") if type(result) is dict else None
    return tuple(map(str, reasons)) if type(reasons) is list else ()


@dataclass(frozen=True, slots=True)
class Undecidable:
    """Nobody can say what a policy would have answered. `read`: what it reads and was erased."""

    read: str


class Asked:
    """One rule of a policy, asked about documents.

    Args:
        desk: the policy.
        point: the rule.

    Attributes:
        reads, paths: what it reads of the input, by its syntax, and with this data.
        evaluated: how often it was evaluated.
    """

    __slots__ = (
        "_desk",
        "_envoy",
        "_erased",
        "_evaluate",
        "_known",
        "_likeness",
        "_tree",
        "evaluated",
        "paths",
        "point",
        "reads",
    )

    def __init__(self, desk: Desk, point: str) -> None:
        self.point = point
        self.evaluated = 0
        self.reads: Reads = desk.engine.plan(point).reads
        self.paths: tuple[InputPath, ...] = tuple(_narrowed(desk, self.reads))
        self._tree: Tree | None = tree_of(self.paths)
        is_ours = desk.config.policy.path is None
        self._likeness = Likeness(self.paths, names_in(route_data(desk.config)) if is_ours else None)
        self._envoy = any(path == () or path[0] in _ENVOY for path in self.paths)
        self._evaluate = desk.engine.evaluate_now
        self._known: dict[tuple[Hashable, ...], Answer | Decision | None] = {}
        self._erased: dict[tuple[str, ...], Undecidable | None] = {}

    def ask(self, document: Record, erased: Iterable[str] = ()) -> Answer | Undecidable:
        """Return what the rule answers.

        Args:
            document: the input, with or without Envoy's shape.
            erased: pointers to what was taken out of its record.

        Raises:
            RecursionError: the document nests too deep.
        """
        if erased and (undecidable := self._is_undecidable(tuple(erased))) is not None:
            return undecidable
        if self._envoy and "attributes" not in document:
            document = _with_envoy(document)
        key = self._likeness.key(document)
        known: Any = self._known.get(key, _LACKING)
        if known is _LACKING:
            known = self._decide(document)
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[key] = known
        return known if type(known) is Answer else _judged(known, document)

    def _decide(self, document: Record) -> Answer | Decision | None:
        """Return the answer, or the decision where the answer is for this moment and this sign-in alone."""
        shown = cut(document, self._tree)
        self.evaluated += 1
        try:
            check_input(shown)
            decision = read_answer(self._evaluate(self.point, shown))
        except Refused as refused:
            return _refused(refused)
        return decision if decision is not None and decision.require is not None else _judged(decision, document)

    def _is_undecidable(self, erased: tuple[str, ...]) -> Undecidable | None:
        if erased not in self._erased:
            read = erased_read(erased, self.paths)
            self._erased[erased] = None if read is None else Undecidable(read)
        return self._erased[erased]


def _with_envoy(document: Record) -> Record:
    try:
        return document | envoy_shape(document)
    except (KeyError, TypeError, AttributeError):  # it is no input of ours
        return document | {"version": ENVOY_VERSION}


def _narrowed(desk: Desk, reads: Reads) -> Iterable[InputPath]:
    """Return what a rule reads; of the default policy, what it reads with the entries that the routes have."""
    if desk.config.policy.path is not None:
        return reads.paths
    entries = [entry for route in desk.config.routes for entry in route.allow or ()]
    unread = {_CLAIMS} & reads.paths.keys()
    claims = {(*_CLAIMS, name) for entry in entries for name in entry.claims or ()} if unread else set()
    unread |= set() if any(entry.hours for entry in entries) else {("time", "minute_ns")}
    unread |= set() if any(entry.networks for entry in entries) else {("source", "address")}
    return [*(path for path in reads.paths if path not in unread), *sorted(claims)]


class Again:
    """A policy that a log's decisions are asked again at.

    Args:
        desk: the policy.
        other: opens a desk on the same policy for another rule, or returns None: it has no such rule. Without it, the
            routes say which rule decides.
    """

    __slots__ = ("_asked", "_desk", "_other")

    def __init__(self, desk: Desk, other: Callable[[str], Desk | None] | None = None) -> None:
        self._desk = desk
        self._other = other
        self._asked: dict[tuple[str, str], Asked] = {}

    def of(self, record: Record) -> Asked:
        """Return the rule that decides the request of a record."""
        route = record["input"].get("route")
        name = route.get("name") if type(route) is dict else None
        key = (name if type(name) is str else "", record["path"])
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = self._found(*key)
        return asked

    def _found(self, name: str, path: str) -> Asked:
        desk, route = self._desk, self._desk.route(name)
        point = desk.config.policy.decision if route is None else route.decision
        if self._other is not None and path != point and (other := self._other(path)) is not None:
            desk, point = other, path
        for asked in self._asked.values():
            if asked.point == point:
                return asked
        return Asked(desk, point)

    def ask(self, record: Record) -> Answer | Undecidable:
        """Return what the policy answers to the request of a record. Raise RecursionError: it nests too deep."""
        return self.of(record).ask(record["input"], pointers(record))

    @property
    def asked(self) -> list[Asked]:
        """The rules that have been asked."""
        return [*{id(one): one for one in self._asked.values()}.values()]


def pointers(record: Record) -> list[str]:
    """Return pointers to what was taken out of a record, or changed in it."""
    erased, masked = record.get("erased"), record.get("masked")
    found = [*(erased if type(erased) is list else ()), *(masked if type(masked) is list else ())]
    return [pointer for pointer in found if type(pointer) is str]
