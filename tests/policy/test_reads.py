"""What a rule reads is found through all that it reaches, and what might change by itself is found too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.policy import builtins
from proxy.policy.determinism import DETERMINISTIC
from proxy.policy.input import UNIQUE
from proxy.policy.reading import new_engine
from proxy.policy.reads import Reader, Reads
from proxy.policy.sources import read_sources
from tests.policy.opa import opa


def reads(*texts: str, point: str = "p/r") -> Reads:
    """Return what a rule of some files reads; nothing judges the files before."""
    engine = new_engine()
    for index, text in enumerate(texts):
        engine.add_policy(f"{index}.rego", text if text.startswith("package") else f"package p\n\n{text}")
    return Reader(json.loads(engine.get_ast_as_json())).reads(point)


def paths(*texts: str, point: str = "p/r") -> list[str]:
    return [".".join(path) for path in reads(*texts, point=point).paths]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("r := 1", []),
        ("r := data.input.x", []),
        ("r := input.a", ["a"]),
        ("r := input.a.b.c.d.e", ["a.b.c.d.e"]),
        ('r := input["a"]["b"].c', ["a.b.c"]),
        ('r := input.request.headers["x-team"]', ["request.headers.x-team"]),
        ("r := [input.a.b, input.a.c, input.d]", ["a.b", "a.c", "d"]),
        ("r := [input.a.b, input.a]", ["a"]),
        ("r := [input.a, input.a.b.c]", ["a"]),
        ("r := input.a[input.b.c].d", ["a", "b.c"]),
        ("r := input.a[_].b", ["a"]),
        ("r := input.a[0]", ["a"]),
        ("r := input.a.b[input.c][0].d", ["a.b", "c"]),
        ("r := input", [""]),
        ("r := input[_]", [""]),
        ("r := input[data.x]", [""]),
        ("r := f(input)\n\nf(x) := x.a", [""]),
        ("r if { walk(input, [_, 1]) }", [""]),
        ("r := x.a if { x := input }", [""]),
        ("r := json.unmarshal(input.a.b)", ["a.b"]),
        ("r := split(input.a.b, `/`)[input.c.d]", ["a.b", "c.d"]),
        ("r := x.y if { x := input.a }", ["a"]),
        ("r := {input.a.b: [x | x := input.c.d]}", ["a.b", "c.d"]),
        ("r := {x: y | some x, y in input.a; y == input.b.c}", ["a", "b.c"]),
        ("r if { every x in input.a.b { x == input.c.d } }", ["a.b", "c.d"]),
        ("r if { every k, v in {1} { input.a == k; v == input.b } }", ["a", "b"]),
        ("r if { some x in input.a.b; not x == input.c.d }", ["a.b", "c.d"]),
        ("r if not input.a", ["a"]),
        ("r if { some input.a.b in [1] }", ["a.b"]),
        ("r if -input.a < 1", ["a"]),
        ("r[input.a.b] := 1", ["a.b"]),
        ("r contains input.a.b", ["a.b"]),
        ("r := 1 if input.a.b else := 2 if input.c.d else := input.e.f", ["a.b", "c.d", "e.f"]),
        ("default r := 1\n\nr := 2 if input.a", ["a"]),
        ("r if {\n\tinput.a\n} {\n\tinput.b\n}", ["a", "b"]),
        ("package p\n\nimport input.a\n\nr := a.b", ["a.b"]),
        ("package p\n\nimport input.a.b as c\n\nr := c.d", ["a.b.d"]),
        ("package p\n\nimport input.a\n\nr := a", ["a"]),
        ("package p\n\nimport input as i\n\nr := i", [""]),
        ("package p\n\nimport input as i\n\nr := i.a.b", ["a.b"]),
        ('r := object.get(input.a, "b", input.c)', ["a.b", "c"]),
        ('r := object.get(input.a.b, ["c", "d"], 1)', ["a.b.c.d"]),
        ('r := object.get(input.a, ["c", input.d], 1)', ["a", "d"]),
        ("r := object.get(input.a, [], 1)", ["a"]),
        ("r := object.get(input.a[_], `b`, 1)", ["a"]),
        ('r := object.get(input, "b", 1)', ["b"]),
        ('r := object.get([input.a], "b", 1)', ["a"]),
    ],
)
def test_what_a_rule_names_is_read(rules: str, expected: list[str]) -> None:
    assert paths(rules) == expected


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("r := q\n\nq := input.a\n\ns := input.b", ["a"]),
        ("r := data.p.q\n\nq := input.a", ["a"]),
        ("r := data.p\n\nq := input.a\n\nf(x) := input.b", ["a"]),
        ("r := data.p[x] if { x := `q` }\n\nq := input.a", ["a"]),
        ("r := data[input.x].q\n\nq := input.a", ["a", "x"]),
        ("r := f(1)\n\nf(x) := input.a if x\n\nf(x) := g(x) if not x\n\ng(x) := input.b[x]", ["a", "b"]),
        ("r := data.p.f(1)\n\nf(x) := input.a", ["a"]),
        ("r if { f(1, x); x }\n\nf(x) := input.a", ["a"]),
        ("r := 1\n\ndefault f(_) := 1\n\nf(x) := input.a", []),
        ("r := f(1)\n\ndefault f(_) := 1\n\nf(x) := x if input.a", ["a"]),
        ("r := q.x\n\nq[k] := input.a[k] if some k in [1]", ["a"]),
        ("r := q.x.y\n\nq.x.y := input.a\n\nq.x.z := input.b", ["a"]),
        ("r := q.x\n\nq.x.y := input.a\n\nq.x.z := input.b", ["a", "b"]),
        ("r := q[input.k].z\n\nq.x.y := input.a\n\nq.x.z := input.b", ["b", "k"]),
        ("r := [x | x := q]\n\nq := input.a", ["a"]),
        ("r if every x in q { x == s }\n\nq := input.a\n\ns := input.b", ["a", "b"]),
        ("r := 1 if false else := q\n\nq := input.a", ["a"]),
        ("r[q] := 1\n\nq := input.a", ["a"]),
        ("r := {q: 1}\n\nq := input.a", ["a"]),
        ("r := input.a[q]\n\nq := input.b", ["a", "b"]),
    ],
)
def test_what_it_reaches_is_read(rules: str, expected: list[str]) -> None:
    assert paths(rules) == expected


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("r := x if { x := q with input.a.b as input.c.d }\n\nq := input.e", ["a.b", "c.d", "e"]),
        ("r := x if { x := q with input as {} }\n\nq := input.e", [""]),
        ("r := x if { x := q with data.p.s as input.a }\n\nq := s\n\ns := input.b", ["a", "b"]),
        ("r := x if { x := q with data.p.f as data.p.g }\n\nq := f(1)\n\nf(x) := 1\n\ng(x) := input.a", ["a"]),
        ("r := x if { x := q with f as g }\n\nq := f(1)\n\nf(x) := 1\n\ng(x) := input.a", ["a"]),
        ("r := x if { x := q with count as g }\n\nq := count([1])\n\ng(x) := input.a", ["a"]),
        ("r if { not q with input.a as 1 }\n\nq := input.b", ["a", "b"]),
        ("r if { some x in q with input.a as s }\n\nq := [1]\n\ns := input.b", ["a", "b"]),
    ],
)
def test_with_hides_nothing(rules: str, expected: list[str]) -> None:
    assert paths(rules) == expected


def test_other_files_packages_and_imports_are_followed() -> None:
    other = "package q.lib\n\nimport data.p.secret as s\n\nf(x) := s[x]\n\nunused := input.z"
    assert paths("package p\n\nimport data.q.lib\n\nr := lib.f(1)\n\nsecret := input.a", other) == ["a"]
    assert paths("package p\n\nimport data.q.lib.f as g\n\nr := g(1)\n\nsecret := input.a", other) == ["a"]
    assert paths("r := data.q\n\nsecret := input.a", other) == ["z"]
    assert paths("r := s", "s := input.a") == ["a"]
    assert paths("r := 1", "r := 2 if input.a") == ["a"]


def test_a_name_that_a_variable_hides_is_read_all_the_same() -> None:
    """More than is read does no harm; the places where a name is hidden are the ones where two engines may disagree."""
    assert paths("r := [q | some q in [1]]\n\nq := input.a") == ["a"]
    assert paths("package p\n\nimport input.a\n\nr := f(1)\n\nf(a) := a") == ["a"]
    assert paths("package p\n\nimport input.a as q\n\nr := q", "q := input.b") == ["a", "b"]


def test_an_entry_point_may_be_a_member_of_a_rule() -> None:
    assert paths("r[x] := input.a if some x in [1]", point="p/r") == ["a"]
    assert paths("r.s := input.a\n\nr.t := input.b", point="p/r/s") == ["a"]


def test_each_path_has_the_place_that_names_it_first() -> None:
    found = reads("r if {\n\tinput.a\n\tq\n}\n\nq := input.b.c\n")
    assert {path: str(place) for path, place in found.paths.items()} == {
        ("a",): "0.rego line 4",
        ("b", "c"): "0.rego line 8",
    }


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ("r := time.now_ns()", "calls time.now_ns, 0.rego line 3"),
        ("r := q\n\nq := [1 | time.now_ns() > 1]", "calls time.now_ns, 0.rego line 5"),
        ("r := f(1)\n\nf(x) := rand.intn(`a`, x)", "calls rand.intn, 0.rego line 5"),
        ("r if { uuid.rfc4122(`a`, x); x }", "calls uuid.rfc4122, 0.rego line 3"),
        ("r := http.send({})", "calls http.send, 0.rego line 3"),
        ("r := net.lookup_ip_addr(`a`)", "calls net.lookup_ip_addr, 0.rego line 3"),
        ("r := opa.runtime().env", "calls opa.runtime, 0.rego line 3"),
        ("r := io.jwt.decode_verify(input.a, {})", "calls io.jwt.decode_verify, 0.rego line 3"),
        ("r := brand.new(1)", "calls brand.new, 0.rego line 3"),
        ("r := x if { x := q with f as time.now_ns }\n\nq := f()\n\nf() := 1", "calls time.now_ns, 0.rego line 3"),
        ("r := x if { x := q with data.p.f as rand.intn }\n\nq := f(1)\n\nf(x) := 1", "calls rand.intn, 0.rego line 3"),
        ("r := x if { x := q with time.now_ns as 1 }\n\nq := time.now_ns()", "calls time.now_ns, 0.rego line 5"),
    ],
)
def test_a_call_that_may_answer_otherwise_the_next_time_stands_in_the_way(rules: str, why: str) -> None:
    assert reads(rules).obstacle == why
    assert reads(rules).told() == [f"p/r {why}, so its decisions are not remembered"]


def test_such_a_call_elsewhere_in_the_policy_does_not() -> None:
    assert reads("r := input.a\n\nq := time.now_ns()").obstacle is None
    assert reads("r := f(1)\n\nf(x) := x", "package q\n\nf(x) := http.send(x)").obstacle is None


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        ("r := input.time.now", "input.time.now"),
        ("r := input.request.id", "input.request.id"),
        ("r := input.request.id.x", "input.request.id"),
        ("r := input.time.unix_ns", "input.time.unix_ns"),
        ("r := input.attributes.request.http.id", "input.attributes.request.http.id"),
        ("r := input.time", "input.time and in it input.time.now"),
        ("r := input.request", "input.request and in it input.request.id"),
        ("r := input", "input and in it input.request.id"),
        ("r := input.attributes", "input.attributes and in it input.attributes.request.time"),
    ],
)
def test_what_no_two_requests_share_stands_in_the_way(rules: str, named: str) -> None:
    assert reads(rules).obstacle == f"reads {named}, 0.rego line 3, which is never the same twice"


@pytest.mark.parametrize("name", ["minute_ns", "minute", "hour", "weekday"])
def test_time_to_the_minute_does_not(name: str) -> None:
    assert reads(f"r := input.time.{name}").obstacle is None


@pytest.mark.parametrize(
    ("rules", "read", "how"),
    [
        ("r := input.request.headers", "input.request.headers whole", "per header set"),
        ("r := count(input.request.headers[_])", "input.request.headers whole", "per header set"),
        (
            "r := input.attributes.request.http.headers",
            "input.attributes.request.http.headers whole",
            "per header set",
        ),
        ("r := input.request.query", "input.request.query whole", "per query"),
        ("r := input.source", "input.source", "per connection"),
        ("r := input.principal", "input.principal whole", "per token"),
        ("r := input.principal.claims", "input.principal.claims whole", "per token"),
    ],
)
def test_a_read_that_makes_a_memory_narrow_is_told(rules: str, read: str, how: str) -> None:
    assert reads(rules).told() == [f"p/r reads {read}, 0.rego line 3: remembered only {how}"]


@pytest.mark.parametrize(
    "rules", ["r := input.request.method", 'r := input.request.headers["x-team"]', "r := input.principal.claims.acr"]
)
def test_a_read_of_one_field_needs_no_telling(rules: str) -> None:
    assert reads(rules).told() == []


def test_what_is_named_below_data_is_known() -> None:
    found = reads("r := [data.a.b[input.x], q, data.c]\n\nq := data.d.e")
    assert found.data == {("p", "r"), ("a", "b"), ("p", "q"), ("c",), ("d", "e")}


def test_a_tree_that_is_not_understood_is_read_whole_and_not_remembered() -> None:
    engine = new_engine()
    engine.add_policy("p.rego", "package p\n\nr := input.a")
    [tree] = json.loads(engine.get_ast_as_json())
    for broken in ({**tree, "version": 2}, {**tree, "ast": {**tree["ast"], "rules": [{"New": {}}]}}, {}):
        found = Reader([broken]).reads("p/r")
        assert found.obstacle is not None
        assert list(found.paths) == [()]


SHIPPED = Path(__file__).resolve().parents[2] / "policies"


@pytest.mark.parametrize(
    "path", [None, *sorted((SHIPPED / "examples").iterdir())], ids=lambda path: path.name if path else "default"
)
def test_every_policy_that_ships_can_be_remembered(path: Path | None) -> None:
    sources, _ = read_sources(path)
    assert sources is not None
    point = "ztproxy/authz/decision" if path is None else f"examples/{path.name}/decision"
    found = reads(*(module.text[module.text.index("package") :] for module in sources.modules), point=point)
    assert found.obstacle is None
    # Any claim may stand in an `allow`, so the default policy reads them all.
    assert [told.rsplit(": ", 1)[1] for told in found.told()] == ([] if path else ["remembered only per token"])


def test_no_built_in_that_opa_calls_non_deterministic_counts_as_deterministic() -> None:
    known = {
        each["name"]: each.get("nondeterministic", False)
        for each in json.loads(opa("capabilities", "--current").stdout)["builtins"]
    }
    assert known.keys() >= DETERMINISTIC
    assert [name for name in DETERMINISTIC if known[name]] == []
    clocks = {"io.jwt.decode_verify", "crypto.x509.parse_and_verify_certificates", "time.now_ns"}
    assert DETERMINISTIC.isdisjoint(clocks)


def test_every_built_in_of_the_embedded_engine_is_known_to_be_one_or_the_other() -> None:
    tokens = {"io.jwt.decode_verify", "io.jwt.encode_sign", "io.jwt.encode_sign_raw"}  # the clock, and chance in OPA's
    schemas = {"json.match_schema", "json.verify_schema"}  # which OPA fetches parts of
    assert builtins.ARITY.keys() - DETERMINISTIC == {"time.now_ns", *tokens, *schemas}


def test_what_never_repeats_is_part_of_the_document() -> None:
    assert {path[0] for path in UNIQUE} == {"request", "time", "attributes"}
