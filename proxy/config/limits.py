"""Every budget of the proxy, named, with its default. Precedents are named where a peer chose a figure.

Sizes are bytes, durations seconds. A budget that is passed is a row of `proxy/errors.py`, never a silent cut.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, PlainValidator, WithJsonSchema

from proxy.config.units import Budget, Size, Wait

_MOST = 10_000_000


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST:
        raise ValueError(f"must be a whole number from 1 to {_MOST}")
    return value


Count = Annotated[
    int,
    PlainValidator(_count),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": _MOST}),
]


MOST_WORKERS = 256


def parse_workers(value: object) -> int | Literal["auto"]:
    """Return how many processes are to serve. Raise ValueError with the rule."""
    if value == "auto":
        return "auto"
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_WORKERS:
        raise ValueError(f"must be auto, or a whole number from 1 to {MOST_WORKERS}")
    return value


Workers = Annotated[
    int | Literal["auto"],
    PlainValidator(parse_workers),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": MOST_WORKERS}]}),
]


class Limits(BaseModel):
    """`limits:` of the config."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # The head of a request (nginx: 4 × 8 KiB, Envoy: 60 KiB and 100 fields).
    header_bytes: Budget = 64 * 1024
    header_count: Count = 100
    target_length: Budget = 8 * 1024
    request_head: Wait = 10.0  # from its first byte to its last; the TLS handshake has its own
    handshake: Wait = 10.0
    # Its body. A body slower than `body_rate` bytes a second, averaged after `body_grace`, is a slow-body attack.
    body: Size = 4 * 1024**3
    body_rate: Budget = 240  # Apache mod_reqtimeout: 500; 240 B/s carries a 2G modem
    body_grace: Wait = 10.0
    chunk_overhead: Budget = 16 * 1024  # chunk extensions and trailers: bytes of a chunked body that are no body
    # Connections. With several workers, each has these to itself.
    idle: Wait = 75.0  # keep-alive between requests (nginx: 75 s)
    requests_per_connection: Count = 10_000
    connections: Count = 10_000  # per listener
    connections_per_address: Count = 1_000  # per listener
    in_flight: Count = 10_000  # requests at once, per worker
    # Upstreams.
    upstream_connect: Wait = 5.0
    upstream_connections: Count = 128  # per endpoint
    upstream_wait: Wait = 5.0  # for a free connection of the pool
    upstream_idle: Wait = 55.0  # below the 60 s after which most servers close
    upstream_response_head_bytes: Budget = 64 * 1024
    # Tokens.
    token_bytes: Budget = 16 * 1024
    token_cache: Count = 10_000  # verified tokens remembered
    # Policy. A remembered decision takes one to two kilobytes.
    decision_memory: Size = 32 * 1024**2  # per worker
