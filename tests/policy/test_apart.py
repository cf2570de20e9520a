"""An object that is taken apart must have a pattern's keys and no others, on both engines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from proxy.policy.decision import UNDEFINED
from tests.opa import OPAServer, opa_server
from tests.policy.reference import REFUSED, opas, ours

DOCUMENT = {
    "user": "ana",
    "o": {"a": 1, "b": 2},
    "l": [{"a": 1}, {"a": 2, "b": 3}, {"a": [1]}],
    "n": 5,
    "s": "a",
    "e": {},
    "f": {"a": False},
    "z": {"a": None},
    "w": {"a": [1], "b": 2},
}

# A policy whose rule is `r`, and its value.
CASES: list[tuple[str, object]] = [
    ('r := x if {"a": x} = {"a": 1}', 1),
    ('r := x if {"a": x} := {"a": 1}', 1),
    ('r := x if { {"a": x} := input.o }', UNDEFINED),
    ('r := [x, y] if { {"a": x, "b": y} := input.o }', [1, 2]),
    ('r := [x, y] if { y := 5; {"a": x, "b": y} = input.o }', UNDEFINED),
    ('r := x if { y := 2; {"a": x, "b": y} = input.o }', 1),
    ('r := x if { {"a": x, "b": 2} = input.o }', 1),
    ('r := x if { {"a": x, "b": 3} = input.o }', UNDEFINED),
    ('r := x if { {"a": x, "b": _} = input.o }', 1),
    ('r := x if { input.o = {"a": x, "b": _} }', 1),
    ('r := x if { o := input.o; {"a": x, "b": _} = o }', 1),
    ('r := x if { o := input.o; o = {"a": x, "b": _} }', 1),
    ('r := x if { [{"a": x, "b": _}, 1] = [input.o, 1] }', 1),
    ('r := x if { {"o": {"a": x, "b": 2}, "user": "ana"} = object.filter(input, ["o", "user"]) }', 1),
    ('r := x if { {"o": {"a": x}, "user": "ana"} = object.filter(input, ["o", "user"]) }', UNDEFINED),
    ('r := x if { {"o": {"a": x, "b": _}, "user": _} := object.filter(input, ["o", "user"]) }', 1),
    ('r := x if { {"l": [x, y]} = {"l": [1, 2]} }', 1),
    ('r := x if { {"a": x} = input.missing }', UNDEFINED),
    ("r := x if { {} = input.o; x := 1 }", UNDEFINED),
    ('r := [x | some {"a": x} in [{"a": 1}, {"a": 2, "b": 3}, {"b": 1}, 5, {"a": false}]]', [1, False]),
    ('r := [x | some {"a": x, "b": 3} in [{"a": 1}, {"a": 2, "b": 3}, {"a": 2, "b": 4}]]', [2]),
    ('r := [[k, x] | some k, {"a": x} in [{"a": 1}, {"a": 2, "b": 3}]]', [[0, 1]]),
    ('r := [[k, x] | some k, {"a": x} in {"p": {"a": 1}, "q": {"a": 2, "b": 3}}]', [["p", 1]]),
    ('r := [x | {"a": x} = input.l[_]]', [1, [1]]),
    ('r := {x: y | {"a": x, "b": y} := input.o}', {"1": 2}),
    ('r := f({"a": 1})\n\nf({"a": x}) := x', 1),
    ('r := f({"a": 1})\n\nf({"a": x}) := x if x > 0', 1),
    ('r := f({"a": 1})\n\nf({"a": x}) := x if { x > 5 } else := 7 if x < 5', 7),
    ('r := f({"a": {"b": [1, 2]}}, 3)\n\nf({"a": {"b": y}}, z) := [y, z]', [[1, 2], 3]),
    ('r := f({"a": 1})\n\nf({"a": x}) if x == 1', True),
    ('r := f(5)\n\nf({"a": x}) := x\n\nf(5) := 6', 6),
    ('r if { f({"a": 1}) }\n\nf({"a": x}) if { x = 1 }', True),
    ('r := x if { {"a": x, "b": x} = {"a": 1, "b": 1} }', 1),
    ('r := x if { {"a": x} = {"a": 1} with input as 5 }', 1),
    ('r := x if { {"a": x} = input with input as {"a": 2} }', 2),
    ('r := x if { x = {"a": 1} }', {"a": 1}),
    ('r := x if { y := 1; x = {"a": y} }', {"a": 1}),
    ('r := x if { input.o = {"a": 1, "b": x} }', 2),
    ('r := x if { not {"a": 1} = input.o; x := 1 }', 1),
    ('r := x if { {"a": x} = {"a": null} }', None),
    ('r := x if { {"a": false} = {"a": x} }', False),
    ('r := x if { {"a": "x\\ty", "b": x} = {"a": "x\\ty", "b": 1} }', 1),
    ('q := 1\n\nr := x if { {"a": q, "b": x} = {"a": 1, "b": 5} }', 5),
    ('q := 1\n\nr := q if { {"a": q} := {"a": 3} }', 3),
    ('r contains x if some {"a": x} in input.l', [1, [1]]),
    ('r[k] := x if some k, {"a": x} in {"p": {"a": 1}}', {"p": 1}),
    ('r := 1 if {"a": x} = {"a": 1}\nelse := 2', 1),
    ('r := x if { y := 1; x = {"a": y} }', {"a": 1}),
    ('r := x if { y := 1; x = {"a": [y, {"b": y}]} }', {"a": [1, {"b": 1}]}),
    ('r := x if { x = {"a": y}; y = 1 }', {"a": 1}),
    ('r contains x if { some y in [1, 2]; x = {"k": y} }', [{"k": 1}, {"k": 2}]),
    ('r := x.a if { x = {"a": input.n} }', 5),
    ('r := x if { x = {"a": input.missing} }', UNDEFINED),
    ('r := 1 if { false } else := x if { y := 1; x = {"a": y} }', {"a": 1}),
    ('r := z if { y := 1; x = {"a": y}; z := [v | v := x.a] }', [1]),
    ('r := x if {"a": x} = input.n', UNDEFINED),
    ('r := x if {"a": x} = input.l', UNDEFINED),
    ('r := x if {"a": x} := input.s', UNDEFINED),
    ('r := x if {"a": x} = input.e', UNDEFINED),
    ('r := x if {"a": x} = input.f', False),
    ('r := x if {"a": x} := input.z', None),
    ('r := f(input.o)\n\nf({"a": x}) := x', UNDEFINED),
    ('r := f(input.n)\n\nf({"a": x}) := x', UNDEFINED),
    ('r := f(input.l[0])\n\nf({"a": x}) := x if { x > 5 } else := 7 if { true }', 7),
    ('r := x if { q := input.l[2]; {"a": [x]} = q }', 1),
    ('r := x if { q := input.w; {"a": [x]} = q }', UNDEFINED),
    ('r := x if { q := [input.w]; [{"a": [x]}] = q }', UNDEFINED),
    ('r := x if { {"a": 1, "b": x} = input.o; {"a": [y]} = {"a": [x]}; y == 2 }', 2),
]

# What only OPA knows how to take apart.
LEFT: list[str] = [
    'r := x if { {"l": [x, y]} := {"l": [1, 2]} }',
    'r := f({"a": 1}, 1)\n\nf({"a": x}, x) := x',
    'r := x if { {"a": x, "b": y} = {"a": 1, "b": x}; y == 1 }',
    'r := y if { x = {"a": y}; x = input.o }',
    'r := y if { x = {"a": y, "b": 2}; input.o = x }',
    'r := f({"a": 1})\n\nf(x) := 5 if { y := 1; x = {"a": y} }',
    'r := f({"a": 2})\n\nf(x) := 5 if { y := 1; x = {"a": y} }',
    'q := {"a": 2}\n\nr if { y := 1; q = {"a": y} }',
    'r := z if { x := {"a": 1}; z := [y | y := 1; x = {"a": y}] }',
    'r := z if { z := [x | y := 1; x = {"a": y}] }',
    'r := x if { some x; y := 1; x = {"a": y} }',
    'import input.o as x\n\nr := 1 if { y := 1; x = {"a": y} }',
    'r := x if { z := [v | v := x.a]; y := 1; x = {"a": y} }',
    'r if not f(input.o)\n\nf({"a": x}) := x',
]


@pytest.fixture(scope="module")
def opa() -> Iterator[OPAServer]:
    with opa_server() as server:
        yield server


@pytest.mark.parametrize(("policy", "value"), CASES)
def test_it_is_taken_apart_as_opa_does(opa: OPAServer, policy: str, value: object) -> None:
    assert ours(policy, DOCUMENT) == value
    assert opas(opa, policy, DOCUMENT) == value


@pytest.mark.parametrize("policy", LEFT)
def test_what_is_not_spelled_is_refused(policy: str) -> None:
    assert ours(policy, DOCUMENT) == REFUSED
