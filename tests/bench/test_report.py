"""A report shows medians, how far rounds lie apart, ratios and voids; it can be read back and put into a page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.figures import Figure, Figures
from bench.report import Report, number, read

FIGURES = Figures(
    [
        Figure("small", "envoy-rbac", 0, {"rate": 14000.0, "cpu": 69.0, "p50": 2.1, "p99": 3.5, "others": 0.0}),
        Figure(
            "small",
            "ztproxy",
            0,
            {"rate": 28000.0, "cpu": 34.0, "p50": 1.0, "p99": 2.5, "others": 0.1, "evaluated": 0.02},
        ),
        Figure("small", "envoy-rbac", 1, {"rate": 10000.0, "cpu": 71.0, "p50": 2.3, "p99": 3.7, "others": 0.0}),
        Figure("small", "ztproxy", 1, {"rate": 21000.0, "cpu": 36.0, "p50": 1.2, "p99": 2.7, "others": 0.0}),
        Figure("small", "nginx", 0, {}, "no answer"),
        Figure("start", "ztproxy --help", 0, {"seconds": 0.5}),
    ]
)
REPORT = Report("2026-01-02T03:04:05+00:00", {"processor": "P, 2 cores"}, {"nginx": "1.22.1"}, {"rounds": "2"}, FIGURES)


def row(text: str) -> str:
    return next(line for line in REPORT.markdown().splitlines() if line.startswith(text))


def test_the_machine_and_the_versions_are_told() -> None:
    first, second, *_ = REPORT.markdown().splitlines()
    assert first == "2026-01-02; P, 2 cores; 2 rounds."
    assert second == "nginx 1.22.1."


def test_a_bar_is_told_with_its_ratio() -> None:
    assert row("| small | ztproxy >= 1.5 x envoy-rbac") == (
        "| small | ztproxy >= 1.5 x envoy-rbac | 2.05 (2.00 to 2.10) | met, and the aim |"
    )
    assert row("| start |") == "| start | ztproxy --help seconds <= 0.35 | 0.50 | missed |"


def test_a_series_is_told_with_how_far_rounds_lie_apart_and_what_ztproxy_is_to_it() -> None:
    assert row("| Envoy, jwt") == (
        "| Envoy, jwt_authn + RBAC | 12,000 (10,000 to 14,000) | 70.0 | 2.20 | 3.60 |  | 2.05 x (2.00 to 2.10) "
        "| 2.00 x (1.97 to 2.03) |"
    )


def test_what_ztproxy_evaluated_is_told() -> None:
    assert row("| ztproxy") == "| ztproxy | 24,500 (21,000 to 28,000) | 35.0 | 1.10 | 2.60 | 2% |  |  |"


def test_a_void_series_is_told_with_its_reason() -> None:
    assert row("| nginx") == "| nginx (void: no answer) | void |  |  |  |  | void | void |"


def test_a_machine_that_others_used_is_told() -> None:
    assert row("Other processes") == ("Other processes took 0% of a core at the median of all runs, 10% at the most.")


def test_the_json_can_be_read_back(tmp_path: Path) -> None:
    REPORT.write(tmp_path)
    assert read(tmp_path) == REPORT
    document = json.loads((tmp_path / "latest.json").read_text())
    assert document["cases"]["small"]["series"]["envoy-rbac"]["ztproxy_to_it"]["median"] == 2.05
    assert [bar["standing"] for bar in document["bars"]] == ["met, and the aim", "missed"]


def test_a_page_gets_the_tables_between_its_marks(tmp_path: Path) -> None:
    page, chart = tmp_path / "page.md", tmp_path / "chart.svg"
    page.write_text("before\n<!-- bench -->\nold\n<!-- /bench -->\nafter\n")
    for _ in range(2):
        REPORT.publish(page, chart)
        assert page.read_text() == f"before\n<!-- bench -->\n{REPORT.markdown()}<!-- /bench -->\nafter\n"
    assert chart.read_text().startswith("<svg")


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(ValueError, match="must have the lines"):
        REPORT.publish(page, tmp_path / "chart.svg")
    assert page.read_text() == "nothing\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [(28000.4, "28,000"), (123.4, "123"), (12.34, "12.3"), (1.234, "1.23"), (0.0456, "0.05"), (0, "0.00")],
)
def test_three_figures_count(value: float, text: str) -> None:
    assert number(value) == text
