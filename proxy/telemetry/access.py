"""The shapes of records other than decisions: access, event, tls. What is secret has no field here.

It knows field names and how a time is spelled; it must not know how a record is written (`records`), and takes who is
calling by shape, for identity lives above.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any, Protocol


class CallingPrincipal(Protocol):
    """The part of a principal that is told."""

    @property
    def kind(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def issuer(self) -> str: ...
    @property
    def derived(self) -> dict[str, Any]: ...


class CallingPeer(Protocol):
    """The part of a peer that is told."""

    @property
    def id(self) -> str: ...
    @property
    def derived(self) -> dict[str, Any]: ...


# Text as JSON, in ASCII alone, as in every record.
quoted = encode_basestring_ascii


@lru_cache(maxsize=8)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=64)
def timestamp(seconds: float) -> str:
    """Spell POSIX seconds as RFC 3339 in UTC with microseconds, those that have begun."""
    micros = int(seconds * 1_000_000)
    whole = micros // 1_000_000
    return f"{_second(whole)}.{micros - whole * 1_000_000:06d}Z"


ACCESS_BYTES = 512  # of an access record beside its facts, about


def access_line(
    started: float,
    request_id: str,
    facts: str,
    status: int,
    code: str | None,
    detail: str | None,
    decision_id: str | None,
    upstream: str,
    endpoint: str | None,
    bytes_in: int,
    bytes_out: int,
    duration: float,
) -> bytes:
    """Return the record of one exchange, as its line.

    A dictionary and its encoder take five times as long.

    Args:
        started: POSIX seconds of its first byte.
        facts: what `access_facts` made of the request.
        code: the catalogue's, or None where the upstream's answer was relayed.
        detail: the rule that was broken, which the client is not told; without secrets.
        upstream: its name, or empty.
        bytes_in, bytes_out: bytes of the bodies.
        duration: seconds.
    """
    return (
        f'{{"type":"access","time":"{timestamp(started)}","request_id":{quoted(request_id)},{facts},"status":{status},'
        f'"code":{quoted(code) if code else "null"},"detail":{quoted(detail) if detail is not None else "null"},'
        f'"decision_id":{quoted(decision_id) if decision_id else "null"},'
        f'"upstream":{quoted(upstream) if upstream else "null"},'
        f'"endpoint":{quoted(endpoint) if endpoint else "null"},'
        f'"bytes_in":{bytes_in},"bytes_out":{bytes_out},"duration_ms":{duration * 1000:.3f}}}\n'
    ).encode("ascii")


def access_facts(
    *,
    connection_id: str,
    listener: str,
    source: str,
    method: str,
    host: str,
    path: str,
    protocol: str,
    route: str,
    principal: CallingPrincipal | None,
    peer: CallingPeer | None,
) -> str:
    """Return the part of an access record that is the same for requests which differ in their time alone.

    Args:
        source: the client's address, without port.
        path: raw, without the query, which may hold secrets.
        protocol: such as `http/1.1`.
        route: its name, or empty.
        principal: None where the exchange ended before anybody was recognised.
        peer: the client certificate's identity, if there is one.
    """
    return (
        f'"connection_id":{quoted(connection_id)},"listener":{quoted(listener)},"source":{quoted(source)},'
        f'"method":{quoted(method)},"host":{quoted(host)},"path":{quoted(path)},"protocol":"{protocol}",'
        f'"route":{quoted(route) if route else "null"},'
        f'"principal":{_principal(principal) if principal is not None else "null"},'
        f'"peer":{_peer(peer) if peer is not None else "null"}'
    )


def _principal(principal: CallingPrincipal) -> str:
    text: str | None = principal.derived.get("access")
    if text is None:
        text = principal.derived["access"] = (
            f'{{"kind":{quoted(principal.kind)},"id":{quoted(principal.id)},"issuer":{quoted(principal.issuer)}}}'
        )
    return text


def _peer(peer: CallingPeer) -> str:
    text: str | None = peer.derived.get("access")
    if text is None:
        text = peer.derived["access"] = f'{{"id":{quoted(peer.id)}}}'
    return text


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
