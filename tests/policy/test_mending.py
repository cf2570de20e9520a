"""What is compiled in other words than it was written: which words, and that lines stay where they are."""

from __future__ import annotations

import json

import pytest
import regorus

from proxy.policy.analysis import analyse
from proxy.policy.embedded import as_compiled, compile_policy
from proxy.policy.sources import Module
from proxy.policy.testing import Suite
from tests.policy.reference import compiled, policy

WITH = '\nt if r with input as {"principal": {}}'
IS_THERE = 'internal.present(input["principal"]["id"])'


def mended(rules: str) -> str:
    """Return rules as they are compiled."""
    engine = regorus.Engine()
    engine.add_policy("t.rego", policy(rules))
    [text] = analyse(json.loads(engine.get_ast_as_json()), []).texts
    return text.removeprefix("package t\n\n")


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        ("r if { walk(input.x, [p, v]); v == 1 }", "r if { [p, v] = internal.walk(input.x)[_]; v == 1 }"),
        (
            "r if {\n\twalk(\n\t\tinput.x,\n\t\t[p, v],\n\t)\n}",
            "r if {\n\t[p, v] = internal.walk(\n\t\tinput.x\n\n)[_]\n}",
        ),
        ('r := [v | walk(input["a,b"], v)]', 'r := [v | v = internal.walk(input["a,b"])[_]]'),
        ("r if not lower(input.principal.id) == 1", "r if not lower(input.principal.id) == 1"),
        (
            "r if not lower(input.principal.id) == 1" + WITH,
            f"r if {{ {IS_THERE}; not lower(input.principal.id) == 1 }}{WITH}",
        ),
        (
            'r if { true; not "é" in [input.principal.id] with data.x as "y" }' + WITH,
            f'r if {{ true; {IS_THERE} with data.x as "y"; not "é" in [input.principal.id] with data.x as "y" }}{WITH}',
        ),
        (
            'r := "a" in [input.principal.id]' + WITH,
            f'r := "a" in [input.principal.id] if {IS_THERE}{WITH}',
        ),
    ],
)
def test_what_is_compiled_instead(rules: str, text: str) -> None:
    assert mended(rules) == text
    assert not isinstance(compiled(rules), list)


def test_tests_that_were_loaded_before_are_compiled_in_the_same_words() -> None:
    text = policy('r if not lower(input.principal.id) == 1\ntest_r if not r with input as {"principal": {}}')
    modules = [Module("t_test.rego", text)]
    first = Suite.of(modules, {})
    again = Suite.again(first.spelled, {}, first.tests)
    assert first.spelled == as_compiled(modules)
    assert [suite.run(suite.tests[0]).outcome for suite in (first, again)] == ["pass", "pass"]


def test_what_is_compiled_instead_must_not_be_written() -> None:
    _, faults, _ = compile_policy([Module("t.rego", policy("r if internal.present(input.x)"))], {}, [])
    assert "internal.present is no function of the policy" in faults[0]
