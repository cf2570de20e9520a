"""`units.*`: amounts with a unit, reckoned in exact fractions and rounded where OPA rounds."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from proxy.policy.builtins.operands import held, text

_AMOUNT: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?", re.ASCII)
_MOST_DIGITS: Final = 60
_MOST_EXPONENT: Final = 60  # a few characters must not spell a number of a million digits
_DECIMAL: Final = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6}
_BYTES: Final = {"": 1} | {
    unit + ending: base**power
    for unit, power in _DECIMAL.items()
    for ending, base in (("", 1000), ("b", 1000), ("i", 1024), ("ib", 1024))
}
# In `units.parse` a lower-case m is a thousandth, as the nearest binary fraction; all behind the first letter is free.
_UNITS: Final[dict[str, Fraction]] = {"": Fraction(1), "m": Fraction(0.001), "M": Fraction(1000**2)} | {
    first + ending: Fraction(base**power)
    for unit, power in _DECIMAL.items()
    for ending, base in (("", 1000), ("i", 1024))
    for first in ((unit, unit.upper()) if unit != "m" or ending else ())
}


def parse(value: object) -> int | float:
    """Return the number that an amount such as `10k` or `1.5Gi` stands for, to ten places behind the point."""
    amount, unit = _split(text(value).replace('"', ""))
    factor = _UNITS.get(unit[:1] + unit[1:].lower())
    if factor is None:
        raise ValueError("operand must have a unit that is known")
    total = _fraction(amount) * factor
    if total.denominator == 1:
        return held(int(total))
    if abs(total) >= 2**53:
        raise ValueError("a value with a fraction must be below 2^53, where binary fractions end")
    digits, rest = divmod(abs(total.numerator) * 10**10, total.denominator)
    digits += rest * 2 >= total.denominator
    rounded = Fraction(digits if total > 0 else -digits, 10**10)
    return held(int(rounded)) if rounded.denominator == 1 else float(rounded)


def parse_bytes(value: object) -> int:
    """Return the number of bytes that an amount such as `10kb` or `1.5GiB` stands for, what is behind the point cut."""
    amount, unit = _split(text(value).lower().replace('"', ""))
    if unit not in _BYTES:
        raise ValueError("operand must have a unit that is known")
    return held(int(_rounded(_rounded(_fraction(amount)) * _BYTES[unit])))


def _split(whole: str) -> tuple[str, str]:
    if " " in whole:
        raise ValueError("operand must have no spaces")
    match = _AMOUNT.match(whole)
    if match is None:
        raise ValueError("operand must begin with an amount")
    unit = whole[match.end() :]
    if unit[:1] in ("+", "-", ".") or unit[:1].isdecimal():
        raise ValueError("operand must begin with one number")
    return match[0], unit


def _fraction(amount: str) -> Fraction:
    mantissa, _, exponent = amount.lower().partition("e")
    if len(mantissa) > _MOST_DIGITS or abs(int(exponent or 0)) > _MOST_EXPONENT:
        raise ValueError(f"operand must have at most {_MOST_DIGITS} digits and an exponent up to {_MOST_EXPONENT}")
    return Fraction(amount)


def _rounded(value: Fraction) -> Fraction:
    """Return the nearest number of 64 binary digits, which is what OPA reckons bytes with."""
    if value == 0:
        return value
    shift = 64 - (abs(value.numerator).bit_length() - value.denominator.bit_length())
    scaled = value * Fraction(2) ** shift
    while abs(scaled) >= 2**64:
        scaled /= 2
        shift -= 1
    while abs(scaled) < 2**63:
        scaled *= 2
        shift += 1
    return round(scaled) / Fraction(2) ** shift
