"""What a browser calls itself, in few words: for people to know their sessions by, and for nothing else.

A User-Agent proves nothing. Where it is of no shape that we know, its beginning is shown as it is.
"""

from __future__ import annotations

from typing import Final

# The first token that is there names it: most browsers carry the names of others as well.
_BROWSERS: Final = (
    ("Edg/", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser/", "Samsung Internet"), ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"), ("CriOS/", "Chrome"), ("Chrome/", "Chrome"), ("Safari/", "Safari"),
)  # fmt: skip
_SYSTEMS: Final = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("CrOS", "ChromeOS"), ("Windows", "Windows"),
    ("Mac OS X", "macOS"), ("Linux", "Linux"),
)  # fmt: skip
_SHOWN = 80


def browser_of(user_agent: str) -> str:
    """Return the browser and the system that a User-Agent names: `Firefox, Linux`."""
    browser = next((name for token, name in _BROWSERS if token in user_agent), "")
    system = next((name for token, name in _SYSTEMS if token in user_agent), "")
    return f"{browser}, {system}" if browser and system else browser or user_agent[:_SHOWN]
