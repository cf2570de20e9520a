"""Durations and sizes carry a unit; a bare number would be somebody's guess."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = 3650 * 86400.0  # event loops overflow somewhere beyond
_BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
DURATION_PATTERN: Final = r"^([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h|d)$"
SIZE_PATTERN: Final = r"^([0-9]{1,9})(B|KiB|MiB|GiB)$"
_DURATION = re.compile(DURATION_PATTERN, re.ASCII)
_SIZE = re.compile(SIZE_PATTERN, re.ASCII)


def parse_duration(text: object) -> float:
    """Return seconds from `250ms`, `5s`, `30m`, `12h` or `7d`. Raise ValueError for anything else."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("must be a duration with its unit, such as 250ms, 5s, 10m, 12h or 7d")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > _LONGEST:
        raise ValueError("must not be longer than 3650d")
    return seconds


def parse_size(text: object) -> int:
    """Return bytes from `512B`, `64KiB`, `10MiB` or `4GiB`. Raise ValueError for anything else."""
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("must be a size with its unit, such as 512B, 64KiB, 10MiB or 4GiB")
    return int(match[1]) * _BYTES[match[2]]


def format_duration(seconds: float) -> str:
    """Return a duration as a person would spell it: 60s and 24h, not 1m and 1d."""
    whole = [
        (name, size)
        for name, size in _SECONDS.items()
        if (seconds / size).is_integer() and seconds / size >= (2 if size > 1 else 1)
    ]
    name, size = whole[-1] if whole else ("s", 1.0)
    return f"{seconds / size:.12g}{name}"


def format_size(size: int) -> str:
    """Return a size as the file would spell it."""
    name, unit = [(name, unit) for name, unit in _BYTES.items() if size % unit == 0 and (size or unit == 1)][-1]
    return f"{size // unit}{name}"


def _positive(value: float) -> float:
    if value <= 0:
        raise ValueError("must be longer than 0s")
    return value


def _some(value: int) -> int:
    if value <= 0:
        raise ValueError("must be larger than 0B")
    return value


_DURATION_SCHEMA = WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN})
_SIZE_SCHEMA = WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN})

Duration = Annotated[float, BeforeValidator(parse_duration), _DURATION_SCHEMA]
Wait = Annotated[Duration, AfterValidator(_positive)]  # a deadline of no time at all would refuse everything
Size = Annotated[int, BeforeValidator(parse_size), _SIZE_SCHEMA]
Budget = Annotated[Size, AfterValidator(_some)]
