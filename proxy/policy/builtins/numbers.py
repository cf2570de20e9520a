"""`to_number` and `bits.*`: integers within 64 bits, for what is larger regorus holds roughly."""

from __future__ import annotations

import re
from typing import Final

from proxy.policy.builtins.operands import INT64, held, text, whole

_JSON_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,18})(?:(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?)", re.ASCII)
_MOST_SHIFT: Final = 64


def to_number(value: object) -> int | float:
    """Return the number that a JSON number spells, or that null, false and true stand for."""
    if value is None or type(value) is bool:
        return 1 if value else 0
    if type(value) in (int, float):
        return value  # type: ignore[return-value]
    match = _JSON_NUMBER.fullmatch(text(value))
    if match is None:
        raise ValueError("operand must be a number as JSON spells it")
    if match[1] or match[2]:
        return float(match[0])
    number = int(match[0])
    if number not in INT64:
        raise ValueError("operand must fit into 64 bits")
    return number


def bits_and(left: object, right: object) -> int:
    """Return the bits that both have; a negative number has endless ones in front."""
    return held(whole(left) & whole(right))


def bits_or(left: object, right: object) -> int:
    """Return the bits that either has."""
    return held(whole(left) | whole(right))


def bits_xor(left: object, right: object) -> int:
    """Return the bits that one alone has."""
    return held(whole(left) ^ whole(right))


def bits_negate(value: object) -> int:
    """Return a number with each bit turned."""
    return held(~whole(value))


def bits_lsh(value: object, shift: object) -> int:
    """Return a number with its bits moved to the left: a large shift would fill the memory."""
    return held(whole(value) << _shift(shift))


def bits_rsh(value: object, shift: object) -> int:
    """Return a number with its bits moved to the right."""
    return held(whole(value) >> _shift(shift))


def _shift(value: object) -> int:
    shift = whole(value)
    if not 0 <= shift <= _MOST_SHIFT:
        raise ValueError(f"a shift must be from 0 to {_MOST_SHIFT}")
    return shift
