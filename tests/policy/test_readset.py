"""What a policy is not shown it could not have read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.policy.embedded import EmbeddedEngine, compile_policy
from proxy.policy.input import build_input
from proxy.policy.readset import read_set, shown
from proxy.policy.sources import Module, read_sources
from proxy.policy.syntax import input_path
from tests.policy.inquiries import ANA, ask, workload

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "policies" / "examples").iterdir())


def reads(*texts: str) -> Any:
    modules = [
        Module(f"{index}.rego", text if text.startswith("package") else f"package p\n\n{text}")
        for index, text in enumerate(texts)
    ]
    engine, faults, _ = compile_policy(modules, {}, [])
    assert engine is not None, faults
    return read_set(json.loads(engine.get_ast_as_json()))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("r := 1", {}),
        ("r := data.input.x", {}),
        ("r := input.a", {"a": None}),
        ("r := input.a.b", {"a": ("b",)}),
        ('r := input["a"]["b"].c', {"a": ("b",)}),
        ("r := [input.a.b, input.a.c, input.d]", {"a": ("b", "c"), "d": None}),
        ("r := [input.a.b, input.a]", {"a": None}),
        ("r := [input.a, input.a.b]", {"a": None}),
        ("r := input.a[input.b.c].d", {"a": None, "b": ("c",)}),
        ("r := input.a[_].b", {"a": None}),
        ("r := input", None),
        ("r := input[_]", None),
        ("r := input[data.x]", None),
        ("r := json.unmarshal(input.a.b)", {"a": ("b",)}),
        ("r := split(input.a.b, `/`)[input.c.d]", {"a": ("b",), "c": ("d",)}),
        ("r := x.y if { x := input.a }", {"a": None}),
        ("r := {input.a.b: [x | x := input.c.d]}", {"a": ("b",), "c": ("d",)}),
        ("r if { every x in input.a.b { x == input.c.d } }", {"a": ("b",), "c": ("d",)}),
        ("r if { some x in input.a.b; not x == input.c.d }", {"a": ("b",), "c": ("d",)}),
        ("r := x if { x := q with input.a.b as input.c.d }\n\nq := input.e", {"a": ("b",), "c": ("d",), "e": None}),
        ("r := x if { x := q with input as {} }\n\nq := input.e", None),
        ("f(x) := x\n\nr := f(input.a.b)", {"a": ("b",)}),
        ("r[input.a.b] := 1", {"a": ("b",)}),
        ("r := 1 if input.a.b else := 2 if input.c.d else := input.e.f", {"a": ("b",), "c": ("d",), "e": ("f",)}),
        ("package p\n\nimport input.a\n\nr := a.b", {"a": ("b",)}),
        ("package p\n\nimport input.a.b as c\n\nr := c.d", {"a": ("b",)}),
        ("package p\n\nimport input.a\n\nr := a", {"a": None}),
        ("package p\n\nimport input as i\n\nr := i", None),
        ("package p\n\nimport input as i\n\nr := i.a.b", {"a": ("b",)}),
    ],
)
def test_what_is_read_is_found(rules: str, expected: object) -> None:
    assert reads(rules) == expected


def test_what_any_file_reads_is_read() -> None:
    assert reads("r := input.a.b", "package q\n\ns := input.a.c") == {"a": ("b", "c")}
    assert reads("r := input.a.b", "package q\n\ns := input") is None


def test_a_document_is_cut_to_what_is_read() -> None:
    document = {"a": {"b": 1, "c": {"d": 2}}, "e": None, "f": [1]}
    assert shown(document, {"a": ("b", "z"), "e": ("x",), "f": ("y",), "g": None}) == {
        "a": {"b": 1},
        "e": None,
        "f": [1],
    }
    assert shown(document, {"a": None}) == {"a": document["a"]}


@pytest.mark.parametrize("path", [None, *EXAMPLES], ids=lambda path: path.name if path else "default")
async def test_a_decision_is_the_same_when_the_rest_is_left_out(path: Path | None) -> None:
    sources, _ = read_sources(path)
    assert sources is not None
    allow = [{"name": "x", "methods": [], "paths": [], "issuers": [], "users": [], "groups": [], "further": {}}]
    data = {**sources.data, "ztproxy": {"routes": {"wiki": {"allow": allow}}}}
    engine, faults, _ = compile_policy(sources.modules, data, [])
    assert engine is not None, faults
    point = "ztproxy/authz/decision" if path is None else f"examples/{path.name}/decision"
    whole = EmbeddedEngine(engine, "whole", 5.0)
    cut = EmbeddedEngine(engine, "cut", 5.0, read_set(json.loads(engine.get_ast_as_json())))
    for target in ("/", "/users/user-1", "/admin/a"):
        for who in ({}, {"principal": ANA}, {"principal": ANA, "peer": workload("spiffe://example.org/device/7")}):
            document = build_input(ask("GET", target, **who))
            assert await cut.evaluate(point, document) == await whole.evaluate(point, document)


def test_input_means_the_input_whatever_is_imported() -> None:
    assert input_path({"Var": {"value": "input"}}, {"input": ("data", "x")}) == ()
