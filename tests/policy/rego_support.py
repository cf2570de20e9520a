"""docs/rego-support.md, made of a run: the compliance suite, the constructs and the built-ins on both engines.

`python -m tests.policy.rego_support` writes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from proxy.policy import builtins
from tests.opa import VERSION, OPAServer, opa_server
from tests.policy.opa import opa
from tests.policy.reference import FAILS, compiled, opas, ours
from tests.policy.rego_suite import table

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "rego-support.md"
_DOCUMENT: Final = {"user": "ana", "groups": ["eng", "ops"], "n": 3, "o": {"a": 1, "b": 2}, "if": 1}

# A construct, and a policy whose rule `r` uses it.
CONSTRUCTS: Final[list[tuple[str, str]]] = [
    ("a rule with a value", 'r := "a" if input.n > 2'),
    ("`default`", "default r := 1\n\nr := 2 if input.missing"),
    ("`else`", "r := 1 if input.missing\nelse := 2"),
    ("a set by `contains`", "r contains g if some g in input.groups"),
    ("an object by a variable in the head", "r[k] := v if some k, v in input.o"),
    ("a name with dots in the head", "r if a.b.c == 1\n\na.b.c := 1"),
    ("a keyword as a name: `input.if`", "r := input.if"),
    ("a rule named by a keyword: `if.a`", "r if {\n\tif.a == 1\n}\n\nif.a := 1"),
    (
        "a function named by a keyword, with a default: `a.if(1)`",
        "default a.if(_) := 1\n\na.if(2) := 3\n\nr := a.if(2)",
    ),
    ("a default named by a keyword: `default a.if`", "default a.if := 1\n\nr := a.if"),
    ("a function", "r := f(input.n)\n\nf(x) := x + 1"),
    ("a function with constants for arguments", 'r := f("a", 1)\n\nf("a", x) := x\n\nf("b", _) := 2'),
    ("a function's argument taken apart as an array", "r := f([1, 2])\n\nf([x, y]) := x + y"),
    ("a function's argument taken apart as an object", 'r := f({"a": 1})\n\nf({"a": x}) := x'),
    ("recursion", "r := f(input.n)\n\nf(x) := f(x)"),
    ("array, set and object comprehensions", "r := [x | some x in {g | some g in input.groups}]"),
    ("`some x in xs`, `some k, v in xs`", "r if { some k, v in input.o; v == 2 }"),
    ("`some x` with references", "r := x if { some i; x := input.groups[i]; i == 1 }"),
    ("`some {…} in xs`", 'r := x if some {"a": x} in [input.o]'),
    ("`every`", 'r if every g in input.groups { g != "hr" }'),
    ("`x in xs`", 'r if "eng" in input.groups'),
    ("`k, v in xs` of an array or object that is written out", 'r if 0, "a" in ["a"]'),
    ("`k, v in xs` of anything else", 'r if 0, "eng" in input.groups'),
    ("the value of `in` where a side may be undefined", 'r := "eng" in input.groups'),
    ("unification of arrays", "r := [a, b] if [a, b] = input.groups"),
    ("unification of objects", 'r := x if {"a": x, "b": 2} = input.o'),
    ("`:=` that takes an object apart", 'r := x if {"a": x, "b": _} := input.o'),
    ("`not`", 'r if not blocked\n\nblocked if input.user == "bob"'),
    ("`not` of an operation on what may be undefined", "r if not input.missing > 1"),
    ("`with` for `input` and `data`", "r if a with input.user as 1\n\na if input.user == 1"),
    ("`with` for a function of the policy", "r := x if x := f(1) with f as 5\n\nf(x) := x"),
    ("`with` for `time.now_ns`", "r := x if x := t with time.now_ns as 5\n\nt := time.now_ns()"),
    ("`with` for another built-in", "r := x if x := c with count as 5\n\nc := count([])"),
    ("imports of `data` and `input`", "import input.user as who\n\nr := who"),
    ("string interpolation", 'r := $"{input.user} is in {count(input.groups)} groups"'),
    ("raw strings", "r := `\\a`"),
    ("calls with an output argument", 'r := x if upper("a", x)'),
    ("numbers beyond 64 bits floating point", "r := 2e308"),
    ("a reference that stops inside a rule's name", "r := a\n\na.b.c := 1"),
    ("`data[x]`", 'r := data[x].a if x := "t"\n\na := 1'),
    ("sets and objects in order: `{1} < {2}`", "r if { {1} < {2} }"),
    ("set operations", "r := {1, 2} - {2} | {3}"),
    ("arithmetic on integers", "r := 7 % 4 + 2 * input.n - 1"),
    ("`walk(x, [path, value])`", "r := [v | walk([1], [_, v])]"),
    ("`[path, value] := walk(x)`", "r := [v | [_, v] := walk([1])]"),
    ("metadata annotations", "# METADATA\n# title: a rule\nr := 1"),
    ("`print`, which says nothing where it serves", 'r if print("a")'),
]


_HEAD: Final = f"""\
# What of Rego each engine has

This page is made of a run of the tests: the embedded engine beside OPA {VERSION}. What is *refused* is refused when the
policy is loaded, with its place and the way out; [policy-engines.md](policy-engines.md#what-is-refused-at-load) says
why.

## Constructs

| construct | embedded | opa |
| --- | --- | --- |
"""

_BUILT_INS: Final = """
## Built-ins

| of | embedded and opa | opa alone |
| --- | --- | --- |
"""

_SUITE: Final = """
## OPA's compliance suite

A case *passes* with OPA's value, or with an error where OPA has one. It *fails* where OPA has a value or undefined, and
a built-in here says that it cannot: that refuses the request. What is not refused at load is *accepted*.

"""


def page() -> str:
    """Return the page."""
    constructs, built_ins = "\n".join(_constructs()), "\n".join(_built_ins())
    return f"{_HEAD}{constructs}\n{_BUILT_INS}{built_ins}\n{_SUITE}{table()}\n"


def _constructs() -> Iterator[str]:
    with opa_server() as server:
        for name, policy in CONSTRUCTS:
            yield f"| {name.replace('|', chr(92) + '|')} | {_embedded(server, policy)} | {_opa(server, policy)} |"


def _opa(server: OPAServer, policy: str) -> str:
    return "refused" if opas(server, policy, _DOCUMENT) == FAILS else "yes"


def _embedded(server: OPAServer, policy: str) -> str:
    engine = compiled(policy)
    if isinstance(engine, list):
        rule = re.sub(r"^t\.rego:[0-9:]+: |^.*?`(?=[^`]*$)", "", engine[0])
        return f"refused: {rule.replace('|', chr(92) + '|')}"
    assert ours(policy, _DOCUMENT) == opas(server, policy, _DOCUMENT), policy
    return "yes"


def _built_ins() -> Iterator[str]:
    known: dict[str, Any] = json.loads(opa("capabilities", "--current").stdout)
    groups: dict[str, list[str]] = {}
    for built_in in known["builtins"]:
        name = built_in["name"]
        if "infix" not in built_in and not built_in.get("deprecated") and not name.startswith("internal."):
            groups.setdefault(name.rpartition(".")[0] or "(no prefix)", []).append(name)
    for group, names in sorted(groups.items()):
        both = [name for name in sorted(names) if name in builtins.ARITY]
        alone = [name for name in sorted(names) if name not in builtins.ARITY]
        yield f"| {group} | {_listed(both)} | {_listed(alone)} |"


def _listed(names: list[str]) -> str:
    return " ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
