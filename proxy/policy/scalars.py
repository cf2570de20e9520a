"""What an engine may be shown: JSON values that regorus survives and OPA reads the same.

regorus ends the process on a lone surrogate and on deep nesting, and reads an integer beyond 64 bits as another number.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

from proxy.errors import INPUT_REFUSED, Refused

MAX_DEPTH = 32
MAX_VALUES = 100_000
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1


def check_input(value: Any) -> None:
    """Refuse a value that no engine must see. Raise Refused(INPUT_REFUSED)."""
    _walk(value, 1)


def _walk(value: Any, depth: int) -> None:
    kind = type(value)
    if kind is str:
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise Refused(INPUT_REFUSED, "input strings must be Unicode scalar values") from None
    elif kind is dict:
        if depth > MAX_DEPTH:
            raise Refused(INPUT_REFUSED, f"input must not nest deeper than {MAX_DEPTH}")
        for key, item in value.items():
            if type(key) is not str:
                raise Refused(INPUT_REFUSED, "input keys must be strings")
            _walk(key, depth)
            _walk(item, depth + 1)
    elif kind is list or kind is tuple:
        if depth > MAX_DEPTH:
            raise Refused(INPUT_REFUSED, f"input must not nest deeper than {MAX_DEPTH}")
        for item in value:
            _walk(item, depth + 1)
    elif kind is int:
        if not _INT_MIN <= value <= _INT_MAX:
            raise Refused(INPUT_REFUSED, "input integers must fit into 64 bits")
    elif kind is float:
        if not isfinite(value):
            raise Refused(INPUT_REFUSED, "input numbers must be finite")
    elif value is not None and kind is not bool:
        raise Refused(INPUT_REFUSED, "input must hold JSON values alone")
