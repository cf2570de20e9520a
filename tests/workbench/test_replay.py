"""A log replayed: what is counted, for whom, and with which example."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.workbench.case import Case, Who
from proxy.workbench.desk import CannotRun, Desk
from proxy.workbench.replay import Change, policy_of, replay
from tests.workbench.records import record, write

OLD = """package shop

import rego.v1

allow if input.request.method == "GET"
"""
NEW = """package shop

import rego.v1

allow if "buyers" in input.principal.groups
"""
ANA, BOB = Who(user="ana", groups=("buyers",)), Who(user="bob")
URL = "https://shop.example/cart?page=2"


def policy(folder: Path, name: str, text: str) -> Path:
    (folder / name).mkdir()
    (folder / name / "shop.rego").write_text(text, encoding="utf-8")
    return folder / name


@pytest.fixture
def log(tmp_path: Path) -> Path:
    desk = Desk.open(None, policy(tmp_path, "old", OLD))
    cases = [
        Case(method, URL, who) for method, who in (("GET", ANA), ("GET", BOB), ("PUT", ANA), ("PUT", BOB), ("GET", BOB))
    ]
    return write(tmp_path / "log", [record(desk, case, number) for number, case in enumerate(cases)])


def test_a_log_against_the_policy_that_wrote_it_is_the_same(tmp_path: Path, log: Path) -> None:
    found = replay(policy_of(None, tmp_path / "old", None), [log])
    assert found.is_same
    assert found.counts[Change.SAME] == found.decisions == 5


def test_each_change_is_counted_by_route_and_caller_with_its_first_example(tmp_path: Path, log: Path) -> None:
    found = replay(policy_of(None, policy(tmp_path, "new", NEW), None), [log])
    assert not found.is_same
    assert [found.counts[change] for change in Change] == [2, 1, 2, 0]
    ana, bob = found.rows["any", "user:ana"], found.rows["any", "user:bob"]
    assert (ana.counts[Change.ALLOWED], bob.counts[Change.DENIED]) == (1, 2)
    example = bob.examples[Change.DENIED]
    assert (example.decision_id, example.request) == ("decision-1", f"GET {URL}")
    assert (example.was, example.now.partition(" ")[0]) == ("allowed", "policy_undefined")


def test_several_logs_are_one_and_progress_ends_at_their_end(tmp_path: Path, log: Path) -> None:
    seen: list[tuple[int, int]] = []
    found = replay(policy_of(None, tmp_path / "old", None), [log, log], lambda *said: seen.append(said))
    assert found.decisions == 10
    assert seen[-1] == (2 * log.stat().st_size, 10)


def test_each_record_is_asked_of_its_own_rule_where_the_policy_has_it(tmp_path: Path) -> None:
    both = policy(tmp_path, "both", OLD + "\ndecision := false\n")
    records = [
        record(Desk.open(None, both, rule), Case("GET", URL), number)
        for number, rule in enumerate(("shop/allow", "shop/decision"))
    ]
    log = write(tmp_path / "log", [*records, records[0] | {"path": "old/name"}])
    assert replay(policy_of(None, both, None), [log]).counts == {
        Change.SAME: 2, Change.ALLOWED: 0, Change.DENIED: 1, Change.UNDECIDABLE: 0
    }  # fmt: skip
    named = replay(policy_of(None, both, "shop/decision"), [log])
    assert (named.counts[Change.SAME], named.counts[Change.DENIED]) == (1, 2)


def test_a_policy_that_fails_where_the_old_one_refused_is_told_apart(tmp_path: Path, log: Path) -> None:
    fails = policy(
        tmp_path, "fails", "package shop\n\nimport rego.v1\n\nallow if to_number(input.request.method) > 0\n"
    )
    found = replay(policy_of(None, fails, None), [log])
    assert found.failing == {"policy_failed": 2}
    assert found.counts[Change.DENIED] == 3


def test_a_rule_that_looks_at_the_clock_is_told(tmp_path: Path, log: Path) -> None:
    clock = policy(tmp_path, "clock", "package shop\n\nimport rego.v1\n\nallow if time.now_ns() > 0\n")
    found = replay(policy_of(None, clock, None), [log])
    assert found.notes == [
        f"shop/allow calls time.now_ns, {clock}/shop.rego line 5: what it answers now need not be what it answered then"
    ]


def test_a_policy_that_does_not_load_cannot_be_asked(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="must be named"):
        policy_of(None, None, None)
    with pytest.raises(CannotRun, match="no such file"):
        policy_of(None, tmp_path / "nowhere", None)
