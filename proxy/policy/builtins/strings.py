"""Built-ins for texts, counted and cut by characters as OPA counts them."""

from __future__ import annotations

import re
from typing import Final

from proxy.policy.builtins.operands import MOST_TEXT, mapping, text, whole

_SPECIAL_IN_GLOBS: Final = re.compile(r"[\\*?\[\]{}]")


def lower(value: object) -> str:
    """Map each character to its lower case: one to one as Go has it, unlike `str.lower` on İ and a final Σ."""
    found = text(value)
    return found.lower() if found.isascii() else "".join(map(_lower_character, found))


def _lower_character(character: str) -> str:
    return "i" if character == "\u0130" else character.lower()


def upper(value: object) -> str:
    """Map each character to its upper case: one to one as Go has it, so that ß stays."""
    found = text(value)
    return found.upper() if found.isascii() else "".join(map(_upper_character, found))


def _upper_character(character: str) -> str:
    capital = character.upper()
    if len(capital) == 1:
        return capital
    title = character.title()  # ᾳ has a one-character capital, which is its title case
    return title if len(title) == 1 else character


def indexof(value: object, search: object) -> int:
    """Return the index of the first occurrence, in characters, or -1."""
    return text(value).find(_search(search))


def indexof_n(value: object, search: object) -> list[int]:
    """Return the index of each occurrence, in characters; they may overlap."""
    found, wanted = text(value), _search(search)
    places, place = [], found.find(wanted)
    while place >= 0:
        places.append(place)
        place = found.find(wanted, place + 1)
    return places


def _search(value: object) -> str:
    if value == "":
        raise ValueError("search must not be empty")
    return text(value)


def replace(value: object, old: object, new: object) -> str:
    """Return a text with every `old` in it replaced; OPA takes characters apart where that is empty."""
    held, sought = text(value), text(old)
    if not sought and not held.isascii():
        raise ValueError("what is replaced must not be empty where the text is not ascii")
    new_text = text(new)
    if len(held) + held.count(sought) * len(new_text) > MOST_TEXT:
        raise ValueError(f"the value must not have more than {MOST_TEXT} characters")
    return held.replace(sought, new_text)


def strings_count(value: object, search: object) -> int:
    """Return how often a text occurs, not overlapping."""
    return text(value).count(text(search))


def substring(value: object, offset: object, length: object) -> str:
    """Return `length` characters from `offset`, or all from there if it is negative."""
    found, first, wanted = text(value), whole(offset), whole(length)
    if first < 0:
        raise ValueError("offset must not be negative")
    return found[first:] if wanted < 0 else found[first : first + wanted]


def split_n(value: object, delimiter: object, count: object) -> list[str]:
    """Return the first `count` pieces between delimiters, or the last of them if it is negative."""
    found, between, wanted = text(value), text(delimiter), whole(count)
    pieces = found.split(between) if between else list(found)
    return pieces[:wanted] if wanted >= 0 else pieces[wanted:]


def replace_n(patterns: object, value: object) -> str:
    """Put what an object says in the place of each of its keys; where several begin, the first in order goes."""
    pairs = {text(old): text(new) for old, new in mapping(patterns).items()}
    found = text(value)
    if not pairs:
        return found
    if "" in pairs:
        raise ValueError("patterns must not be empty")
    longest = max(map(len, pairs.values()))
    if longest * len(found) > MOST_TEXT:
        raise ValueError(f"the value must not have more than {MOST_TEXT} characters")
    alternatives = "|".join(map(re.escape, sorted(pairs)))
    return re.sub(alternatives, lambda match: pairs[match[0]], found)


def quote_meta(value: object) -> str:
    """Return a glob pattern that matches a text alone."""
    return _SPECIAL_IN_GLOBS.sub(r"\\\g<0>", text(value))
