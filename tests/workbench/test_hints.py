"""What a policy gives away about inputs: the values that stand beside the paths which it reads."""

from __future__ import annotations

import json

import pytest
import regorus

from proxy.policy.modules import read_module
from proxy.workbench.hints import Hints, read_hints


def hints(rules: str, data: object = None) -> Hints:
    engine = regorus.Engine()
    engine.add_policy("t.rego", f"package t\n\n{rules}")
    return read_hints([read_module(tree) for tree in json.loads(engine.get_ast_as_json())], data or {})


@pytest.mark.parametrize(
    ("rules", "path", "values"),
    [
        ('r if input.request.method == "GET"', ("request", "method"), ["GET"]),
        ("r if input.time.hour > 8", ("time", "hour"), [8]),
        ('r if input.request.headers["x-team"] in {"a", "b"}', ("request", "headers", "x-team"), ["x-team", "a", "b"]),
        ('r := [1 | startswith(input.source.address, "10.")]', ("source", "address"), [1, "10."]),
        ('import input.principal as who\nr if who.id == "ana"', ("principal", "id"), ["ana"]),
        ('r if { some x in input.principal.groups; x == "a" }', ("principal", "groups"), []),
    ],
)
def test_values_are_known_by_the_path_that_they_stand_beside(rules: str, path: tuple[str, ...], values: object) -> None:
    assert hints(rules).at[path] == values


def test_what_a_test_brings_is_known_by_its_path() -> None:
    found = hints('r if { input.a; true }\nt if r with input.a.b as {"c": [1, null]}\nu if r with input.a.b as input.z')
    assert found.brought == {("a", "b"): [{"c": [1, None]}]}


def test_words_are_those_of_the_policy_and_of_its_data() -> None:
    assert hints('r := "x" if input.y == "z"', {"ana": ["admin", 7]}).words == ["z", "x", "ana", "admin"]
