"""What comes out: a figure for each run of each round, and how two of the same round compare."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One series of one case in one round.

    Args:
        values: by metric; empty when nothing could be measured.
        void: why it does not count; empty when it does.
    """

    case: str
    series: str
    round: int
    values: dict[str, float]
    void: str = ""


@dataclass(frozen=True)
class Spread:
    """Some values' median, and how far they lie apart."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass
class Figures:
    """All figures of a run."""

    all: list[Figure] = field(default_factory=list)

    def of(self, case: str, series: str) -> list[Figure]:
        """Return the figures of a series, a round each."""
        return [one for one in self.all if (one.case, one.series) == (case, series)]

    def series(self, case: str) -> list[str]:
        """Return the series of a case that were measured, in the first round's order."""
        return list(dict.fromkeys(one.series for one in self.all if one.case == case))

    def spread(self, case: str, series: str, metric: str) -> Spread | None:
        """Return the spread of a metric over the rounds that count; None when there is none."""
        values = [one.values[metric] for one in self.of(case, series) if not one.void and metric in one.values]
        return Spread.of(values) if values else None

    def ratio(self, case: str, series: str, against: str, metric: str) -> Spread | None:
        """Return the spread of a series' ratio to another one of the same round; None when no round has both."""
        others = {
            one.round: one.values[metric] for one in self.of(case, against) if not one.void and metric in one.values
        }
        ratios = [
            one.values[metric] / others[one.round]
            for one in self.of(case, series)
            if not one.void and metric in one.values and others.get(one.round)
        ]
        return Spread.of(ratios) if ratios else None

    def voids(self, case: str, *series: str) -> list[str]:
        """Return why figures of these series do not count."""
        return [f"{one.series}: {one.void}" for name in series for one in self.of(case, name) if one.void]

    def plain(self) -> list[dict[str, Any]]:
        """Return them as JSON has them."""
        return [
            {**asdict(one), "values": {name: float(f"{value:.5g}") for name, value in one.values.items()}}
            for one in self.all
        ]

    @classmethod
    def read(cls, plain: Iterable[dict[str, Any]]) -> Figures:
        """Return them from JSON."""
        return cls([Figure(**one) for one in plain])
