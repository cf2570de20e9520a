"""Amounts with a unit: OPA's sums, its refusals, and a bound on what a few characters may spell."""

from __future__ import annotations

from tests.opa import OPAServer
from tests.policy.builtins.judged import Cases, agrees, is_stricter
from tests.policy.reference import FAILS

CASES: Cases = [
    ('units.parse("10k")', 10000),
    ('units.parse("10K")', 10000),
    ('units.parse("1.5Gi")', 1610612736),
    ('units.parse("100m")', 0.1),
    ('units.parse("1000m")', 1.0),
    ('units.parse("-5k")', -5000),
    ('units.parse("+5k")', 5000),
    ('units.parse("5.k")', 5000),
    ('units.parse(".5k")', 500),
    ('units.parse("5.5.5k")', FAILS),
    ('units.parse("1e3k")', 1000000),
    ('units.parse("1E3")', 1000),
    ('units.parse("10e")', 10000000000000000000),
    ('units.parse("1e")', 1000000000000000000),
    ('units.parse("1e-12")', 0.0),
    ('units.parse("0.12345678915")', 0.1234567892),
    ('units.parse("-0.12345678915")', -0.1234567892),
    ('units.parse("1kI")', 1024),
    ('units.parse("1Kb")', FAILS),
    ('units.parse("1MI")', 1048576),
    ('units.parse("1mI")', 1048576),
    ('units.parse("1mi")', 1048576),
    ('units.parse("1_000")', FAILS),
    ('units.parse("1e1e1")', FAILS),
    ('units.parse("1-2k")', FAILS),
    ('units.parse("0x10")', FAILS),
    (r'units.parse("\"1\"0k")', 10000),
    ('units.parse("16e")', 16000000000000000000),
    ('units.parse("١k")', FAILS),
    ("units.parse(5)", FAILS),
    ('units.parse_bytes("10kb")', 10000),
    ('units.parse_bytes("1.1KB")', 1100),
    ('units.parse_bytes("0.3kb")', 300),
    ('units.parse_bytes("1.2345678Gib")', 1325607081),
    ('units.parse_bytes("-1.5k")', -1500),
    ('units.parse_bytes("0.0001")', 0),
    ('units.parse_bytes("10e")', 10000000000000000000),
    ('units.parse_bytes("10eb")', 10000000000000000000),
    ('units.parse_bytes("1e3KB")', 1000000),
    ('units.parse_bytes("9.007199254740993pb")', 9007199254740993),
    ('units.parse_bytes("kb")', FAILS),
    ('units.parse_bytes("1m")', 1000000),
    ('units.parse_bytes("1x")', FAILS),
    ('units.parse_bytes("00012k")', 12000),
]

STRICTER: Cases = [
    ('units.parse("-0.33333333333Ei")', -3.8430716819843923e17),
    ('units.parse("1e3e")', 1000000000000000000000),
    ('units.parse("20e")', 20000000000000000000),
]


def test_these_calls_have_the_values_that_opa_gives_them(opa: OPAServer) -> None:
    agrees(opa, CASES)


def test_where_ours_is_stricter_it_fails(opa: OPAServer) -> None:
    is_stricter(opa, STRICTER)
