"""Calls that name the variable of their value as a last argument, of built-ins that regorus itself does not have.

OPA's older policies and its tools write `f(a, x)` for `f(a) = x`. regorus orders statements by what they bind, and of
an extension it does not know that the last argument is bound. So these are spelled as an equation before they are
compiled. It knows trees and their places in the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from proxy.policy.sources import Module
from proxy.policy.spelling import Edit
from proxy.policy.syntax import LITERALS, Node, children, part, spelled, start_of

_BLANK: Final = b" \t\r\n"
_COLLECTIONS: Final = frozenset({"Array", "Set"})  # an object's place in the tree is that of its last field
_PLAIN: Final = LITERALS | {"Var", "RefDot", "RefBrack"}


def spell_outputs(module: Module, tree: Node, arities: dict[str, int]) -> list[Edit]:
    """Return what makes equations of a module's calls with an output.

    Args:
        module: the text.
        tree: of the whole file.
        arities: how many arguments the extensions take.
    """
    if not any(name in module.text for name in arities):  # most of a tree's walk is in vain
        return []
    return list(_edits(tree["ast"]["rules"], module.text.encode(), arities))


def _edits(value: Any, text: bytes, arities: dict[str, int]) -> Iterator[Edit]:
    """Yield what to put in the place of what, for each call that is a statement of its own."""
    if isinstance(value, list):
        for item in value:
            yield from _edits(item, text, arities)
    elif isinstance(value, dict):
        for kind in ("Expr", "NotExpr"):
            call = value.get(kind, {}).get("expr", {}).get("Call") if isinstance(value.get(kind), dict) else None
            if call is not None and _has_output(call, arities):
                yield from _edit(call, text)
        for key, item in value.items():
            if key != "span":
                yield from _edits(item, text, arities)


def _has_output(call: Node, arities: dict[str, int]) -> bool:
    names = spelled(call["fcn"])
    return names is not None and arities.get(".".join(names)) == len(call["params"]) - 1


def _edit(call: Node, text: bytes) -> Iterator[Edit]:
    """Yield the edit of a call whose last argument goes behind it."""
    kind = part(call["params"][-1])[0]
    start, end = start_of(call["params"][-1])["start"], call["span"]["end"] - 1
    if kind in ("String", "RawString"):
        start -= 1  # whose place is without the quotes
    output = text[start:end].strip(_BLANK + b",")
    comma = len(text[:start].rstrip(_BLANK)) - 1
    plain = kind not in _COLLECTIONS or all(part(child)[0] in _PLAIN for child in children(call["params"][-1]))
    if kind not in _PLAIN | _COLLECTIONS or not plain or text[comma : comma + 1] != b"," or b"#" in output:
        return  # the analysis refuses it
    breaks = "\n" * text.count(b"\n", comma, end)
    yield comma, end + 1, f") = {' '.join(output.decode().split())}{breaks}"
