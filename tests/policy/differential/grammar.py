"""Policies as people write them for access, by a grammar that hypothesis draws from and shrinks.

A policy is rules of every kind over helper rules and functions, each of which may use those before it. Expressions have
types, so that most of what is written means something: what cannot be true OPA's type checker would refuse. First comes
what is simple, for that is where shrinking goes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from hypothesis import strategies as st

# What reads the input, by type: text, number, truth, list and set of text, object of text, anything. What the input
# always has, whoever asks, is told apart, for that may stand under `not`.
SURE: Final[dict[str, list[str]]] = {
    "text": [
        "input.principal.id", "input.principal.kind", "input.principal.issuer", "input.principal.email",
        "input.request.method", "input.request.path", "input.request.host", "input.source.address",
        "input.time.weekday", "input.route.name",
    ],
    "number": ["input.time.hour", "input.time.minute"],
    "truth": ["true", "false"],
    "list": ["input.principal.groups", "input.request.path_segments"],
    "set": [],
    "object": ["input.request.headers", "input.route.labels"],
}  # fmt: skip
UNSURE: Final[dict[str, list[str]]] = {
    "text": [
        "input.peer.id", "input.principal.claims.department", "input.principal.claims.org.team",
        'input.request.headers["x-team"]', "input.route.labels.tier", "input.request.path_segments[0]",
        "input.principal.groups[1]", 'input.principal["claims"].department', "input.extra.name", "data.owners.wiki",
        "data.apps[0].name", "input.extra.any",
    ],
    "number": ["input.source.port", "input.principal.claims.level", "input.extra.number", "data.limits.low"],
    "truth": ["input.request.has_body", "input.extra.flag", "input.principal.claims.staff"],
    "list": ["input.principal.claims.roles", "input.extra.list", "data.roles.ana", "data.apps[1].groups"],
    "set": [],
    "object": ["input.extra.map", "data.owners", "data.apps[0].labels"],
}  # fmt: skip
WORDS: Final = ["ana", "bob", "GET", "PUT", "admin", "dev", "wiki", "/docs/a", "", "Sunday", "eng", "docs", "user", "Ä"]
NUMBERS: Final = [0, 1, 2, 3, 10, 12, -1, 443]
KEYS: Final = ["x-team", "tier", "a", "ana", "wiki", "department"]
REGEXES: Final = ["^a", "^/docs/", "[a-z]+n$", "^(GET|PUT)$", "b{2,}", "(?i)ana", "^[^/]*$"]
GLOBS: Final = [("*", "[]"), ("a*", '["."]'), ("/docs/**", '["/"]'), ("*:{a,b}", "[]"), ("[a-c]*", "null")]
NETS: Final = ["10.0.0.0/8", "203.0.113.0/24", "2001:db8::/32", "0.0.0.0/0"]
# What `with` replaces, and by what.
WITH: Final = {
    "input.principal.id": "text", "input.request.method": "text", "input.principal.groups": "list",
    "input.request.headers": "object", "input.extra": "object", "input.extra.flag": "truth",
    "input.principal.claims.department": "text", "data.owners": "object", "data.roles.ana": "list",
}  # fmt: skip
TYPES: Final = ["text", "number", "truth", "list", "set", "object"]


@cache
def _below(end: int) -> st.SearchStrategy[int]:
    return st.integers(0, end - 1)


@dataclass
class Scope:
    """The variables of one body, by name; what is bound first may be used after."""

    names: dict[str, str] = field(default_factory=dict)

    def of(self, kind: str) -> list[str]:
        return [name for name, held in self.names.items() if held == kind]


@dataclass(frozen=True)
class Written:
    """A policy of package `t`, and the names of its rules that are no functions."""

    text: str
    rules: tuple[str, ...]


class Writer:
    """Writes one policy with what hypothesis draws."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._rules: dict[str, str] = {}  # name to type; `object` and `set` are those with a value in any case
        self._functions: dict[str, tuple[str, str]] = {}  # name to the type of its argument and its own
        self._count = 0

    # --- dice

    def pick(self, choices: list[Any]) -> Any:
        return choices[self._draw(_below(len(choices)))]

    def write(self, *ways: Callable[[], str]) -> str:
        """Return what one of some ways writes; the others are not gone."""
        written: str = self.pick(list(ways))()
        return written

    def some(self, most: int) -> int:
        return 1 + self._draw(_below(most))

    def rarely(self, part: int = 4) -> bool:
        return self._draw(_below(part + 1)) == part

    def _fresh(self, initial: str = "v") -> str:
        self._count += 1
        return f"{initial}{self._count}"

    # --- policies

    def policy(self) -> Written:
        rules = [self._rule() for _ in range(self.some(5))]
        rules += [] if self._rules else [self._plain()]
        return Written("\n\n".join(["package t", *rules]) + "\n", tuple(self._rules))

    def _rule(self) -> str:
        write = self.pick([
            self._plain, self._plain, self._valued, self._contains, self._chosen, self._keyed, self._function,
            self._defaulted, self._several, self._decision, self._constant,
        ])  # fmt: skip
        written: str = write()
        return written

    def _plain(self) -> str:
        body = self._body()
        return f"{self._named('truth')} if {{\n{body}}}"

    def _defaulted(self) -> str:
        body, kind = self._body(), self.pick(["truth", "text", "number"])
        value, default = self._literal(kind, 0), self._literal(kind, 0)
        name = self._named(kind)
        return f"default {name} := {default}\n\n{name} := {value} if {{\n{body}}}"

    def _valued(self) -> str:
        kind, scope = self.pick(TYPES), Scope()
        body = self._body(scope)
        value = self._expression(kind, scope, 2)
        return f"{self._named(kind)} := {value} if {{\n{body}}}"

    def _constant(self) -> str:
        kind = self.pick(["text", "number", "list", "set", "object"])
        return f"{self._named(kind)} := {self._literal(kind, 1)}"

    def _decision(self) -> str:
        """Write what decides, as people do: an object with reasons, and a default."""
        body, other = self._body(), self._body()
        reasons = [name for name, kind in self._rules.items() if kind == "set"]
        told = f"[why | some why in {self.pick(reasons)}]" if reasons else self._comprehension("[", "]", Scope(), 1)
        name = self._named("any")
        return (
            f'default {name} := {{"allow": false}}\n\n{name} := {{"allow": true, "reasons": {told}}} if {{\n{body}}}'
            f' else := {{"allow": false, "reasons": {told}}} if {{\n{other}}}'
        )

    def _several(self) -> str:
        bodies = [self._body() for _ in range(2)]
        name = self._named("truth")
        return "\n\n".join(f"{name} if {{\n{body}}}" for body in bodies)

    def _chosen(self) -> str:
        kind = self.pick(["text", "number", "list"])
        parts = []
        for _ in range(self.some(3)):
            scope = Scope()
            body = self._body(scope)
            parts.append((self._expression(kind, scope, 1), body))
        name = self._named(kind)
        (value, body), *others = parts
        tail = "".join(f" else := {other} if {{\n{inner}}}" for other, inner in others)
        last = f" else := {self._literal(kind, 0)}" if self.rarely() else ""
        return f"{name} := {value} if {{\n{body}}}{tail}{last}"

    def _contains(self) -> str:
        parts = []
        for _ in range(self.some(2)):
            scope = Scope()
            body = self._body(scope)
            parts.append(f"contains {self._expression('text', scope, 1)} if {{\n{body}}}")
        name = self._named("set")
        return "\n\n".join(f"{name} {part}" for part in parts)

    def _keyed(self) -> str:
        scope = Scope()
        body = self._body(scope)
        key, value = self._reference("text", scope), self._expression("text", scope, 1)
        return f"{self._named('object')}[{key}] := {value} if {{\n{body}}}"

    def _function(self) -> str:
        taken, given = self.pick(["text", "number", "list", "object"]), self.pick(["truth", "text", "number"])
        name, argument = self._fresh("f"), self._fresh("x")
        parts = []
        for _ in range(self.some(2)):
            scope = Scope({argument: taken})
            body = self._body(scope)
            head = argument if taken != "text" or not self.rarely() else self._literal("text", 0)
            if head != argument:
                scope = Scope()
                body = self._body(scope)
            value = "" if given == "truth" else f" := {self._expression(given, scope, 1)}"
            parts.append(f"{name}({head}){value} if {{\n{body}}}")
        if self.rarely():
            parts.append(f"default {name}(_) := {self._literal(given, 0)}")
        self._functions[name] = (taken, given)
        return "\n\n".join(parts)

    def _named(self, kind: str) -> str:
        """Return a new rule's name; only from now on can it be read."""
        name = f"r{len(self._rules)}"
        self._rules[name] = kind
        return name

    # --- bodies

    def _body(self, scope: Scope | None = None, depth: int = 2, most: int = 3) -> str:
        scope = scope if scope is not None else Scope()
        lines = [line for _ in range(self.some(most)) for line in self._statement(scope, depth)]
        return "".join(f"\t{line}\n" for line in lines)

    def _statement(self, scope: Scope, depth: int) -> list[str]:
        ways: list[Callable[[Scope, int], list[str]]] = [
            self._condition, self._condition, self._condition, self._bound, self._bound, self._listed, self._members,
            self._iterated, self._negated, self._negated, self._unified, self._present, self._held, self._nested,
        ]  # fmt: skip
        if depth > 0:
            ways += [self._every, self._replaced, self._walked]
        return self.pick(ways)(scope, depth)  # type: ignore[no-any-return]

    def _condition(self, scope: Scope, depth: int) -> list[str]:
        return [self._expression("truth", scope, depth)]

    def _bound(self, scope: Scope, depth: int) -> list[str]:
        kind = self.pick(TYPES)
        value, name = self._expression(kind, scope, depth), self._fresh()
        scope.names[name] = kind
        return [f"{name} := {value}"]

    def _listed(self, scope: Scope, depth: int) -> list[str]:
        over = self._expression(self.pick(["list", "list", "set"]), scope, depth - 1)
        name = self._fresh()
        scope.names[name] = "text"
        return [f"some {name} in {over}"]

    def _members(self, scope: Scope, depth: int) -> list[str]:
        kind = self.pick(["object", "list"])
        over = self._expression(kind, scope, depth - 1)
        key, value = self._fresh("k"), self._fresh()
        scope.names |= {key: "text" if kind == "object" else "number", value: "text"}
        return [f"some {key}, {value} in {over}"]

    def _iterated(self, scope: Scope, depth: int) -> list[str]:
        over = self._reference("list", scope)
        way = self.pick(["_", "index", "same"])
        if way == "_":
            return [f"{over}[_] == {self._simple('text', scope)}"]
        name = self._fresh("i")
        scope.names[name] = "number"
        if way == "index":
            return [f"some {name}", f"{over}[{name}] == {self._simple('text', scope)}"]
        return [f"some {name}", f"{over}[{name}] != {self._reference('list', scope)}[{name}]"]

    def _negated(self, scope: Scope, depth: int) -> list[str]:
        way = self.pick(["rule", "reference", "bound", "sure", "any"])
        if way == "rule" and self._rules:
            return [f"not {self.pick(list(self._rules))}"]
        if way == "reference":
            return [f"not {self._reference(self.pick(['text', 'truth', 'object', 'number']), scope)}"]
        if way == "bound" and scope.names:
            name = self.pick(list(scope.names))
            return [f"not {name} == {self._literal(scope.names[name], 0)}"]
        if way == "any" and self.rarely(2):
            return [f"not {self._expression('truth', scope, 1)}"]
        one = self.pick(SURE["text"] + scope.of("text"))
        calls = [
            lambda name=name: f"not {name}({one})" for name, (taken, _) in self._functions.items() if taken == "text"
        ]
        return [
            self.write(
                lambda: f"not {one} == {self._literal('text', 0)}",
                lambda: f"not startswith({one}, {self._literal('text', 0)})",
                lambda: f"not {one} in {self._literal('list', 0)}",
                lambda: f"not {self._literal('text', 0)} in {self.pick(SURE['list'])}",
                lambda: f"not {one} != {self.pick(SURE['text'])}",
                lambda: f"not count({self.pick(SURE['list'])}) > {self.pick(NUMBERS)}",
                lambda: f"not lower({one}) == {one}",
                *calls,
            )
        ]

    def _unified(self, scope: Scope, depth: int) -> list[str]:
        first, second = self._fresh(), self._fresh()
        one, other = self._simple("text", scope), self._simple("text", scope)
        scope.names |= {first: "text", second: "text"}
        return [self.pick([f"[{first}, {second}] := [{one}, {other}]", f"[{first}, {second}] = [{one}, {other}]"])]

    def _present(self, scope: Scope, depth: int) -> list[str]:
        return [self._reference(self.pick(["text", "truth", "number", "object"]), scope)]

    def _held(self, scope: Scope, depth: int) -> list[str]:
        """Ask a set or an object that rules make, by what may be in it."""
        made = [name for name, kind in self._rules.items() if kind in ("set", "object")]
        if not made:
            return self._condition(scope, depth)
        name = self.pick(made)
        name = name if self.rarely() else f"data.t.{name}"
        way = self.pick(["member", "not", "all", "bound"])
        if way == "member":
            return [f"{name}[{self._expression('text', scope, depth)}]"]
        if way == "not":
            return [f"not {name}[{self._simple('text', scope)}]"]
        found = self._fresh()
        scope.names[found] = "text"
        return [f"{name}[{found}]"] if way == "all" else [f"{found} := {name}[_]"]

    def _nested(self, scope: Scope, depth: int) -> list[str]:
        """Look through objects in lists, by indexes of their own."""
        index, found = self._fresh("i"), self._fresh()
        kept = dict(scope.names)
        scope.names |= {index: "number", found: "text"}
        return self.pick([
            [f"some {index}", f"{found} := data.apps[{index}].groups[_]"],
            [f"some {index}", f"data.apps[{index}].name == {self._simple('text', Scope(kept))}",
             f"{found} := data.apps[{index}].name"],
            [f"some {index}", f"some {found} in data.apps[{index}].groups"],
            [f"some {index}, {found} in input.principal.groups"],
        ])  # fmt: skip

    def _every(self, scope: Scope, depth: int) -> list[str]:
        over = self._expression(self.pick(["list", "list", "set"]), scope, 0)
        name = self._fresh("e")
        if self.rarely(3):
            key, mapped = self._fresh("k"), self._simple("object", scope)
            inside = Scope(scope.names | {name: "text", key: "text"})
            return [f"every {key}, {name} in {mapped} {{", f"\t{key} != {name}", "}"]
        inside = Scope(scope.names | {name: "text"})
        first = f"{name} != {self._simple('text', inside)}"  # OPA wants it to be used
        body = self._body(inside, depth - 2, 1) if self.rarely(2) else ""
        return [f"every {name} in {over} {{", f"\t{first}", *body.splitlines(), "}"]

    def _replaced(self, scope: Scope, depth: int) -> list[str]:
        if not self._rules:
            return self._condition(scope, depth)
        name = self.pick(list(self._rules))
        if self.rarely(3):
            whole = self.pick([
                "input as {}", 'input as {"principal": {"id": "ana", "groups": ["dev"]}}', "input.principal as {}",
                'input.request as {"method": "GET"}', "input as input.extra",
            ])  # fmt: skip
            return [f"{'not ' if self.rarely() else ''}{name} with {whole}"]
        path, kind = self.pick([
            *WITH.items(), *((f"data.t.{other}", kind) for other, kind in self._rules.items()),
        ])  # fmt: skip
        value = self._simple(kind, scope) if self.rarely() else self._literal(kind, 1)
        statement = f"{'not ' if self.rarely() else ''}{name} with {path} as {value}"
        if not statement.startswith("not") and self.rarely(2):
            bound = self._fresh()
            scope.names[bound] = self._rules[name]
            return [f"{bound} := {statement}"]
        return [statement]

    def _walked(self, scope: Scope, depth: int) -> list[str]:
        path, value = self._fresh("p"), self._fresh()
        over = self.pick(["input.extra", "input.principal.claims", "data.apps", "input.route.labels"])
        scope.names[value] = "any"
        return [f"walk({over}, [{path}, {value}])", f"is_string({value})"]

    # --- expressions

    def _literal(self, kind: str, depth: int) -> str:
        if kind == "text":
            return json.dumps(self.pick(WORDS), ensure_ascii=False)
        if kind == "number":
            return str(self.pick(NUMBERS))
        if kind == "truth":
            return str(self.pick(["true", "false"]))
        items = [self._literal("text", 0) for _ in range(self.some(4) - 1)]
        if kind == "object":
            first = KEYS.index(self.pick(KEYS))
            keys = [*KEYS[first:], *KEYS[:first]]
            return "{" + ", ".join(f'"{key}": {item}' for key, item in zip(keys, items, strict=False)) + "}"
        if kind == "set":
            return "{" + ", ".join(items) + "}" if items else "set()"
        return f"[{', '.join(items)}]"

    def _reference(self, kind: str, scope: Scope) -> str:
        found = scope.of(kind) + SURE.get(kind, []) + UNSURE.get(kind, [])
        found += [name for name, held in self._rules.items() if held == kind]
        return str(self.pick(found)) if found else self._literal(kind, 1)

    def _simple(self, kind: str, scope: Scope) -> str:
        """Return an expression that has neither calls nor closures."""
        return self._reference(kind, scope) if self.pick([True, False]) else self._literal(kind, 1)

    def _expression(self, kind: str, scope: Scope, depth: int) -> str:
        if depth <= 0 or self.rarely(2):
            return self._simple(kind, scope)
        if kind not in ("truth",) and (called := self._called(kind, scope)) is not None and self.rarely():
            return called
        return str(getattr(self, f"_{kind}_of")(scope, depth - 1))

    def _called(self, kind: str, scope: Scope) -> str | None:
        fitting = [(name, taken) for name, (taken, given) in self._functions.items() if given == kind]
        if not fitting:
            return None
        name, taken = self.pick(fitting)
        return f"{name}({self._simple(taken, scope)})"

    def _truth_of(self, scope: Scope, depth: int) -> str:
        def text() -> str:
            return self._expression("text", scope, depth)

        def other() -> str:
            return self._simple("text", scope)

        def compared() -> str:
            operator = self.pick(["<", "<=", ">", ">=", "==", "!="])
            return f"{self._expression('number', scope, depth)} {operator} {self._simple('number', scope)}"

        def globbed() -> str:
            glob, delimiters = self.pick(GLOBS)
            return f"glob.match({json.dumps(glob)}, {delimiters}, {text()})"

        calls = [
            lambda name=name, taken=taken: f"{name}({self._simple(taken, scope)})"
            for name, (taken, _) in self._functions.items()
        ]
        return self.write(
            lambda: f"{text()} == {other()}",
            lambda: f"{text()} != {other()}",
            lambda: f"{text()} in {self._expression(self.pick(['list', 'set']), scope, depth)}",
            compared,
            lambda: f"{self.pick(['startswith', 'endswith', 'contains'])}({text()}, {other()})",
            lambda: f"regex.match({json.dumps(self.pick(REGEXES))}, {text()})",
            globbed,
            lambda: f"net.cidr_contains({json.dumps(self.pick(NETS))}, {self.pick(['input.source.address', other()])})",
            lambda: f"{self._simple('set', scope)} == {self._expression('set', scope, depth)}",
            lambda: f"{self.pick(['is_string', 'is_array', 'is_object'])}({self._reference('text', scope)})",
            lambda: f"object.subset({self._simple('object', scope)}, {self._literal('object', 1)})",
            lambda: f"{self._reference('object', scope)}[{text()}] == {other()}",
            lambda: f"strings.any_prefix_match({self._simple('list', scope)}, {self._literal('list', 1)})",
            *calls,
        )

    def _text_of(self, scope: Scope, depth: int) -> str:
        def text() -> str:
            return self._expression("text", scope, depth)

        def other() -> str:
            return self._literal("text", 0)

        def mapped() -> str:
            return self._simple("object", scope)

        def number() -> str:
            return self._simple("number", scope)

        return self.write(
            lambda: f"lower({text()})",
            lambda: f"upper({text()})",
            lambda: f'object.get({mapped()}, {text()}, "none")',
            lambda: f'concat("/", {self._expression("list", scope, depth)})',
            lambda: f'sprintf("%s-%v", [{text()}, {number()}])',
            lambda: f"trim_prefix({text()}, {other()})",
            lambda: f"trim({text()}, {other()})",
            lambda: f'replace({text()}, {other()}, "x")',
            lambda: f"substring({text()}, 1, {self.pick([-1, 0, 2])})",
            lambda: f'split({text()}, "/")[{self.pick([0, 1])}]',
            lambda: f"{self._reference('object', scope)}[{text()}]",
            lambda: f"{self._reference('list', scope)}[{number()}]",
            lambda: f"json.marshal({mapped()})",
            lambda: f'object.get(input.principal.claims, ["org", "team"], {other()})',
            lambda: f"base64.encode({text()})",
            lambda: f"format_int({number()}, 10)",
        )

    def _number_of(self, scope: Scope, depth: int) -> str:
        def number() -> str:
            return self._expression("number", scope, depth)

        def other() -> str:
            return self._simple("number", scope)

        return self.write(
            lambda: f"count({self._expression(self.pick(['list', 'set', 'object']), scope, depth)})",
            lambda: f"{number()} {self.pick(['+', '-', '*'])} {other()}",
            lambda: f"abs({number()})",
            lambda: f"max([{number()}, {other()}])",
            lambda: f"indexof({self._expression('text', scope, depth)}, {self._literal('text', 0)})",
            lambda: f"{number()} % 3",
            lambda: f"sum([{number()}, 1])",
            lambda: f"to_number({self._simple('text', scope)})",
        )

    def _list_of(self, scope: Scope, depth: int) -> str:
        def held() -> str:
            return self._expression("list", scope, depth)

        def text() -> str:
            return self._expression("text", scope, depth)

        return self.write(
            lambda: f"array.concat({held()}, {self._simple('list', scope)})",
            lambda: f'split({text()}, "/")',
            lambda: f"array.slice({held()}, 0, {self.pick([1, 2])})",
            lambda: f"sort({held()})",
            lambda: f"[{text()}, {self._simple('text', scope)}]",
            lambda: self._comprehension("[", "]", scope, depth),
        )

    def _set_of(self, scope: Scope, depth: int) -> str:
        def held() -> str:
            return self._simple("set", scope)

        return self.write(
            lambda: f"({held()} {self.pick(['|', '&', '-'])} {held()})",
            lambda: f"{{{self._expression('text', scope, depth)}, {self._simple('text', scope)}}}",
            lambda: f"object.keys({self._simple('object', scope)})",
            lambda: self._comprehension("{", "}", scope, depth),
        )

    def _object_of(self, scope: Scope, depth: int) -> str:
        def held() -> str:
            return self._simple("object", scope)

        def text() -> str:
            return self._expression("text", scope, depth)

        return self.write(
            lambda: f"object.union({held()}, {held()})",
            lambda: f"object.remove({held()}, {self._literal('list', 1)})",
            lambda: f"object.filter({held()}, {self._literal('list', 1)})",
            lambda: f'{{"a": {text()}, "wiki": {self._simple("text", scope)}}}',
            lambda: self._mapped(scope, depth),
        )

    def _comprehension(self, opening: str, closing: str, scope: Scope, depth: int) -> str:
        inside = Scope(dict(scope.names))
        over, name = self._simple(self.pick(["list", "set"]), scope), self._fresh()
        inside.names[name] = "text"
        statements = [f"some {name} in {over}"]
        if self.pick([True, False]):
            statements += self._statement(inside, depth - 1)
        value = self._expression("text", inside, depth)
        return f"{opening}{value} | {_joined(statements)}{closing}"

    def _mapped(self, scope: Scope, depth: int) -> str:
        inside = Scope(dict(scope.names))
        over, key, value = self._simple("object", scope), self._fresh("k"), self._fresh()
        inside.names |= {key: "text", value: "text"}
        statements = [f"some {key}, {value} in {over}"]
        if self.pick([True, False]):
            statements += self._statement(inside, depth - 1)
        return f"{{{key}: {self._expression('text', inside, depth)} | {_joined(statements)}}}"


def _joined(statements: list[str]) -> str:
    """Return statements of one or more lines on one."""
    out = ""
    for line in (statement.strip() for statement in statements):
        out += ("; " if out and not out.endswith("{") and line != "}" else " " if out else "") + line
    return out


@st.composite
def policies(draw: st.DrawFn) -> Written:
    """Return a policy."""
    return Writer(draw).policy()
