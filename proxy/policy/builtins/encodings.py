"""Built-ins that read and write texts of some form: Base64, JSON, YAML, queries of URLs."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, Final
from urllib.parse import quote_plus, unquote_to_bytes

from proxy.policy.builtins.operands import mapping, members, text
from proxy.policy.builtins.texts import number, order
from proxy.policy.scalars import find_fault
from proxy.policy.sources import read_yaml

_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", re.ASCII)
_BASE64URL: Final = re.compile(r"(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2}={0,2}|[A-Za-z0-9_-]{3}=?)?", re.ASCII)


def base64_decode(value: object) -> str:
    """Return what Base64 spells, new lines in it passed over; regorus would read on behind the padding."""
    return utf8(octets(_without_lines(text(value)), _BASE64))


def base64_is_valid(value: object) -> bool:
    """Tell whether a value is a string that Base64 can be read from."""
    return type(value) is str and _BASE64.fullmatch(_without_lines(value)) is not None


def base64url_decode(value: object) -> str:
    """Return what URL-safe Base64 spells, with its padding or without."""
    return utf8(base64url_octets(value))


def base64url_octets(value: object) -> bytes:
    """Return the bytes that URL-safe Base64 spells."""
    return octets(text(value), _BASE64URL)


def base64_octets(value: object) -> bytes:
    """Return the bytes that Base64 spells."""
    return octets(_without_lines(text(value)), _BASE64)


def _without_lines(whole: str) -> str:
    return whole.replace("\r", "").replace("\n", "")


def octets(whole: str, alphabet: re.Pattern[str]) -> bytes:
    """Return the bytes that a text of an alphabet spells."""
    if not alphabet.fullmatch(whole):
        raise ValueError("operand must be Base64 and nothing behind it")
    bare = whole.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_" if alphabet is _BASE64URL else None)
    except binascii.Error:
        raise ValueError("operand must be Base64") from None


def utf8(spelled: bytes) -> str:
    """Return bytes as text; OPA would go on with what is no Unicode."""
    try:
        return spelled.decode("utf-8")
    except UnicodeDecodeError:  # its text would tell the bytes
        raise ValueError("operand must spell UTF-8") from None


# --- JSON


def json_is_valid(value: object) -> bool:
    """Tell whether a value is a string of JSON."""
    if type(value) is not str:
        return False
    try:
        json.loads(value, parse_constant=_no_constant, parse_int=len, parse_float=len)
    except json.JSONDecodeError:
        return False
    except RecursionError:
        raise ValueError("operand must not nest so deep") from None
    except _NoConstant:
        return False
    return True


class _NoConstant(Exception):  # noqa: N818 - a state of a reader
    """NaN or Infinity, which JSON does not have."""


def _no_constant(name: str) -> object:
    raise _NoConstant(name)


def json_marshal(value: object) -> str:
    """Return a value as JSON; a set is the array of its sorted elements."""
    return _json(value, "", "", "")


_MOST_INDENT: Final = 32  # they stand in each line, and there as often as it is deep
_OPTIONS: Final[dict[str, tuple[type, object]]] = {"pretty": (bool, None), "prefix": (str, ""), "indent": (str, "\t")}


def json_marshal_with_options(value: object, options: object) -> str:
    """Return a value as JSON, with `prefix` and `indent` in lines of its own where one of them or `pretty` says so."""
    given = mapping(options)
    if any(name not in _OPTIONS or type(item) is not _OPTIONS[name][0] for name, item in given.items()):
        raise ValueError("options must be prefix, indent and pretty")
    if any(isinstance(item, str) and len(item) > _MOST_INDENT for item in given.values()):
        raise ValueError(f"prefix and indent must not have more than {_MOST_INDENT} characters")
    if not given.get("pretty", "prefix" in given or "indent" in given):
        return json_marshal(value)
    prefix: str = given.get("prefix", "")
    return prefix + _json(value, "\n" + prefix, given.get("indent", "\t"), " ")


_ESCAPES: Final = str.maketrans({sign: f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"})


def _json(value: Any, line: str, indent: str, space: str) -> str:
    """Return JSON as Go spells it: keys sorted, signs of HTML escaped.

    Args:
        value: the value.
        line: what begins each line; empty is all in one line.
        indent: what is added to it at each level.
        space: what stands behind a colon.
    """
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).translate(_ESCAPES)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int | float):
        return number(value)
    inside = line + indent if line else ""
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("operand must have keys that are strings")
        items = [f"{_json(key, '', '', '')}:{space}{_json(value[key], inside, indent, space)}" for key in sorted(value)]
        brackets = "{}"
    else:
        ordered = value if isinstance(value, list | tuple) else sorted(value, key=order)
        items, brackets = [_json(item, inside, indent, space) for item in ordered], "[]"
    return brackets[0] + inside + f",{inside}".join(items) + line + brackets[1] if items else brackets


# --- YAML


def yaml_is_valid(value: object) -> bool:
    """Tell whether a value is a string of YAML; what its versions read in different ways fails."""
    if type(value) is not str:
        return False
    read_yaml(value)
    return True


def yaml_unmarshal(value: object) -> object:
    """Return what a string of YAML holds; what its versions read in different ways fails."""
    found = read_yaml(text(value))
    if (fault := find_fault(found)) is not None:
        raise ValueError(fault)
    return found


# --- queries of URLs

_ESCAPED: Final = re.compile(r"(?:[^%]|%[0-9A-Fa-f]{2})*", re.ASCII | re.DOTALL)


def urlquery_encode(value: object) -> str:
    """Return a text as a part of a query: a space is a plus sign."""
    return quote_plus(text(value), safe="")


def urlquery_decode(value: object) -> str:
    """Return the text that a part of a query spells."""
    if not _ESCAPED.fullmatch(text(value)):
        raise ValueError("operand must have two hexadecimal digits behind each per cent sign")
    return utf8(unquote_to_bytes(text(value).replace("+", " ")))


def urlquery_encode_object(value: object) -> str:
    """Return an object of strings, and of arrays or sets of them, as a query, its keys sorted."""
    pairs: list[tuple[str, str]] = []
    for key, item in sorted(mapping(value).items(), key=lambda pair: text(pair[0])):
        values = [item] if isinstance(item, str) else [text(one) for one in members(item)]
        pairs += [(key, one) for one in (values if isinstance(item, list) else sorted(values))]
    return "&".join(f"{urlquery_encode(key)}={urlquery_encode(one)}" for key, one in pairs)


def urlquery_decode_object(value: object) -> dict[str, list[str]]:
    """Return a query's names, each with an array of its values."""
    out: dict[str, list[str]] = {}
    for part in filter(None, text(value).split("&")):
        if ";" in part:
            raise ValueError("operand must not have a semicolon")
        name, _, one = part.partition("=")
        out.setdefault(urlquery_decode(name), []).append(urlquery_decode(one))
    return out
