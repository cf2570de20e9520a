"""Every metric, once: name, labels, unit and help text.

It knows numbers and label values; it must not know what a request, a policy or a socket is. Every label is bounded:
routes, listeners and certificates by the config, codes by the catalogue, methods by the table here. The registry is
our own, so that nothing which a library registers for itself is served by accident.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest

from proxy.telemetry.tally import Counts, Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER = "OTHER"
_STATUSES = {status: str(status) for status in range(100, 600)}
_METHODS = {name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}

# Seconds. A warm request costs a fraction of a millisecond, a stream lives for minutes.
_EXCHANGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
# An embedded evaluation takes tens of microseconds; the default deadline is 250 ms.
_DECISION_BUCKETS = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.1, 0.25, 1)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for every child that nobody reads

M = TypeVar("M", Counter, Gauge)


class Family(Generic[M]):
    """One metric and its children by label values.

    `labels()` of prometheus-client takes a lock and converts each value, about 1.5 µs; a dictionary takes 0.1 µs.
    """

    __slots__ = ("_children", "_metric")

    def __init__(self, metric: M) -> None:
        self._metric: M = metric
        self._children: dict[tuple[str, ...], M] = {}

    def of(self, *labels: str) -> M:
        """Return the child of these label values, in the order in which the metric names them."""
        child = self._children.get(labels)
        if child is None:
            made: Any = self._metric.labels(*labels)  # of the same kind, which its types do not say
            child = self._children[labels] = made
        return child

    def keep(self, kept: Collection[str]) -> None:
        """Forget every child whose first label value is not among `kept`."""
        for labels in [labels for labels in self._children if labels[0] not in kept]:
            del self._children[labels]
            self._metric.remove(*labels)


class Metrics:
    """The numbers of one process. An attribute is the metric's name without `ztproxy_` and `_total`."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=True)

        def counter(name: str, text: str, *labels: str) -> Family[Counter]:
            return Family(Counter(f"ztproxy_{name}", text, labels, registry=registry))

        def gauge(name: str, text: str, *labels: str) -> Family[Gauge]:
            return Family(Gauge(f"ztproxy_{name}", text, labels, registry=registry))

        self.http_requests = Counts(
            "http_requests",
            "Exchanges that ended; route is empty where none matched.",
            "route",
            "method",
            "status",
            registry=registry,
        )
        self.http_request_duration_seconds = Histogram(
            "http_request_duration_seconds",
            "Seconds from the first byte of a request to the last byte of its answer.",
            "route",
            buckets=_EXCHANGE_BUCKETS,
            registry=registry,
        )
        self.http_requests_in_flight = Gauge(
            "ztproxy_http_requests_in_flight", "Requests that are being answered now.", registry=registry
        )
        self.connections = gauge("connections", "Open downstream connections.", "listener")
        self.tls_handshakes = Counts(
            "tls_handshakes", "TLS handshakes by how they ended.", "listener", "result", registry=registry
        )
        self.decisions = Counts(
            "decisions",
            "Policy decisions by result and by who made them.",
            "route",
            "result",
            "source",
            registry=registry,
        )
        self.decision_duration_seconds = Histogram(
            "decision_duration_seconds",
            "Seconds that a policy decision took, input and parsing included.",
            buckets=_DECISION_BUCKETS,
            registry=registry,
        ).of()
        self.decision_memory = Counts(
            "decision_memory",
            "Questions of remembered decisions by what became of them, and remembered decisions that were evicted.",
            "result",
            registry=registry,
        )
        self.decision_memory_bytes = Gauge(
            "ztproxy_decision_memory_bytes", "Bytes that remembered decisions take.", registry=registry
        )
        self.refusals = counter("refusals", "Requests that were refused or failed, by the catalogue's code.", "code")
        self.records_dropped = counter("records_dropped", "Records that could not be written, by their type.", "type")
        self.reloads = counter("reloads", "Reloads of the configuration by result.", "result")
        self.certificate_expiry_seconds = gauge(
            "certificate_expiry_seconds", "Seconds until a certificate expires; negative once it has.", "name"
        )
        self.workers = Gauge("ztproxy_workers", "Processes that serve.", registry=registry)
        self.worker_restarts = Counter(
            "ztproxy_worker_restarts", "Workers that ended, and were made again by their supervisor.", registry=registry
        )
        for kind in ("access", "decision", "event", "tls"):
            self.records_dropped.of(kind)  # an alert on a rate needs the zero before the first drop
        for result in ("ok", "refused"):
            self.reloads.of(result)

    def observe_exchange(self, route: str, method: bytes, status: int, seconds: float) -> None:
        """Count one exchange that has ended.

        Args:
            route: the route's name, or empty where none matched.
            method: as on the wire; what is not in the table counts as OTHER.
            status: of the answer, three digits.
            seconds: from its first byte to the answer's last.
        """
        self.http_requests.of(route, _METHODS.get(method, OTHER), _STATUSES.get(status) or str(status)).inc()
        self.http_request_duration_seconds.of(route).observe(seconds)

    def keep_routes(self, names: Collection[str]) -> None:
        """Forget the series of routes that a reload has taken away."""
        kept = {"", *names}
        self.http_requests.keep(kept)
        self.http_request_duration_seconds.keep(kept)
        self.decisions.keep(kept)

    def set_certificates(self, expiries: Mapping[str, float], now: Callable[[], float] = time.time) -> None:
        """Serve the remaining life of exactly these certificates, computed at each scrape.

        Args:
            expiries: by name, POSIX seconds.
            now: the clock, POSIX seconds.
        """
        self.certificate_expiry_seconds.keep(expiries)
        for name, expiry in expiries.items():
            self.certificate_expiry_seconds.of(name).set_function(partial(_remaining, expiry, now))

    def expose(self) -> bytes:
        """Return every metric in Prometheus' text format (`CONTENT_TYPE`)."""
        return generate_latest(self.registry)


def _remaining(expiry: float, now: Callable[[], float]) -> float:
    return expiry - now()
