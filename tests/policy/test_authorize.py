"""A permit or a refusal, and exactly one record of it."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from functools import reduce
from typing import Any

import pytest

from proxy import errors
from proxy.errors import Refused, Row
from proxy.policy.authorize import Authorizer, satisfies
from proxy.policy.decision import UNDEFINED, StepUp
from proxy.policy.denied import Denied
from proxy.policy.input import Inquiry, build_input
from proxy.policy.memo import Memo, Memory
from proxy.policy.permit import Permit
from proxy.policy.reads import unknown_reads
from proxy.policy.record import DecisionLog
from proxy.policy.shown import Plan
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.records import RecordsUnavailable
from tests.policy.inquiries import ANA, NOON, ask, workload

PATH = "ztproxy/authz/decision"


EVERYTHING = Plan(unknown_reads(PATH))


class Answers:
    """An engine that gives one answer, or fails in one way; nobody knows what its policy reads."""

    revision = generation = "sha256:1"
    instant = False

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def plan(self, path: str) -> Plan:
        return EVERYTHING

    def document(self, inquiry: Inquiry, path: str) -> dict[str, Any]:
        return build_input(inquiry)

    def evaluate_now(self, path: str, document: dict[str, Any]) -> object:
        self.asked.append((path, document))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    async def evaluate(self, path: str, document: dict[str, Any]) -> object:
        return self.evaluate_now(path, document)

    async def close(self) -> None:
        """Nothing is open."""


class Hangs(Answers):
    """An engine that never answers."""

    def __init__(self) -> None:
        super().__init__(None)
        self.hanging = asyncio.Event()

    async def evaluate(self, path: str, document: dict[str, Any]) -> object:
        self.hanging.set()
        return await asyncio.get_running_loop().create_future()


class Blocks(Answers):
    """An engine that answers yes, after the deadline and without letting the loop go."""

    async def evaluate(self, path: str, document: dict[str, Any]) -> object:
        began = time.perf_counter()
        while time.perf_counter() - began < 0.02:
            pass
        return True


class PanicException(BaseException):
    """What a panic in Rust looks like: no Exception."""


class Lines:
    """A writer that keeps records, or cannot."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.records: list[dict[str, Any]] = []
        self.through = 0
        self.failure = failure

    def write_later(self, spell: Any, values: tuple[Any, ...], kind: str, size: int) -> None:
        assert (kind, size > 0) == ("decision", True)
        self.records.append(json.loads(spell(*values)))

    async def write_through(self, line: bytes, kind: str) -> None:
        assert kind == "decision"
        self.records.append(json.loads(line))
        self.through += 1
        if self.failure is not None:
            raise self.failure


class Bench:
    """An authorizer with an engine, and everything that it wrote."""

    def __init__(self, engine: object, *, required: bool = False, failure: Exception | None = None) -> None:
        self.engine = engine if isinstance(engine, Answers) else Answers(engine)
        self.lines = Lines(failure)
        self.metrics = Metrics()
        log = DecisionLog(self.lines, required=required)  # type: ignore[arg-type]
        memo = Memo(self.engine, Memory(0, self.metrics))
        self.authorizer = Authorizer(self.engine, memo, deadline=0.01, record=log, metrics=self.metrics)

    async def refused(self, **changes: Any) -> Refused:
        with pytest.raises(Refused) as refused:
            await self.authorizer.authorize(ask(**changes), PATH)
        return refused.value

    @property
    def record(self) -> dict[str, Any]:
        assert len(self.lines.records) == 1
        return self.lines.records[0]

    def counted(self, result: str, source: str = "evaluated") -> float:
        labels = {"route": "wiki", "result": result, "source": source}
        return self.metrics.registry.get_sample_value("ztproxy_decisions_total", labels) or 0.0


@pytest.mark.parametrize("answer", [True, {"allow": True}, {"allowed": True}, {"allow": True, "reasons": ["allow[0]"]}])
async def test_a_yes_is_a_permit_and_a_record(answer: object) -> None:
    bench = Bench(answer)
    permit = await bench.authorizer.authorize(ask(principal=ANA), PATH)
    assert isinstance(permit, Permit)
    assert (permit.decision_id, permit.route, permit.decision.allow) == ("decision-1", "wiki", True)
    assert bench.record["result"] == answer
    assert bench.record["decision_id"] == "decision-1"
    assert bench.record["bundles"] == {"policy": {"revision": "sha256:1"}}
    assert "error" not in bench.record
    assert bench.counted("allow") == 1


async def test_the_engine_is_asked_for_the_routes_rule_with_the_whole_document() -> None:
    bench = Bench(True)
    await bench.authorizer.authorize(ask(principal=ANA), "envoy/authz/allow")
    [(path, document)] = bench.engine.asked
    assert path == "envoy/authz/allow"
    assert document["principal"]["id"] == "user-1"
    assert document["attributes"]["request"]["http"]["method"] == "GET"
    assert bench.record["path"] == "envoy/authz/allow"
    assert "attributes" not in bench.record["input"]


@pytest.mark.parametrize("answer", [False, {"allow": False}, {"allowed": False, "reasons": ["user-not-listed"]}])
async def test_a_no_is_denied(answer: object) -> None:
    bench = Bench(answer)
    denied = await bench.refused()
    assert isinstance(denied, Denied)
    assert denied.row is errors.POLICY_DENIED
    assert not denied.decision.allow
    assert bench.record["result"] == answer
    assert bench.record["error"]["code"] == "policy_denied"
    assert bench.counted("deny") == 1


async def test_a_no_carries_the_policys_own_answer() -> None:
    answer = {
        "allow": False,
        "reasons": ["maintenance"],
        "public_reason": "Back at noon.",
        "http_status": 429,
        "body": "later",
        "headers": {"retry-after": "60"},
    }
    denied = await Bench(answer).refused()
    assert (denied.status, denied.body, denied.public_reason) == (429, b"later", "Back at noon.")
    assert denied.headers == ((b"retry-after", b"60"),)
    assert denied.detail == "maintenance"


@pytest.mark.parametrize(
    ("answer", "row"),
    [
        (UNDEFINED, errors.POLICY_UNDEFINED),
        (None, errors.POLICY_MALFORMED),
        ("true", errors.POLICY_MALFORMED),
        (1, errors.POLICY_MALFORMED),
        ([True], errors.POLICY_MALFORMED),
        ({}, errors.POLICY_MALFORMED),
        ({"allow": "yes"}, errors.POLICY_MALFORMED),
        ({"allow": True, "allowed": False}, errors.POLICY_MALFORMED),
        ({"allow": True, "unheard_of": 1}, errors.POLICY_MALFORMED),
        ({"allow": True, "dynamic_metadata": {"x": float("inf")}}, errors.POLICY_MALFORMED),
        (
            {"allow": True, "dynamic_metadata": reduce(lambda deep, _: {"x": deep}, range(600), {})},
            errors.POLICY_MALFORMED,
        ),
        (Refused(errors.POLICY_FAILED, "a built-in failed"), errors.POLICY_FAILED),
        (Refused(errors.POLICY_TOO_SLOW, "too slow"), errors.POLICY_TOO_SLOW),
        (Refused(errors.POLICY_UNREACHABLE, "opa is gone"), errors.POLICY_UNREACHABLE),
        (Refused(errors.POLICY_PANICKED, "a panic"), errors.POLICY_PANICKED),
        (PanicException("index out of bounds"), errors.POLICY_PANICKED),
        (RuntimeError("unforeseen"), errors.POLICY_FAILED),
        (TimeoutError(), errors.POLICY_TOO_SLOW),
        (Hangs(), errors.POLICY_TOO_SLOW),
        (Blocks(None), errors.POLICY_TOO_SLOW),
    ],
    ids=repr,
)
async def test_whatever_is_no_answer_is_refused_and_recorded_once(answer: object, row: Row) -> None:
    bench = Bench(answer)
    refused = await bench.refused()
    assert refused.row is row
    assert bench.record["error"]["code"] == row.code
    assert bench.record["input"]["request"]["id"] == "request-1"
    assert bench.counted("error") == 1
    assert bench.counted("allow") == 0


async def test_a_request_that_policy_cannot_read_is_refused_before_any_engine_is_asked() -> None:
    bench = Bench(True)
    refused = await bench.refused(headers=[(b"x-name", b"\xff")])
    assert refused.row is errors.INPUT_REFUSED
    assert bench.engine.asked == []
    assert bench.record["input"] == {"schema": "ztproxy/1", "request": {"id": "request-1"}, "route": {"name": "wiki"}}


async def test_a_client_that_hangs_up_leaves_a_record() -> None:
    engine = Hangs()
    bench = Bench(engine)
    asking = asyncio.ensure_future(bench.authorizer.authorize(ask(), PATH))
    await engine.hanging.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert bench.record["error"]["code"] == "client_gone"


async def test_the_detail_of_an_unforeseen_error_names_its_type_alone() -> None:
    refused = await Bench(RuntimeError("Bearer s3cr3t")).refused()
    assert refused.detail == "RuntimeError"


async def test_a_required_record_is_written_before_the_permit_is_issued() -> None:
    bench = Bench(True, required=True)
    await bench.authorizer.authorize(ask(), PATH)
    assert bench.lines.through == 1
    assert bench.record["result"] is True


async def test_without_its_required_record_a_yes_is_refused() -> None:
    bench = Bench(True, required=True, failure=RecordsUnavailable("the disk is full"))
    refused = await bench.refused()
    assert refused.row is errors.DECISION_LOG_UNAVAILABLE


def _unlogged(*, required: bool) -> Authorizer:
    engine, metrics = Answers(True), Metrics()
    memo, log = Memo(engine, Memory(0, metrics)), DecisionLog(None, required=required)
    return Authorizer(engine, memo, deadline=1, record=log, metrics=metrics)


async def test_a_required_log_that_is_off_permits_nothing() -> None:
    authorizer = _unlogged(required=True)
    with pytest.raises(Refused) as refused:
        await authorizer.authorize(ask(), PATH)
    assert refused.value.row is errors.DECISION_LOG_UNAVAILABLE


async def test_a_log_that_is_off_and_not_required_permits() -> None:
    authorizer = _unlogged(required=False)
    assert await authorizer.authorize(ask(), PATH)


async def test_a_preflight_is_permitted_undecided_and_recorded() -> None:
    bench = Bench(False)
    permit = await bench.authorizer.permit_preflight(ask("OPTIONS"))
    assert permit.route == "wiki"
    assert bench.engine.asked == []
    assert bench.record["result"] == {"allow": True, "reasons": ["cors-preflight"]}
    assert bench.counted("allow", source="preflight") == 1


# Step up (RFC 9470).

FRESH = replace(ANA, claims={"auth_time": NOON - 60, "acr": "phr"}, authenticated_at=NOON - 60)


@pytest.mark.parametrize(
    ("principal", "require", "satisfied"),
    [
        (FRESH, StepUp(max_age=60), True),
        (FRESH, StepUp(max_age=59), False),
        (FRESH, StepUp(max_age=60, acr=("phr", "phrh")), True),
        (FRESH, StepUp(acr=("phrh",)), False),
        (FRESH, StepUp(max_age=0), False),
        (replace(FRESH, claims={"acr": ["phr"]}), StepUp(acr=("phr",)), False),
        (replace(FRESH, claims={}), StepUp(acr=("phr",)), False),
        # `iat` is when the token was made, not when somebody signed in.
        (replace(FRESH, claims={"iat": NOON}), StepUp(max_age=3600), False),
        (replace(FRESH, authenticated_at=None), StepUp(max_age=3600), False),
        (replace(FRESH, authenticated_at=NOON + 61), StepUp(max_age=3600), False),
        (replace(FRESH, authenticated_at=NOON + 59), StepUp(max_age=3600), True),
        (replace(FRESH, kind="workload"), StepUp(max_age=3600), False),
        (replace(FRESH, kind="anonymous"), StepUp(), False),
    ],
)
def test_a_sign_in_is_as_fresh_and_as_strong_as_is_asked(principal: Any, require: StepUp, satisfied: bool) -> None:
    assert satisfies(principal, require, NOON) is satisfied


async def test_a_no_that_requires_more_asks_for_it_first_and_is_no_yes_when_it_is_met() -> None:
    stale = Bench({"allow": False, "reasons": ["stale"], "require": {"max_age": "30s"}})
    assert (await stale.refused(principal=FRESH)).row is errors.STEP_UP_REQUIRED
    fresh = Bench({"allow": False, "reasons": ["no"], "require": {"max_age": "15m"}})
    assert (await fresh.refused(principal=FRESH)).row is errors.POLICY_DENIED


async def test_a_yes_that_requires_more_is_a_challenge() -> None:
    bench = Bench(
        {"allow": True, "require": {"max_age": 30, "acr": ["phr", "phrh"]}, "public_reason": "Sign in again."}
    )
    refused = await bench.refused(principal=FRESH)
    assert refused.row is errors.STEP_UP_REQUIRED
    assert refused.headers == (
        (
            b"www-authenticate",
            b'Bearer error="insufficient_user_authentication", acr_values="phr phrh", max_age="30"',
        ),
    )
    assert refused.public_reason == "Sign in again."
    assert bench.record["error"]["code"] == "step_up_required"
    assert bench.counted("step_up") == 1


@pytest.mark.parametrize("value", ['phr", realm="x', "phr\\", "phr\r\nset-cookie: a=b", "zwei Worte", "größe", ""])
async def test_a_value_that_does_not_fit_into_a_challenge_is_malformed(value: str) -> None:
    bench = Bench({"allow": True, "require": {"acr": [value]}})
    refused = await bench.refused(principal=FRESH)
    assert refused.row is errors.POLICY_MALFORMED
    assert bench.record["error"]["code"] == "policy_malformed"


async def test_a_yes_whose_requirement_is_met_is_a_permit() -> None:
    bench = Bench({"allow": True, "require": {"max_age": 300}})
    assert await bench.authorizer.authorize(ask(principal=FRESH), PATH)


async def test_a_workload_cannot_step_up() -> None:
    bench = Bench({"allow": True, "require": {"max_age": 300}})
    refused = await bench.refused(peer=workload("spiffe://example.org/a"))
    assert refused.row is errors.STEP_UP_REQUIRED
