"""What is refused at load: each mistake with its file, line and column."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.policy.builtins import ARITY
from proxy.policy.embedded import compile_policy
from proxy.policy.input import build_input
from proxy.policy.negation import ALWAYS_IN_INPUT
from proxy.policy.sources import Module, read_sources
from tests.policy.inquiries import ask


def faults(*texts: str, data: dict[str, Any] | None = None, points: tuple[str, ...] = ()) -> list[str]:
    """Return what is said against a policy of some files: `0.rego`, `1.rego` …"""
    modules = [
        Module(f"{index}.rego", text if text.startswith("package") else f"package p\n\n{text}")
        for index, text in enumerate(texts)
    ]
    engine, found, _ = compile_policy(modules, data or {}, list(points))
    assert (engine is None) == bool(found)
    return found


@pytest.mark.parametrize(
    ("rules", "place", "fault"),
    [
        # what does not parse
        ("r := ", "3:6", "expecting expression"),
        ("r if {", "3:7", ""),
        ('r := "\\ud800"', "3:6", "serde_json cannot parse string"),
        ("allow { true }", "3:7", "`if` keyword is required"),
        # variables
        ("r := x", "3:6", "variable x is unsafe"),
        ("r if inptu.x == 1", "3:6", "variable inptu is unsafe"),
        ("r if { x + 1 == 2 }", "3:8", "variable x is unsafe"),
        ("r if { not x; true }", "3:12", "variable x is unsafe"),
        ("r if not input.a[_] == 1", "3:18", "variable _ is unsafe"),
        ("r if not input.a[x] == 1", "3:18", "variable x is unsafe"),
        ("r if { some x; not input.a[x] }", "3:28", "variable x is unsafe"),
        ("r := [x | true]", "3:7", "variable x is unsafe"),
        ("r if every x in y { x > 1 }", "3:17", "variable y is unsafe"),
        ("r if every x in [1] { x > y }", "3:27", "variable y is unsafe"),
        ("r contains x if input.a", "3:12", "variable x is unsafe"),
        ("r[x] := 1 if input.a", "3:3", "variable x is unsafe"),
        ("r if { input.a with input.b as x }", "3:32", "variable x is unsafe"),
        ("f(x) := y", "3:9", "variable y is unsafe"),
        ("r if { [x, y] = [y, x] }", "3:", ""),
        ("r := 1 if false else := x", "3:25", "variable x is unsafe"),
        ("r if { [x, y] = 1; x }", "3:9", "variable x is unsafe"),
        ("r if { [x, y] = [1]; x }", "3:9", "variable x is unsafe"),
        ("f(x, x) := 1", "3:1", "arguments must not have a name twice"),
        ("f(input) := input.a", "3:3", "must not be called input"),
        ("r if { data := 1; data == 1 }", "3:", "data cannot be shadowed"),
        ("r if { some input in [1]; input == 1 }", "3:13", "must not be called input"),
        ("r if { [x, 1] := input.a; x }", "3:12", "must have variables on its left side"),
        ("r if not x := 1", "3:10", "not must not be followed by an assignment"),
        # calls
        ("r if no_such(1)", "3:6", "no_such is no function of the policy"),
        ("r if data.lib.f(1)", "3:6", "must be a function, by its name"),
        ("r if { f := 1; f(1) }", "3:16", "must be a function, by its name"),
        ("r if input.f(1)", "3:6", "input.f is no function"),
        ("r if q(1)\n\nq := 1", "3:6", "must be a function, by its name"),
        ("r if f(1, 2, 3)\n\nf(x) := x", "3:6", "takes 1 arguments, not 3"),
        ("r := time.now_ns()\n\ntime := 1", "3:6", "must be a function, by its name"),
        ("r if not http.send({})", "3:10", "does not evaluate http.send"),
        ("r if count([x | x := opa.runtime()]) > 0", "3:22", "does not evaluate opa.runtime"),
        ("r := count", "3:6", "variable count is unsafe"),
        # what the engines read differently
        ("r if { {\"k\": [x]} := input.a; x }", "3:8", "must not take an object apart"),
        ("f(x) if { y := 1; x = {\"k\": y} }", "3:23", "must not take an object apart"),
        ("r if { some {\"k\": [x]} in input.a; x }", "3:13", "must not take an object apart"),
        ("f({\"k\": [x]}) := x", "3:3", "must not take an object apart"),
        ("f(input.x) := 1", "3:3", "must be a variable, a constant or an array"),
        ("r := 1 in input.a", "3:6", "the value of in must not be used"),
        ("r := f(1 in input.a)\n\nf(x) := x", "3:8", "the value of in must not be used"),
        ("r if \"k\", 1 in input.a", "3:7", "in must not have a key"),
        ("r if not f(input.x)\n\nf(x) := x", "3:12", "must not stand inside an operation under not"),
        ("r if not input.x > 1", "3:10", "must not stand inside an operation under not"),
        ("r := -input.x", "3:6", "a minus sign must stand before a number alone"),
        ("r := x if { x := q with count as f }\n\nq := 1\n\nf(_) := 1", "3:20", "with must replace"),
        ("r if q with input.x as [a]\n\nq if a\n\na := 1", "3:24", "what with brings must not read a rule"),
        ("r if q with input.x as [input.y] with input.z as 1\n\nq := 1", "3:24", "must not be undefined where another"),
        ("r if q with f as input.y with input.z as 1\n\nq := f(1)\n\nf(x) := x", "3:18", "must not be undefined where"),
        ("r if q with a as 2 with input.x as a\n\nq := 1\n\na := 1", "3:36", "what with brings must not read a rule"),
        ("r if q with f as a\n\nq := f(1)\n\nf(x) := x\n\na := 1", "3:18", "with must replace a function by another"),
        ("r if q with f as 1\n\nq if data.p.f(1)\n\nf(x) := x", "3:13", "with must name a function as every call"),
        ("a.b.c := 1\n\nr := a", "5:6", "a reference must not stop above data.p.a.b.c"),
        ("a.b.c := 1\n\nr := data.p.a[input.x]", "5:6", "a reference must not stop above data.p.a.b.c"),
        ("r if not data[input.x].q.y", "3:10", "a reference must name what stands below data"),
        ("r := [x | data[x].q.y]", "3:11", "a reference must name what stands below data"),
        ("r if q <= {1}\n\nq := {1}", "3:11", "a set or an object must not be put in order"),
        ("r if input.x > {x | some x in input.y}", "3:16", "a set or an object must not be put in order"),
        ("r := input.x >= s\n\ns contains 1", "3:17", "a set or an object must not be put in order"),
        ("r := input.x < m\n\nm[x] := 1 if some x in [1]", "3:16", "a set or an object must not be put in order"),
        ("r if [1, {}] < input.x", "3:10", "a set or an object must not be put in order"),
        # the body
        ("r := input.parsed_body", "3:6", "a policy must not read the body"),
        ("r if input.parsed_body.amount > 1", "3:6", "header fields or input.request.has_body"),
        ('r := input["parsed_body"]["x"]', "3:6", "a policy must not read the body"),
        ("r if { some x in input.attributes.request.http.body; x }", "3:18", "a policy must not read the body"),
        ("r := json.unmarshal(input.attributes.request.http[`raw_body`])", "3:21", "a policy must not read the body"),
        ("r := [x | x := input.parsed_body[_]]", "3:16", "a policy must not read the body"),
        ("r if { every x in input.parsed_body { x } }", "3:19", "a policy must not read the body"),
        ("r if { every x in [1] { x == input.parsed_body.x } }", "3:30", "a policy must not read the body"),
        ("r[input.parsed_body.x] := 1", "3:3", "a policy must not read the body"),
        ("r contains input.parsed_body.x", "3:12", "a policy must not read the body"),
        ("r := 1 if false else := input.parsed_body.x", "3:25", "a policy must not read the body"),
        ("r := data.x[input.parsed_body.x]", "3:13", "a policy must not read the body"),
        ("r if { q with input.a as input.parsed_body }\n\nq := 1", "3:26", "a policy must not read the body"),
        ("r := object.get(input, `parsed_body`, {})", "3:17", "a policy must not read the body"),
        ("r := object.get(input.attributes, [`request`, `http`, `body`], ``)", "3:17", "must not read the body"),
        ("package p\n\nimport input as i\n\nr := i.parsed_body.x", "5:6", "a policy must not read the body"),
        ("package p\n\nimport input.parsed_body\n\nr := parsed_body.x", "5:6", "a policy must not read the body"),
        (
            "package p\n\nimport input.attributes.request.http as http_request\n\nr := http_request.body",
            "5:6",
            "a policy must not read the body",
        ),
        # recursion
        ("f(x) := f(x)", "3:1", "must not be recursive: data.p.f -> data.p.f"),
        ("f(x) := g(x)\n\ng(x) := f(x)", "3:1", "must not be recursive: data.p.f -> data.p.g -> data.p.f"),
        ("r := s\n\ns := [x | x := r]", "3:1", "must not be recursive: data.p.r -> data.p.s -> data.p.r"),
        ("r := data.p[input.x]", "3:1", "must not be recursive: data.p.r -> data.p.r"),
        ("r := data[input.x].r", "3:1", "must not be recursive"),
        ("r := data", "3:1", "must not be recursive"),
        ("r[x] := y if { some x in [1]; y := r[x] }", "3:1", 'must not be recursive: data.p.r["[…]"]'),
        ("r if { every x in [1] { r } }", "3:1", "must not be recursive"),
        ("r := 1 if false else := r", "3:1", "must not be recursive"),
        ("f(x) := 1 if { x with input.a as f(1) }", "3:1", "must not be recursive"),
        ("r if { k(1) with g as h }\n\nk(x) := g(x)\n\ng(x) := x\n\nh(x) := k(x)", "5:1", "must not be recursive"),
        # clashes
        ("r := 1\n\nr(x) := x", "5:1", "must not be both a function and a value"),
        ("f(x) := 1\n\nf(x, y) := 2", "5:1", "must take the same number of arguments"),
        ("r := 1\n\nr contains 2", "5:1", "must be of one kind"),
        ("default r := 1\n\ndefault r := 2", "5:1", "must not have two defaults"),
        ("package p\n\nimport data.q.r\n\nr := 1", "5:1", "data.p.r must not be called like an import of its package"),
        ("package p\n\nimport data.q.x as input\n\nr := 1", "3:1", "an import must not be called input"),
        ("package p\n\nimport input.data\n\nr := 1", "3:1", "an import must not be called data"),
        ("package p\n\nimport data.x\nimport data.y as x\n\nr := 1", "4:1", "two imports must not be called x"),
        ("package p\n\nimport nothing.known\n\nr := 1", "3:", "import"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_place_and_its_rule(rules: str, place: str, fault: str) -> None:
    found = faults(rules)
    assert found[0].startswith(f"0.rego:{place}"), found
    assert fault in found[0], found


def test_every_mistake_of_every_file_is_told_at_once() -> None:
    found = faults("r := x\n\ns := http.send({})", "package q\n\nr if not f(input.a)\n\nf(x) := f(x)")
    assert [fault.split(": ")[0] for fault in found] == ["0.rego:3:6", "0.rego:5:6", "1.rego:3:12", "1.rego:5:1"]


def test_every_file_that_does_not_parse_is_told_at_once() -> None:
    assert [fault.split(": ")[0] for fault in faults("r := ", "r := := 1")] == ["0.rego:3:6", "1.rego:3:6"]


def test_the_usual_imports_are_let_pass() -> None:
    for line in ("import future.keywords.in", "import rego.v1"):
        assert faults(f"package p\n\n{line}\nimport data.x\nimport input.y as z\n\nr := [x, z]") == []


def test_rules_of_other_files_and_packages_are_known() -> None:
    library = "package lib.deep\n\nf(x) := x + 1\n\nname := `n`"
    assert faults("r := data.lib.deep.f(data.lib.deep.name)", library) == []
    assert faults("package p\n\nimport data.lib.deep\n\nr := deep.f(1)", library) == []
    assert faults("package p\n\nimport data.lib.deep.f\n\nr := f(1)", library) == []
    assert faults("package p\n\nimport data.lib as l\n\nr := l.deep.f(1)", library) == []
    assert faults("r := s\n\ns := 1", "package p\n\nt := s") == []
    assert "recursive" in faults("r := data.q.s", "package q\n\ns := data.p.r")[0]
    assert "recursive" in faults("f(x) := data.q.g(x)", "package q\n\nimport data.p\n\ng(x) := p.f(x)")[0]


def test_a_function_is_replaced_where_it_is_called_by_the_same_words() -> None:
    library = "package q\n\nf(x) := x\n\ns := f(1)"
    assert "no other function is called so" in faults("r if f(1) with f as 2\n\nf(x) := x", library)[0]
    assert "as every call of it does" in faults("r if data.q.s with data.q.f as 2", library)[0]
    assert (
        "as every call of it does" in faults("package p\n\nimport data.q\n\nr if q.f(1) with data.q.f as 2", library)[0]
    )
    assert faults("r if f(1) with f as 2\n\nf(x) := x", "package q\n\nf(x) := x\n\ns := data.q.f(1)") == []


def test_a_rule_of_another_package_is_not_brought_where_it_is_read() -> None:
    rules = "package p\n\nimport data.q.who\n\nr if not blocked with input.user as who\n\nblocked if {}"
    library = "package q\n\nwho := input.method"
    assert "what with brings" in faults(rules.format("{ input.user == `GET`; who }"), library)[0]
    assert faults(rules.format("input.user == `GET`"), library) == []


def test_a_rule_is_not_called_like_an_import_of_another_file() -> None:
    found = faults("package p\n\nimport data.q.x\n\nr := x", "package p\n\nx := 6")
    assert found == ["1.rego:3:1: data.p.x must not be called like an import of its package: OPA means the import"]
    assert faults("package p\n\nimport data.q.x\n\nr := x", "package q\n\nx := 6") == []


def test_a_rule_and_data_do_not_share_a_path() -> None:
    rules = "r := 1\n\na.b := 2\n\ns contains 1\n\nm[x] := 1 if some x in [1]"
    assert faults(rules, data={"p": {"other": 1, "a": {"c": 1}}, "q": {"r": 1}}) == []
    for clash in ({"r": None}, {"a": {"b": {}}}, {"a": 1}, {"s": []}, {"m": {"k": 1}}):
        assert "must not be both a rule and data" in faults(rules, data={"p": clash})[0]
    assert "must not be both a rule and data" in faults(rules, data={"p": 1})[0]


@pytest.mark.parametrize(
    ("rules", "point", "defined"),
    [
        ("decision := true", "p/decision", True),
        ("default decision := false", "p/decision", True),
        ("decision contains 1", "p/decision", True),
        ("decision[x] := 1 if some x in [1]", "p/decision", True),
        ("a.b.decision := true", "p/a/b/decision", True),
        ("decision := true", "p/decisions", False),
        ("decision := true", "p", False),
        ("decision := true", "decision", False),
        ("decision := {`a`: true}", "p/decision/a", False),
        ("decision(x) := true", "p/decision", False),
        ("decision.allow := true", "p/decision", False),
        ("decision[x].y := 1 if some x in [1]", "p/decision", False),
        ("decision[x] := 1 if some x in [1]", "p/decision/x", False),
    ],
)
def test_an_entry_point_is_a_rule_that_is_there(rules: str, point: str, defined: bool) -> None:
    engine, _, undefined = compile_policy([Module("p.rego", f"package p\n\n{rules}")], {}, [point])
    assert engine is not None
    assert undefined == (set() if defined else {point})


@pytest.mark.parametrize(
    "rules",
    [
        # what binds
        "r := x if { x > 1; x = input.a[_]; x < 3 }",
        "r := y if { y := [z | z := input.a[i]]; i = 1 }",
        "r := {[i, j] | input.a[i][j]}",
        "r := [x | some [x, 1] in input.a]",
        "r := x if { [x, _] := input.a }",
        "r := x if { count(input.a, x) }",
        "r := y if { f(1, y) }\n\nf(x) := x",
        "r := x if { {\"a\": 1}[x] = 1 }",
        "r[x] := y if { some x, y in input.a }",
        "r := input.a[_]",
        "r if { every k, v in input.a { every x in v { x == k } } }",
        "r := {x: [y | some y in z] | some x, z in input.a}",
        "r if { s[[x, 1]]; x > 0 }\n\ns contains [2, 1]",
        # rule names are no variables, and variables may hide them
        "r := y if { x := 1; y := x }\n\nx := 10",
        "f(x) := x\n\nx := f(1)",
        # what is called like the body and is none
        "r := input.request.parsed_body",
        "r := input.attributes.request.http.method",
        "r := data.parsed_body",
        "r := object.get(input.request.headers, `parsed_body`, ``)",
        "r if { q with input.parsed_body as 1 }\n\nq := 1",
        "package p\n\nimport input.parsed_body\n\nr := parsed_body.x if { parsed_body := data.x }",
        # not
        "r if not input.a",
        "r if not input.request.method in {`GET`, `HEAD`}",
        "r if not startswith(input.request.path, `/a`)",
        "r if not data.x[input.principal.id]",
        "r if not blocked\n\nblocked if input.a",
        "r if not admins[input.principal.id]\n\nadmins := {`ana`}",
        "r if { role := input.role; not role in admins }\n\nadmins contains `a`",
        "r if { x := input.a; not x > 1 }",
        "r if not count([x | some x in input.a]) > 1",
        "r if not input.a == input.b",
        "r if { some i; input.a[i]; not input.b[i] }",
        # in as a value
        "r := x in [1] if { some x in input.a }",
        "r := input.request.method in {`GET`}",
        # what has an order
        "r if count({1, 2}) < count(s)\n\ns contains 1",
        "r if s[1] > m.a\n\ns contains 1\n\nm[x] := 1 if some x in [`a`]",
        "r if { {1} == s; {1} - s == set() }\n\ns contains 1",
        # several modifiers
        "r if { q with input.x as input.y }\n\nq := 1",
        "r if { y := input.y; q with input.x as y with input.z as input.z }\n\nq := 1",
        "r if { q with input.x as object.union(a, {`k`: 1}) with input.z as b }\n\nq := 1\n\na := {`b`: b}\n\nb := [1]",
        # dynamic references that cannot come back
        "r := data.q[input.x].s",
        # what a test replaces
        "r if { q == 1 with time.now_ns as 1 with f as g }\n\nq := f(time.now_ns())\n\nf(x) := x\n\ng(_) := 1",
    ],
)  # fmt: skip
def test_what_is_right_is_let_pass(rules: str) -> None:
    assert faults(rules) == []


@pytest.mark.parametrize("principal", ["anonymous"])
def test_what_always_is_in_the_input_is_in_the_barest_input(principal: str) -> None:
    document = build_input(ask(tls_version=None, sni=None, labels={}, headers=[]))
    assert document["principal"]["kind"] == principal
    for path in ALWAYS_IN_INPUT:
        value: Any = document
        for step in path:
            assert step in value, path
            value = value[step]


def test_a_chain_of_calls_is_bounded() -> None:
    def chain(length: int) -> str:
        return "\n\n".join([f"f{i}(x) := f{i + 1}(x)" for i in range(length)] + [f"f{length}(x) := x", "r := f0(1)"])

    assert faults(chain(150)) == []
    assert "more than 200 deep" in faults(chain(250))[0]


def test_a_large_policy_is_read_in_good_time() -> None:
    rules = "\n\n".join(f"r{i} if {{ data.q[input.x].allow[{i}]; not r{i + 1} }}" for i in range(600))
    found = faults(f"{rules}\n\nr600 if input.y")
    assert len(found) == 1
    assert "rules must not call each other more than 200 deep" in found[0]


def test_the_shipped_policy_and_the_table_of_built_ins_fit() -> None:
    sources, _ = read_sources(None)
    assert sources is not None
    engine, found, undefined = compile_policy(sources.modules, {}, ["ztproxy/authz/decision"])
    assert (engine is not None, found, undefined) == (True, [], set())
    assert {"http.send", "net.lookup_ip_addr", "opa.runtime"}.isdisjoint(ARITY)
