"""Rego on both engines: where the embedded engine answers, it answers as OPA does; else the policy is refused.

`language.json` has the cases: rules, input and data, and the value of `r`, which may be undefined, refused (at load) or
fail. What is `closed` OPA may answer, and to some of it the engine alone would give another answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.policy.decision import UNDEFINED
from tests.opa import OPAServer, opa_server
from tests.policy.reference import FAILS, REFUSED, opas, ours

CASES: dict[str, list[Any]] = json.loads(Path(__file__).with_name("language.json").read_text(encoding="utf-8"))

# What the cases under `not` stand in: OPA evaluates what is inside an operation before the operation.
PRELUDE = """
f(x) if x == 1

g(x) := x if x == 1

h(x) := 1 if x == 1

u := 1 if input.nope

s contains 1
"""

# Known to differ, and not to be seen at load: rules, input, data, ours, OPA's. docs/policy-engines.md tells of them.
DIFFERENT: list[tuple[str, object, dict[str, Any], object, object]] = [
    ("r := [a < b, sort([b, a])] if { some [a, b] in [[{}, {1}]] }", {}, {}, [False, [[1], {}]], [True, [{}, [1]]]),
    ("r := 0.1 + 0.2 == 0.3", {}, {}, False, True),
    ("r := 9223372036854775807 * 9223372036854775807", {}, {}, (2.0**63) ** 2, (2**63 - 1) ** 2),
    ("r := data.q[input.k]", {"k": "0"}, {"q": [5]}, UNDEFINED, 5),
    ("r := count(input.text)", {"text": "\U0001f600"}, {}, 2, 1),
    ("r := [floor(-0.5), ceil(-0.5)]", {}, {}, [-1, 0], [0, 1]),
]


def value_of(case: dict[str, Any]) -> object:
    value = case["value"]
    if isinstance(value, dict) and "$" in value:
        return {"undefined": UNDEFINED, "refused": REFUSED, "fails": FAILS}[value["$"]]
    return value


@pytest.fixture(scope="module")
def opa() -> Iterator[OPAServer]:
    with opa_server() as server:
        yield server


@pytest.mark.parametrize("case", CASES["agreed"] + CASES["closed"], ids=lambda case: case["rules"])
def test_the_embedded_engine_answers_so(case: dict[str, Any]) -> None:
    assert ours(case["rules"], case["input"], case["data"]) == value_of(case)


def test_opa_answers_so(opa: OPAServer) -> None:
    for case in CASES["agreed"]:
        wanted = value_of(case)
        assert opas(opa, case["rules"], case["input"], case["data"]) == wanted, case["rules"]


@pytest.mark.parametrize("case", CASES["negated"], ids=lambda case: case["expression"])
def test_not_before_what_opa_reads_alike(case: dict[str, Any]) -> None:
    assert ours(f"r if not {case['expression']}\n{PRELUDE}", {"a": {}}) == value_of(case)


@pytest.mark.parametrize("expression", CASES["negated_and_refused"])
def test_not_before_what_opa_reads_otherwise_is_refused(expression: str) -> None:
    assert ours(f"r if not {expression}\n{PRELUDE}", {"a": {}}) == REFUSED


def test_opa_reads_not_so(opa: OPAServer) -> None:
    for case in CASES["negated"]:
        assert opas(opa, f"r if not {case['expression']}\n{PRELUDE}", {"a": {}}) == value_of(case), case
    for expression in CASES["negated_and_refused"]:
        assert opas(opa, f"r if not {expression}\n{PRELUDE}", {"a": {}}) is UNDEFINED, expression


@pytest.mark.parametrize(("rules", "document", "data", "value", "theirs"), DIFFERENT)
def test_what_is_known_to_differ(
    opa: OPAServer, rules: str, document: object, data: dict[str, Any], value: object, theirs: object
) -> None:
    assert (ours(rules, document, data), opas(opa, rules, document, data)) == (value, theirs)
