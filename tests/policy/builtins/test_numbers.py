"""Bits of integers, up to the 64 that are exact here."""

from __future__ import annotations

from tests.opa import OPAServer
from tests.policy.builtins.judged import Cases, agrees, is_stricter
from tests.policy.reference import FAILS

CASES: Cases = [
    ("bits.and(7, 9)", 1),
    ("bits.and(-7, 9)", 9),
    ("bits.or(-7, 9)", -7),
    ("bits.xor(5, -3)", -8),
    ("bits.negate(5)", -6),
    ("bits.negate(-1)", 0),
    ("bits.lsh(1, 62)", 4611686018427387904),
    ("bits.lsh(1, 63)", 9223372036854775808),
    ("bits.lsh(-1, 63)", -9223372036854775808),
    ("bits.lsh(1, -1)", FAILS),
    ("bits.rsh(-8, 1)", -4),
    ("bits.rsh(8, 64)", 0),
    ("bits.or(1.5, 2)", FAILS),
    ("bits.or(2.0, 1)", 3),
]

STRICTER: Cases = [
    ("bits.lsh(1, 64)", 18446744073709551616),
    ("bits.rsh(8, 1000)", 0),
]


def test_these_calls_have_the_values_that_opa_gives_them(opa: OPAServer) -> None:
    agrees(opa, CASES)


def test_where_ours_is_stricter_it_fails(opa: OPAServer) -> None:
    is_stricter(opa, STRICTER)
