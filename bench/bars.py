"""What must hold: a line for each bar. One that is missed, or whose figure does not count, fails the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.figures import Figures, Spread

Standing = Literal["met", "met, and the aim", "missed", "void"]


@dataclass(frozen=True)
class Bar:
    """One line.

    Args:
        case, series, metric: what is held against it.
        limit: least, or most where `less` says so: of the ratio to `against`, or of the value where that is empty.
        against: another series of the same case, in the same round.
        aim: what would be better still.
        less: less is better.
    """

    case: str
    series: str
    metric: str
    limit: float
    against: str = ""
    aim: float | None = None
    less: bool = False

    def __str__(self) -> str:
        sign = "<=" if self.less else ">="
        measure = {"rate": "", "bytes": "", "times": ""}.get(self.metric, f" {self.metric}")
        wanted = f"{sign} {self.limit:g} x {self.against}" if self.against else f"{sign} {self.limit:g}"
        return f"{self.series}{measure} {wanted}"


OPA = "ztproxy asking OPA, remembered"

BARS = (
    Bar("small", "ztproxy", "rate", 1.5, "envoy-rbac", aim=2.0),
    Bar("small", "ztproxy", "rate", 3.0, "envoy-ext-authz"),
    Bar("mtls", "ztproxy", "rate", 1.5, "envoy-rbac", aim=2.0),
    Bar("distinct", "ztproxy", "rate", 0.8, "envoy-rbac", aim=1.0),
    Bar("connections", "ztproxy", "rate", 0.9, "ztproxy, 32 connections"),
    Bar("bulk-down", "ztproxy", "bytes", 1.0, "envoy", aim=1.3),
    Bar("bulk-up", "ztproxy", "bytes", 1.0, "envoy", aim=1.3),
    Bar("latency", "ztproxy", "p50", 1.0, "envoy-rbac", less=True),
    Bar("latency", "ztproxy", "p99", 1.0, "envoy-rbac", less=True),
    Bar("handshakes", "ztproxy", "rate", 0.7, "nginx", aim=0.9),
    *(
        bar
        for case in ("scale-routes", "scale-allow", "scale-users")
        for bar in (
            Bar(case, "remembered, many", "rate", 0.9, "remembered, few"),
            Bar(case, "distinct, many", "rate", 0.7, "distinct, few"),
        )
    ),
    Bar("opa", OPA, "rate", 0.95, "ztproxy"),
    Bar("start", "/readyz with 100 routes", "seconds", 1.0, less=True),
    Bar("start", "ztproxy --help", "seconds", 0.35, less=True),
    Bar("reload", "ztproxy", "times", 3.0, less=True),
    Bar("memory", "ztproxy", "kilobytes", 48, less=True),
    Bar("soak", "ztproxy", "growth", 0.05, less=True),
)


@dataclass(frozen=True)
class Verdict:
    """How a bar stands.

    Args:
        spread: of the ratio, or of the value; None where no round counts.
        why: what speaks against it besides the ratio.
    """

    bar: Bar
    spread: Spread | None
    standing: Standing
    why: str = ""

    @property
    def good(self) -> bool:
        """Whether the bar is met."""
        return self.standing.startswith("met")


def judge(figures: Figures, bars: tuple[Bar, ...] = BARS) -> list[Verdict]:
    """Return a verdict on each bar both of whose sides were measured."""
    return [_judge(figures, bar) for bar in bars if _measured(figures, bar)]


def _measured(figures: Figures, bar: Bar) -> bool:
    return all(figures.of(bar.case, series) for series in (bar.series, bar.against) if series)


def _judge(figures: Figures, bar: Bar) -> Verdict:
    if bar.against:
        spread = figures.ratio(bar.case, bar.series, bar.against, bar.metric)
    else:
        spread = figures.spread(bar.case, bar.series, bar.metric)
    voids = figures.voids(bar.case, bar.series, *([bar.against] if spread is None and bar.against else []))
    if voids or spread is None:
        return Verdict(bar, spread, "void", "; ".join(voids))
    if not _holds(bar, spread.median, bar.limit):
        return Verdict(bar, spread, "missed")
    aimed = bar.aim is not None and _holds(bar, spread.median, bar.aim)
    return Verdict(bar, spread, "met, and the aim" if aimed else "met")


def _holds(bar: Bar, value: float, limit: float) -> bool:
    return value <= limit if bar.less else value >= limit
