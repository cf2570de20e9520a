"""What a policy answers, strictly read. Anything that is not such an answer is an error, and an error is a refusal."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

HeaderPairs = tuple[tuple[bytes, bytes], ...]


class Undefined(Enum):
    """What an engine returns for a rule without a value; null is a value."""

    UNDEFINED = "undefined"


UNDEFINED: Final = Undefined.UNDEFINED


@dataclass(frozen=True, slots=True)
class StepUp:
    """`require`: how fresh and how strong the sign-in must be (RFC 9470)."""

    max_age: int | None = None  # seconds
    acr: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision: `allow` and what goes with it. Header names are lower-case."""

    allow: bool
    reasons: tuple[str, ...] = ()
    public_reason: str | None = None
    headers: HeaderPairs = ()  # to the upstream if allowed, to the client if denied
    request_headers_to_remove: tuple[bytes, ...] = ()
    response_headers_to_add: HeaderPairs = ()
    http_status: int | None = None
    body: bytes | None = None
    require: StepUp | None = None
    dynamic_metadata: dict[str, Any] = field(default_factory=dict)
