"""Figures compare with those of the same round, and void ones with nothing."""

from __future__ import annotations

import json

from bench.figures import Figure, Figures, Spread

FIGURES = Figures(
    [
        Figure("small", "ztproxy", 0, {"rate": 30.0}),
        Figure("small", "nginx", 0, {"rate": 40.0}),
        Figure("small", "nginx", 1, {"rate": 10.0}),
        Figure("small", "ztproxy", 1, {"rate": 20.0}),
        Figure("small", "ztproxy", 2, {"rate": 99.0}),
        Figure("small", "nginx", 2, {"rate": 1.0}, "no answer"),
    ]
)


def test_a_ratio_is_of_the_same_round() -> None:
    assert FIGURES.ratio("small", "ztproxy", "nginx", "rate") == Spread(1.375, 0.75, 2.0)


def test_a_void_figure_counts_nowhere() -> None:
    assert FIGURES.spread("small", "nginx", "rate") == Spread(25.0, 10.0, 40.0)
    assert FIGURES.voids("small", "ztproxy", "nginx") == ["nginx: no answer"]


def test_what_nobody_measured_is_none() -> None:
    assert FIGURES.spread("small", "envoy", "rate") is None
    assert FIGURES.spread("small", "ztproxy", "p99") is None
    assert FIGURES.ratio("small", "ztproxy", "envoy", "rate") is None


def test_json_gives_the_same_figures_back() -> None:
    assert Figures.read(json.loads(json.dumps(FIGURES.plain()))) == FIGURES
