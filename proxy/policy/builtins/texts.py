"""How Rego spells values: `sprintf`, string interpolation, and the order that values have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from proxy.policy.builtins.operands import INT64, MOST_TEXT, array, mapping, text

_VERB: Final = re.compile(
    r"%(?P<flags>[-+ 0]*)(?P<width>[0-9]{1,3})?(?:\.(?P<precision>[0-9]{0,3}))?(?P<verb>.?)", re.S
)
_MISSING: Final = object()
_BASES: Final = {"x": "x", "X": "X", "o": "o", "b": "b"}


def sprintf(template: object, values: object) -> str:
    """Fill in `%s`, `%d`, `%v`, `%x`, `%f` and their kin, with width, precision and the flags `-`, `+`, space and `0`.

    More or fewer verbs than values, and any other verb, fail.
    """
    rest = iter(array(values))
    filled = _VERB.sub(lambda match: _formatted(match, rest), text(template))
    if next(rest, _MISSING) is not _MISSING:
        raise ValueError("sprintf must have a verb for each value")
    return filled


def _formatted(match: re.Match[str], rest: Iterator[object]) -> str:
    if match[0] == "%%":
        return "%"
    value = next(rest, _MISSING)
    if value is _MISSING:
        raise ValueError("sprintf must have a value for each verb")
    plain = len(match[0]) == 2
    verb = match["verb"]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _text(match, value if isinstance(value, str) else term(value))
    whole = value == int(value)
    if verb == "v" and plain:
        return number(value)
    if whole and verb in ("d", "v", *_BASES):
        return _integer(match, int(value))
    if not whole and verb in ("f", "F", "e", "E"):
        return _fraction(match, value)
    return _complaint(match, "int64" if whole else "float64", number(value))


def _complaint(match: re.Match[str], kind: str, spelled: str) -> str:
    """Return what Go puts where a verb does not fit a value."""
    if match[0] not in ("%s", "%d", "%f"):
        raise ValueError("sprintf must have verbs that fit their values, and no others")
    return f"%!{match['verb']}({kind}={spelled})"


def _text(match: re.Match[str], value: str) -> str:
    flags, width, precision = match["flags"], int(match["width"] or 0), match["precision"]
    if match["verb"] == "q" and len(match[0]) == 2:
        return quoted(value)
    if match[0] in ("%x", "%X"):
        return format(int.from_bytes(b"\1" + value.encode()), match["verb"])[1:]
    if match["verb"] not in ("s", "v"):
        return _complaint(match, "string", value)
    if flags.strip("-"):
        raise ValueError("sprintf must have no flag but - for a text")
    cut = value if precision is None else value[: int(precision or 0)]
    return cut.ljust(width) if flags else cut.rjust(width)


def _integer(match: re.Match[str], value: int) -> str:
    if match["precision"] is not None or value not in INT64:
        raise ValueError("sprintf must have no precision for an integer, which must fit into 64 bits")
    verb = match["verb"]
    digits = format(abs(value), _BASES.get(verb, "d"))
    return _padded(match, value < 0, digits)


def _fraction(match: re.Match[str], value: float) -> str:
    precision = 6 if match["precision"] is None else int(match["precision"] or 0)
    return _padded(match, value < 0, format(abs(value), f".{precision}{match['verb']}"))


def _padded(match: re.Match[str], negative: bool, digits: str) -> str:
    flags, width = match["flags"], int(match["width"] or 0)
    sign = "-" if negative else "+" if "+" in flags else " " if " " in flags else ""
    if "-" in flags:
        return (sign + digits).ljust(width)
    return sign + digits.rjust(width - len(sign), "0") if "0" in flags else (sign + digits).rjust(width)


_ACTION: Final = re.compile(r"\{\{ *((?:\.[A-Za-z_][A-Za-z0-9_]*)+) *\}\}|\{\{", re.ASCII)


def render_template(template: object, variables: object) -> str:
    """Fill in `{{.name}}` and `{{.name.name}}`; any other action of Go's templates fails."""
    found = mapping(variables)
    pieces, room = [], MOST_TEXT
    for index, piece in enumerate(_ACTION.split(text(template))):
        pieces.append(_looked_up(piece, found) if index % 2 else piece)
        room -= len(pieces[-1])
        if room < 0:
            raise ValueError(f"the value must not have more than {MOST_TEXT} characters")
    return "".join(pieces).replace("<no value>", "<undefined>")


def _looked_up(path: str | None, variables: dict[Any, Any]) -> str:
    if path is None:
        raise ValueError("a template must have no action but {{.name}}")
    value: Any = variables
    for name in path[1:].split("."):
        if name not in mapping(value):
            return "<undefined>"
        value = value[name]
    if value is None:
        return "<undefined>"
    if isinstance(value, bool | int | float):
        return term(value)
    return text(value)


def template_string(parts: object) -> str:
    """Return the text of a string interpolation: each part is a text, or a set of the value that stands there."""
    return "".join(part if isinstance(part, str) else _filled(part) for part in array(parts))


def _filled(part: object) -> str:
    values = list(part) if isinstance(part, list | set | frozenset) else None
    if values is None or len(values) > 1:
        raise ValueError("a string interpolation must have one value in each place")
    if not values:
        return "<undefined>"
    return values[0] if isinstance(values[0], str) else term(values[0])


def term(value: object) -> str:
    """Return a value as Rego spells it."""
    if isinstance(value, dict):
        pairs = sorted(value.items(), key=lambda pair: order(pair[0]))
        return "{" + ", ".join(f"{term(key)}: {term(item)}" for key, item in pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(term, value)) + "]"
    if isinstance(value, set | frozenset):
        return "{" + ", ".join(map(term, sorted(value, key=order))) + "}" if value else "set()"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool) or value is None:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return number(value)
    raise ValueError("operand must be a value")


def number(value: float) -> str:
    """Return a number as OPA spells it."""
    if value == int(value):
        return str(int(value))
    if not 1e-4 <= abs(value) < 1e6:
        raise ValueError("a fraction in a text must not need an exponent")
    return repr(value)


_ESCAPES: Final = str.maketrans({
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"',
})  # fmt: skip


def quoted(value: str) -> str:
    """Return a text in quotes, escaped as Go's `strconv.Quote` does."""
    value = value.translate(_ESCAPES)
    return f'"{value if value.isprintable() else "".join(map(_printable, value))}"'


def _printable(character: str) -> str:
    code = ord(character)
    if character.isprintable():
        return character
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def order(value: object) -> tuple[Any, ...]:
    """Return a key that sorts values as Rego does: null, booleans, numbers, strings, arrays, objects, sets."""
    if value is None:
        return (0,)
    if isinstance(value, bool):
        return (1, value)
    if isinstance(value, int | float):
        return (2, value)
    if isinstance(value, str):
        return (3, value)
    if isinstance(value, list | tuple):
        return (4, [order(item) for item in value])
    raise ValueError("a set in a text must hold scalars and arrays")
