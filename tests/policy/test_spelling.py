"""What regorus cannot parse is spelled so that it can, means the same as to OPA, and is found where it was written."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from proxy.policy.decision import UNDEFINED
from proxy.policy.embedded import compile_policy
from proxy.policy.sources import Module
from proxy.policy.spelling import spell
from tests.opa import OPAServer, opa_server
from tests.policy.reference import FAILS, opas, ours

# A policy whose rule is `r`, and what both engines say.
CASES: list[tuple[str, object]] = [
    ('r := $""', ""),
    ('r := $"plain \\t \\" text"', 'plain \t " text'),
    ('r := $"{1} {1.5} {true} {null} {"a"} {[1, "b"]} {{1}} {{"k": 1}}"', '1 1.5 true null a [1, "b"] {1} {"k": 1}'),
    ('r := $"\\{1} {2} }"', "{1} 2 }"),
    ('r := $"{input.missing.too} {input.user}"', "<undefined> ana"),
    ('r := $"{$"<{input.user}>"}"', "<ana>"),
    ('x := $"a{input.user}b"\n\nr := {x: $"{x}"}', {"aanab": "aanab"}),
    ("r := $`line {input.user}\n\\{two} \\n`", "line ana\n{two} \\n"),
    ('r := $"{count([y | some y in [1, 2]])} {1 + 2} {upper(input.user)}"', "2 3 ANA"),
    ('r := x if { some u in ["a", "b"]; x := $"<{u}>"; u == "b" }', "<b>"),
    ('r if not $"{input.missing}" == ""', True),
    ('r := $"{input.user with input.user as "bob"}"', "bob"),
    ('r := $"{input["user"]}" # $"{unclosed', "ana"),
    ('r := "$\\"{x}\\""', '$"{x}"'),
    ("r := $\"{'x'}\"", FAILS),
    ('r := $"{f(input.user)}"\n\nf(x) := $"<{x}>"', "<ana>"),
    ('r := $"{to_number("x")}"', FAILS),
    ("r := input.if.in", 1),
    ("r := input.if.in if { input.with; some x in input.not; x == 2 }", 1),
    ("a.if := 1\n\nr := a.if + data.t.a.if", 2),
    ("if.a := 1\n\nif.b := 2 if input.user\n\nr := x if {\n\tif.a == 1\n\tx := data.t.if.b + 1\n}", 3),
    ("in.f(x) := x + 1\n\nr if { in.f(1) == 2 }", True),
    ('with.s contains "a"\n\nwith.s contains "b" if input.user\n\nr if { with.s == {"a", "b"} }', True),
    ("not.a := 1 if {\n\tinput.user == 5\n} else := 2\n\nr if { not.a == 2 }", True),
    ("every.a := named\n\nnamed := 3\n\nr if { every.a == 3 }", True),
    ("r if { true.a; false.a == 1 }\n\ntrue.a := true\n\nfalse.a := 1", True),
    ("default a.if(_) := 7\n\na.if(x) := x if x > 5\n\nr := [a.if(1), data.t.a.if(9)]", [7, 9]),
    ("a.in.b(x) := x\n\nr := a.in.b(1) if { every x in [1] { a.in.b(x) == 1 } }", 1),
    ("default if.a := 7\n\nif.a := 8 if input.user\n\nr if { if.a == 8 }", True),
    ("default if.f(_) := 7\n\nif.f(x) := x if x > 5\n\nr if { if.f(9) == 9; x := 7\nif.f(1) == x }", True),
    ("default contains.a := 7\n\ncontains.a := 8 if input.missing\n\nr if { contains.a == 7 }", True),
    ("r := data.t.null.x\n\nnull.x :=\n\t1", 1),
    ('r if net.cidr_merge(["10.0.0.0/9", "10.128.0.0/9"], {"11.0.0.0/8"})', UNDEFINED),
    ('r := x if {\n\tcrypto.md5("a", x)\n}', "0cc175b9c0f1b6a831c399e269772661"),
    ('r := [a, b] if {\n\tstrings.split_n("x,y", ",", 2,\n\t\t[a, b],\n\t)\n}', ["x", "y"]),
    ('r if not crypto.md5("a", "b")', True),
    ("package t.in\n\nr := 5", 5),
    ("if.a := 1 if {\n\tinput.n == 5\n}\nelse := 2\n\nr if { if.a == 1 }", True),
    ("if.a := 1 if input.zz\nelse := 2 if input.n\n\nr if { if.a == 2 }", True),
    ("if.a := x if {\n\tx := input.n # if.b := 3\n}\n\nr if { if.a == 5 }", True),
    ("# if.a := 3\nif.a := 4\n\nr if { if.a == 4 }", True),
    ('if.a := {\n"x": 1,\n"y": [\n2]\n}\n\nr if { if.a.y[0] == 2 }', True),
    ("if.a := 1\nif.b := 2\nr if { if.a == 1; if.b == 2 }", True),
    ("if.a.b := 1\n\nr if { if.a.b == 1 }", True),
    ('if.a["x"] := 1\n\nr if { if.a.x == 1 }', True),
    ("if.a[k] := v if some k, v in input.o\n\nr if { if.a.a == 1 }", True),
    ("if.a contains x if some x in [1, 2]\n\nr if { if.a == {1, 2} }", True),
    ("if.f(x, y) := x + y\n\nr if { if.f(1, 2) == 3 }", True),
    ("if.f(x) if x == 1\n\nr if { if.f(1) }", True),
    ("import input.o as o\n\nif.a := o.a\n\nr if { if.a == 1 }", True),
    ("import input.o\n\nif.a := o.b\n\nr if { if.a == 2 }", True),
    ("if.a := helper\n\nhelper := 9\n\nr if { if.a == 9 }", True),
    ("if.a := helper(1)\n\nhelper(x) := x + 1\n\nr if { if.a == 2 }", True),
    ("if.a := [x | some x in helper]\n\nhelper := [1]\n\nr if { if.a == [1] }", True),
    ("in.a := 1\n\nr if {\n\tin.a == 1\n\t1 in [1]\n}", True),
    ("not.a := 1\n\nr if {\n\tnot.a == 1\n\tnot input.zz\n}", True),
    ("some.a := 1\n\nr if {\n\tsome.a == 1\n\tsome x in [1]\n\tx == 1\n}", True),
    ("every.a := 1\n\nr if {\n\tevery.a == 1\n\tevery x in [1] { x == 1 }\n}", True),
    ("with.a := 1\n\nr if {\n\twith.a == 1 with input.n as 3\n}", True),
    ("default.a := 1\n\ndefault r := 7\n\nr := 8 if { default.a == 1 }", 8),
    ("import.a := 1\n\nr if {\n\timport.a == 1\n}", True),
    ("true.a := 1\n\nr if {\n\ttrue.a == 1\n\ttrue\n}", True),
    ("null.a := 1\n\nr if { null.a == 1 }", True),
    ("false.a := true\n\nr if { false.a }", True),
    ("as.a := 1\n\nr if { as.a == 1 }", True),
    ("else.a := 1\n\nr if { else.a == 1 } else := 3", True),
    ("if.a := 1\n\nq.if := 2\n\nr if { data.t.if.a == 1; q.if == 2; data.t.q.if == 2 }", True),
    ("if.a := 1\n\nin.b := 2\n\nr if {\n\tif.a == 1\n\tin.b == 2\n}", True),
    ('r := input.o["a"] if input.if\n', 1),
    ('r := input["if"] if input.if == 1', UNDEFINED),
    ("r := input.if.b.in[0].not", 3),
    ("r := [x | x := input.if.b.in[_].not]", [3]),
    ('r := {"if": input.if.b}', {"if": {"in": [{"not": 3}]}}),
    ('r := x if { x := input.o.a } # .if $"{', 1),
    ('r := $"{input.if.b.in[0].not}"', "3"),
    ('r := $"a\\{b} {input.n} \\"q\\" {`x`} {"y"}"', 'a{b} 5 "q" x y'),
    ('r := $"{[$"{x}" | some x in [1, 2]]}"', '["1", "2"]'),
    ('r := $"{{"a": input.n}["a"]}"', "5"),
    ('r := $"{input.n + 1}{input.n * 2}"', "610"),
    ('r := $"{input.o[k]}" if { k := "a" }', "1"),
    ('r := $"{f({"a": 1}, [2])}"\n\nf(x, y) := x.a + y[0]', "3"),
    ('r := $"{x}" if some x in ["q"]', "q"),
    ('r contains $"{x}!" if some x in ["q", "p"]', ["p!", "q!"]),
    ('r := $"#{input.n}#" # comment', "#5#"),
    ('r := [$"{1}", $"{2}", "$"]', ["1", "2", "$"]),
    ('r := concat("$", [$"{1}", `$`])', "1$$"),
    ('r := $"{input.zz.y}-{input.n}" == "<undefined>-5"', True),
    ('r := $"{1 in [1]} {2 in [1]}"', "true false"),
    ('r := $"{input.l}"', '[{"a": 1}]'),
    ('r := $"{input.o}"', '{"a": 1, "b": 2}'),
    ('r := $"{{1, 2}}"', "{1, 2}"),
    ('r := $"{"\\t"}|"', "\t|"),
    ('r := $"\\u00e9{1}"', "é1"),
]

DOCUMENT = {
    "user": "ana",
    "if": {"in": 1, "b": {"in": [{"not": 3}]}},
    "with": True,
    "not": [1, 2],
    "n": 5,
    "o": {"a": 1, "b": 2},
    "l": [{"a": 1}],
}


@pytest.fixture(scope="module")
def opa() -> Iterator[OPAServer]:
    with opa_server() as server:
        yield server


@pytest.mark.parametrize(("policy", "value"), CASES)
def test_it_means_the_same_to_both_engines(opa: OPAServer, policy: str, value: object) -> None:
    path = "t/in/r" if policy.startswith("package") else "t/r"
    assert ours(policy, DOCUMENT, path=path) == (value if value != FAILS or "to_number" in policy else "refused")
    assert opas(opa, policy, DOCUMENT, path=path) == value


@pytest.mark.parametrize(
    ("policy", "place"),
    [
        ('r := $"{x}"', "t.rego:3:6: variable x is unsafe"),
        ('r := [$"{input.a}", http.send({})]', "t.rego:3:21: the embedded engine does not evaluate http.send"),
        ("r if {\n\tinput.if.in.with == 1; http.send({})\n}", "t.rego:4:28: the embedded engine"),
        ("if.a := 1\n\nif.b := y\n\nr := 1", "t.rego:5:9: variable y is unsafe"),
        ("if.a := 1\n\nr := http.send({})", "t.rego:5:6: the embedded engine does not"),
        ('r := $`a\n{input.x}` if y', "t.rego:4:15: variable y is unsafe"),
        ('r := $"a', "t.rego:3:6: a string interpolation must be closed"),
        ('r := $"a {x"', "t.rego:3:10: braces in a string interpolation must be closed"),
        ("default a.if := 1\n\nr := a.if", "t.rego:3:1: a default must not have a name that ends in brackets"),
        ('default a["b"] := 1\n\nr := a.b', "t.rego:3:1: a default must not have a name that ends in brackets"),
        ('r := x if { x := 1; y := crypto.md5("a", z); z }', "t.rego:3:26: the value of crypto.md5 must be assigned"),
        ('r if { crypto.md5("a", {x | x := 1}) }', "t.rego:3:8: the value of crypto.md5 must be assigned"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_where_it_was_written(policy: str, place: str) -> None:
    _, faults, _ = compile_policy([Module("t.rego", f"package t\n\n{policy}")], {}, ["t/r"])
    assert any(fault.startswith(place) for fault in faults), faults


@pytest.mark.parametrize(
    "policy",
    [
        "package t\n\nr := input.x\n", 'package t\n\n# $"{comment}" if.a\nr := "if.a $\\"{x}\\""\n',
        "package t\n\nr := `a.if ${x}`\n", "package t\n\nr := x if { x := 1.5; x in [1.5] }\n",
    ],
)  # fmt: skip
def test_what_regorus_can_parse_is_left_as_it_is(policy: str) -> None:
    [module] = spell(Module("t.rego", policy)).modules
    assert module.text == policy


def test_lines_stay_where_they_are() -> None:
    text = "package t\n\nif.a := 1 if {\n\tinput.x\n}\n\nr := $`a\n{input.y}`\n"
    here, there = (module.text.split("\n") for module in spell(Module("t.rego", text)).modules)
    assert [line.strip() for line in there] == ['package t["if"]', "", "a := 1 if {", "input.x", "}", "", "", "", ""]
    assert here[7].startswith("`, [__value__ | __value__ := input.y]")
    assert len(here) == len(there) == text.count("\n") + 1
