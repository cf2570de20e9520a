"""Every metric that operators rely on, and the bounds of its labels."""

from __future__ import annotations

import pytest

from proxy.telemetry.metrics import CONTENT_TYPE, Metrics

PUBLISHED = {
    "ztproxy_http_requests_total": ("route", "method", "status"),
    "ztproxy_http_request_duration_seconds": ("route",),
    "ztproxy_http_requests_in_flight": (),
    "ztproxy_connections": ("listener",),
    "ztproxy_tls_handshakes_total": ("listener", "result"),
    "ztproxy_decisions_total": ("route", "result", "source"),
    "ztproxy_decision_duration_seconds": (),
    "ztproxy_refusals_total": ("code",),
    "ztproxy_records_dropped_total": ("type",),
    "ztproxy_reloads_total": ("result",),
    "ztproxy_certificate_expiry_seconds": ("name",),
    "ztproxy_workers": (),
    "ztproxy_worker_restarts_total": (),
}


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of one metric as they are served, by label values."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == name
    }


def test_every_published_metric_has_its_name_labels_and_a_help_text() -> None:
    text = Metrics().expose().decode()
    for name in PUBLISHED:
        assert f"# TYPE {name} " in text
        line = next(line for line in text.splitlines() if line.startswith(f"# HELP {name} "))
        assert len(line.split()) > 4


@pytest.mark.parametrize(("name", "labels"), [(name, labels) for name, labels in PUBLISHED.items() if labels])
def test_labels_are_the_published_ones_in_their_order(name: str, labels: tuple[str, ...]) -> None:
    metrics = Metrics()
    attribute = name.removeprefix("ztproxy_").removesuffix("_total")
    child = getattr(metrics, attribute).of(*labels)
    (child.inc if hasattr(child, "inc") else child.observe)(1)
    sample = f"{name}_count" if attribute == "http_request_duration_seconds" else name
    assert samples(metrics, sample)[labels] == 1


def test_nothing_is_served_that_is_not_ours() -> None:
    lines = [line for line in Metrics().expose().decode().splitlines() if not line.startswith("#")]
    assert lines
    assert all(line.startswith("ztproxy_") and "_created" not in line for line in lines)
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")


def test_an_exchange_counts_once_and_has_a_duration() -> None:
    metrics = Metrics()
    metrics.observe_exchange("wiki", b"GET", 200, 0.02)
    metrics.observe_exchange("wiki", b"GET", 200, 0.04)
    assert samples(metrics, "ztproxy_http_requests_total") == {("wiki", "GET", "200"): 2}
    assert samples(metrics, "ztproxy_http_request_duration_seconds_count") == {("wiki",): 2}
    assert samples(metrics, "ztproxy_http_request_duration_seconds_sum") == {("wiki",): pytest.approx(0.06)}


@pytest.mark.parametrize("method", [b"BREW", b"get", b"PROPFIND", b"", b"X" * 1000, b"\xff"])
def test_a_method_that_is_not_in_the_table_counts_as_other(method: bytes) -> None:
    metrics = Metrics()
    metrics.observe_exchange("wiki", method, 501, 0)
    assert samples(metrics, "ztproxy_http_requests_total") == {("wiki", "OTHER", "501"): 1}


def test_a_reload_forgets_the_series_of_routes_that_are_gone() -> None:
    metrics = Metrics()
    for route in ("old", "kept", ""):
        metrics.observe_exchange(route, b"GET", 200, 0)
        metrics.decisions.of(route, "allow", "embedded").inc()
    metrics.keep_routes(["kept"])
    assert set(samples(metrics, "ztproxy_http_requests_total")) == {("kept", "GET", "200"), ("", "GET", "200")}
    assert set(samples(metrics, "ztproxy_decisions_total")) == {
        ("kept", "allow", "embedded"),
        ("", "allow", "embedded"),
    }
    metrics.observe_exchange("old", b"GET", 200, 0)
    assert samples(metrics, "ztproxy_http_requests_total")[("old", "GET", "200")] == 1


def test_the_life_of_a_certificate_is_computed_at_each_scrape() -> None:
    metrics, now = Metrics(), [1000.0]
    metrics.set_certificates({"edge": 1060.0, "old": 5.0}, lambda: now[0])
    assert samples(metrics, "ztproxy_certificate_expiry_seconds") == {("edge",): 60, ("old",): -995}
    now[0] = 1061.0
    assert samples(metrics, "ztproxy_certificate_expiry_seconds")[("edge",)] == -1
    metrics.set_certificates({"edge": 2000.0}, lambda: now[0])
    assert samples(metrics, "ztproxy_certificate_expiry_seconds") == {("edge",): 939}


def test_a_dropped_record_has_a_zero_before_the_first_drop() -> None:
    assert samples(Metrics(), "ztproxy_records_dropped_total") == {
        ("access",): 0, ("decision",): 0, ("event",): 0, ("tls",): 0,
    }  # fmt: skip
