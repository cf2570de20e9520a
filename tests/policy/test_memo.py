"""The table of remembered decisions: whose answer is given again, for how long, and within how many bytes."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import pytest

from proxy.errors import INPUT_REFUSED, Refused
from proxy.policy.decision import parse_decision
from proxy.policy.embedded import EmbeddedEngine
from proxy.policy.engine import build_engine
from proxy.policy.input import Inquiry
from proxy.policy.memo import Key, Memo, Memory, Remembered
from proxy.policy.record import told_result
from proxy.telemetry.metrics import Metrics
from tests.policy.inquiries import ANA, NOON, ask, config, workload

METHOD = "package p\n\nr := input.request.method"


class Worker:
    """A worker's memory, with a policy that can be exchanged."""

    def __init__(self, tmp_path: Any, capacity: int = 1024**2) -> None:
        self._file = tmp_path / "p.rego"
        self.metrics = Metrics()
        self.memory = Memory(capacity, self.metrics)
        self.engine: EmbeddedEngine | None = None

    def load(self, text: str) -> Memo:
        """Load a policy as a reload does; return the new snapshot's memo."""
        self._file.write_text(text)
        settled = config(policy={"path": str(self._file), "decision": "p/r"})
        engine, mistakes = build_engine(settled, {}, self.engine)
        assert isinstance(engine, EmbeddedEngine), mistakes
        self.engine = engine
        return Memo(engine, self.memory)

    def count(self, result: str) -> int:
        """Return how often something became of a question."""
        return self.metrics.decision_memory.of(result).value


def answer(**fields: Any) -> Remembered:
    value = {"allow": True, **fields}
    return Remembered(parse_decision(value), told_result(value))


def key_of(memo: Memo, inquiry: Inquiry) -> Key:
    key = memo.key(inquiry, "p/r")
    assert key is not None
    return key


@pytest.fixture
def worker(tmp_path: Any) -> Worker:
    return Worker(tmp_path)


def test_what_was_answered_is_answered_again_to_the_same_question_alone(worker: Worker) -> None:
    memo, first = worker.load(METHOD), answer()
    assert memo.recall(key_of(memo, ask("GET")), NOON) is None
    memo.remember(key_of(memo, ask("GET")), first, NOON + 60)
    assert memo.recall(key_of(memo, ask("GET", "/elsewhere", request_id="2")), NOON) is first
    assert memo.recall(key_of(memo, ask("PUT")), NOON) is None
    assert memo.recall(key_of(memo, ask("GET", route="docs")), NOON) is None
    assert (worker.count("hit"), worker.count("miss"), worker.count("not_memoizable")) == (1, 3, 0)


def test_a_denial_is_remembered_like_a_permit(worker: Worker) -> None:
    memo = worker.load(METHOD)
    denial = Remembered(parse_decision(False), told_result(False))
    memo.remember(key_of(memo, ask()), denial, float("inf"))
    assert memo.recall(key_of(memo, ask()), NOON) is denial


def test_an_answer_does_not_outlive_the_caller(worker: Worker) -> None:
    memo = worker.load(METHOD)
    key = key_of(memo, ask())
    memo.remember(key, answer(), NOON + 1)
    assert memo.recall(key, NOON + 0.999) is not None
    assert memo.recall(key, NOON + 1) is None
    later = answer()
    memo.remember(key, later, NOON + 2)
    assert memo.recall(key, NOON + 1) is later
    assert len(worker.memory) == 1


def test_each_deciding_rule_has_answers_of_its_own(worker: Worker) -> None:
    memo = worker.load(METHOD + "\n\ns := input.request.method")
    memo.remember(key_of(memo, ask()), answer(), NOON + 1)
    other = memo.key(ask(), "p/s")
    assert other is not None
    assert memo.recall(other, NOON) is None


def test_what_cannot_be_remembered_has_no_key_and_is_counted(worker: Worker) -> None:
    memo = worker.load("package p\n\nr := input.time.now")
    assert memo.key(ask(), "p/r") is None
    assert worker.count("not_memoizable") == 1


def test_a_policy_that_gains_a_read_at_a_reload_forgets_everything(worker: Worker) -> None:
    before = worker.load(METHOD)
    old = key_of(before, ask())
    before.remember(old, answer(), NOON + 1)
    after = worker.load('package p\n\nr := {"allow": input.request.path == "/", "reasons": [input.request.method]}')
    new = key_of(after, ask())
    assert len(worker.memory) == worker.memory.bytes == 0
    assert after.recall(new, NOON) is None
    assert after.recall(key_of(after, ask(target="/other")), NOON) is None
    before.remember(old, answer(), NOON + 1)  # by a request that came before the reload and still has its snapshot
    assert after.recall(new, NOON) is None


def test_a_change_of_data_alone_forgets_everything(tmp_path: Any) -> None:
    worker = Worker(tmp_path)
    settled = config(policy={"path": str(tmp_path), "decision": "p/r"})
    (tmp_path / "p.rego").write_text("package p\n\nr := data.open[input.request.method]")
    memos = []
    for opened in (True, False):
        (tmp_path / "data.json").write_text(f'{{"open": {{"GET": {str(opened).lower()}}}}}')
        engine, mistakes = build_engine(settled, {}, worker.engine)
        assert isinstance(engine, EmbeddedEngine), mistakes
        worker.engine = engine
        memos.append(Memo(engine, worker.memory))
        assert memos[-1].recall(key_of(memos[-1], ask()), NOON) is None
        memos[-1].remember(key_of(memos[-1], ask()), answer(), NOON + 1)


def test_a_reload_that_leaves_the_policy_alone_forgets_nothing(worker: Worker) -> None:
    before, kept = worker.load(METHOD), answer()
    before.remember(key_of(before, ask()), kept, NOON + 1)
    after = worker.load(METHOD)
    assert after.recall(key_of(after, ask()), NOON) is kept


def test_an_answer_of_a_policy_that_has_changed_meanwhile_is_dropped(worker: Worker) -> None:
    memo = worker.load(METHOD)
    key = key_of(memo, ask())
    assert worker.engine is not None
    worker.engine.generation = object()  # as an OPA server's does, between a question and its answer
    memo.remember(key, answer(), NOON + 1)
    assert len(worker.memory) == 0
    assert memo.recall(key_of(memo, ask()), NOON) is None


def test_what_was_used_longest_ago_goes_first(tmp_path: Any) -> None:
    worker = Worker(tmp_path)
    memo = worker.load("package p\n\nr := input.request.path")
    keys = [key_of(memo, ask(target=f"/{number}")) for number in range(4)]
    for key in keys[:3]:
        memo.remember(key, answer(), NOON + 1)
    worker.memory.resize(worker.memory.bytes)
    assert memo.recall(keys[0], NOON) is not None
    memo.remember(keys[3], answer(), NOON + 1)
    assert [memo.recall(key, NOON) is not None for key in keys] == [True, False, True, True]
    assert worker.count("evicted") == 1
    worker.memory.resize(0)
    assert len(worker.memory) == worker.memory.bytes == 0


def test_an_answer_that_is_larger_than_the_table_is_not_remembered(tmp_path: Any) -> None:
    worker = Worker(tmp_path, 8 * 1024)
    memo = worker.load(METHOD)
    memo.remember(key_of(memo, ask("GET")), answer(), NOON + 1)
    memo.remember(key_of(memo, ask("PUT")), answer(reasons=["x" * 9000]), NOON + 1)
    assert memo.recall(key_of(memo, ask("GET")), NOON) is not None
    assert memo.recall(key_of(memo, ask("PUT")), NOON) is None


@pytest.mark.parametrize("metadata", [{}, {"list": list(range(300)), "text": "é" * 300}], ids=["small", "large"])
def test_entries_take_no_more_memory_than_is_told(tmp_path: Any, metadata: dict[str, Any]) -> None:
    worker = Worker(tmp_path, 1024**2)
    memo = worker.load("package p\n\nr := [input.request.headers.etag, input.principal.id]")
    tracemalloc.start()
    try:
        for number in range(400 if metadata else 2_000):
            principal = replace(ANA, id=f"u{number}")
            inquiry = ask(principal=principal, headers=[(b"etag", b"%d" % number)])
            memo.remember(key_of(memo, inquiry), answer(reasons=["a", "b"], dynamic_metadata=metadata), NOON + 1)
        del inquiry, principal
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert worker.count("evicted") > 0
    assert 0.3 * taken < worker.memory.bytes
    assert taken < worker.memory.bytes * 1.1 <= 1.1 * 1024**2


def test_a_caller_that_no_engine_must_see_gets_no_remembered_answer(worker: Worker) -> None:
    memo = worker.load("package p\n\nr := input.principal.id")
    with pytest.raises(Refused) as caught:
        memo.key(ask(principal=replace(ANA, claims={"x": "\ud800"})), "p/r")
    assert caught.value.row is INPUT_REFUSED


def test_a_peers_certificate_tells_only_where_it_is_read(worker: Worker) -> None:
    device = workload("spiffe://example.org/device/7")
    renewed = replace(device, certificate=replace(device.certificate, serial="20"))
    memo = worker.load("package p\n\nr := input.peer.id")
    assert key_of(memo, ask(peer=device)) == key_of(memo, ask(peer=renewed))
    memo = worker.load("package p\n\nr := input.tls.client_certificate.serial")
    assert key_of(memo, ask(peer=device)) != key_of(memo, ask(peer=renewed))


def test_the_bytes_are_served(worker: Worker) -> None:
    memo = worker.load(METHOD)
    memo.remember(key_of(memo, ask()), answer(), NOON + 1)
    served = worker.metrics.expose().decode()
    assert f"ztproxy_decision_memory_bytes {float(worker.memory.bytes)}" in served
