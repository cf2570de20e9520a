"""OPA's own Rego compliance suite: the embedded engine agrees, or it refuses the policy at load, or the question fails.

What it must never do is to give another answer than OPA, to answer where OPA has an error, or to panic.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from functools import cache
from typing import Any, Final

import pytest
import regorus

from proxy.errors import POLICY_FAILED, Refused
from proxy.policy.decision import UNDEFINED
from proxy.policy.embedded import EmbeddedEngine, compile_policy
from proxy.policy.sources import Module
from tests.suites import suite_json

# The suite asks these without any input, and `input` itself is undefined in them. A request always has an input.
NEED_NO_INPUT: Final = {"every/domain undefined (input)", "virtualdocs/undefined: in array literal"}
_QUESTION: Final = re.compile(r"data\.([A-Za-z0-9_.]+) = x")


@cache
def _cases() -> dict[str, list[dict[str, Any]]]:
    cases: dict[str, list[dict[str, Any]]] = suite_json("rego/cases.json")
    return cases


@cache
def outcomes(category: str) -> list[tuple[str, str]]:
    """Return the note of each case of a category, and what comes of it."""
    return [(case["note"], outcome(case)) for case in _cases()[category]]


def outcome(case: dict[str, Any]) -> str:
    """Return what comes of a case: one word, or `different: …`."""
    question = _QUESTION.fullmatch(case["query"])
    if question is None:
        return "no rule is asked for"
    path = question[1].replace(".", "/")
    modules = [Module(f"{index}.rego", text) for index, text in enumerate(case["modules"] or [])]
    engine, _, undefined = compile_policy(modules, case.get("data") or {}, [path])
    if undefined:
        return "no rule is asked for"
    if engine is None:
        return "refused at load"
    try:
        value = asyncio.run(EmbeddedEngine(engine, "suite", 60.0).evaluate(path, input_of(case)))
    except Refused as refused:
        return "fails" if refused.row is POLICY_FAILED else f"different: {refused}"
    if "want_error" in case or "want_error_code" in case:
        return f"different: {value!r} for an error"
    got = [] if value is UNDEFINED else [{"x": value}]
    return "agrees" if plain(got, case) == plain(case["want_result"], case) else f"different: {value!r}"


def input_of(case: dict[str, Any]) -> Any:
    """Return a case's input; a term of Rego may hold sets."""
    if "input_term" not in case:
        return case.get("input") or {}
    engine = regorus.Engine()
    engine.add_policy("input.rego", f"package i\n\nx := {case['input_term']}")
    return engine.eval_rule("data.i.x")


def plain(bindings: list[dict[str, Any]], case: dict[str, Any]) -> object:
    """Return bindings for comparison; where the suite says so the order in arrays is open."""
    if case.get("sort_bindings"):
        bindings = [
            {name: sorted(value, key=json.dumps) if isinstance(value, list) else value for name, value in each.items()}
            for each in bindings
        ]
    return bindings


@pytest.mark.parametrize("category", sorted(_cases()))
def test_no_case_is_answered_in_another_way_than_opa_does(category: str) -> None:
    different = [(note, word) for note, word in outcomes(category) if word.startswith("different")]
    assert [(note, word) for note, word in different if note not in NEED_NO_INPUT] == []


def test_so_many_cases_agree() -> None:
    words = Counter(word.partition(":")[0] for category in _cases() for _, word in outcomes(category))
    assert words.total() == 1083
    assert words["agrees"] >= 489
    assert words["different"] == len(NEED_NO_INPUT)
