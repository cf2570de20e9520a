"""The results as JSON and as Markdown, and where they are written."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.bars import Verdict, judge
from bench.cases import CASES, Case
from bench.chart import draw
from bench.figures import Figures, Spread
from bench.tools import ROOT

RESULTS = ROOT / "bench" / "results"
PAGE, CHART = ROOT / "docs" / "performance.md", ROOT / "docs" / "performance.svg"
BLOCK = re.compile(r"(?<=<!-- bench -->\n).*?(?=<!-- /bench -->)", re.DOTALL)
OURS = "ztproxy"
NOTICED = 0.05  # of the core
TITLES = {
    "envoy": "Envoy",
    "envoy-rbac": "Envoy, jwt_authn + RBAC",
    "envoy-ext-authz": "Envoy, jwt_authn + ext_authz that says yes",
    "aiohttp": "aiohttp, a plain proxy",
}


@dataclass(frozen=True)
class Report:
    """One run's results.

    Args:
        date: of the run, ISO 8601.
        machine, versions, settings: by name.
    """

    date: str
    machine: dict[str, str]
    versions: dict[str, str]
    settings: dict[str, str]
    figures: Figures

    @property
    def verdicts(self) -> list[Verdict]:
        """How every bar stands that was measured."""
        return judge(self.figures)

    @property
    def cases(self) -> list[Case]:
        """The cases that were measured."""
        return [case for case in CASES if self.figures.series(case.name)]

    @property
    def disturbed(self) -> list[str]:
        """A line on how much of the two cores others used, if they did."""
        shares = [one.values["others"] for one in self.figures.all if "others" in one.values]
        if not shares or max(shares) < NOTICED:
            return []
        usual, most = statistics.median(shares), max(shares)
        return [f"Other processes took {usual:.0%} of a core at the median of all runs, {most:.0%} at the most."]

    def json(self) -> str:
        """Return everything, with the spreads and ratios that the figures give."""
        document = {
            "date": self.date,
            "machine": self.machine,
            "versions": self.versions,
            "settings": self.settings,
            "bars": [_bar(verdict) for verdict in self.verdicts],
            "cases": {case.name: _case(case, self.figures) for case in self.cases},
            "figures": self.figures.plain(),
        }
        return json.dumps(document, indent=1) + "\n"

    def markdown(self) -> str:
        """Return the bars, a table of each case, and what they were measured on."""
        about = [f"{name} {value}" for name, value in self.versions.items()]
        lines = [
            f"{self.date[:10]}; {'; '.join(self.machine.values())}; "
            f"{', '.join(f'{value} {name}' for name, value in self.settings.items())}.",
            f"{', '.join(about)}.",
            *self.disturbed,
            "",
            *bar_table(self.verdicts),
        ]
        for case in self.cases:
            lines += ["", f"**{case.name}**: {case.title}", "", *case_table(case, self.figures)]
        return "\n".join(lines) + "\n"

    def write(self, directory: Path = RESULTS) -> None:
        """Write the JSON, the Markdown and the chart."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "latest.json").write_text(self.json(), encoding="utf-8")
        (directory / "latest.md").write_text(self.markdown(), encoding="utf-8")
        (directory / "latest.svg").write_text(draw(self.figures), encoding="utf-8")

    def publish(self, page: Path = PAGE, chart: Path = CHART) -> None:
        """Put the tables into the page, between its marks, and the chart beside it.

        Raises:
            ValueError: the page has no marks.
        """
        text = page.read_text(encoding="utf-8")
        if not BLOCK.search(text):
            raise ValueError(f"{page.name} must have the lines <!-- bench --> and <!-- /bench -->")
        block = self.markdown()
        page.write_text(BLOCK.sub(lambda _: block, text, count=1), encoding="utf-8")
        chart.write_text(draw(self.figures), encoding="utf-8")


def read(directory: Path = RESULTS) -> Report:
    """Return the results of the last run."""
    document = json.loads((directory / "latest.json").read_text(encoding="utf-8"))
    about = [document[name] for name in ("date", "machine", "versions", "settings")]
    return Report(about[0], about[1], about[2], about[3], Figures.read(document["figures"]))


def bar_table(verdicts: Sequence[Verdict]) -> list[str]:
    """Return the rows that say how the bars stand."""
    rows = [
        f"| {one.bar.case} | {one.bar} | {spread(one.spread)} | {one.standing}{f': {one.why}' if one.why else ''} |"
        for one in verdicts
    ]
    return ["| case | bar | measured: median (least to most) | |", "| --- | --- | --- | --- |", *rows]


COLUMNS = {"cpu": "CPU µs each", "p50": "p50 ms", "p99": "p99 ms", "evaluated": "decisions evaluated"}


def case_table(case: Case, figures: Figures) -> list[str]:
    """Return the rows of one case: each series, and what ztproxy is to it in the same round."""
    compared = OURS in figures.series(case.name) and len(figures.series(case.name)) > 1
    by_time = compared and not case.less and _any(case, figures, "cpu")
    extra = [name for name in COLUMNS if name != case.metric and _any(case, figures, name)]
    heads = [case.unit, *(COLUMNS[name] for name in extra)]
    heads += [f"{OURS} to it"] * compared + ["by CPU time"] * by_time
    rows = ["| | " + " | ".join(heads) + " |", "| --- |" + " --- |" * len(heads)]
    for series in figures.series(case.name):
        cells = [spread(figures.spread(case.name, series, case.metric))]
        cells += [_median(figures.spread(case.name, series, name), name) for name in extra]
        if series == OURS:
            cells += [""] * (compared + by_time)
        else:
            cells += [spread(figures.ratio(case.name, OURS, series, case.metric), " x")] * compared
            cells += [spread(figures.ratio(case.name, series, OURS, "cpu"), " x")] * by_time
        rows.append(f"| {TITLES.get(series, series)}{_voids(case, series, figures)} | {' | '.join(cells)} |")
    return rows


def spread(one: Spread | None, unit: str = "") -> str:
    """Return a spread in words."""
    if one is None:
        return "void"
    if one.least == one.most:
        return f"{number(one.median)}{unit}"
    return f"{number(one.median)}{unit} ({number(one.least)} to {number(one.most)})"


def number(value: float) -> str:
    """Return a number with three figures that count."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _median(one: Spread | None, metric: str) -> str:
    if one is None:
        return ""
    return f"{one.median:.0%}" if metric == "evaluated" else number(one.median)


def _voids(case: Case, series: str, figures: Figures) -> str:
    reasons = dict.fromkeys(one.void for one in figures.of(case.name, series) if one.void)
    return "".join(f" (void: {reason})".replace("|", "/") for reason in reasons)


def _any(case: Case, figures: Figures, metric: str) -> bool:
    return any(figures.spread(case.name, series, metric) for series in figures.series(case.name))


def _bar(verdict: Verdict) -> dict[str, Any]:
    measured = asdict(verdict.spread) if verdict.spread else None
    return {**asdict(verdict.bar), "measured": measured, "standing": verdict.standing, "why": verdict.why}


def _case(case: Case, figures: Figures) -> dict[str, Any]:
    found: dict[str, Any] = {"title": case.title, "metric": case.metric, "unit": case.unit, "series": {}}
    for series in figures.series(case.name):
        metrics = sorted({name for one in figures.of(case.name, series) for name in one.values})
        spreads = {name: figures.spread(case.name, series, name) for name in metrics}
        ratio = figures.ratio(case.name, OURS, series, case.metric) if series != OURS else None
        found["series"][series] = {
            "values": {name: asdict(one) for name, one in spreads.items() if one},
            "ztproxy_to_it": asdict(ratio) if ratio else None,
        }
    return found
