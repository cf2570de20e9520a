"""What is compiled in other words than it was written, so that regorus does as OPA does. It knows spans and no engine.

`walk(x, pattern)`: regorus loses every error behind it, in a set or a comprehension: a built-in that fails would be
undefined. It becomes `pattern = internal.walk(x)[_]`, which is a loop like any other.

What every input has is surely defined, so it may stand under `not`; where some `with` brings another input, it may lack
it. There each statement that rests on it has `internal.present(input.x); ` put before itself. Lines stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from proxy.policy.scope import Statement
from proxy.policy.syntax import LITERALS, Node, Query, Rule, part, walk

WALK: Final = "internal.walk"
PRESENT: Final = "internal.present"
_PATTERN: Final = LITERALS | {"Var", "Array", "RefDot", "RefBrack"}


class Edit(NamedTuple):
    """What to put in the place of a part of a text.

    Args:
        start, end: of that part, in bytes.
        rank: of several that begin at one place the lowest comes first.
        new: instead of it.
    """

    start: int
    end: int
    rank: int
    new: bytes


@dataclass(slots=True)
class Mending:
    """The edits of one module.

    Args:
        text: of the module.
    """

    text: bytes
    edits: set[Edit] = field(default_factory=set)
    _resting: list[tuple[Rule, Statement, bytes]] = field(default_factory=list)

    def walk(self, call: Node) -> str | None:
        """Note a statement that is a call of `walk`; return the rule that it breaks, if it cannot be written anew."""
        pattern = call["params"][1]
        start, end = call["span"]["start"], call["span"]["end"]
        if b"#" in self.text[start:end]:
            return "walk must have no # in its arguments"
        if part(pattern)[0] not in ("Var", "Array") or not all(part(node)[0] in _PATTERN for node in walk(pattern)):
            return "walk must be given an array of variables and constants: walk(x, [path, value])"
        span = part(pattern)[1]["span"]
        comma = self.text.rfind(b",", start, span["start"])
        lines = b"\n" * self.text.count(b"\n", comma, end)
        bound = self.text[span["start"] : span["end"]].replace(b"\n", b" ")
        self.edits.add(Edit(start, start, 1, bound + b" = internal."))
        self.edits.add(Edit(comma, end, 0, lines + b")[_]"))
        return None

    def rests(self, rule: Rule, statement: Statement, path: Iterable[str]) -> None:
        """Note that a statement rests on what every input has at a path."""
        name = b"input" + b"".join(b'["' + step.encode() + b'"]' for step in path)
        self._resting.append((rule, statement, name))

    def require(self) -> None:
        """Have every statement that rests on such a path require it, as OPA does."""
        for rule, statement, name in self._resting:
            self._require(rule, statement, b"internal.present(" + name + b")")

    def _require(self, rule: Rule, statement: Statement, call: bytes) -> None:
        if statement.query["stmts"]:
            self.before(statement.query, statement.node, call)
        else:
            end = self._end(rule.end)
            self.edits.add(Edit(end, end, 0, b" if " + call))

    def before(self, query: Query, node: Node | None, call: bytes) -> None:
        """Put a call before a statement of a query, under the same `with`; without one before all of them."""
        first = query["stmts"][0]["span"]
        span = first if node is None else node["span"]
        modifiers = b"" if node is None else self._modifiers(node)
        if self.text[query["span"]["start"] : query["span"]["start"] + 1] in (b"{", b"|"):
            self.edits.add(Edit(span["start"], span["start"], 0, call + modifiers + b"; "))
        else:
            # A body without braces is one statement.
            self.edits.add(Edit(span["start"], span["start"], -1, b"{ "))
            self.edits.add(Edit(span["start"], span["start"], 0, call + modifiers + b"; "))
            end = self._end(span["end"])
            self.edits.add(Edit(end, end, 0, b" }"))

    def _modifiers(self, node: Node) -> bytes:
        written = node.get("with_mods") or []
        if not written:
            return b""
        return b" " + self.text[written[0]["span"]["start"] : self._end(node["span"]["end"])].replace(b"\n", b" ")

    def _end(self, offset: int) -> int:
        """Return where something ends whose last part may be a string: spans of these are without the quotes."""
        return offset + 1 if self.text[offset : offset + 1] in (b'"', b"`") else offset

    def applied(self) -> str:
        """Return the text as it is to be compiled."""
        text, out, at = self.text, [], 0
        for edit in sorted(self.edits):
            out += [text[at : edit.start], edit.new]
            at = max(at, edit.end)
        return b"".join([*out, text[at:]]).decode()
