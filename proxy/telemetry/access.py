"""The shapes of records other than decisions: access, event, tls. What is secret has no field here.

It knows field names and how a time is spelled; it must not know how a record is written (`records`), and takes who is
calling by shape, for identity lives above.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Protocol


class CallingPrincipal(Protocol):
    """The part of a principal that is told."""

    @property
    def kind(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def issuer(self) -> str: ...


class CallingPeer(Protocol):
    """The part of a peer that is told."""

    @property
    def id(self) -> str: ...


@lru_cache(maxsize=8)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def timestamp(seconds: float) -> str:
    """Spell POSIX seconds as RFC 3339 in UTC with microseconds."""
    whole, micro = divmod(round(seconds * 1_000_000), 1_000_000)
    return f"{_second(whole)}.{micro:06d}Z"


def access_record(
    *,
    started: float,
    request_id: str,
    connection_id: str,
    listener: str,
    source: str,
    method: str,
    host: str,
    path: str,
    protocol: str,
    route: str | None,
    principal: CallingPrincipal | None,
    peer: CallingPeer | None,
    status: int,
    code: str | None,
    detail: str | None,
    decision_id: str | None,
    upstream: str | None,
    endpoint: str | None,
    bytes_in: int,
    bytes_out: int,
    duration: float,
) -> dict[str, Any]:
    """Return the record of one exchange.

    Args:
        started: POSIX seconds of its first byte.
        source: the client's address, without port.
        path: raw, without the query, which may hold secrets.
        protocol: such as `http/1.1`.
        principal: None where the exchange ended before anybody was recognised.
        peer: the client certificate's identity, if there is one.
        code: the catalogue's, or None where the upstream's answer was relayed.
        detail: the rule that was broken, which the client is not told; without secrets.
        bytes_in, bytes_out: bytes of the bodies.
        duration: seconds.
    """
    return {
        "type": "access",
        "time": timestamp(started),
        "request_id": request_id,
        "connection_id": connection_id,
        "listener": listener,
        "source": source,
        "method": method,
        "host": host,
        "path": path,
        "protocol": protocol,
        "route": route,
        "principal": principal and {"kind": principal.kind, "id": principal.id, "issuer": principal.issuer},
        "peer": peer and {"id": peer.id},
        "status": status,
        "code": code,
        "detail": detail,
        "decision_id": decision_id,
        "upstream": upstream,
        "endpoint": endpoint,
        "bytes_in": bytes_in,
        "bytes_out": bytes_out,
        "duration_ms": round(duration * 1000, 3),
    }


def event_record(event: str, **fields: Any) -> dict[str, Any]:
    """Return the record of something that happened to the proxy itself: `listening`, `reloaded`, `keys_failed` …"""
    return {"type": "event", "time": timestamp(time.time()), "event": event, **fields}


def tls_record(*, listener: str, connection_id: str, source: str, sni: str | None, reason: str) -> dict[str, Any]:
    """Return the record of a handshake that failed.

    Args:
        source: the client's address, without port.
        sni: the server name that was asked for, as far as it was read.
        reason: the TLS library's, or the rule that was broken.
    """
    return {
        "type": "tls",
        "time": timestamp(time.time()),
        "connection_id": connection_id,
        "listener": listener,
        "source": source,
        "sni": sni,
        "reason": reason,
    }
