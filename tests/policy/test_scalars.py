"""What no engine is shown: each would end the process, or become another value."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import INPUT_REFUSED, Refused
from proxy.policy.scalars import MAX_DEPTH, MAX_VALUES, check_input, find_fault

LONE = "a\ud800b"


def nested(depth: int, inside: object = 1) -> dict[str, Any]:
    """Return an object that is `depth` containers deep."""
    value: Any = inside
    for level in range(depth):
        value = {"k": value} if level % 2 else [value]
    return value if isinstance(value, dict) else {"k": value}


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (LONE, "Unicode"),
        ({LONE: 1}, "Unicode"),
        ({"k": LONE}, "Unicode"),
        ({"k": [LONE]}, "Unicode"),
        ({"k": ("\udfff",)}, "Unicode"),
        ({"k": {"é": {"ü": LONE}}}, "Unicode"),
        ({1: 1}, "keys"),
        ({None: 1}, "keys"),
        (2**64, "64 bits"),
        ([-(2**63) - 1], "64 bits"),
        ({"k": 10**400}, "64 bits"),
        (float("inf"), "finite"),
        ([float("nan")], "finite"),
        (b"bytes", "JSON"),
        ({1, 2}, "JSON"),
        ([object()], "JSON"),
        ({"k": 1j}, "JSON"),
        (nested(MAX_DEPTH + 1), "deeper"),
        (nested(10_000), "deeper"),
        ([0] * (MAX_VALUES + 1), "more than"),
        ({"k": [[0] * 1000] * 60}, "more than"),
    ],
)
def test_a_value_that_no_engine_must_see_is_refused(value: object, rule: str) -> None:
    assert rule in str(find_fault(value))
    with pytest.raises(Refused) as caught:
        check_input({"claims": value})
    assert caught.value.row is INPUT_REFUSED


@pytest.mark.parametrize(
    "value",
    [
        {}, [], "", "é", "\U0010ffff", "\x00", None, True, 0, -(2**63), 2**64 - 1, 1.5, -0.0, (1, "a"),
        {"é": {"a": ["ü", None, False, {"k": 1e300}]}}, nested(MAX_DEPTH), [0] * MAX_VALUES,
    ],
)  # fmt: skip
def test_a_value_of_json_is_let_pass(value: object) -> None:
    assert find_fault(value) is None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inside),
    max_leaves=30,
)  # fmt: skip


@given(_JSON)
def test_any_json_that_is_small_and_flat_is_let_pass(value: object) -> None:
    assert find_fault(value) is None


@given(_JSON, st.sampled_from([LONE, 2**70, float("nan"), b""]))
def test_a_bad_value_is_found_wherever_it_hides(value: object, bad: object) -> None:
    assert find_fault([value, {"k": [value, bad]}]) is not None


def test_what_passes_the_check_does_not_end_the_process() -> None:
    """In a process of its own: without the check, the first two end it with a segmentation fault."""
    program = """
import json, sys
from proxy.errors import Refused
from proxy.policy.reading import new_engine
from proxy.policy.scalars import check_input

engine = new_engine()
engine.add_policy("p.rego", "package p\\nr := input")
deep = []
for _ in range(10_000):
    deep = [deep]
for value in ("\\ud800", deep, 10**400, "fine", json.loads('["\\\\ud83d\\\\ude00", 18446744073709551615]')):
    document = {"claims": value}
    try:
        check_input(document)
    except Refused as refused:
        print(refused.row.code)
        continue
    engine.set_input(document)
    print(json.loads(engine.eval_rule_as_json("data.p.r")) == document)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout.split()) == (0, ["input_refused"] * 3 + ["True"] * 2), ended.stderr
