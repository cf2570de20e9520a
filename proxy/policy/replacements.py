"""Built-ins in Python, where regorus differs from OPA by little and policies need them.

Each does what OPA 1.22 does or raises ValueError, which fails the evaluation. They get what regorus hands over: str,
int, float, bool, None, list, set, dict.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, Final

_INT64: Final = range(-(2**63), 2**63)
_JSON_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,18})(?:(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?)", re.ASCII)
_RFC3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(?:Z|([+-])([0-9]{2}):([0-9]{2}))",
    re.ASCII,
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _text(value: object) -> str:
    if type(value) is not str:
        raise ValueError("operand must be a string")
    return value


def _whole(value: object) -> int:
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is not int:
        raise ValueError("operand must be an integer")
    return value


def lower(value: object) -> str:
    """Map each character to its lower case: one to one as Go has it, unlike `str.lower` on İ and a final Σ."""
    text = _text(value)
    return text.lower() if text.isascii() else "".join(map(_lower_character, text))


def _lower_character(character: str) -> str:
    return "i" if character == "\u0130" else character.lower()


def upper(value: object) -> str:
    """Map each character to its upper case: one to one as Go has it, so that ß stays."""
    text = _text(value)
    return text.upper() if text.isascii() else "".join(map(_upper_character, text))


def _upper_character(character: str) -> str:
    whole = character.upper()
    if len(whole) == 1:
        return whole
    title = character.title()  # ᾳ has a one-character capital, which is its title case
    return title if len(title) == 1 else character


def array_slice(value: object, start: object, stop: object) -> list[Any]:
    """Return the elements from `start` up to `stop`, each brought into the array's bounds."""
    if type(value) is not list:
        raise ValueError("operand must be an array")
    first, last = max(_whole(start), 0), min(_whole(stop), len(value))
    return value[first:last] if first < last else []


def indexof(value: object, search: object) -> int:
    """Return the index of the first occurrence, in characters, or -1."""
    if search == "":
        raise ValueError("search must not be empty")
    return _text(value).find(_text(search))


def strings_count(value: object, search: object) -> int:
    """Return how often a text occurs, not overlapping."""
    return _text(value).count(_text(search))


def substring(value: object, offset: object, length: object) -> str:
    """Return `length` characters from `offset`, or all from there if it is negative."""
    text, first, wanted = _text(value), _whole(offset), _whole(length)
    if first < 0:
        raise ValueError("offset must not be negative")
    return text[first:] if wanted < 0 else text[first : first + wanted]


def to_number(value: object) -> int | float:
    """Return the number that a JSON number spells, or that null, false and true stand for."""
    if value is None or type(value) is bool:
        return 1 if value else 0
    if type(value) in (int, float):
        return value  # type: ignore[return-value]
    match = _JSON_NUMBER.fullmatch(_text(value))
    if match is None:
        raise ValueError("operand must be a number as JSON spells it")
    if match[1] or match[2]:
        return float(match[0])
    number = int(match[0])
    if number not in _INT64:
        raise ValueError("operand must fit into 64 bits")
    return number


def parse_rfc3339_ns(value: object) -> int:
    """Return nanoseconds since 1970; upper-case T and Z alone, no leap second, as Go reads RFC 3339."""
    match = _RFC3339.fullmatch(_text(value))
    if match is None:
        raise ValueError("operand must be a time as RFC 3339 spells it")
    hours, minutes = int(match[4] or 0), int(match[5] or 0)
    if hours > 23 or minutes > 59:
        raise ValueError("operand must have an offset below a day")
    offset = timedelta(hours=hours, minutes=minutes) * (-1 if match[3] == "-" else 1)
    moment = datetime.strptime(match[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone(offset))
    since = moment - _EPOCH
    nanoseconds = (since.days * 86400 + since.seconds) * 10**9 + int((match[2] or "0").ljust(9, "0"))
    if nanoseconds not in _INT64:
        raise ValueError("operand must be within 292 years of 1970")
    return nanoseconds


_BASE64: Final = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", re.ASCII)
_BASE64URL: Final = re.compile(r"(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2}={0,2}|[A-Za-z0-9_-]{3}=?)?", re.ASCII)


def base64_decode(value: object) -> str:
    """Return what Base64 spells, new lines in it passed over; regorus would read on behind the padding."""
    return _decoded(_text(value).replace("\r", "").replace("\n", ""), _BASE64)


def base64url_decode(value: object) -> str:
    """Return what URL-safe Base64 spells, with its padding or without."""
    return _decoded(_text(value), _BASE64URL)


def _decoded(text: str, alphabet: re.Pattern[str]) -> str:
    if not alphabet.fullmatch(text):
        raise ValueError("operand must be Base64 and nothing behind it")
    try:
        return base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)).decode("utf-8")
    except UnicodeDecodeError:  # its text would tell the bytes, and OPA would go on with what is no Unicode
        raise ValueError("operand must spell UTF-8") from None


_CIDR: Final = re.compile(r"[0-9A-Fa-f.:]+(?:/[0-9]{1,3})?", re.ASCII)  # no scope, no netmask


@lru_cache(maxsize=4096)
def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    if not _CIDR.fullmatch(text):
        raise ValueError("operand must be an address, or a network in CIDR form")
    network = ipaddress.ip_network(text, strict=False)
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is None or network.prefixlen < 96:
        return network
    return ipaddress.IPv4Network((mapped, network.prefixlen - 96))


def cidr_contains(network: object, other: object) -> bool:
    """Tell whether a network holds an address or another network.

    An IPv4-mapped IPv6 address is the IPv4 address, as in OPA; regorus takes it for another family, so that a blocked
    network would not block a client of a dual-stack listener.
    """
    if "/" not in _text(network):
        raise ValueError("operand must be a network in CIDR form")
    wide, narrow = _network(_text(network)), _network(_text(other))
    if isinstance(wide, ipaddress.IPv4Network):
        return isinstance(narrow, ipaddress.IPv4Network) and narrow.subnet_of(wide)
    return isinstance(narrow, ipaddress.IPv6Network) and narrow.subnet_of(wide)


_VERB: Final = re.compile("%.?", re.DOTALL)


def sprintf(template: object, values: object) -> str:
    """Fill in `%s`, `%d` and `%v`; more or fewer verbs than values, and any other verb, fail."""
    if type(values) is not list:
        raise ValueError("operand must be an array")
    rest = iter(values)
    filled = _VERB.sub(lambda match: _formatted(match[0], rest), _text(template))
    if next(rest, _MISSING) is not _MISSING:
        raise ValueError("sprintf must have a verb for each value")
    return filled


_MISSING: Final = object()


def _formatted(verb: str, rest: Iterator[object]) -> str:
    if verb == "%%":
        return "%"
    value = next(rest, _MISSING)
    if value is _MISSING:
        raise ValueError("sprintf must have a value for each verb")
    if verb not in ("%s", "%d", "%v"):
        raise ValueError(f"sprintf must have no verb but %s, %d and %v: {verb}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        whole = value == int(value)
        text, kind, fits = _number(value), "int64" if whole else "float64", "%dv" if whole else "%v"
    else:
        text, kind, fits = value if isinstance(value, str) else term(value), "string", "%sv"
    return text if verb[1] in fits else f"%!{verb[1]}({kind}={text})"  # as Go complains


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
        return _quoted(value)
    if isinstance(value, bool) or value is None:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return _number(value)
    raise ValueError("operand must be a value")


def _number(value: float) -> str:
    if value == int(value):
        return str(int(value))
    if not 1e-4 <= abs(value) < 1e6:
        raise ValueError("a fraction in a text must not need an exponent")
    return repr(value)


_ESCAPES: Final = str.maketrans({
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"',
})  # fmt: skip


def _quoted(text: str) -> str:
    """Return a text in quotes, escaped as Go's `strconv.Quote` does."""
    text = text.translate(_ESCAPES)
    return f'"{text if text.isprintable() else "".join(map(_printable, text))}"'


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
