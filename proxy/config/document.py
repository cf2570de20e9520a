"""YAML text to plain values that still know their lines.

It knows YAML and nothing of the schema. Read strictly, because a config decides who gets in: scalars by YAML 1.2's
core schema (`no` is text, `08:00` is no number in base 60, `010` is not eight), every key once, no tags, no merge
keys, one document, and bounds on size, depth and what aliases may expand to ("billion laughs").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import yaml

from proxy.config.mistake import Location, Mistake

MAX_BYTES: Final = 8 * 1024**2
MAX_VALUES: Final = 500_000  # after aliases are expanded
MAX_DEPTH: Final = 32

# libyaml reads ten thousand routes in a second, the parser in Python in twenty.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_CONSTANTS: Final = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
# Forty digits are more than any number that a claim holds; Python refuses to read more than 4,300.
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,39})", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,39})(?:\.[0-9]{1,40})?(?:[eE][-+]?[0-9]{1,3})?", re.ASCII)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # YAML 1.2 section 5.1
_UNREADABLE = re.compile("[\x00\ud800-\udfff]")

_SYNTAX: Final = (
    ("'\\t'", "a tab cannot indent YAML: use spaces"),
    ("found a tab character", "a tab cannot indent YAML: use spaces"),
    ("alphabetic or numeric character", "a value that begins with * or & needs quotes"),
    ("cannot start any token", "this character cannot begin a value: put the value in quotes"),
    ("mapping values are not allowed", "a second `key: value` stands on this line: put the value in quotes"),
    ("could not find expected ':'", "a key without its colon"),
    ("expected <block end>", "this line is indented otherwise than its neighbours"),
    ("did not find expected key", "this line is indented otherwise than its neighbours, or a bracket is not closed"),
    ("did not find expected '-' indicator", "this line is indented otherwise than the list above it"),
    ("expected ',' or", "a comma is missing, or a bracket is not closed"),
    ("did not find expected ',' or", "a comma is missing, or a bracket is not closed"),
    ("unexpected end of stream", "a quote is not closed"),
)  # fmt: skip


@dataclass(slots=True)
class _Scalar:
    value: str | int | float | bool | None
    text: str
    line: int


@dataclass(slots=True)
class _Sequence:
    line: int
    items: list[_Node] = field(default_factory=list)


@dataclass(slots=True)
class _Mapping:
    line: int
    items: dict[str, _Node] = field(default_factory=dict)
    key_lines: dict[str, int] = field(default_factory=dict)


_Node = _Scalar | _Sequence | _Mapping


class Located(NamedTuple):
    """A mistake and the line of the file, from 1, that it is on."""

    line: int
    mistake: Mistake


class _Broken(Exception):  # noqa: N818 - it breaks off the reading, and ends as a mistake
    """The text cannot be read any further."""

    def __init__(self, line: int, rule: str) -> None:
        super().__init__(rule)
        self.line = line
        self.rule = rule


class Document:
    """What was read: plain values, mistakes of the text itself, and the line of every place."""

    __slots__ = ("_root", "mistakes", "value")

    def __init__(self, root: _Node | None, mistakes: list[Located]) -> None:
        self._root = root
        self.mistakes = mistakes
        # dict, list, str, int, float, bool or None, all the way down; no part of it is shared.
        self.value: object = None if root is None else _plain(root)

    def line_of(self, location: Location) -> int:
        """Return the line of a key or list item; of what encloses it where the file does not have it."""
        node, line = self._root, 1
        for step in location:
            if isinstance(node, _Mapping) and isinstance(step, str) and step in node.items:
                line, node = node.key_lines[step], node.items[step]
            elif isinstance(node, _Sequence) and isinstance(step, int) and 0 <= step < len(node.items):
                node = node.items[step]
                line = node.line
            else:
                break
        return line


def parse(content: bytes) -> Document:
    """Read YAML. Never raises: what is wrong is in the document's `mistakes`."""
    reader = _Reader()
    try:
        root = reader.read(_decode(content))
    except _Broken as broken:
        return Document(None, [*reader.mistakes, Located(broken.line, Mistake((), broken.rule))])
    return Document(root, reader.mistakes)


def _decode(content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise _Broken(1, f"the file must not be larger than {MAX_BYTES // 1024**2} MiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Broken(content.count(b"\n", 0, error.start) + 1, "the file must be UTF-8") from None
    unprintable = _UNPRINTABLE.search(text)
    if unprintable:
        raise _Broken(text.count("\n", 0, unprintable.start()) + 1, "the file must not hold control characters")
    return text


class _Reader:
    """Builds the tree from parser events, so that every bound holds before memory or stack is spent."""

    __slots__ = ("_anchors", "_open", "_values", "mistakes")

    def __init__(self) -> None:
        self.mistakes: list[Located] = []
        self._anchors: dict[str, tuple[_Node, int]] = {}
        self._open: set[str] = set()
        self._values = 0

    def read(self, text: str) -> _Node:
        events = _events(text)
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                root = self._node(next(events), events, ())
                self._end(events)
                return root
        raise _Broken(1, "the file is empty")

    def _end(self, events: Iterator[yaml.Event]) -> None:
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                raise _Broken(_line(event), "the file must be one YAML document: no second one after ---")

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], location: Location) -> _Node:
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor, line)
        assert isinstance(event, yaml.NodeEvent)
        before = self._values
        self._count(1, line)
        if getattr(event, "tag", None) not in (None, ""):
            self._mistake(line, location, "tags (!) are not accepted")
        if event.anchor is not None:
            self._open.add(event.anchor)
        node = self._content(event, events, location, line)
        if event.anchor is not None:
            self._open.discard(event.anchor)
            self._anchors[event.anchor] = (node, self._values - before)
        return node

    def _content(self, event: yaml.Event, events: Iterator[yaml.Event], location: Location, line: int) -> _Node:
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, location, line)
        if len(location) >= MAX_DEPTH:
            raise _Broken(line, f"the file must not be nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, location, line)
        return self._mapping(events, location, line)

    def _alias(self, anchor: str | None, line: int) -> _Node:
        if anchor is None or anchor in self._open or anchor not in self._anchors:
            raise _Broken(line, f"the alias *{anchor} must name an anchor that is complete above it")
        node, values = self._anchors[anchor]
        self._count(values, line)
        return node

    def _count(self, values: int, line: int) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise _Broken(line, f"the file must not hold more than {MAX_VALUES} values, aliases expanded")

    def _scalar(self, event: yaml.ScalarEvent, location: Location, line: int) -> _Scalar:
        text: str = event.value
        if _UNREADABLE.search(text):
            self._mistake(line, location, "text must be valid Unicode without NUL")
            text = _UNREADABLE.sub("", text)
        plain = event.style in (None, "")
        return _Scalar(_resolve(text) if plain else text, text, line)

    def _sequence(self, events: Iterator[yaml.Event], location: Location, line: int) -> _Sequence:
        node = _Sequence(line)
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            place = (*location, len(node.items))
            item = self._node(event, events, place)
            self._refuse_null(item, place, item.line)
            node.items.append(item)
        return node

    def _mapping(self, events: Iterator[yaml.Event], location: Location, line: int) -> _Mapping:
        node = _Mapping(line)
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._node(event, events, location)
            key_line = _line(event)
            name = self._key(key, location, key_line)
            place = (*location, name)
            value = self._node(next(events), events, place)
            if name in node.items:
                first = node.key_lines[name]
                self._mistake(key_line, place, f"is given twice (the first is on line {first})")
            elif name == "<<":
                self._mistake(key_line, place, "merge keys (<<) are not accepted")
            elif isinstance(key, _Scalar):
                self._refuse_null(value, place, key_line)
                node.items[name] = value
                node.key_lines[name] = key_line
        return node

    def _key(self, key: _Node, location: Location, line: int) -> str:
        if isinstance(key, _Scalar):
            return key.text
        self._mistake(line, location, "a key must be text")
        return "?"

    def _refuse_null(self, node: _Node, location: Location, line: int) -> None:
        if isinstance(node, _Scalar) and node.value is None:
            self._mistake(line, location, "must not be empty: give a value or leave the key out")

    def _mistake(self, line: int, location: Location, rule: str) -> None:
        self.mistakes.append(Located(line, Mistake(location, rule)))


def _events(text: str) -> Iterator[yaml.Event]:
    loader = _LOADER(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        last = max(len(text.splitlines()), 1)  # the end of a file is, to libyaml, one line further
        raise _Broken(min(mark.line + 1, last) if mark else 1, _in_our_words(error.problem or "")) from None
    except yaml.YAMLError:
        raise _Broken(1, "not readable as YAML") from None
    finally:
        loader.dispose()


def _in_our_words(problem: str) -> str:
    said = next((ours for theirs, ours in _SYNTAX if theirs in problem), problem)
    return f"not readable as YAML: {said}"


def _resolve(text: str) -> str | int | float | bool | None:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _plain(node: _Node) -> object:
    if isinstance(node, _Mapping):
        return {key: _plain(item) for key, item in node.items.items()}
    if isinstance(node, _Sequence):
        return [_plain(item) for item in node.items]
    return node.value


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return int(mark.line) + 1 if mark is not None else 1
