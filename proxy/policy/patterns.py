r"""Which regular expressions mean the same to OPA (RE2 in Go) and to regorus (Rust): a grammar of what may be written.

The two dialects part in silence: `\d` is ASCII to one and Unicode to the other, `[a&&b]` a list or an intersection,
`\<` a sign or the edge of a word. What this grammar lets pass gave the same answers over ten thousand generated calls.
"""

from __future__ import annotations

import re
from typing import Final

_META: Final = frozenset("\\.+*?()|[]{}^$")
_ESCAPED: Final = _META | frozenset("/-nrtf")
_ESCAPED_IN_CLASS: Final = frozenset("\\]^-./nrt[")
_POSIX: Final = ("alnum", "alpha", "digit", "lower", "upper", "xdigit", "punct", "space")
_MOST_REPEATS: Final = 1000  # RE2's own bound

# ASCII in RE2, Unicode in Rust.
_INSTEAD: Final = {"d": "[0-9]", "D": "[^0-9]", "w": "[0-9A-Za-z_]", "W": "[^0-9A-Za-z_]", "s": r"[ \t\n\r\f]"}


_POSIX_CLASS: Final = re.compile(r"\[:[a-z]+:\]")
_REPLACEMENT: Final = re.compile(r"(?:[^$]|\$\$|\$(?:0|[1-9][0-9]?)(?!\w)|\$\{(?:0|[1-9][0-9]?)\})*")


class PatternError(ValueError):
    """A pattern that the two engines might read differently."""


def check_regex(pattern: str) -> None:
    """Let a pattern pass, or raise PatternError with the rule that it breaks."""
    scanner = _Scanner(pattern)
    if pattern.startswith("(?i)"):
        scanner.at = 4
    scanner.scan_alternatives()
    if scanner.at < len(pattern):
        raise PatternError("pattern must not close a group that is not open")


def check_separator(pattern: str) -> None:
    """Let a pattern pass that something can be split at, or raise PatternError: the engines part where it is empty."""
    check_regex(pattern)
    if re.search(_POSIX_CLASS.sub("a", pattern), "") is not None:
        raise PatternError("pattern must not match an empty text where something is split")


def check_replacement(text: str) -> None:
    """Let what `regex.replace` puts in pass, or raise PatternError: the engines part on names such as `01` and `1é`."""
    if not _REPLACEMENT.fullmatch(text):
        raise PatternError("$ in a replacement must stand before {n}, a number from 0 to 99 by itself, or another $")


class _Scanner:
    """Reads a pattern from left to right; `at` is where it is."""

    __slots__ = ("at", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def scan_alternatives(self) -> bool:
        """Read up to the end or to a `)`; tell whether something in it is counted."""
        counted = False
        while self.at < len(self.text) and self.text[self.at] != ")":
            character = self.text[self.at]
            if character in "|^$":
                self.at += 1
            else:
                inside = self._scan_atom(character)
                counted = self._scan_quantifier(inside) or counted
        return counted

    def _scan_atom(self, character: str) -> bool:
        if character == "(":
            return self._scan_group()
        if character == "[":
            self._scan_class()
        elif character == "\\":
            self._scan_escape(_ESCAPED)
        elif character in _META and character != ".":
            raise PatternError(f"pattern must escape {character} where it is no operator")
        else:
            self.at += 1
        return False

    def _scan_group(self) -> bool:
        self.at += 1
        if self.text.startswith("?:", self.at):
            self.at += 2
        elif self.text.startswith("?", self.at):
            raise PatternError("pattern must have no group but ( and (?:, and (?i) at its very beginning")
        counted = self.scan_alternatives()
        if self.at == len(self.text):
            raise PatternError("pattern must close its groups")
        self.at += 1
        return counted

    def _scan_escape(self, allowed: frozenset[str]) -> None:
        escaped = self.text[self.at + 1 : self.at + 2]
        if escaped in _INSTEAD:
            raise PatternError(
                f"pattern must not have \\{escaped}, which OPA reads as ASCII: write {_INSTEAD[escaped]}"
            )
        if not escaped or escaped not in allowed:
            raise PatternError(f"pattern must not have the escape \\{escaped}")
        self.at += 2

    def _scan_class(self) -> None:
        """Read `[…]`: single characters, ranges of plain characters, POSIX classes."""
        self.at += 2 if self.text.startswith("[^", self.at) else 1
        first = self.at
        while self.text[self.at : self.at + 1] != "]" or self.at == first:
            character = self.text[self.at : self.at + 1]
            if not character or character == "]":
                raise PatternError("pattern must close its classes, and escape ] in them")
            if character == "\\":
                self._scan_escape(_ESCAPED_IN_CLASS)
            elif character == "[":
                self._scan_posix()
            elif character in "&~" and self.text.startswith(character, self.at + 1):
                raise PatternError(f"pattern must not have {character}{character} in a class")
            elif character == "-" and self.at != first and self.text[self.at + 1 : self.at + 2] != "]":
                raise PatternError("pattern must have - in a class first, last, or between two plain characters")
            else:
                self._scan_range()
        self.at += 1

    def _scan_posix(self) -> None:
        for name in _POSIX:
            if self.text.startswith(f"[:{name}:]", self.at):
                self.at += len(name) + 4
                return
        raise PatternError("pattern must escape [ in a class")

    def _scan_range(self) -> None:
        start, dash, end = (
            self.text[self.at],
            self.text[self.at + 1 : self.at + 2],
            self.text[self.at + 2 : self.at + 3],
        )
        if dash != "-" or end in ("", "]") or start == "-":
            self.at += 1
        elif end in "\\[-" or start > end:
            raise PatternError("pattern must have ranges of two plain characters, the lower one first")
        else:
            self.at += 3

    def _scan_quantifier(self, inside_is_counted: bool) -> bool:
        character = self.text[self.at : self.at + 1]
        counted = inside_is_counted
        if character in ("*", "+", "?"):
            self.at += 1
        elif character == "{":
            if inside_is_counted:
                raise PatternError("pattern must not count what is counted in itself")
            self._scan_count()
            counted = True
        else:
            return counted
        if self.text.startswith("?", self.at):
            self.at += 1
        return counted

    def _scan_count(self) -> None:
        end = self.text.find("}", self.at)
        least, _, most = self.text[self.at + 1 : max(end, self.at)].partition(",")
        if not (least.isascii() and least.isdigit() and (most == "" or (most.isascii() and most.isdigit()))):
            raise PatternError("pattern must have counts such as {2}, {2,} or {2,5}")
        if not int(least) <= int(most or least) <= _MOST_REPEATS:
            raise PatternError(f"pattern must have counts in order and up to {_MOST_REPEATS}")
        self.at = end + 1
