"""What a caller sends must not make a built-in fill the memory or take its time: past a bound it fails, at once."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.policy.reference import FAILS, ours

_CHAIN = {str(number): [str(number + 1)] for number in range(5000)}
_DENSE = {str(number): [str(other) for other in range(12)] for number in range(12)}
_COPIES = [{"op": "copy", "from": "a", "path": f"a/{number}"} for number in range(40)]


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("bits.lsh", [1, 10**9]),
        ("graph.reachable_paths", [_CHAIN, ["0"]]),
        ("graph.reachable_paths", [_DENSE, ["0"]]),
        ("json.marshal_with_options", [{"a": 1}, {"indent": " " * 1000}]),
        ("json.match_schema", [{}, {"enum": list(range(5000))}]),
        ("json.patch", [{"a": {}}, _COPIES]),
        ("net.cidr_contains_matches", [["10.0.0.0/8"] * 1000, ["10.0.0.1"] * 1000]),
        ("net.cidr_expand", ["0.0.0.0/0"]),
        ("net.cidr_expand", ["::/0"]),
        ("net.cidr_merge", [["10.0.0.1"] * 10000]),
        ("object.subset", [[0] * 20000, [0] * 10000 + [1]]),
        ("strings.render_template", ["{{.a}}" * 5000, {"a": "x" * 5000}]),
        ("strings.replace_n", [{"a": "x" * 5000}, "a" * 5000]),
        ("units.parse", ["1e999999"]),
        ("units.parse_bytes", ["1" * 5000]),
    ],
)
def test_it_fails_at_once(call: str, arguments: list[Any]) -> None:
    spelled = f"r := {call}({', '.join(f'input.x[{index}]' for index in range(len(arguments)))})"
    began = time.process_time()
    assert ours(spelled, {"x": arguments}) == FAILS
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("net.cidr_merge", [[f"10.{number // 256}.{number % 256}.0/24" for number in range(4096)]]),
        ("object.subset", [list(range(5000)), [4998, 4999]]),
        ("indexof_n", ["a" * 20000, "a" * 10000]),
        ("json.patch", [{"a": list(range(10000))}, [{"op": "add", "path": "a/-", "value": 1}]]),
        ("time.parse_ns", ["2006-01-02" + "x" * 5000, "2024-01-02" + "x" * 5000]),
    ],
)
def test_what_is_large_and_within_bounds_is_quick(call: str, arguments: list[Any]) -> None:
    spelled = f"r := {call}({', '.join(f'input.x[{index}]' for index in range(len(arguments)))})"
    began = time.process_time()
    assert ours(spelled, {"x": arguments}) != FAILS
    assert time.process_time() - began < 2
