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
    STEP_UP_REQUIRED,
    Refused,
)
from proxy.identity.principal import Principal
from proxy.policy.audit import DecisionLog, decision_record
from proxy.policy.decision import UNDEFINED, Decision, StepUp, parse_decision
from proxy.policy.engine import Engine
from proxy.policy.input import ENVOY_KEYS, SCHEMA, Inquiry, build_input, rfc3339
from proxy.policy.permit import Permit, _issue
from proxy.policy.scalars import find_fault
from proxy.telemetry.metrics import Metrics

_RESULTS = {POLICY_DENIED.code: "deny", STEP_UP_REQUIRED.code: "step_up"}
_PREFLIGHT = Decision(allow=True, reasons=("cors-preflight",))


class Denied(Refused):
    """Policy said no, or not yet.

    Args:
        decision: what it said.
    """

    __slots__ = ("decision",)

    def __init__(self, refused: Refused, decision: Decision) -> None:
        super().__init__(
            refused.row,
            refused.detail,
            headers=refused.headers,
            public_reason=refused.public_reason,
            status=refused.status,
            body=refused.body,
        )
        self.decision = decision


class _Case:
    """What is known of a decision under way; its record is written from here however it ends."""

    __slots__ = ("began", "document", "evaluation_ns", "inquiry", "path", "result", "source")

    def __init__(self, inquiry: Inquiry, path: str) -> None:
        self.inquiry = inquiry
        self.path = path
        self.source = "evaluated"
        self.began = time.perf_counter_ns()
        self.document: dict[str, Any] | None = None
        self.evaluation_ns = 0
        self.result: object = UNDEFINED

    def seen(self) -> dict[str, Any]:
        """Return the input in our own shape, or as much as names the request where it could not be built."""
        if self.document is None:
            return {"schema": SCHEMA, "request": {"id": self.inquiry.request_id}, "route": {"name": self.inquiry.route}}
        return {key: value for key, value in self.document.items() if key not in ENVOY_KEYS}


class Authorizer:
    """Decides requests.

    Args:
        engine: what evaluates.
        deadline: seconds that an evaluation may take.
        record: where each decision's record goes.
        metrics: where it is counted.
    """

    __slots__ = ("_deadline", "_engine", "_metrics", "_record")

    def __init__(self, engine: Engine, *, deadline: float, record: DecisionLog, metrics: Metrics) -> None:
        self._engine = engine
        self._deadline = deadline
        self._record = record
        self._metrics = metrics

    async def authorize(self, inquiry: Inquiry, path: str) -> Permit:
        """Return the permit for a request.

        Args:
            inquiry: the request.
            path: the rule that decides, such as `ztproxy/authz/decision`.

        Raises:
            Denied: POLICY_DENIED or STEP_UP_REQUIRED.
            Refused: whatever else keeps policy from saying yes, or its yes from being recorded.
        """
        case = _Case(inquiry, path)
        try:
            decision = await self._evaluate(case)
        except Refused as refused:
            self._close(case, refused)
            raise
        except TimeoutError:
            raise self._close(case, Refused(POLICY_TOO_SLOW, "the evaluation passed its deadline")) from None
        except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit):
            self._close(case, Refused(CLIENT_GONE, "the request ended before it was decided"))
            raise
        except Exception as error:
            raise self._close(case, Refused(POLICY_FAILED, type(error).__name__)) from error
        except BaseException as error:  # a Rust panic is no Exception, and must not pass as an answer either
            raise self._close(case, Refused(POLICY_PANICKED, type(error).__name__)) from None
        return await self._permit(case, decision)

    async def permit_preflight(self, inquiry: Inquiry) -> Permit:
        """Return the permit of a CORS preflight, which the route passes on undecided, without credentials and body."""
        case = _Case(inquiry, "")
        case.source = "preflight"
        try:
            case.document = build_input(inquiry)
        except Refused as refused:
            self._close(case, refused)
            raise
        case.result = {"allow": True, "reasons": list(_PREFLIGHT.reasons)}
        return await self._permit(case, _PREFLIGHT)

    async def _evaluate(self, case: _Case) -> Decision:
        """Ask the engine; return a decision that allows, and raise for every other one."""
        case.document = build_input(case.inquiry)
        began = time.perf_counter_ns()
        try:
            async with asyncio.timeout(self._deadline):
                case.result = await self._engine.evaluate(case.path, case.document)
        finally:
            case.evaluation_ns = time.perf_counter_ns() - began
        if case.evaluation_ns > self._deadline * 1e9:
            raise Refused(POLICY_TOO_SLOW, f"the evaluation took {case.evaluation_ns // 1_000_000} ms")
        if type(case.result) is dict and (fault := find_fault(case.result)) is not None:
            case.result = UNDEFINED  # the record could not be written either
            raise Refused(POLICY_MALFORMED, f"the decision's {fault}")
        decision = parse_decision(case.result)
        if not decision.allow:
            raise Denied(_denial(decision), decision)
        if decision.require is not None and not satisfies(case.inquiry.principal, decision.require, case.inquiry.time):
            raise Denied(_step_up(decision.require, decision), decision)
        return decision

    async def _permit(self, case: _Case, decision: Decision) -> Permit:
        permit = _issue(decision, case.inquiry.decision_id, case.inquiry.route)
        record = self._account(case, None)
        if self._record.required:
            await self._record.write_through(record)
        else:
            self._record.write(record)
        return permit

    def _close(self, case: _Case, refused: Refused) -> Refused:
        """Record a refusal and return it."""
        self._record.write(self._account(case, refused))
        return refused

    def _account(self, case: _Case, refused: Refused | None) -> dict[str, Any]:
        """Count a decision and return its record."""
        result = "allow" if refused is None else _RESULTS.get(refused.row.code, "error")
        self._metrics.decisions.of(case.inquiry.route, result, case.source).inc()
        self._metrics.decision_duration_seconds.observe((time.perf_counter_ns() - case.began) / 1e9)
        return decision_record(
            case.seen(),
            decision_id=case.inquiry.decision_id,
            path=case.path,
            result=case.result,
            revision=self._engine.revision,
            timestamp=rfc3339(case.inquiry.time),
            evaluation_ns=case.evaluation_ns,
            failure=refused,
        )


_ACR_VALUE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # separated by spaces, as a scope's are (RFC 6749 section 3.3)
# A user's clock and ours differ; more than this in the future is no time at which anybody signed in.
_CLOCK_SKEW = 60.0


def satisfies(principal: Principal, require: StepUp, now: float) -> bool:
    """Tell whether a sign-in is as fresh and as strong as a policy asks (RFC 9470).

    Args:
        principal: whom the decision is about.
        require: what the policy asks for.
        now: POSIX seconds.
    """
    if principal.kind != "user":
        return False
    if require.max_age is not None:
        # `iat` is when the token was made, which a refresh renews without anybody signing in. `auth_time` alone counts.
        signed_in = principal.authenticated_at if "auth_time" in principal.claims else None
        if signed_in is None or not -_CLOCK_SKEW <= now - signed_in <= require.max_age:
            return False
    return not require.acr or principal.claims.get("acr") in require.acr


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
