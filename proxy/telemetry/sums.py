"""The metrics of several processes as those of one.

Counters and histograms are added up, and what a process had counted stays when it ends, for a sum must not go back.
Gauges of the living are added up too, but for the few that say the same of every process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

# Name, help text, type and samples (name, labels, value) of each metric, as it goes over a channel.
Families = list[list[Any]]

# Gauges that are no shares of a whole: each process has read the same certificate, or an older one still.
NO_SHARES: Final[dict[str, Callable[[float, float], float]]] = {"ztproxy_certificate_expiry_seconds": min}


def told(registry: CollectorRegistry) -> Families:
    """Return what a process has to say."""
    return [
        [family.name, family.documentation, family.type, [[s.name, s.labels, s.value] for s in family.samples]]
        for family in registry.collect()
    ]


class Totals(Collector):
    """Families of several processes, put together."""

    def __init__(self) -> None:
        self._families: dict[str, tuple[str, str]] = {}
        self._samples: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}

    def add(self, families: Families, *, ended: bool = False) -> None:
        """Add what a process has told; of one that has ended, what it had counted alone."""
        for name, text, kind, samples in families:
            if ended and kind == "gauge":
                continue
            self._families[name] = (text, kind)
            joined = NO_SHARES.get(name, _plus)
            values = self._samples.setdefault(name, {})
            for sample, labels, value in samples:
                key = (sample, tuple(labels.items()))
                values[key] = joined(values[key], value) if key in values else value

    def families(self) -> Families:
        """Return the totals, as a process tells its own."""
        return [
            [name, *self._families[name], [[sample, dict(labels), value] for (sample, labels), value in values.items()]]
            for name, values in self._samples.items()
        ]

    def keep_routes(self, names: Collection[str]) -> None:
        """Forget the series of routes that a reload has taken away."""
        kept = {"", *names}
        for values in self._samples.values():
            for key in [key for key in values if dict(key[1]).get("route", "") not in kept]:
                del values[key]

    def collect(self) -> Iterator[Metric]:
        """Return what is served."""
        for name, (text, kind) in self._families.items():
            metric = Metric(name, text, kind)
            metric.samples = [Sample(s, dict(labels), value) for (s, labels), value in self._samples[name].items()]
            yield metric

    def expose(self) -> bytes:
        """Return every metric in Prometheus' text format."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)


def total(sources: Iterable[Families]) -> Totals:
    """Return the sum over processes."""
    totals = Totals()
    for source in sources:
        totals.add(source)
    return totals


def _plus(one: float, other: float) -> float:
    return one + other
