"""`glob.match` in Python: regorus lets `*` cross a `:` and takes `?` for an ASCII character alone.

A pattern is compiled to bit masks and matched in one pass, whatever it is, so that no text and no pattern can make it
slow. The dialect is OPA's: `*` and `?` stop at delimiters, `**` does not; `[a-c]`, `[!a]`, `{x,y}` and `\\` as usual.
What OPA's library reads in surprising ways (braces in braces, empty classes) is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

_MOST_ALTERNATIVES: Final = 64


@dataclass(slots=True)
class _Glob:
    """One pattern without braces. Bit i of a mask speaks of the i-th element."""

    length: int = 0
    characters: dict[str, int] = field(default_factory=dict)
    classes: list[tuple[int, bool, str]] = field(default_factory=list)  # bit, negated, members
    ones: int = 0
    stars: int = 0  # `*`
    runs: int = 0  # `**`

    def matches(self, text: str, delimiters: str) -> bool:
        """Tell whether the whole text matches: the set of elements that could be next is followed through it."""
        state = self._skip(1)
        for character in text:
            stops = character in delimiters
            taken = self.characters.get(character, 0)
            if not stops:
                taken |= self.ones
            for bit, negated, members in self.classes:
                if (character in members) != negated:
                    taken |= bit
            staying = state & (self.runs if stops else self.runs | self.stars)
            state = self._skip((state & taken) << 1 | staying)
            if not state:
                return False
        return bool(state >> self.length & 1)

    def _skip(self, state: int) -> int:
        skippable = self.stars | self.runs
        while (further := state | (state & skippable) << 1) != state:
            state = further
        return state


def glob_match(pattern: object, delimiters: object, text: object) -> bool:
    """Tell whether a text matches a pattern.

    Args:
        pattern: the pattern.
        delimiters: one-character strings; none is `.`, and null is no delimiter at all.
        text: the text.
    """
    if type(pattern) is not str or type(text) is not str:
        raise ValueError("glob.match must have a pattern and a text that are strings")
    if delimiters is None:
        stops = ""
    elif type(delimiters) is list and all(type(one) is str and len(one) == 1 for one in delimiters):
        stops = "".join(delimiters) or "."
    else:
        raise ValueError("glob.match must have delimiters of one character each")
    return any(glob.matches(text, stops) for glob in compile_glob(pattern))


@lru_cache(maxsize=4096)
def compile_glob(pattern: str) -> tuple[_Glob, ...]:
    """Compile a pattern, once for each alternative that its braces make. Raise ValueError for one that is malformed."""
    heads = [_Glob()]
    position = 0
    while position < len(pattern):
        if pattern[position] == "{":
            end, alternatives = _alternatives(pattern, position + 1)
            heads = [_extended(head, part) for head in heads for part in alternatives]
            if len(heads) > _MOST_ALTERNATIVES:
                raise ValueError(f"pattern must not have more than {_MOST_ALTERNATIVES} alternatives")
            position = end
        else:
            end = _element_end(pattern, position)
            heads = [_extended(head, pattern[position:end]) for head in heads]
            position = end
    return tuple(heads)


def _alternatives(pattern: str, position: int) -> tuple[int, list[str]]:
    """Return where braces end and what stands between their commas."""
    parts = [""]
    while position < len(pattern):
        if pattern[position] == "}":
            if not all(parts):
                raise ValueError("pattern must not have an empty alternative")
            return position + 1, parts
        if pattern[position] == "{":
            raise ValueError("pattern must not have braces in braces")
        end = _element_end(pattern, position)
        if pattern[position] == ",":
            parts.append("")
        else:
            parts[-1] += pattern[position:end]
        position = end
    raise ValueError("pattern must close its braces")


def _element_end(pattern: str, position: int) -> int:
    """Return where the element that begins at a position ends; a class and an escape are one."""
    if pattern[position] == "\\":
        if position + 1 == len(pattern):
            raise ValueError("pattern must not end in a backslash")
        return position + 2
    if pattern[position] == "[":
        end = pattern.find("]", position)
        if end < 0:
            raise ValueError("pattern must close its brackets")
        return end + 1
    if pattern[position] in "]}":
        raise ValueError("pattern must escape a bracket that closes nothing")
    return position + 1


def _extended(glob: _Glob, part: str) -> _Glob:
    """Return a copy of a glob with the elements of a part behind it."""
    out = _Glob(glob.length, dict(glob.characters), list(glob.classes), glob.ones, glob.stars, glob.runs)
    position = 0
    while position < len(part):
        end = _element_end(part, position)
        _add(out, part[position:end])
        position = end
    return out


def _add(glob: _Glob, element: str) -> None:
    bit = 1 << glob.length
    if element == "*":
        before = bit >> 1
        if before & (glob.stars | glob.runs):  # `**` is two of `*`, and more of them are no more
            glob.stars &= ~before
            glob.runs |= before
            return
        glob.stars |= bit
    elif element == "?":
        glob.ones |= bit
    elif element[0] == "[":
        glob.classes.append((bit, *_members(element[1:-1])))
    else:
        character = element[-1]
        glob.characters[character] = glob.characters.get(character, 0) | bit
    glob.length += 1


def _members(inside: str) -> tuple[bool, str]:
    """Return whether a class is negated, and its characters."""
    negated = inside.startswith("!")
    inside = inside[1:] if negated else inside
    if len(inside) == 3 and inside[1] == "-" and inside[0] <= inside[2]:
        return negated, "".join(map(chr, range(ord(inside[0]), ord(inside[2]) + 1)))
    if not inside or any(character in "-\\[!^" for character in inside):
        raise ValueError("pattern must have classes such as [abc], [a-c] or [!abc]")
    return negated, inside
