"""The embedded engine: what it answers, how it fails, and that a failure leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest
import regorus

from proxy.errors import INPUT_REFUSED, POLICY_FAILED, POLICY_PANICKED, POLICY_TOO_SLOW, Refused
from proxy.policy.decision import UNDEFINED
from proxy.policy.embedded import EmbeddedEngine, compile_policy
from proxy.policy.reading import new_engine, told
from proxy.policy.sources import Module

POLICY = """
package p

mine := input.who
null_value := null
odd := "<undefined>"
nothing if input.there.is.none
a_set contains x if some x in input.items
an_object := {"é": [1, 2.5, true, null], "big": 18446744073709551615, "set": {"b", "a"}, "nested": {{"k": 1}}}
numbered[k] := 1 if some k in [1, 2]
decides := {"allow": true, "reasons": ["a", "b"], "http_status": 403, "more": {"none": null}}
large := 123456789012345678901234567890
fractions := [0.5, 3.0]
unhashable := {"allow": true, "reasons": {["b"], ["a"]}}
by_turns := input.items if input.items
by_turns := {x | some x in input.set} if input.set
fails := to_number(input.secret)
clashes := 1
clashes := 2 if input.secret
"""


def loaded(text: str = POLICY, deadline: float = 5.0) -> EmbeddedEngine:
    """Return an engine whose policy nobody has analysed."""
    engine = new_engine()
    engine.add_policy("p.rego", text)
    return EmbeddedEngine(engine, "revision", deadline)


async def refusal(engine: EmbeddedEngine, path: str, document: dict[str, Any]) -> Refused:
    with pytest.raises(Refused) as caught:
        await engine.evaluate(path, document)
    return caught.value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("p/mine", "ana"),
        ("p/null_value", None),
        ("p/odd", "<undefined>"),
        ("p/nothing", UNDEFINED),
        ("p/a_set", ["x", "y"]),
        (
            "p/an_object",
            {"é": [1, 2.5, True, None], "big": 18446744073709551615, "set": ["a", "b"], "nested": [{"k": 1}]},
        ),
        ("p/numbered", {"1": 1, "2": 1}),
        ("p/decides", {"allow": True, "reasons": ["a", "b"], "http_status": 403, "more": {"none": None}}),
        ("p/large", 1.2345678901234568e29),
        ("p/fractions", [0.5, 3]),
        ("p/unhashable", {"allow": True, "reasons": [["a"], ["b"]]}),
    ],
)
async def test_an_answer_is_the_rules_value_as_json(path: str, value: object) -> None:
    assert await loaded().evaluate(path, {"who": "ana", "items": ["y", "x", "y"]}) == value


async def test_an_answer_is_the_same_value_as_often_as_it_is_asked_for() -> None:
    engine = loaded()
    for _ in range(2):
        assert await engine.evaluate("p/by_turns", {"items": ["y", "x", "y"]}) == ["y", "x", "y"]
        assert await engine.evaluate("p/by_turns", {"set": ["y", "x", "y"]}) == ["x", "y"]
        assert await engine.evaluate("p/by_turns", {}) is UNDEFINED
        assert await engine.evaluate("p/null_value", {}) is None
        assert await engine.evaluate("p/odd", {}) == "<undefined>"


@pytest.mark.parametrize(
    ("path", "place"), [("p/fails", "p.rego:17:19: to_number: operand must be a number"), ("p/clashes", "p.rego:1")]
)
async def test_an_error_of_the_policy_is_told_in_one_line_without_the_inputs_values(path: str, place: str) -> None:
    refused = await refusal(loaded(), path, {"secret": "hunter2"})
    assert refused.row is POLICY_FAILED
    assert refused.detail.startswith(place)
    assert "\n" not in refused.detail
    assert "hunter2" not in refused.detail


async def test_a_native_built_ins_error_does_not_quote_the_input_either() -> None:
    engine = loaded(
        "package p\n\nr := startswith(input.secret, `a`)\n\ns := {k: v | some v in input.list; k := input.name}"
    )
    assert "hunter2" not in (await refusal(engine, "p/r", {"secret": ["hunter2"]})).detail
    assert "hunter2" not in (await refusal(engine, "p/s", {"list": ["hunter2", "b"], "name": "hunter2"})).detail


async def test_a_rule_that_is_not_there_fails() -> None:
    assert (await refusal(loaded(), "p/no_such_rule", {})).row is POLICY_FAILED


async def test_a_panic_is_a_refusal_and_the_next_request_is_decided() -> None:
    bare = regorus.Engine()  # whose own built-in panics, which ours takes the place of
    bare.add_policy("p.rego", "package p\n\npanics := object.subset(input.a, [])\n\nmine := input.who")
    engine = EmbeddedEngine(bare, "revision", 60.0)
    for _ in range(2):
        assert (await refusal(engine, "p/panics", {"a": []})).row is POLICY_PANICKED
        assert await engine.evaluate("p/mine", {"who": "ana"}) == "ana"


async def test_an_input_that_is_refused_is_not_answered_with_the_one_before() -> None:
    engine = loaded()
    assert await engine.evaluate("p/mine", {"who": "ana"}) == "ana"
    assert (await refusal(engine, "p/mine", {"who": object()})).row is INPUT_REFUSED
    assert await engine.evaluate("p/mine", {}) is UNDEFINED


async def test_a_request_does_not_see_the_input_of_another() -> None:
    engine = loaded()
    assert await engine.evaluate("p/mine", {"who": "ana"}) == "ana"
    assert (await refusal(engine, "p/fails", {"secret": "x", "who": "eve"})).row is POLICY_FAILED
    assert await engine.evaluate("p/mine", {"items": []}) is UNDEFINED


async def test_an_evaluation_over_its_deadline_is_refused_after_the_fact() -> None:
    engine = loaded(
        "package p\n\nr := count([1 | some x in numbers.range(1, 300); some y in numbers.range(1, 300)])", 0.001
    )
    assert (await refusal(engine, "p/r", {})).row is POLICY_TOO_SLOW


def test_nothing_that_a_policy_holds_ends_the_process() -> None:
    """In a process of its own: each of these ends it, or hangs it, when it is loaded unseen."""
    program = """
import sys
from proxy.policy.embedded import compile_policy
from proxy.policy.sources import Module

chain = "\\n".join(f"f{i}(x) := f{i + 1}(x)" for i in range(5000))
for text in (
    "f(x) := f(x)\\nr := f(1)",
    "f(x) := y if { y := g(x) }\\ng(x) := y if { y := f(x) }\\nr := f(1)",
    "f(x) := [y | y := f(x)]\\nr := f(1)",
    "f(x) := data.p.r\\nr := f(1)",
    "r := f0(1)\\nf5000(x) := x\\n" + chain,
    "r := " + "[" * 300 + "]" * 300,
    "r := " + "{" * 40 + "1" + "}" * 40,
    "r := " + "1 +\\n" * 900 + "1",
):
    engine, faults, _ = compile_policy([Module("p.rego", "package p\\n\\n" + text)], {}, ["p/r"])
    print(engine is None and bool(faults))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout.split()) == (0, ["True"] * 8), ended.stderr


def test_the_stack_of_an_error_is_cut_off() -> None:
    error = RuntimeError("\n--> a.rego:3:7\n  |\n3 | x\nerror: something is wrong\n\nStack backtrace:\n   0: <unknown>")
    assert told(error) == "a.rego:3:7: something is wrong"
    assert told(RuntimeError("not a valid rule path\n\nStack backtrace:\n 0: x")) == "not a valid rule path"
    assert told(RuntimeError("")) == "RuntimeError"


def test_lines_may_be_long_and_brackets_not_deep() -> None:
    long = Module("p.rego", f'package p\n\nr := "{"x" * 5000}"')
    assert compile_policy([long], {}, ["p/r"])[0] is not None
    began = time.monotonic()
    for depth, loads in ((12, True), (13, False)):
        module = Module("p.rego", f"package p\n\nr := {'[' * depth}{']' * depth}")
        assert (compile_policy([module], {}, ["p/r"])[0] is not None) == loads
    assert time.monotonic() - began < 2


async def test_data_stands_beside_the_policy_and_does_not_wear_off() -> None:
    module = Module("p.rego", "package p\n\nr := data.roles[input.who]")
    compiled, faults, _ = compile_policy([module], {"roles": {"ana": ["reader"]}}, ["p/r"])
    assert compiled is not None, faults
    engine = EmbeddedEngine(compiled, "revision", 5.0)
    for _ in range(3):
        assert await engine.evaluate("p/r", {"who": "ana"}) == ["reader"]
        assert await engine.evaluate("p/r", {"who": "eve"}) is UNDEFINED
