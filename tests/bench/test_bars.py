"""A bar is met or missed by the median of the ratios of the same rounds."""

from __future__ import annotations

import pytest

from bench.bars import BARS, Bar, judge
from bench.cases import CASES
from bench.figures import Figure, Figures

BAR = Bar("small", "ztproxy", "rate", 1.5, "envoy-rbac", aim=2.0)


def rounds(case: str, series: str, *values: float, metric: str = "rate", void: str = "") -> list[Figure]:
    return [Figure(case, series, number, {metric: value}, void) for number, value in enumerate(values)]


@pytest.mark.parametrize(
    ("ours", "standing"),
    [((30, 30, 30), "met, and the aim"), ((16, 15, 29), "met"), ((14, 14, 90), "missed")],
)
def test_the_median_of_the_ratios_decides(ours: tuple[float, ...], standing: str) -> None:
    figures = Figures([*rounds("small", "ztproxy", *ours), *rounds("small", "envoy-rbac", 10, 10, 10)])
    (verdict,) = judge(figures, (BAR,))
    assert verdict.standing == standing
    assert verdict.good == (standing != "missed")


def test_less_is_better_where_the_bar_says_so() -> None:
    bar = Bar("start", "help", "seconds", 0.35, less=True)
    for seconds, good in ((0.3, True), (0.4, False)):
        (verdict,) = judge(Figures(rounds("start", "help", seconds, metric="seconds")), (bar,))
        assert verdict.good is good


def test_one_void_round_of_ours_voids_the_bar() -> None:
    figures = Figures([*rounds("small", "ztproxy", 30, 30), *rounds("small", "envoy-rbac", 10, 10)])
    figures.all.append(Figure("small", "ztproxy", 2, {}, "3 answers were not 200"))
    (verdict,) = judge(figures, (BAR,))
    assert (verdict.standing, verdict.why) == ("void", "ztproxy: 3 answers were not 200")
    assert not verdict.good


def test_a_peer_without_a_good_round_voids_the_bar() -> None:
    ours, theirs = rounds("small", "ztproxy", 30), rounds("small", "envoy-rbac", 10, void="no answer")
    (verdict,) = judge(Figures([*ours, *theirs]), (BAR,))
    assert (verdict.standing, verdict.why, verdict.spread) == ("void", "envoy-rbac: no answer", None)


def test_what_was_not_measured_has_no_verdict() -> None:
    assert judge(Figures(rounds("small", "ztproxy", 30)), (BAR,)) == []


@pytest.mark.parametrize("bar", BARS, ids=lambda bar: f"{bar.case}: {bar}")
def test_a_bar_names_series_that_its_case_has(bar: Bar) -> None:
    (case,) = (case for case in CASES if case.name == bar.case)
    assert {bar.series, bar.against} - {""} <= {run.series for run in case.runs}


def test_every_case_but_the_plain_tables_has_a_bar() -> None:
    assert {bar.case for bar in BARS} == {case.name for case in CASES}
