"""What a policy must not ask of the embedded engine: its syntax tree is walked at load, and mistakes name the place.

regorus loads what OPA refuses, answers some things in another way, and can end the process. So everything that it is
asked is known here: calls, variables, recursion, what stands under `not`. Where it is in doubt whether the two engines
agree, the policy is refused with the way out, `engine: opa`. It knows the tree's shape (`syntax`) and no engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, Final, NamedTuple

from proxy.policy.callgraph import Rules, find_recursion
from proxy.policy.calls import Calls
from proxy.policy.mending import Mending
from proxy.policy.modifiers import Modifiers
from proxy.policy.modules import read_module
from proxy.policy.negation import Definedness
from proxy.policy.safety import Safety
from proxy.policy.scope import Scope, Statement
from proxy.policy.syntax import (
    Module,
    Node,
    Problem,
    Rule,
    Unreadable,
    input_path,
    part,
    reference,
    references_outside_closures,
    start_of,
    walk,
)

_OPA: Final = "use engine: opa"
_ORDER: Final = frozenset({"Lt", "Le", "Gt", "Ge"})
_COLLECTIONS: Final = frozenset({"Set", "Object", "SetCompr", "ObjectCompr"})
_KEYED: Final = frozenset({"Array", "Object", "ArrayCompr", "ObjectCompr"})
_ROOTS: Final = frozenset({"input", "data"})
_HTTP: Final = ("attributes", "request", "http")
_BODY: Final = (("parsed_body",), (*_HTTP, "body"), (*_HTTP, "raw_body"))  # where Envoy's shape would have it


class Analysed(NamedTuple):
    """What a policy's modules are found to be.

    Args:
        problems: what is wrong with them, by file and place.
        undefined: those of the entry points that no rule defines.
        rules: theirs, or None where they could not be read.
        texts: of the modules, in their order, as they are to be compiled.
    """

    problems: list[Problem]
    undefined: set[str]
    rules: Rules | None = None
    texts: Sequence[str] = ()

    def problems_with(self, data: Mapping[str, Any]) -> list[Problem]:
        """Return what is wrong with them beside this data, all of it."""
        hidden = [] if self.rules is None else list(self.rules.hidden_by(data))
        return _ordered([*self.problems, *hidden])


def analyse(trees: list[Node], entry_points: Iterable[str]) -> Analysed:
    """Return what is wrong with a policy.

    Args:
        trees: the syntax trees of all its modules.
        entry_points: rules that decide, such as `ztproxy/authz/decision`.
    """
    try:
        return _Analysis([read_module(tree) for tree in trees]).run(list(entry_points))
    except Unreadable as unreadable:
        fault = f"{unreadable}; the analysis must know every construct; {_OPA}"
    except KeyError as missing:
        fault = f"the syntax tree must have {missing}; its release is unknown"
    except RecursionError:
        fault = f"an expression must not nest so deep; {_OPA}"
    return Analysed([Problem("policy", 1, 1, fault)], set())


def _ordered(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(set(problems), key=lambda problem: (problem.file, problem.line, problem.column, problem.rule))


def _pattern_names(node: Node) -> Iterator[str]:
    """Yield the variables that a pattern would bind: those in its arrays and objects, and in no brackets or calls."""
    kind, content = part(node)
    if kind == "Var":
        yield content["value"]
    elif kind == "Array":
        for item in content["items"]:
            yield from _pattern_names(item)
    elif kind == "Object":
        for _, _, value in content["fields"]:
            yield from _pattern_names(value)


class _Analysis:
    """One policy under analysis."""

    def __init__(self, modules: list[Module]) -> None:
        self._modules = modules
        self._rules = Rules(modules)
        self._modifiers = Modifiers(self._rules)
        self._problems: list[Problem] = []
        self._mended: list[Mending] = []

    def run(self, entry_points: list[str]) -> Analysed:
        self._problems += self._rules.conflicts()
        self._problems += self._hidden()
        for module in self._modules:
            self._problems += module.misread
            self._mended.append(Mending(module.text))
            self._module(module, self._mended[-1])
        if self._modifiers.brings_input:
            for mending in self._mended:
                mending.require()
        self._problems += self._modifiers.problems()
        self._problems += find_recursion(self._rules)
        undefined = {point for point in entry_points if not self._rules.defines(tuple(point.split("/")))}
        mended = [mending.applied() for mending in self._mended]
        return Analysed(_ordered(self._problems), undefined, self._rules, mended)

    def _hidden(self) -> Iterator[Problem]:
        """Yield the rules that an import of some file of their package hides in OPA, and not here."""
        imports: dict[tuple[str, ...], set[str]] = {}
        for module in self._modules:
            imports.setdefault(module.package, set()).update(module.imports)
        for module in self._modules:
            for rule in module.rules:
                if rule.steps[0] in imports[module.package]:
                    fault = f"{rule.name} must not be called like an import of its package: OPA means the import"
                    yield module.problem(rule.span, fault)

    def _module(self, module: Module, mending: Mending) -> None:
        if module.rules:
            checker = _Checker(module, self._rules, self._modifiers, self._problems, mending)
            for rule in module.rules:
                checker.check(rule)


class _Checker:
    """Checks the rules of one module, statement by statement."""

    def __init__(
        self, module: Module, rules: Rules, modifiers: Modifiers, problems: list[Problem], mending: Mending
    ) -> None:
        self._module = module
        self._modifiers = modifiers
        self._rules = rules
        self._problems = problems
        self._rule = module.rules[0]
        self._mending = mending
        self._resting: Statement | None = None
        self._calls = calls = Calls(rules, module, problems, mending)
        names = frozenset({*rules.names_in(module.package), *module.imports, *_ROOTS})
        self._safety = Safety(
            module, names, report=problems.append, visit=self._statement, has_output=self._calls.has_output
        )
        self._definedness = Definedness(rules, module, calls.callee, self._rests)

    def check(self, rule: Rule) -> None:
        self._rule = rule
        for argument in rule.arguments:
            self._argument(argument)
        self._safety.check(rule)

    def _argument(self, pattern: Node) -> None:
        for node in walk(pattern):
            kind, content = part(node)
            if kind == "Var" and content["value"] in _ROOTS:
                self._report(node, f"an argument must not be called {content['value']}")
            elif kind == "Object":
                self._report(node, f"an argument must not take an object apart: OPA wants its keys exactly; {_OPA}")
            elif kind not in ("Var", "Array", "String", "RawString", "Number", "Bool", "Null"):
                self._report(node, f"an argument must be a variable, a constant or an array of them; {_OPA}")

    # --- statements

    def _statement(self, statement: Statement, scope: Scope) -> None:
        kind, content = statement.kind, statement.content
        self._resting = None
        self._problems += self._modifiers.check(self._module, statement, scope, self._definedness.defined)
        self._resting = statement
        for modifier in statement.modifiers:
            replaced = self._rules.data_path(modifier["refr"], self._module, scope)
            if replaced is not None:
                self._rules.refers(self._rule.path, replaced)  # for OPA a rule that is replaced is read
        for root in statement.roots():
            self._expression(root, scope, content.get("expr") if kind == "Expr" and not statement.is_head else None)
        if kind == "SomeIn":
            for pattern in (content["key"], content["value"]):
                if pattern is not None:
                    self._pattern(pattern)
        elif kind == "Expr":
            self._positive(content["expr"], scope)
        elif kind == "NotExpr":
            self._negative(content["expr"], scope)
        for node in self._values(statement):
            self._membership_value(node, scope)

    def _positive(self, expression: Node, scope: Scope) -> None:
        kind, content = part(expression)
        if kind != "AssignExpr":
            return
        if content["op"] == "ColEq":
            self._target(content["lhs"])
            return
        for side in (content["lhs"], content["rhs"]):
            for node in walk(side):
                if part(node)[0] == "Object" and self._binds(node, scope):
                    self._report(node, f"= must not take an object apart: OPA wants its keys exactly; {_OPA}")

    def _binds(self, node: Node, scope: Scope) -> bool:
        """Tell whether an object literal might be a pattern: it has a variable outside brackets and calls."""
        return any(scope.is_local(name) for name in _pattern_names(node))

    def _negative(self, expression: Node, scope: Scope) -> None:
        kind, content = part(expression)
        if kind == "Bool" and content["value"] is True:
            self._report(expression, "not must not stand before true: where it stands alone OPA lets the body hold")
        elif kind == "AssignExpr" and content["op"] == "ColEq":
            self._report(expression, "not must not be followed by an assignment")
        elif (culprit := self._definedness.under_not(expression, scope)) is not None:
            self._report(
                culprit,
                "what may be undefined must not stand inside an operation under not: OPA then fails the whole body, "
                "this engine the operation alone; assign it to a variable before",
            )

    def _target(self, pattern: Node) -> None:
        kind, content = part(pattern)
        if kind == "Array":
            for item in content["items"]:
                self._target(item)
        elif kind == "Object":
            self._report(pattern, f":= must not take an object apart: OPA wants its keys exactly; {_OPA}")
        elif kind != "Var":
            self._report(pattern, ":= must have variables on its left side")
        elif content["value"] in _ROOTS:
            self._report(pattern, f"a variable must not be called {content['value']}")

    def _pattern(self, pattern: Node) -> None:
        for node in walk(pattern):
            kind, content = part(node)
            if kind == "Object":
                self._report(node, f"some must not take an object apart: OPA wants its keys exactly; {_OPA}")
            elif kind == "Var" and content["value"] in _ROOTS:
                self._report(node, f"a variable must not be called {content['value']}")

    # --- expressions

    def _expression(self, root: Node, scope: Scope, alone: Node | None) -> None:
        for node in walk(root):
            kind, content = part(node)
            if kind == "Call":
                self._calls.check(node, self._rule, scope, alone=node is alone)
                self._look_up(content, scope)
            elif kind == "BoolExpr" and content["op"] in _ORDER:
                self._ordered((content["lhs"], content["rhs"]), scope)
            elif kind == "UnaryExpr":
                self._report(node, f"a minus sign must stand before a number alone; {_OPA}")
            elif kind == "Membership" and content["key"] is not None and part(content["collection"])[0] not in _KEYED:
                self._report(node, f"in must not have a key where a set may be: OPA finds it there too; {_OPA}")
        for node in references_outside_closures(root):
            self._reference(node, scope)

    def _ordered(self, sides: Iterable[Node], scope: Scope) -> None:
        for side in sides:
            kind, content = part(side)
            if kind == "Array":
                self._ordered(content["items"], scope)
            elif kind in _COLLECTIONS or self._rules.is_collection(self._rules.data_path(side, self._module, scope)):
                self._report(
                    side,
                    "a set or an object must not be put in order: the engines do not always agree which is less, and "
                    f"it tells nothing of what they hold; subtract sets or compare counts, or {_OPA}",
                )

    def _look_up(self, call: Node, scope: Scope) -> None:
        """Check `object.get` of the input, which is a reference that may be absent."""
        if self._calls.callee(call, scope)[0] == "object.get" and len(call["params"]) > 1:
            source, key = call["params"][:2]
            keys = part(key)[1]["items"] if part(key)[0] == "Array" else [key]
            steps = takewhile(lambda key: part(key)[0] in ("String", "RawString"), keys)
            self._read(source, tuple(part(step)[1]["value"] for step in steps), scope)

    def _read(self, node: Node, below: tuple[str, ...], scope: Scope) -> None:
        """Check what a reference reads of the input, with constant steps below it."""
        head = part(reference(node)[0])
        path = input_path(node, self._module.imports)
        if path is None or scope.is_local(head[1]["value"]):
            return
        if any((*path, *below)[: len(body)] == body for body in _BODY):
            self._report(
                node,
                "a policy must not read the body: it decides before one comes, on every engine; ask for header fields "
                "or input.request.has_body, and leave the body to the upstream",
            )

    def _reference(self, node: Node, scope: Scope) -> None:
        self._read(node, (), scope)
        path = self._rules.data_path(node, self._module, scope)
        if path is None:
            return
        self._rules.refers(self._rule.path, path)
        if path[:1] == (None,):
            self._report(
                node, f"a reference must name what stands below data: this engine finds no rules there else; {_OPA}"
            )
        if (whole := self._rules.half_way(path)) is not None:
            self._report(
                node, f"a reference must not stop above {whole.name}: OPA shows what is undefined there; {_OPA}"
            )

    def _values(self, statement: Statement) -> Iterator[Node]:
        """Yield each `in` whose value is used; as a statement of its own, undefined and false are the same."""
        plain = (
            part(statement.content["expr"])[1]
            if statement.kind in ("Expr", "NotExpr") and not statement.is_head
            else None
        )
        for root in statement.roots():
            for node in walk(root):
                kind, content = part(node)
                if kind == "Membership" and content is not plain:
                    yield node

    def _membership_value(self, node: Node, scope: Scope) -> None:
        content = part(node)[1]
        if not all(self._definedness.defined(content[name], scope) for name in ("value", "collection")):
            self._report(
                node,
                "the value of in must not be used where a side may be undefined: OPA has undefined there, this engine "
                "false; assign the side to a variable before, or make it a statement",
            )

    def _rests(self, path: tuple[str, ...]) -> None:
        if self._resting is not None:
            self._mending.rests(self._rule, self._resting, path)

    def _report(self, node: Node, rule: str) -> None:
        self._problems.append(self._module.problem(start_of(node), rule))
