"""Rego that regorus cannot parse, spelled in another way: string interpolation, and keywords as names in references.

`$"a {x}"` is a call of `internal.template_string` with the texts and, for each expression, an array that holds its
value or nothing; `a.if` is `a["if"]`, and as a function `a.__if__`; a rule `if.a` stands in a module of its own with
the package `….if`, where its head is `a`. What is spelled anew stays in the line where it stood, and columns are
counted back, so that messages name the right place. It knows characters and words, and leaves to the parser whatever
else there is.
"""

from __future__ import annotations

import re
from bisect import bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from proxy.policy.sources import Module

KEYWORDS: Final = frozenset({
    "as", "contains", "default", "else", "every", "false", "if", "import", "in", "not", "null", "package", "some",
    "true", "with",
})  # fmt: skip
_ENDING_NOTHING: Final = KEYWORDS - {"false", "null", "true"}  # behind these a rule goes on, in the next line too
_TOKEN: Final = re.compile(
    r'(?P<blank>[ \t\r\n]+|#[^\n]*)|(?P<template>\$["`])|(?P<text>"(?:[^"\\\n]|\\.)*"|`[^`]*`)'
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<number>[0-9][0-9A-Za-z_.]*)|(?P<sign>.)",
    re.DOTALL,
)
_WORDS: Final = "|".join(sorted(KEYWORDS))
_UNKNOWN: Final = re.compile(rf'\$["`]|\.(?:{_WORDS})\b|\b(?:{_WORDS})\.', re.ASCII)


class SpellingError(ValueError):
    """What cannot be spelled for regorus, with its offset in the text."""

    def __init__(self, rule: str, offset: int) -> None:
        super().__init__(rule)
        self.offset = offset


@dataclass(slots=True)
class Shifts:
    """How far what follows in a line was moved: for each line, from which columns on, and by how many.

    Columns are the parser's, to which a tab is four. What stands inside of what was spelled anew is found at its begin.
    """

    lines: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    spans: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # new columns of what was spelled anew

    def add(self, line: int, column: int, by: int) -> None:
        """Note that what begins at a column of the new text was moved by so many."""
        insort(self.lines.setdefault(line, []), (column, by))

    def original(self, line: int, column: int) -> int:
        """Return the column that a column of the new text stands for, both counted from 1."""
        shifts = self.lines.get(line, [])
        column = next((start for start, end in self.spans.get(line, ()) if start <= column < end), column)
        return max(column - sum(by for _, by in shifts[: bisect_right(shifts, (column, 2**31))]), 1)


# What is put in the place of what, from one byte of a text up to another.
Edit = tuple[int, int, str]


def edited(module: Module, edits: list[Edit], shifts: Shifts) -> Module:
    """Return a module with edits, none of which overlap, and note what they moved."""
    text = module.text.encode()
    for start, end, new in sorted(edits, key=lambda edit: edit[:2], reverse=True):
        line = text.count(b"\n", 0, start) + 1
        column = 1 + _width(text[text.rfind(b"\n", 0, start) + 1 : start].decode())
        by = _width(new) - _width(text[start:end].decode())
        if "\n" not in new:
            shifts.add(line, column + _width(new), by)
        text = text[:start] + new.encode() + text[end:]
    return Module(module.name, text.decode()) if edits else module


class Spelled(NamedTuple):
    """A file as the parser can read it.

    Args:
        modules: one, and one more for each keyword that its rules are named by.
        shifts: from the new columns to the old ones.
    """

    modules: list[Module]
    shifts: Shifts


def spell(module: Module) -> Spelled:
    """Return a file in words that regorus knows. Raise SpellingError for what has none."""
    if not _UNKNOWN.search(module.text):
        return Spelled([module], Shifts())
    file = _File(module.text)
    return Spelled([Module(module.name, text) for text in file.texts()], file.shifts)


class _Piece(NamedTuple):
    kind: str
    text: str
    start: int


def _pieces(text: str, start: int = 0) -> Iterator[_Piece]:
    while (match := _TOKEN.match(text, start)) is not None:
        end = _template_end(text, match.end()) if match.lastgroup == "template" else match.end()
        yield _Piece(str(match.lastgroup), text[start:end], start)
        start = end


def _template_end(text: str, start: int) -> int:
    """Return where a string interpolation ends whose text begins at `start`."""
    quote, at = text[start - 1], start
    while at < len(text) and (quote == "`" or text[at] != "\n"):
        if text[at] == quote:
            return at + 1
        at = _expression_end(text, at + 1) if text[at] == "{" else at + 1 + (text[at] == "\\")
    raise SpellingError("a string interpolation must be closed", start - 2)


def _expression_end(text: str, start: int) -> int:
    """Return where an expression in braces ends, the closing one included."""
    depth = 1
    for piece in _pieces(text, start):
        depth += (piece.text in ("{", "[", "(")) - (piece.text in ("}", "]", ")"))
        if depth == 0:
            return piece.start + 1
    raise SpellingError("braces in a string interpolation must be closed", start - 1)


@dataclass(slots=True)
class _Statement:
    """A rule, an import or the package: where its pieces are, and the keyword that its rule is named by."""

    start: int
    end: int
    keyword: str = ""


class _File:
    """One file, in pieces."""

    def __init__(self, text: str) -> None:
        self.shifts = Shifts()
        self._pieces = [*_pieces(text)]
        self._statements = [*self._split()]
        self._package = self._path_of_package()
        self._names = {self._pieces[one.start].text for one in self._statements if not one.keyword} - KEYWORDS

    def texts(self) -> list[str]:
        """Return what stays, and a text for each keyword that rules are named by."""
        moved = [one for one in self._statements if one.keyword]
        here = [one for one in self._statements if not one.keyword]
        everywhere = [one for one in here if self._pieces[one.start].text in ("package", "import")]
        texts = [self._written(here, here)]
        for keyword in dict.fromkeys(one.keyword for one in moved):
            rules = [one for one in moved if one.keyword == keyword]
            texts.append(self._written([*everywhere, *rules], rules, keyword))
        return texts

    def _split(self) -> Iterator[_Statement]:
        """Yield the statements: each begins a line, where nothing is open that the line could go on with."""
        found: list[_Statement] = []
        depth, begins_line, goes_on = 0, True, False
        for index, piece in enumerate(self._pieces):
            if piece.kind == "blank":
                begins_line = begins_line or "\n" in piece.text
                continue
            if depth == 0 and begins_line and not goes_on and piece.kind == "word":
                keyword = self._named_by(index)
                if keyword or piece.text not in KEYWORDS - {"package", "import", "default"}:
                    found.append(_Statement(index, 0, keyword))
            depth += (piece.text in ("{", "[", "(")) - (piece.text in ("}", "]", ")"))
            is_name = self._text(index - 1) == "." or self._text(index + 1) == "."
            goes_on = (piece.kind == "sign" and piece.text not in ("}", "]", ")")) or (
                piece.text in _ENDING_NOTHING and not is_name
            )
            begins_line = False
        ends = [one.start for one in found[1:]] + [len(self._pieces)]
        for one, end in zip(found, ends, strict=True):
            one.end = end
            yield one

    def _text(self, index: int) -> str:
        return self._pieces[index].text if 0 <= index < len(self._pieces) else ""

    def _named_by(self, index: int) -> str:
        """Return the keyword that a rule is named by, which begins here."""
        if self._text(index) == "default" and self._text(index + 1) != ".":
            index += 2
        return self._text(index) if self._text(index) in KEYWORDS and self._text(index + 1) == "." else ""

    def _path_of_package(self) -> str:
        for one in self._statements:
            if self._pieces[one.start].text == "package" and not one.keyword:
                within = range(one.start + 1, one.end)
                return "".join(self._spelled(index) for index in within if self._pieces[index].kind != "blank")
        return ""

    def _written(self, kept: list[_Statement], noted: list[_Statement], keyword: str = "") -> str:
        """Return the text of a module, and note what moved in it.

        Args:
            kept: its statements; of the others the ends of their lines stay.
            noted: those of them that have not been noted before.
            keyword: that the module's rules are named by.
        """
        out = ["".join(re.sub(r"[^\n]", " ", piece.text)) for piece in self._pieces]
        for one in kept:
            for index in range(one.start, one.end):
                out[index] = self._spelled(index, keyword if one.keyword else "")
            if keyword and not one.keyword and self._text(one.start) == "package":
                last = max(index for index in range(one.start, one.end) if self._pieces[index].kind != "blank")
                out[last] += f'["{keyword}"]'
        self._note(out, {index for one in noted for index in range(one.start, one.end)})
        return "".join(out)

    def _note(self, out: list[str], noted: set[int]) -> None:
        line, old, new = 1, 1, 1
        for index, (piece, text) in enumerate(zip(self._pieces, out, strict=True)):
            before = new - old
            if index in noted and piece.kind == "template":
                self.shifts.spans.setdefault(line, []).append((new, new + _width(text)))
            line += text.count("\n")
            old = _width(piece.text.rpartition("\n")[2]) + (1 if "\n" in piece.text else old)
            new = _width(text.rpartition("\n")[2]) + (1 if "\n" in text else new)
            moved = new - old - (0 if "\n" in text else before)
            if moved and index in noted:
                self.shifts.add(line, new, moved)

    def _spelled(self, index: int, keyword: str = "") -> str:
        """Return how a piece is spelled in a module whose rules are named by a keyword, or by none."""
        piece = self._pieces[index]
        if piece.kind == "template":
            return _call(piece.text)
        if piece.text == "." and self._text(index + 1) in KEYWORDS:
            return "." if self._text(index + 2) == "(" else ""
        if piece.text == "." and keyword and self._is_head(index - 1):
            return ""
        if piece.kind != "word":
            return piece.text
        if self._text(index - 1) == ".":
            if piece.text not in KEYWORDS:
                return piece.text
            # A function is seen by those who call it alone, and only a name can have a default.
            return f"__{piece.text}__" if self._text(index + 1) == "(" else f'["{piece.text}"]'
        if piece.text in KEYWORDS:
            if keyword and self._is_head(index):
                return ""
            is_reference = self._text(index + 1) == "." and self._begins(index)
            return f'data.{self._package}["{piece.text}"]' if is_reference else piece.text
        return f"data.{self._package}.{piece.text}" if keyword and piece.text in self._names else piece.text

    def _begins(self, index: int) -> bool:
        """Tell whether a statement of a body may begin here: OPA reads a keyword as a name nowhere else."""
        blank = self._text(index - 1) if index and self._pieces[index - 1].kind == "blank" else ""
        return "\n" in blank or self._text(index - (2 if blank else 1)) in ("{", ";", "|")

    def _is_head(self, index: int) -> bool:
        """Tell whether a keyword is what a rule is named by."""
        starts = {one.start for one in self._statements if one.keyword}
        if self._text(index + 1) != ".":
            return False
        return index in starts or (index - 2 in starts and self._pieces[index - 1].kind == "blank")


def _width(text: str) -> int:
    return len(text) + 3 * text.count("\t")


def _call(template: str) -> str:
    """Return a string interpolation as a call."""
    quote, text = template[1], template[2:-1]
    parts: list[str] = []
    literal, at = "", 0
    while at < len(text):
        if text[at] == "{":
            end = _expression_end(text, at + 1)
            parts += [quote + literal + quote, _closure(text[at + 1 : end - 1])]
            literal, at = "", end
        elif text.startswith("\\{", at):
            literal, at = literal + "{", at + 2
        else:
            step = 2 if text[at] == "\\" else 1
            literal, at = literal + text[at : at + step], at + step
    return f"internal.template_string([{', '.join([*parts, quote + literal + quote])}])"


def _closure(expression: str) -> str:
    spelled = "".join(_call(piece.text) if piece.kind == "template" else piece.text for piece in _pieces(expression))
    return f"[__value__ | __value__ := {spelled}]"
