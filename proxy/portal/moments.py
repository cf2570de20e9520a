"""Moments in words: when something was or will be, and how far away. Pages have no script to know a time zone by."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from proxy.portal.language import GERMAN

_MONTHS: Final = {
    "en": (
        "January", "February", "March", "April", "May", "June",
        "July", "August", "September", "October", "November", "December",
    ),
    "de": (
        "Januar", "Februar", "März", "April", "Mai", "Juni",
        "Juli", "August", "September", "Oktober", "November", "Dezember",
    ),
}  # fmt: skip
# Seconds of a unit, and its name for one and for several.
_UNITS: Final = (
    (86400, {"en": ("day", "days"), "de": ("Tag", "Tagen")}),
    (3600, {"en": ("hour", "hours"), "de": ("Stunde", "Stunden")}),
    (60, {"en": ("minute", "minutes"), "de": ("Minute", "Minuten")}),
)
_NOW: Final = {"en": "just now", "de": "gerade eben"}
_SOON: Final = {"en": "in less than a minute", "de": "in weniger als einer Minute"}


def machine_time(at: float) -> str:
    """Return a moment for the `datetime` of a `<time>`.

    Args:
        at: POSIX seconds.
    """
    return _utc(at).strftime("%Y-%m-%dT%H:%M:%SZ")


def day_and_time(language: str, at: float) -> str:
    """Return a moment in words: `24 November 2026, 19:32 UTC`.

    Args:
        language: one of ours.
        at: POSIX seconds.
    """
    moment = _utc(at)
    day = f"{moment.day}." if language == GERMAN else f"{moment.day}"
    return f"{day} {_MONTHS[language][moment.month - 1]} {moment.year}, {moment:%H:%M} UTC"


def distance(language: str, at: float, now: float) -> str:
    """Return how far away a moment is: `in 7 hours`, `12 minutes ago`.

    Args:
        language: one of ours.
        at, now: POSIX seconds.
    """
    seconds = abs(at - now)
    for size, names in _UNITS:
        if seconds >= size:
            count = int(seconds // size)
            unit = f"{count} {names[language][count != 1]}"
            if at > now:
                return f"in {unit}"
            return f"vor {unit}" if language == GERMAN else f"{unit} ago"
    return _SOON[language] if at > now else _NOW[language]


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
