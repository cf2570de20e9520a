"""What a built-in is given: each function here returns an operand as the kind that it must be, or raises ValueError.

Operands come as regorus hands them over: str, int, float, bool, None, list, set, dict; inside a set an array is a
tuple. A ValueError fails the evaluation, and its text never holds a value: it is written to the log.
"""

from __future__ import annotations

from typing import Any, Final

INT64: Final = range(-(2**63), 2**63)
INTEGERS: Final = range(-(2**63), 2**64)  # what regorus holds exactly

MOST_TEXT: Final = 1024**2  # characters that a built-in makes of an input that is far shorter


def text(value: object) -> str:
    """Return a string."""
    if type(value) is not str:
        raise ValueError("operand must be a string")
    return value


def whole(value: object) -> int:
    """Return an integer; a fraction without a part behind the point is one."""
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is not int:
        raise ValueError("operand must be an integer")
    return value


def held(value: int) -> int:
    """Return an integer that regorus holds exactly: OPA has any, and a rounded one would be another answer."""
    if value not in INTEGERS:
        raise ValueError("the value must fit into 64 bits")
    return value


def array(value: object) -> list[Any]:
    """Return an array."""
    if type(value) is not list:
        raise ValueError("operand must be an array")
    return value


def members(value: object) -> list[Any]:
    """Return what an array or a set holds."""
    if isinstance(value, list | set | frozenset):
        return list(value)
    raise ValueError("operand must be an array or a set")


def mapping(value: object) -> dict[Any, Any]:
    """Return an object."""
    if type(value) is not dict:
        raise ValueError("operand must be an object")
    return value
