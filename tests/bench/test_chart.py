"""The chart is well-formed SVG whose bars are as long as their medians say."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from bench.chart import BAR, OTHERS, OURS, Panel, draw
from bench.figures import Figure, Figures

SVG = "{http://www.w3.org/2000/svg}"
PANEL = Panel(
    "small", "Requests & answers", "rate", "", {"ztproxy": "ztproxy", "nginx": "nginx <plain>", "envoy": "Envoy"}
)


def drawn(*figures: Figure) -> ElementTree.Element:
    return ElementTree.fromstring(draw(Figures(list(figures)), [PANEL]))


def bars(chart: ElementTree.Element) -> list[ElementTree.Element]:
    return [one for one in chart.iter(f"{SVG}rect") if one.get("height") == str(BAR)]


def test_bars_are_as_long_as_their_medians() -> None:
    chart = drawn(
        *(Figure("small", name, 0, {"rate": rate}) for name, rate in {"ztproxy": 200.0, "nginx": 400.0}.items())
    )
    ours, theirs = bars(chart)
    assert float(theirs.get("width", "")) == pytest.approx(2 * float(ours.get("width", "")))
    assert (ours.get("fill"), theirs.get("fill")) == (OURS, OTHERS)
    assert [text.text for text in chart.iter(f"{SVG}text")] == [
        "Requests & answers", "ztproxy", "200", "nginx <plain>", "400",
    ]  # fmt: skip


def test_a_line_goes_from_the_least_to_the_most() -> None:
    chart = drawn(
        *(Figure("small", "nginx", number, {"rate": rate}) for number, rate in enumerate((100.0, 150.0, 400.0)))
    )
    (line,) = chart.iter(f"{SVG}path")
    start, _, end = line.get("d", "").partition("H")
    (bar,) = bars(chart)
    left, width = float(bar.get("x", "")), float(bar.get("width", ""))
    assert float(end) - left == pytest.approx(width * 400 / 150, abs=0.2)
    assert float(start.removeprefix("M").split()[0]) - left == pytest.approx(width * 100 / 150, abs=0.2)


def test_everything_is_inside_the_picture() -> None:
    chart = drawn(*(Figure("small", name, 0, {"rate": 123456.0}) for name in PANEL.names))
    height = float(chart.get("height", ""))
    assert all(float(one.get("y", "")) < height for one in [*bars(chart), *chart.iter(f"{SVG}text")])


def test_a_panel_without_figures_is_left_out() -> None:
    assert bars(drawn(Figure("small", "nginx", 0, {}, "no answer"))) == []
