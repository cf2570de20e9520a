"""What a policy answers, strictly read. Anything that is not such an answer is an error, and an error is a refusal."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from proxy.errors import POLICY_MALFORMED, POLICY_UNDEFINED, Refused
from proxy.http import headers as names

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


_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?|")


def parse_decision(value: object) -> Decision:
    """Return the decision that a policy's answer is: a boolean, or an object of known keys.

    Raises:
        Refused: POLICY_UNDEFINED where there is no answer, POLICY_MALFORMED where it is not of that shape.
    """
    if value is UNDEFINED:
        raise Refused(POLICY_UNDEFINED, "policy must be defined for the request")
    if isinstance(value, bool):
        return Decision(allow=value)
    try:
        return _object(value)
    except ValueError as error:
        raise Refused(POLICY_MALFORMED, str(error)) from None


def _object(value: object) -> Decision:
    if not isinstance(value, dict):
        raise ValueError("decision must be a boolean or an object")  # noqa: TRY004 - an answer is wrong, not a call
    allow = _allow(value)
    fields: dict[str, Any] = {}
    for key, item in value.items():
        if key in ("allow", "allowed"):
            continue
        if key not in _READERS:
            raise ValueError(f"decision must have no key but the documented ones: {key!r}"[:200])
        fields[key] = _READERS[key](item, key)
    if allow and not fields.keys().isdisjoint(("http_status", "body")):
        raise ValueError("http_status and body must stand in refusals alone")
    return Decision(allow=allow, **fields)


def _allow(value: Mapping[str, object]) -> bool:
    verdicts = [value[key] for key in ("allow", "allowed") if key in value]
    if not verdicts or not all(isinstance(verdict, bool) for verdict in verdicts):
        raise ValueError("decision must have allow or allowed, a boolean")
    if len(set(verdicts)) > 1:
        raise ValueError("allow and allowed must be equal")
    return bool(verdicts[0])


def _text(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{key} must be a string")  # noqa: TRY004
    if not value.isascii():
        value.encode()  # a lone surrogate, which JSON may escape, could never be written; UnicodeError is a ValueError
    return value


def _texts(value: object, key: str) -> tuple[str, ...]:
    if not isinstance(value, list | set | frozenset | tuple):
        raise ValueError(f"{key} must be a list or a set of strings")  # noqa: TRY004
    texts = tuple(_text(item, key) for item in value)
    return texts if isinstance(value, list) else tuple(sorted(texts))


def _number(value: object, key: str, least: int, most: int) -> int:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if not whole or isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key} must be a whole number")
    if not least <= value <= most:
        raise ValueError(f"{key} must be from {least} to {most}")
    return int(value)


def _name(text: object, key: str) -> bytes:
    """Return a lower-case field name that policy may write: none that frames, routes, or says who is calling."""
    name = _text(text, key).lower().encode("utf-8")
    folded = names.fold(name)
    ours = folded in names.RESERVED or folded.startswith((b"proxy-", *names.IDENTITY_PREFIXES))
    if not _TOKEN.fullmatch(name) or ours:
        raise ValueError(f"{key} must not name the field {text!r}"[:200])
    return name


def _pairs(value: object, key: str) -> HeaderPairs:
    if not isinstance(value, dict):
        raise ValueError(f"{key} must be an object")  # noqa: TRY004
    pairs: list[tuple[bytes, bytes]] = []
    for text, item in value.items():
        name = _name(text, key)
        for each in item if isinstance(item, list) else [item]:
            content = _text(each, key).encode("utf-8")
            if not _VALUE.fullmatch(content):
                raise ValueError(f"{key} must hold field values without control characters")
            if name in (b"cookie", b"set-cookie") and any(map(names.is_our_cookie, content.split(b";"))):
                raise ValueError(f"{key} must not set a cookie of the proxy")
            pairs.append((name, content))
    return tuple(pairs)


def _names(value: object, key: str) -> tuple[bytes, ...]:
    return tuple(_name(text, key) for text in _texts(value, key))


_AGE: Final = re.compile(r"([0-9]{1,6})([smh])", re.ASCII)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600}


def _require(value: object, key: str) -> StepUp:
    if not isinstance(value, dict) or not value or not value.keys() <= {"max_age", "acr"}:
        raise ValueError(f"{key} must be an object of max_age and acr")
    acr = value.get("acr", [])
    return StepUp(
        max_age=_seconds(value["max_age"]) if "max_age" in value else None,
        acr=(acr,) if isinstance(acr, str) else _texts(acr, "acr"),
    )


def _seconds(value: object) -> int:
    """Return an age: a number of seconds, or text with a unit, such as `15m`."""
    if isinstance(value, str) and (match := _AGE.fullmatch(value)) is not None:
        return int(match[1]) * _UNITS[match[2]]
    return _number(value, "max_age", 0, 10**9)


def _metadata(value: object, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{key} must be an object")  # noqa: TRY004
    return value


_READERS: Final[dict[str, Callable[[Any, str], Any]]] = {
    "reasons": _texts,
    "public_reason": _text,
    "headers": _pairs,
    "request_headers_to_remove": _names,
    "response_headers_to_add": _pairs,
    "http_status": lambda value, key: _number(value, key, 300, 599),
    "body": lambda value, key: _text(value, key).encode("utf-8"),
    "require": _require,
    "dynamic_metadata": _metadata,
}
