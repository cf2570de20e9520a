"""`time.*`: moments in nanoseconds since 1970, read and written by the layouts that Go has for them.

A layout shows how the second of January 2006, 15:04:05, would be written. Time zones are the system's.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from proxy.policy.builtins.layouts import LAYOUTS, Fields, read, write
from proxy.policy.builtins.operands import INT64, array, text, whole

_RFC3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(?:Z|([+-])([0-9]{2}):([0-9]{2}))",
    re.ASCII,
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_DAYS: Final = 1_000_000  # that are added: more cannot be within 292 years of 1970


def parse_rfc3339_ns(value: object) -> int:
    """Return nanoseconds since 1970; upper-case T and Z alone, no leap second, as Go reads RFC 3339."""
    match = _RFC3339.fullmatch(text(value))
    if match is None:
        raise ValueError("operand must be a time as RFC 3339 spells it")
    hours, minutes = int(match[4] or 0), int(match[5] or 0)
    if hours > 23 or minutes > 59:
        raise ValueError("operand must have an offset below a day")
    offset = timedelta(hours=hours, minutes=minutes) * (-1 if match[3] == "-" else 1)
    moment = datetime.strptime(match[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone(offset))
    return _nanoseconds(moment, int((match[2] or "0").ljust(9, "0")))


def _nanoseconds(moment: datetime, fraction: int) -> int:
    since = moment - _EPOCH
    nanoseconds = (since.days * 86400 + since.seconds) * 10**9 + fraction
    if nanoseconds not in INT64:
        raise ValueError("operand must be within 292 years of 1970")
    return nanoseconds


def parse_ns(layout: object, value: object) -> int:
    """Return the nanoseconds since 1970 that a text spells by a layout."""
    fields = read(LAYOUTS.get(text(layout), text(layout)), text(value))
    zone = timezone(timedelta(seconds=fields.offset))
    moment = datetime(fields.year, fields.month, fields.day, fields.hour, fields.minute, fields.second, tzinfo=zone)
    return _nanoseconds(moment, fields.nanosecond)


class _Moment(NamedTuple):
    """A moment in its zone: whole seconds there, nanoseconds of the second, and the layout that came with it."""

    local: datetime
    nanosecond: int
    layout: str


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo:
    if name in ("", "UTC"):
        return UTC
    if name == "Local":
        raise ValueError("the zone must not be Local, which is each server's own")
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError("the zone must be one that is known") from None


def _moment(value: object) -> _Moment:
    """Return the moment that nanoseconds stand for, alone or in an array with zone and layout."""
    parts = array(value) if isinstance(value, list) else [value]
    if not 1 <= len(parts) <= 3:
        raise ValueError("operand must be nanoseconds, or an array of them, a zone and a layout")
    nanoseconds = whole(parts[0])
    if nanoseconds not in INT64:
        raise ValueError("operand must be within 292 years of 1970")
    seconds, nanosecond = divmod(nanoseconds, 10**9)
    zone = _zone(text(parts[1])) if len(parts) > 1 else UTC
    local = (_EPOCH + timedelta(seconds=seconds)).astimezone(zone)
    return _Moment(local, nanosecond, text(parts[2]) if len(parts) > 2 else "")


def time_format(value: object) -> str:
    """Return a moment as its layout spells it, by itself as RFC 3339 does."""
    local, nanosecond, layout = _moment(value)
    offset = local.utcoffset() or timedelta()
    seconds = offset.days * 86400 + offset.seconds
    fields = Fields(
        local.year, local.month, local.day, local.hour, local.minute, local.second, nanosecond, seconds,
        local.tzname() or "", local.weekday(),
    )  # fmt: skip
    return write(LAYOUTS.get(layout or "RFC3339Nano", layout), fields)


def add_date(value: object, years: object, months: object, days: object) -> int:
    """Return a moment so many years, months and days later; a day that a month lacks is one of the next."""
    local, nanosecond, _ = _moment(value)
    count = (local.year + whole(years)) * 12 + local.month - 1 + whole(months)
    if not 1 <= count // 12 <= 9999 or abs(whole(days)) > _MOST_DAYS:
        raise ValueError("the value must be within 292 years of 1970")
    first = datetime(count // 12, count % 12 + 1, 1, local.hour, local.minute, local.second, tzinfo=UTC)
    try:
        wall = first + timedelta(days=local.day - 1 + whole(days))
        return _nanoseconds(_in_zone(wall, local.tzinfo or UTC), nanosecond)
    except OverflowError:
        raise ValueError("the value must be within 292 years of 1970") from None


def _in_zone(wall: datetime, zone: tzinfo) -> datetime:
    """Return the moment when a zone's clocks show this, as Go picks it where they do twice or never."""
    guess = wall - (wall.astimezone(zone).utcoffset() or timedelta())
    return wall - (guess.astimezone(zone).utcoffset() or timedelta())


def diff(first: object, second: object) -> list[int]:
    """Return years, months, days, hours, minutes and seconds between two moments, by the clock of the first's zone."""
    one, other = _moment(first), _moment(second)
    moved = other._replace(local=other.local.astimezone(one.local.tzinfo))
    start, end = sorted((one, moved), key=lambda moment: (moment.local.astimezone(UTC), moment.nanosecond))
    early, late = start.local, end.local
    parts = [
        late.year - early.year, late.month - early.month, late.day - early.day,
        late.hour - early.hour, late.minute - early.minute, late.second - early.second,
    ]  # fmt: skip
    sizes = (0, 12, monthrange(early.year, early.month)[1], 24, 60, 60)
    for place in range(5, 0, -1):
        if parts[place] < 0:
            parts[place] += sizes[place]
            parts[place - 1] -= 1
    return parts
