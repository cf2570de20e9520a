"""Every case can be chosen, and names peers that exist and programs that somebody can get."""

from __future__ import annotations

import pytest

from bench.__main__ import chosen
from bench.cases import CASES, PROGRAMS, Case
from bench.loads import Hit
from bench.memory import growth
from bench.moments import settled
from bench.peers import PEERS
from bench.probes import PROBES
from bench.rounds import last_line, steps, turned
from bench.tools import SOURCES, absent


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_can_be_measured(case: Case) -> None:
    series = [run.series for run in case.runs]
    assert len(set(series)) == len(series)
    for run in case.runs:
        assert run.peer in PEERS
        assert run.programs <= SOURCES.keys()


def test_programs_are_of_peers_that_exist() -> None:
    assert PROGRAMS.keys() <= PEERS.keys()


@pytest.mark.parametrize(
    ("names", "cases"),
    [("small", ["small"]), ("bulk", ["bulk-down", "bulk-up"]), ("opa,start", ["opa", "start"]), ("nothing", [])],
)
def test_cases_are_chosen_by_name_or_by_the_part_before_a_dash(names: str, cases: list[str]) -> None:
    assert [case.name for case in chosen(names.split(","), ["*"])] == cases


def test_all_is_the_default() -> None:
    assert chosen(["*"], ["*"]) == list(CASES)


def test_runs_are_chosen_by_peer() -> None:
    (small,) = chosen(["small"], ["ztproxy*", "envoy"])
    assert [run.series for run in small.runs] == ["envoy", "ztproxy", "ztproxy, a route for anyone"]
    assert chosen(["start"], ["nginx"]) == []


def test_each_round_begins_with_another_run() -> None:
    (latency,) = chosen(["latency"], ["nginx", "envoy", "ztproxy"])
    orders = [[run.series for run in turned(latency.runs, number)] for number in range(3)]
    assert [order[0] for order in orders] == ["nginx", "envoy", "ztproxy"]
    assert {frozenset(order) for order in orders} == {frozenset(orders[0])}


def test_what_is_measured_once_is_one_step() -> None:
    cases = chosen(["mtls", "soak"], ["ztproxy"])
    assert steps(cases, 3) == 4


def test_there_are_twelve_probes_and_both_answers_among_them() -> None:
    assert len({probe.name for probe in PROBES}) == 12
    assert {(probe.asks, probe.allowed) for probe in PROBES} == {
        ("token", True), ("token", False), ("policy", True), ("policy", False),
    }  # fmt: skip


def test_what_is_absent_is_told_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert absent(["wrk"]) == ["wrk is absent (Debian: apt install wrk)"]


def test_growth_is_of_the_end_to_the_first_minute() -> None:
    seen = [(float(at), 100 + (at > 60) * 10 - (at > 500) * 5) for at in range(600)]
    assert growth(seen, 600) == {"growth": pytest.approx(0.05), "megabytes": 110 / 1e6}


def test_the_second_in_which_connections_are_made_is_left_out() -> None:
    seen = [Hit(7.0 + number / 10, 0.001, 200) for number in range(30)]
    assert settled(seen) == seen[10:]


def test_a_reason_is_one_line() -> None:
    assert last_line("Traceback\n  File\nKeyError: 'x'\n") == "KeyError: 'x'"
