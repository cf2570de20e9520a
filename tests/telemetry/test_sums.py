"""The metrics of several processes as one."""

from __future__ import annotations

import json

import pytest

from proxy.telemetry import sums
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.sums import Families, Totals


def worker(requests: int = 1, route: str = "wiki", seconds: float = 0.002, expires: float = 100.0) -> Families:
    """Return what a process tells that has served this much, as it comes over a channel."""
    metrics = Metrics()
    for _ in range(requests):
        metrics.observe_exchange(route, b"GET", 200, seconds)
    metrics.connections.of("edge").inc(requests)
    metrics.reloads.of("ok").inc()
    metrics.set_certificates({"edge.pem": expires}, now=lambda: 0.0)
    return json.loads(json.dumps(sums.told(metrics.registry)))


def lines(totals: Totals) -> list[str]:
    return [line for line in totals.expose().decode().splitlines() if not line.startswith("#")]


def test_the_sum_over_one_process_is_what_it_serves_itself() -> None:
    metrics = Metrics()
    metrics.observe_exchange("wiki", b"GET", 200, 0.002)
    metrics.refusals.of("target_refused").inc()
    assert sums.total([sums.told(metrics.registry)]).expose() == metrics.expose()


@pytest.mark.parametrize(
    "line",
    [
        'ztproxy_http_requests_total{method="GET",route="wiki",status="200"} 5.0',
        'ztproxy_http_request_duration_seconds_bucket{le="0.001",route="wiki"} 3.0',
        'ztproxy_http_request_duration_seconds_bucket{le="+Inf",route="wiki"} 5.0',
        'ztproxy_http_request_duration_seconds_count{route="wiki"} 5.0',
        'ztproxy_connections{listener="edge"} 5.0',
        'ztproxy_certificate_expiry_seconds{name="edge.pem"} 50.0',
    ],
)
def test_counts_and_gauges_are_added_up_and_of_certificates_the_oldest_counts(line: str) -> None:
    told = [worker(2, expires=100), worker(3, seconds=0.0007, expires=50)]
    assert line in lines(sums.total(told))


def test_what_a_process_had_counted_stays_when_it_ends_and_its_gauges_do_not() -> None:
    ended = Totals()
    ended.add(worker(2, expires=1), ended=True)
    ended.add(worker(3), ended=True)
    served = lines(sums.total([worker(4), ended.families()]))
    assert 'ztproxy_http_requests_total{method="GET",route="wiki",status="200"} 9.0' in served
    assert 'ztproxy_connections{listener="edge"} 4.0' in served
    assert 'ztproxy_certificate_expiry_seconds{name="edge.pem"} 100.0' in served


def test_a_route_that_is_taken_away_takes_its_series_of_ended_processes_with_it() -> None:
    ended = Totals()
    ended.add(worker(2), ended=True)
    ended.add(worker(3, route=""), ended=True)
    ended.add(worker(4, route="gone"), ended=True)
    ended.keep_routes(["wiki"])
    served = lines(ended)
    assert 'ztproxy_http_requests_total{method="GET",route="wiki",status="200"} 2.0' in served
    assert 'ztproxy_http_requests_total{method="GET",route="",status="200"} 3.0' in served
    assert 'ztproxy_reloads_total{result="ok"} 3.0' in served
    assert not any("gone" in line for line in served)


def test_every_gauge_is_known_to_be_a_share_of_a_whole_or_none() -> None:
    shares = {
        "ztproxy_connections",
        "ztproxy_decision_memory_bytes",
        "ztproxy_http_requests_in_flight",
        "ztproxy_workers",
    }
    gauges = {family.name for family in Metrics().registry.collect() if family.type == "gauge"}
    assert gauges == shares | set(sums.NO_SHARES)
