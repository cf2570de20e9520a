"""Go's layouts of times: texts that show how one certain moment would be written."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

LAYOUTS: Final = {
    "ANSIC": "Mon Jan _2 15:04:05 2006",
    "UnixDate": "Mon Jan _2 15:04:05 MST 2006",
    "RubyDate": "Mon Jan 02 15:04:05 -0700 2006",
    "RFC822": "02 Jan 06 15:04 MST",
    "RFC822Z": "02 Jan 06 15:04 -0700",
    "RFC850": "Monday, 02-Jan-06 15:04:05 MST",
    "RFC1123": "Mon, 02 Jan 2006 15:04:05 MST",
    "RFC1123Z": "Mon, 02 Jan 2006 15:04:05 -0700",
    "RFC3339": "2006-01-02T15:04:05Z07:00",
    "RFC3339Nano": "2006-01-02T15:04:05.999999999Z07:00",
}

_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Fields(NamedTuple):
    """The parts of a moment, in its zone.

    Args:
        offset: seconds east of UTC.
        zone: the zone's abbreviation.
        weekday: 0 is Monday.
    """

    year: int
    month: int
    day: int
    hour: int
    minute: int
    second: int
    nanosecond: int
    offset: int
    zone: str
    weekday: int


# What a layout is made of, what reads the longer ones first. `Jan` is no element where more letters of a word follow.
_ELEMENT: Final = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|2006|__2|_2(?!006)|002|0[1-6]|15|1|2|3|4|5|PM|pm"
    r"|[Z-]07(?::?00(?::?00)?)?|[.,](?:0+|9+)(?![0-9])"
)
_STEADY: Final[dict[str, tuple[str, str]]] = {
    "2006": ("year", "04d"), "01": ("month", "02d"), "1": ("month", "d"), "02": ("day", "02d"), "_2": ("day", "2d"),
    "2": ("day", "d"), "15": ("hour", "02d"), "04": ("minute", "02d"), "4": ("minute", "d"), "05": ("second", "02d"),
    "5": ("second", "d"),
}  # fmt: skip


def _elements(layout: str) -> list[str]:
    """Return a layout in pieces: what stands for itself and what stands for a part take turns."""
    pieces, at = [], 0
    for match in _ELEMENT.finditer(layout):
        pieces += [layout[at : match.start()], match[0]]
        at = match.end()
    return [*pieces, layout[at:]]


def write(layout: str, fields: Fields) -> str:
    """Return a moment as a layout spells it. Raise ValueError for an element that is rare."""
    pieces = _elements(layout)
    return "".join(_written(piece, fields) if index % 2 else piece for index, piece in enumerate(pieces))


def _written(element: str, fields: Fields) -> str:
    if element in _STEADY:
        name, shape = _STEADY[element]
        return format(getattr(fields, name), shape)
    if element in ("January", "Jan"):
        return _MONTHS[fields.month - 1][: len(element) if element == "Jan" else None]
    if element in ("Monday", "Mon"):
        return _DAYS[fields.weekday][: 3 if element == "Mon" else None]
    if element in ("3", "03"):
        return format(fields.hour % 12 or 12, "02d" if element == "03" else "d")
    if element in ("PM", "pm"):
        half = "PM" if fields.hour >= 12 else "AM"
        return half if element == "PM" else half.lower()
    if element == "06":
        return format(fields.year % 100, "02d")
    if element == "MST":
        return (
            fields.zone
            if fields.zone[:1].isalpha()
            else _offset("-07" if fields.offset % 3600 == 0 else "-0700", fields.offset)
        )
    if element[0] in ".,":
        return _fraction(element, fields.nanosecond)
    if element[0] in "Z-":
        return "Z" if element[0] == "Z" and fields.offset == 0 else _offset(element, fields.offset)
    raise ValueError("a layout must not have the day of the year")


def _fraction(element: str, nanosecond: int) -> str:
    digits = f"{nanosecond:09d}"[: len(element) - 1].ljust(len(element) - 1, "0")
    if element[1] == "9":
        digits = digits.rstrip("0")
    return element[0] + digits if digits else ""


def _offset(element: str, seconds: int) -> str:
    sign, rest = "-" if seconds < 0 else "+", abs(seconds)
    between = ":" if ":" in element else ""
    parts = [rest // 3600, rest // 60 % 60, rest % 60][: len(element.replace(":", "")) // 2]
    return sign + between.join(f"{part:02d}" for part in parts)


_READ: Final = {
    "2006": r"(?P<year>[0-9]{4})", "06": r"(?P<short>[0-9]{2})",
    "01": r"(?P<month>0[1-9]|1[0-2])", "1": r"(?P<month>1[0-2]|[1-9])",
    "02": r"(?P<day>[0-9]{2})", "_2": r" ?(?P<day>[0-9]{1,2})", "2": r"(?P<day>[0-9]{1,2})",
    "15": r"(?P<hour>[0-9]{2})", "04": r"(?P<minute>[0-9]{2})",
    "05": r"(?P<second>[0-9]{2})",
    "January": rf"(?P<name>{'|'.join(_MONTHS)})", "Jan": rf"(?P<name>{'|'.join(name[:3] for name in _MONTHS)})",
    "Monday": f"(?:{'|'.join(_DAYS)})", "Mon": f"(?:{'|'.join(name[:3] for name in _DAYS)})",
    "MST": "(?:UTC|GMT)", "03": r"(?P<hour>0[0-9]|1[0-2])", "PM": r"(?P<half>[AP]M)", "pm": r"(?P<half>[ap]m)",
    "Z07:00": r"(?P<offset>Z|[+-][0-9]{2}:[0-9]{2})", "-07:00": r"(?P<offset>[+-][0-9]{2}:[0-9]{2})",
    "Z0700": r"(?P<offset>Z|[+-][0-9]{4})", "-0700": r"(?P<offset>[+-][0-9]{4})",
}  # fmt: skip


def read(layout: str, value: str) -> Fields:
    """Return the moment that a text spells by a layout.

    Each number must have as many digits as the layout shows, and of zones by name there are UTC and GMT: what others
    mean depends on where the server stands.

    Raises:
        ValueError: the text is another one, or the layout has an element that is rare.
    """
    pieces = _elements(layout)
    pattern = ""
    for index, piece in enumerate(pieces):
        if index % 2 == 0:
            pattern += re.escape(piece)
        elif piece[0] in ".," and pieces[index - 2 : index] == ["05", ""]:
            continue  # read with the seconds
        elif piece not in _READ:
            raise ValueError("a layout must have common elements")
        else:
            pattern += _READ[piece]
        if index % 2 and piece == "05":
            pattern += _fraction_pattern(pieces[index + 1 :])
    try:
        match = re.fullmatch(pattern, value, re.ASCII)
    except re.error:  # a group twice
        raise ValueError("a layout must have each part once") from None
    if match is None:
        raise ValueError("operand must be a time as the layout spells it")
    return _fields(match.groupdict(default=""))


def _fraction_pattern(following: list[str]) -> str:
    """Return what reads the part of a second: as many digits as zeros in the layout, else any, or none."""
    if following[0] == "" and following[1:2] and following[1][:2] in (".0", ",0"):
        return rf"[.,](?P<fraction>[0-9]{{{len(following[1]) - 1}}})"
    return r"(?:[.,](?P<fraction>[0-9]{1,9}))?"


def _fields(parts: dict[str, str]) -> Fields:
    year = int(parts.get("year") or 0)
    if parts.get("short"):
        year = int(parts["short"]) + (1900 if int(parts["short"]) >= 69 else 2000)
    month = _named(parts["name"]) if parts.get("name") else int(parts.get("month") or 1)
    digits = parts.get("offset", "").lstrip("Z+-").replace(":", "")
    hours, minutes = int(digits[:2] or 0), int(digits[2:] or 0)
    if hours > 23 or minutes > 59 or year == 0:
        raise ValueError("operand must have a year, and an offset below a day")
    offset = (hours * 3600 + minutes * 60) * (-1 if parts.get("offset", "").startswith("-") else 1)
    day, fraction = int(parts.get("day") or 1), int((parts.get("fraction") or "0").ljust(9, "0"))
    hour, minute, second = (int(parts.get(name) or 0) for name in ("hour", "minute", "second"))
    if half := parts.get("half", "").lower():
        hour = hour + 12 if half == "pm" and hour < 12 else 0 if half == "am" and hour == 12 else hour
    return Fields(year, month, day, hour, minute, second, fraction, offset, "", 0)


def _named(name: str) -> int:
    return next(number for number, month in enumerate(_MONTHS, start=1) if month.startswith(name))
