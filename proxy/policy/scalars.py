"""What an engine may be shown: JSON values that regorus survives and both engines read as the same.

regorus ends the process on a lone surrogate, which PyJWT hands over from a signed claim, and on deep nesting; an
integer beyond 64 bits becomes another number. This runs on every request, so it is one loop for each container and no
call for what is plain.
"""

from __future__ import annotations

from math import isfinite
from typing import Any, Final

from proxy.errors import INPUT_REFUSED, Refused

MAX_DEPTH: Final = 32
MAX_VALUES: Final = 50_000  # 8 KiB of query and 64 KiB of header fields and token hold fewer than 20,000

_INTEGERS: Final = range(-(2**63), 2**64)


def check_input(document: dict[str, Any]) -> None:
    """Refuse a document that no engine must see. Raise Refused(INPUT_REFUSED)."""
    fault = find_fault(document)
    if fault is not None:
        raise Refused(INPUT_REFUSED, f"the input's {fault}")


def find_fault(value: object) -> str | None:
    """Return the rule that a value breaks: text, numbers, depth, size and nothing but JSON; None: it is fit."""
    level: list[object] = [value]
    values = 0
    for _ in range(MAX_DEPTH + 1):
        below: list[object] = []
        for container in level:
            if type(container) is dict:
                values += len(container)
                for key, item in container.items():
                    if type(key) is not str:
                        return "keys must be strings"
                    if not key.isascii() and not _is_text(key):
                        return _TEXT
                    kind = type(item)
                    if kind is str:
                        if not item.isascii() and not _is_text(item):
                            return _TEXT
                    elif item is not None and kind is not bool:
                        below.append(item)
            elif type(container) is list or type(container) is tuple:
                values += len(container)
                below += [item for item in container if type(item) is not str or not item.isascii()]
            elif (fault := _scalar_fault(container)) is not None:
                return fault
        if values > MAX_VALUES:
            return f"values must not be more than {MAX_VALUES}"
        if not below:
            return None
        level = below
    return f"nesting must not be deeper than {MAX_DEPTH}"


_TEXT: Final = "strings must hold Unicode scalar values alone"


def _scalar_fault(value: object) -> str | None:
    if type(value) is str:
        return None if _is_text(value) else _TEXT
    if type(value) is int:
        return None if value in _INTEGERS else "integers must fit into 64 bits"
    if type(value) is float:
        return None if isfinite(value) else "numbers must be finite"
    return None if value is None or type(value) is bool else "values must be JSON"


def _is_text(text: str) -> bool:
    """Tell whether a string has no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
