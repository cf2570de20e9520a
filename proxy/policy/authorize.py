"""The decision about one request: a `Permit`, or a refusal, and always exactly one record of it.

It is the only caller of `_issue`. It asks an engine and reads the answer strictly; every other outcome, one that nobody
thought of included, is a refusal.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

from proxy.errors import (
    CLIENT_GONE,
    POLICY_DENIED,
    POLICY_FAILED,
    POLICY_MALFORMED,
    POLICY_PANICKED,
    POLICY_TOO_SLOW,
    POLICY_UNDEFINED,
    STEP_UP_REQUIRED,
    Refused,
)
from proxy.identity.principal import Principal, sign_in_of
from proxy.policy.decision import Decision, StepUp, parse_decision
from proxy.policy.denied import Denied
from proxy.policy.engine import Engine
from proxy.policy.input import Inquiry
from proxy.policy.memo import Key, Memo, Remembered
from proxy.policy.permit import Permit, _issue
from proxy.policy.record import DecisionLog, Facts, Spelling, Told, told_headers, told_result, told_target
from proxy.policy.scalars import find_fault
from proxy.telemetry.metrics import Metrics

_RESULTS = {POLICY_DENIED.code: "deny", STEP_UP_REQUIRED.code: "step_up"}
UNDECIDED = Decision(allow=True, reasons=("cors-preflight",))


_ANSWERS = 1024
_LONGEST_ANSWER = 1024


class _Case:
    """What is known of a decision under way; its record is written from here however it ends."""

    __slots__ = ("began", "decision", "evaluation_ns", "inquiry", "key", "path", "result", "source")

    def __init__(self, inquiry: Inquiry, path: str) -> None:
        self.inquiry = inquiry
        self.path = path
        self.source = "evaluated"
        self.began = time.perf_counter_ns()
        self.evaluation_ns = 0
        self.key: Key | None = None
        self.result: Told | None = None
        self.decision: Decision | None = None


class Authorizer:
    """Decides requests.

    Args:
        engine: what evaluates.
        memo: the decisions that are remembered.
        deadline: seconds that an evaluation may take.
        record: where each decision's record goes.
        metrics: where it is counted.
    """

    __slots__ = ("_answers", "_deadline", "_engine", "_memo", "_metrics", "_record", "_spelling")

    def __init__(self, engine: Engine, memo: Memo, *, deadline: float, record: DecisionLog, metrics: Metrics) -> None:
        self._engine = engine
        self._memo = memo
        self._deadline = deadline
        self._record = record
        self._metrics = metrics
        self._spelling = Spelling(engine.revision)
        self._answers: dict[str, tuple[Decision, Told | None]] = {}  # what few different ones a policy gives mean

    def authorize_now(self, inquiry: Inquiry, path: str) -> Permit | None:
        """Return the permit for a request if that takes no waiting; None: `authorize` must be asked.

        A decision that is remembered takes none, nor does an engine in this process. A record that must be written
        first does.

        Args, Raises: as of `authorize`.
        """
        if self._record.required:
            return None
        case = _Case(inquiry, path)
        try:
            if not self._recall(case):
                if not self._engine.instant:
                    inquiry.missed = True
                    return None
                self._conclude(case, self._engine.evaluate_now(path, self._shown(case)))
            decision = verdict(case.decision, inquiry.principal, inquiry.time)
        except BaseException as error:
            raise self._close(case, error) from None
        self._record.write(self._account(case, None))
        return _issue(decision, inquiry.decision_id, inquiry.route)

    async def authorize(self, inquiry: Inquiry, path: str) -> Permit:
        """Return the permit for a request.

        Args:
            inquiry: the request. What `authorize_now` did not find for it is not looked for again.
            path: the rule that decides, such as `ztproxy/authz/decision`.

        Raises:
            Denied: POLICY_DENIED or STEP_UP_REQUIRED.
            Refused: whatever else keeps policy from saying yes, or its yes from being recorded.
        """
        case = _Case(inquiry, path)
        try:
            if inquiry.missed:
                case.key = self._memo.key(inquiry, path)
            if inquiry.missed or not self._recall(case):
                inquiry.missed = False
                document = self._shown(case)
                async with asyncio.timeout(self._deadline):
                    result = await self._engine.evaluate(path, document)
                self._conclude(case, result)
            decision = verdict(case.decision, inquiry.principal, inquiry.time)
        except BaseException as error:
            raise self._close(case, error) from None
        return await self._permit(case, decision)

    async def would_permit(self, inquiry: Inquiry, path: str) -> bool:
        """Tell whether a request like this would be permitted now: to show it, never to forward it.

        Nothing is remembered, counted or recorded of it, for nobody has asked. Whatever cannot be decided is no.
        """
        try:
            document = self._engine.document(inquiry, path)
            async with asyncio.timeout(self._deadline):
                result = await self._engine.evaluate(path, document)
            decision = None if type(result) is dict and find_fault(result) is not None else parse_decision(result)
        except Exception:  # a list of links is drawn; requests that follow one are decided by themselves
            return False
        return decision is not None and decision.allow

    async def permit_preflight(self, inquiry: Inquiry) -> Permit:
        """Return the permit of a CORS preflight, which the route passes on undecided, without credentials and body."""
        case = _Case(inquiry, "")
        case.source = "preflight"
        try:
            told_headers(inquiry)
            told_target(inquiry.target)
        except Refused as refused:
            raise self._close(case, refused) from None
        case.result = told_result({"allow": True, "reasons": list(UNDECIDED.reasons)})
        return await self._permit(case, UNDECIDED)

    def _recall(self, case: _Case) -> bool:
        """Take a remembered decision; say whether there is one.

        Raises:
            Refused: INPUT_REFUSED; what is remembered is of requests that are text throughout.
        """
        inquiry = case.inquiry
        if inquiry.told is None:
            told_headers(inquiry)
            told_target(inquiry.target)
        key = case.key = self._memo.key(inquiry, case.path)
        if key is None:
            return False
        remembered = self._memo.recall(key, inquiry.time)
        if remembered is None:
            return False
        case.source, case.decision, case.result = "remembered", remembered.decision, remembered.result
        return True

    def _shown(self, case: _Case) -> dict[str, Any]:
        """Return what the engine is shown; the evaluation begins now."""
        document = self._engine.document(case.inquiry, case.path)
        case.evaluation_ns = -time.perf_counter_ns()
        return document

    def _conclude(self, case: _Case, result: object) -> None:
        """Read what the engine answered, and remember it."""
        case.evaluation_ns += time.perf_counter_ns()
        if case.evaluation_ns > self._deadline * 1e9:
            case.result = told_result(result) if find_fault(result) is None else None
            raise Refused(POLICY_TOO_SLOW, f"the evaluation took {case.evaluation_ns // 1_000_000} ms")
        spelled = repr(result)  # of JSON values no two are spelled alike
        known = self._answers.get(spelled)
        if known is None:
            if type(result) is dict and (fault := find_fault(result)) is not None:
                raise Refused(POLICY_MALFORMED, f"the decision's {fault}")  # which no record can tell
            case.result = told_result(result)
            known = parse_decision(result), case.result
            if len(self._answers) < _ANSWERS and len(spelled) <= _LONGEST_ANSWER:
                self._answers[spelled] = known
        decision, case.result = known
        case.decision = decision
        if case.key is not None:
            principal, peer = case.inquiry.principal, case.inquiry.peer
            expires = principal.expires_at if peer is None else min(principal.expires_at, peer.expires_at)
            self._memo.remember(case.key, Remembered(decision, case.result), expires)

    async def _permit(self, case: _Case, decision: Decision) -> Permit:
        permit = _issue(decision, case.inquiry.decision_id, case.inquiry.route)
        facts = self._account(case, None)
        if self._record.required:
            await self._record.write_through(facts)
        else:
            self._record.write(facts)
        return permit

    def _close(self, case: _Case, error: BaseException) -> BaseException:
        """Record why a request is not permitted; return what is raised for it."""
        if case.evaluation_ns < 0:
            case.evaluation_ns += time.perf_counter_ns()
        refused = error if isinstance(error, Refused) else _failure(error)
        self._record.write(self._account(case, refused))
        return error if isinstance(error, _ENDINGS) else refused

    def _account(self, case: _Case, refused: Refused | None) -> Facts:
        """Count a decision and return what its record is spelled of."""
        result = "allow" if refused is None else _RESULTS.get(refused.row.code, "error")
        self._metrics.decisions.of(case.inquiry.route, result, case.source).inc()
        self._metrics.decision_duration_seconds.observe((time.perf_counter_ns() - case.began) / 1e9)
        inquiry = case.inquiry
        ids = inquiry.decision_id, inquiry.request_id
        return Facts(self._spelling, inquiry, *ids, inquiry.time, case.path, case.result, case.evaluation_ns, refused)


# What ends a request from outside is raised as it is.
_ENDINGS = (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit)


def _failure(error: BaseException) -> Refused:
    """Return the refusal that an error of an evaluation is."""
    if isinstance(error, TimeoutError):
        return Refused(POLICY_TOO_SLOW, "the evaluation passed its deadline")
    if isinstance(error, _ENDINGS):
        return Refused(CLIENT_GONE, "the request ended before it was decided")
    if isinstance(error, Exception):
        return Refused(POLICY_FAILED, type(error).__name__)
    return Refused(POLICY_PANICKED, type(error).__name__)  # a Rust panic is no Exception, and no answer either


def verdict(decision: Decision | None, principal: Principal, now: float) -> Decision:
    """Return a decision that allows, and raise for every other one.

    One that refuses and requires a fresher sign-in is "not like this": it asks for that before it is a plain no.

    Args:
        decision: what policy answered, or None: nothing.
        principal: whom it is about.
        now: POSIX seconds.

    Raises:
        Denied: POLICY_DENIED or STEP_UP_REQUIRED.
        Refused: POLICY_UNDEFINED, or POLICY_MALFORMED where what it requires cannot be asked for.
    """
    if decision is None:
        raise _denied(decision)
    if decision.require is not None and not satisfies(principal, decision.require, now):
        raise Denied(_step_up(decision.require, decision), decision)
    if not decision.allow:
        raise _denied(decision)
    return decision


_ACR_VALUE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # separated by spaces, as a scope's are (RFC 6749 section 3.3)


def satisfies(principal: Principal, require: StepUp, now: float) -> bool:
    """Tell whether a sign-in is as fresh and as strong as a policy asks (RFC 9470).

    Args:
        principal: whom the decision is about.
        require: what the policy asks for.
        now: POSIX seconds.
    """
    if principal.kind != "user":
        return False
    sign_in = sign_in_of(principal)
    if require.max_age is not None:
        age = sign_in.age(now)
        if age is None or age > require.max_age:
            return False
    return not require.acr or (sign_in.acr != "" and sign_in.acr in require.acr)


def _denied(decision: Decision | None) -> Refused:
    if decision is None:
        return Refused(POLICY_UNDEFINED, "policy must be defined for the request")
    return Denied(_denial(decision), decision)


def _denial(decision: Decision) -> Refused:
    return Refused(
        POLICY_DENIED,
        ", ".join(decision.reasons),
        headers=decision.headers,
        public_reason=decision.public_reason,
        status=decision.http_status,
        body=decision.body,
    )


def _step_up(require: StepUp, decision: Decision) -> Refused:
    """Return the challenge of RFC 9470 section 3.

    Raises:
        Refused: POLICY_MALFORMED; a value does not fit between the quotes of a challenge.
    """
    if not all(map(_ACR_VALUE.fullmatch, require.acr)):
        raise Refused(POLICY_MALFORMED, "acr must hold visible ascii without quotes and backslashes")
    challenge = 'Bearer error="insufficient_user_authentication"'
    if require.acr:
        challenge += f', acr_values="{" ".join(require.acr)}"'
    if require.max_age is not None:
        challenge += f', max_age="{require.max_age}"'
    return Refused(
        STEP_UP_REQUIRED,
        ", ".join(decision.reasons),
        headers=((b"www-authenticate", challenge.encode("ascii")),),
        public_reason=decision.public_reason,
    )
