"""Counters and histograms that take no lock, as they are served."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from proxy.telemetry.tally import Counts, Histogram


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def _served(registry: CollectorRegistry) -> list[str]:
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def test_a_counter_is_served_by_its_labels(registry: CollectorRegistry) -> None:
    counts = Counts("things", "Things.", "colour", "size", registry=registry)
    counts.of("red", "big").inc()
    counts.of("red", "big").inc(2)
    counts.of("blue", 'a"b\n').inc()
    assert _served(registry) == [
        'ztproxy_things_total{colour="red",size="big"} 3.0',
        'ztproxy_things_total{colour="blue",size="a\\"b\\n"} 1.0',
    ]


def test_a_child_is_there_at_zero_once_it_is_asked_for(registry: CollectorRegistry) -> None:
    counts = Counts("things", "Things.", "colour", registry=registry)
    assert _served(registry) == []
    assert counts.of("red") is counts.of("red")
    assert _served(registry) == ['ztproxy_things_total{colour="red"} 0.0']


def test_what_is_not_kept_is_served_no_more_and_begins_anew(registry: CollectorRegistry) -> None:
    counts = Counts("things", "Things.", "route", "size", registry=registry)
    for route in ("old", "new"):
        counts.of(route, "big").inc()
    counts.keep({"new"})
    assert _served(registry) == ['ztproxy_things_total{route="new",size="big"} 1.0']
    counts.of("old", "big").inc()
    assert counts.of("old", "big").value == 1


@pytest.mark.parametrize(
    ("seconds", "counts"),
    [(0.0, (1, 1, 1)), (0.1, (1, 1, 1)), (0.1000001, (0, 1, 1)), (2.0, (0, 1, 1)), (2.1, (0, 0, 1)), (-1.0, (1, 1, 1))],
)
def test_a_duration_is_in_every_bucket_whose_end_it_does_not_pass(
    registry: CollectorRegistry, seconds: float, counts: tuple[int, ...]
) -> None:
    histogram = Histogram("waits_seconds", "Waits.", "route", buckets=(0.1, 2.0), registry=registry)
    histogram.of("a").observe(seconds)
    served = _served(registry)
    assert served[:3] == [
        f'ztproxy_waits_seconds_bucket{{le="{end}",route="a"}} {count}.0'
        for end, count in zip(("0.1", "2.0", "+Inf"), counts, strict=True)
    ]
    assert 'ztproxy_waits_seconds_count{route="a"} 1.0' in served


def test_a_histogram_sums_up(registry: CollectorRegistry) -> None:
    histogram = Histogram("waits_seconds", "Waits.", "route", buckets=(1.0,), registry=registry)
    for seconds in (0.25, 0.5, 4.0):
        histogram.of("a").observe(seconds)
    served = _served(registry)
    assert 'ztproxy_waits_seconds_sum{route="a"} 4.75' in served
    assert 'ztproxy_waits_seconds_bucket{le="1.0",route="a"} 2.0' in served
    assert 'ztproxy_waits_seconds_bucket{le="+Inf",route="a"} 3.0' in served
