"""Which of our languages a browser asks for. It knows no text and no page.

A language is what `Accept-Language` weighs highest of those that there are (RFC 9110 section 12.5.4, found by lookup,
RFC 4647 section 3.4); English where it names none of them.
"""

from __future__ import annotations

import re
from typing import Final

ENGLISH: Final = "en"
GERMAN: Final = "de"
LANGUAGES: Final = (ENGLISH, GERMAN)

_LONGEST = 512
_RANGES = 24
_RANGE = re.compile(
    r"[ \t]*(\*|[a-z]{1,8}(?:-[a-z0-9]{1,8}){0,8})[ \t]*(?:;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*)?",
    re.ASCII,
)


def language_of(accepted: bytes) -> str:
    """Return the language to answer in.

    Args:
        accepted: the request's Accept-Language field, or nothing.
    """
    best, weight = ENGLISH, 0.0
    for element in accepted[:_LONGEST].decode("latin-1").lower().split(",")[:_RANGES]:
        match = _RANGE.fullmatch(element)
        if match is None:
            continue
        q = 1.0 if match[2] is None else float(match[2])
        language = ENGLISH if match[1] == "*" else match[1].partition("-")[0]
        if language in LANGUAGES and q > weight:
            best, weight = language, q
    return best
