"""Policies that dice write: what the analysis of reads is held against, beyond what anybody thought of.

A policy is a deciding rule over helper rules and functions that read whatever stands in the input document, by every
construct through which one can read: references with constant and computed steps, imports, defaults, `else`, `with`,
comprehensions, `every`, `some`, functions and built-ins.
"""

from __future__ import annotations

import json
import random
from typing import Final

POINT: Final = "written/decision"
# Paths and values that the questions of `questions` have. What never repeats is left to tests of its own.
_STRINGS: Final = {
    "request.method": ["GET", "PUT"],
    "request.host": ["wiki.example.org"],
    "request.path": ["/docs", "/"],
    "request.query": ["size=large", ""],
    "request.scheme": ["https"],
    "request.protocol": ["HTTP/1.0"],
    'request.headers["x-team"]': ["blue", "rot", "blue, blue"],
    "request.headers.accept": ["text/html"],
    "principal.kind": ["user", "anonymous"],
    "principal.id": ["user-1", "ana"],
    "principal.issuer": ["corp", "partner"],
    "principal.email": ["ana@example.org"],
    "principal.claims.department": ["finance", "7"],
    "principal.claims.org.team.name": ["blue"],
    "peer.id": ["spiffe://example.org/device/7"],
    "peer.trust_domain": ["example.org"],
    "route.name": ["wiki"],
    "route.labels.tier": ["internal"],
    "listener": ["edge"],
    "tls.version": ["TLSv1.3"],
    "tls.sni": ["wiki.example.org"],
    "tls.client_certificate.serial": ["1f"],
    "source.address": ["203.0.113.7"],
    "time.weekday": ["Sunday"],
    "attributes.request.http.method": ["GET"],
    "attributes.request.http.path": ["/docs"],
    'attributes.request.http.headers[":path"]': ["/docs", "/docs?size=large"],
    "attributes.source.principal": ["spiffe://example.org/device/7"],
    "source_principal": ["spiffe://example.org/device/7"],
    "schema": ["ztproxy/1"],
}
_LISTS: Final = [
    "request.path_segments",
    "principal.groups",
    "parsed_path",
    "parsed_query.size",
    "tls.client_certificate.dns",
]
_OBJECTS: Final = [
    "request.headers",
    "principal.claims",
    "principal.authentication",
    "parsed_query",
    "route.labels",
    "peer",
    "source",
    "tls",
]
_NUMBERS: Final = [
    "time.hour",
    "time.minute",
    "time.minute_ns",
    "source.port",
    "principal.authenticated_at",
    "principal.authentication.age",
]
_ROOTS: Final = ("request", "principal", "tls.client_certificate", "attributes.request.http", "request.headers")


class _Writer:
    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._rules: list[str] = []
        self._functions: list[str] = []
        self._imports: dict[str, str] = {}
        self._made: list[str] = []

    def write(self) -> str:
        dice = self._dice
        for root in dice.sample(_ROOTS, dice.randint(0, 2)):
            self._imports[root] = f"via_{root.rpartition('.')[2]}"
        for number in range(dice.randint(1, 4)):
            self._rule(f"rule{number}")
        for number in range(dice.randint(0, 2)):
            self._function(f"function{number}")
        reasons = "".join(f"\n\t{self._condition(depth=2)}" for _ in range(dice.randint(1, 2)))
        rules = [
            f'decision := {{"allow": true, "reasons": [reason | some reason in noted]}} if {{{reasons}\n}}'
            f' else := {{"allow": false, "reasons": ["{dice.randint(0, 9)}"]}} if {{\n\t{self._condition(depth=1)}\n}}'
            ' else := {"allow": false, "reasons": [reason | some reason in noted]}',
            *(
                f'noted contains "{number}" if {{\n\t{self._condition(depth=1)}\n}}'
                for number in range(dice.randint(1, 3))
            ),
            *(f"noted contains {self._text()}" for _ in range(dice.randint(0, 1))),
        ]
        dice.shuffle(rules)
        imports = [f"import input.{root} as {name}" for root, name in self._imports.items()]
        return "\n\n".join(["package written", "import rego.v1", *imports, *rules, *self._made]) + "\n"

    # --- what is read

    def _path(self, path: str) -> str:
        for root, name in self._imports.items():
            if path.startswith(root + ".") and self._dice.random() < 0.7:
                return name + path.removeprefix(root)
        return "input." + path

    def _text(self) -> str:
        path = self._dice.choice(list(_STRINGS))
        return self._path(path)

    def _some_text(self) -> str:
        """Return an expression for a string that may be undefined."""
        dice = self._dice
        way = dice.randrange(7)
        path = dice.choice(list(_STRINGS))
        if way == 0:
            return f'object.get({self._path("request.headers")}, "x-team", "none")'
        if way == 1:
            return f'object.get({self._path("principal.claims")}, ["org", "team"], "none")'
        if way == 2:
            return f"lower({self._path(path)})"
        if way == 3:
            return f"input[{json.dumps(path.split('.')[0])}]" + "".join(f".{step}" for step in path.split(".")[1:])
        if way == 4 and self._functions:
            return f"{dice.choice(self._functions)}({self._path(path)})"
        if way == 5 and self._rules:
            return dice.choice(self._rules)
        return self._path(path)

    # --- conditions

    def _condition(self, depth: int) -> str:
        dice = self._dice
        ways = [
            self._equal,
            self._equal,
            self._listed,
            self._bound,
            self._present,
            self._every,
            self._counted,
            self._keyed,
        ]
        if depth > 0:
            ways += [self._negated, self._replaced, self._collected]
        return dice.choice(ways)(depth - 1)

    def _equal(self, depth: int) -> str:
        path = self._dice.choice(list(_STRINGS))
        return f"{self._path(path)} {self._dice.choice(['==', '!='])} {json.dumps(self._dice.choice(_STRINGS[path]))}"

    def _listed(self, depth: int) -> str:
        item = self._dice.choice(["docs", "engineering", "large", "leaf.example.org", "finance"])
        return f'"{item}" in {self._path(self._dice.choice(_LISTS))}'

    def _bound(self, depth: int) -> str:
        name = f"bound{self._dice.randrange(10**6)}"
        return f'{name} := {self._some_text()}\n\tcontains(sprintf("%v", [{name}]), "{self._dice.choice("aeiou")}")'

    def _present(self, depth: int) -> str:
        return self._some_text()

    def _every(self, depth: int) -> str:
        item = self._dice.choice(["docs", "finance", "7"])
        return f'every item in {self._path(self._dice.choice(_LISTS))} {{\n\t\titem != "{item}"\n\t}}'

    def _counted(self, depth: int) -> str:
        path = self._path(self._dice.choice(_LISTS + _OBJECTS))
        return f"count({path}) {self._dice.choice(['>', '<'])} {self._dice.randint(1, 4)}"

    def _keyed(self, depth: int) -> str:
        dice = self._dice
        way = dice.randrange(3)
        name = f"key{dice.randrange(10**6)}"
        if way == 0:
            initial = dice.choice("adeopstx")
            return f'some {name}, _ in {self._path(dice.choice(_OBJECTS))}\n\tstartswith({name}, "{initial}")'
        if way == 1:
            return (
                f'some {name} in ["department", "acr", "org"]\n\t{self._path("principal.claims")}[{name}] == "finance"'
            )
        return (
            f"{self._path(dice.choice(_NUMBERS))} {dice.choice(['<', '>', '=='])} {dice.choice([0, 11, 12, 19, 50123])}"
        )

    def _negated(self, depth: int) -> str:
        return (
            f"not {self._path(self._dice.choice(list(_STRINGS)))}"
            if self._dice.random() < 0.5
            else f"not {self._rule_name()}"
        )

    def _replaced(self, depth: int) -> str:
        path = self._dice.choice([path for path in _STRINGS if "[" not in path])
        value = json.dumps(self._dice.choice(_STRINGS[path]))
        return f"{self._rule_name()} with input.{path} as {value}"

    def _collected(self, depth: int) -> str:
        return f"count([1 |\n\t\t{self._condition(0)}\n\t]) > 0"

    # --- rules

    def _rule_name(self) -> str:
        return self._dice.choice(self._rules) if self._rules else self._rule("rule_more")

    def _rule(self, name: str) -> str:
        dice = self._dice
        bodies = [f"{name} := {self._text()} if {{\n\t{self._condition(depth=1)}\n}}"]
        if dice.random() < 0.5:
            bodies[0] += f' else := "{name}" if {{\n\t{self._condition(depth=1)}\n}}'
        if dice.random() < 0.4:
            bodies.append(f'default {name} := "{dice.choice(["none", "a"])}"')
        self._made += bodies
        self._rules.append(name)
        return name

    def _function(self, name: str) -> str:
        self._made.append(
            f"{name}(given) := {self._text()} if {{\n\tgiven != {self._text()}\n\t{self._condition(depth=1)}\n}}"
        )
        self._functions.append(name)
        return name


def written(seed: int) -> str:
    """Return the policy of a seed; its deciding rule is `POINT`."""
    return _Writer(seed).write()
