"""Whether every variable of a policy is bound: OPA's rule at compile time, which regorus applies when a branch runs.

A statement may be evaluated once what it needs is bound, and may bind more; statements are taken in any order until
none is left, or until none of the rest can be. Comprehensions and `every` are scopes of their own, which need whatever
they share with the query around them. A variable in a reference's brackets is bound there; one under `not` never is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from proxy.policy.scope import NO_FLOW, NO_NAMES, Flow, Names, Scope, Statement
from proxy.policy.syntax import (
    COMPREHENSIONS,
    LITERALS,
    Module,
    Node,
    Problem,
    Query,
    Rule,
    Unreadable,
    children,
    expressions,
    literals,
    part,
    reference,
    start_of,
    terms,
    walk,
)

_NO_ARRAYS: Final = LITERALS | {"Set", "Object", "SetCompr", "ObjectCompr"}

Visit = Callable[[Statement, Scope], None]
HasOutput = Callable[[Node, Scope], bool]


class Safety:
    """Checks the rules of one module.

    Args:
        global_names: what is no variable in this module.
        report: takes each problem.
        visit: is called with each statement and the scope in which everything that it needs is bound.
        has_output: tells whether a call's last argument is unified with its value.
    """

    __slots__ = ("_has_output", "_module", "_report", "_scope", "_visit")

    def __init__(
        self,
        module: Module,
        global_names: Names,
        *,
        report: Callable[[Problem], None],
        visit: Visit,
        has_output: HasOutput,
    ) -> None:
        self._module = module
        self._scope = Scope(module, global_names)
        self._report = report
        self._visit = visit
        self._has_output = has_output

    def check(self, rule: Rule) -> None:
        """Report every unsafe variable of a rule."""
        arguments: list[str] = []
        for argument in rule.arguments:
            arguments += self._pattern_names(argument)
        if len(set(arguments)) < len(arguments):
            self._problem(rule.span, "arguments must not have a name twice")
        names = frozenset(arguments)
        scope = self._scope.inside(names)
        scope = Scope(scope.module, scope.global_names, scope.declared, names, names)
        keys = [node for node in (rule.key, *rule.steps) if node is not None and not isinstance(node, str)]
        bodies = rule.bodies or [(None, {"stmts": []})]
        for index, (value, query) in enumerate(bodies):
            head = value if value is not None or index else rule.value
            self._query(query, scope, [*keys, *([] if head is None else [head])])

    def _query(self, query: Query, scope: Scope, heads: list[Node]) -> None:
        scope = scope.inside(self._declared(query))
        statements = _statements(query, heads)
        mentioned = frozenset(name for statement in statements for name in self._mentioned(statement.roots(), scope))
        scope = Scope(
            scope.module, scope.global_names, scope.declared, scope.bound, scope.visible | scope.bound | mentioned
        )
        scope = self._placed(statements, scope)
        self._ordered(statements, scope)
        for statement in statements:
            self._visit(statement, scope)
            if statement.kind == "Every":
                self._used(statement, scope)
            for inner, inside, inner_heads in self._closures(statement, scope):
                self._query(inner, inside, inner_heads)

    def _placed(self, statements: list[Statement], scope: Scope) -> Scope:
        """Return the scope in which all statements have been evaluated; report those that cannot be."""
        rest = list(statements)
        while rest:
            waiting: list[tuple[Statement, Flow]] = []
            for statement in rest:
                flow = self._flow_of(statement, scope)
                if flow.needs - flow.gives <= scope.bound:
                    scope = scope.binding(flow.gives)
                else:
                    waiting.append((statement, flow))
            if len(waiting) == len(rest):
                return self._unsafe(waiting, scope)
            rest = [statement for statement, _ in waiting]
        return scope

    def _unsafe(self, waiting: list[tuple[Statement, Flow]], scope: Scope) -> Scope:
        told: set[str] = set()
        for statement, flow in waiting:
            for name in sorted(flow.needs - flow.gives - scope.bound - told):
                told.add(name)
                self._problem(_place(name, statement), f"variable {name} is unsafe: nothing binds it")
        return scope.binding(frozenset().union(*(flow.needs | flow.gives for _, flow in waiting)))

    def _flow_of(self, statement: Statement, scope: Scope) -> Flow:
        flow = NO_FLOW
        for modifier in statement.modifiers:
            flow |= self._flow(modifier["as"], scope)
        kind, content = statement.kind, statement.content
        if kind == "NotExpr":
            return flow | self._flow(content["expr"], scope).negated(scope.bound)
        if kind == "Every":
            declared = self._every_names(content)
            return flow | self._flow(content["domain"], scope) | self._closed(content["query"], [], declared, scope)
        if kind == "SomeIn":
            for pattern in (content["key"], content["value"]):
                if pattern is not None:
                    flow |= self._binding_flow(pattern, scope)
            return flow | self._flow(content["collection"], scope)
        for node in expressions(kind, content):
            flow |= self._flow(node, scope)
        return flow

    def _flow(self, node: Node, scope: Scope) -> Flow:
        kind, content = part(node)
        if kind == "Var":
            name = content["value"]
            return Flow(frozenset({name})) if scope.is_local(name) else NO_FLOW
        if kind in ("RefDot", "RefBrack"):
            return self._reference_flow(node, scope)
        if kind in COMPREHENSIONS:
            return self._closed(content["query"], terms(node), NO_NAMES, scope)
        if kind == "AssignExpr":
            if content["op"] == "ColEq":
                return self._binding_flow(content["lhs"], scope) | self._flow(content["rhs"], scope)
            return self._unified(content["lhs"], content["rhs"], scope)
        flow, inputs = NO_FLOW, list(children(node))
        if kind == "Call" and self._has_output(content, scope):
            flow = self._binding_flow(inputs.pop(), scope)
        for child in inputs:
            flow |= self._flow(child, scope)
        return flow

    def _reference_flow(self, node: Node, scope: Scope) -> Flow:
        head, steps = reference(node)
        flow = self._flow(head, scope)
        for step in steps:
            if not isinstance(step, str):
                flow |= self._binding_flow(step, scope)
        return flow

    def _binding_flow(self, pattern: Node, scope: Scope) -> Flow:
        """Return the flow of a pattern: a variable in it is bound by it."""
        kind, content = part(pattern)
        if kind == "Var":
            name = content["value"]
            if name == "_":
                return Flow(iterates=True)
            return Flow(gives=frozenset({name})) if scope.is_local(name) else NO_FLOW
        if kind in ("Array", "Object"):
            flow = NO_FLOW
            for item in content["items"] if kind == "Array" else (value for _, _, value in content["fields"]):
                flow |= self._binding_flow(item, scope)
            return flow
        return self._flow(pattern, scope)

    def _unified(self, left: Node, right: Node, scope: Scope) -> Flow:
        """Return the flow of `left = right`: a side that is all bound binds the other."""
        (left_kind, left_content), (right_kind, right_content) = part(left), part(right)
        if left_kind == right_kind == "Array" and len(left_content["items"]) == len(right_content["items"]):
            flow = NO_FLOW
            for pair in zip(left_content["items"], right_content["items"], strict=True):
                flow |= self._unified(*pair, scope)
            return flow
        left_flow, right_flow = self._flow(left, scope), self._flow(right, scope)
        if "Array" in (left_kind, right_kind) and (left_kind == right_kind or {left_kind, right_kind} & _NO_ARRAYS):
            return left_flow | right_flow  # never equal, so nothing is bound
        if right_flow.needs - right_flow.gives <= scope.bound:
            return self._binding_flow(left, scope) | right_flow
        return self._binding_flow(right, scope) | left_flow

    def _closed(self, query: Query, heads: list[Node], declared: Names, scope: Scope) -> Flow:
        """Return the flow of a closure: it needs whatever it shares with the query around it, and binds nothing."""
        names = frozenset(self._mentioned_in(query, heads, scope.inside(declared))) - declared
        return Flow(names & scope.visible)

    def _mentioned(self, nodes: Iterable[Node], scope: Scope) -> Iterator[str]:
        """Yield the variables of expressions, those of closures left out."""
        for root in nodes:
            for node in walk(root):
                kind, content = part(node)
                if kind == "Var" and content["value"] != "_" and scope.is_local(content["value"]):
                    yield content["value"]

    def _mentioned_in(self, query: Query, heads: list[Node], scope: Scope) -> Iterator[str]:
        """Yield the variables of a closure that it does not declare, inner closures included."""
        declared = self._declared(query)
        scope = scope.inside(declared)
        statements = _statements(query, heads)
        for statement in statements:
            for name in self._mentioned(statement.roots(), scope):
                if name not in declared:
                    yield name
            for inner, inside, inner_heads in self._closures(statement, scope):
                hidden = inside.declared - scope.declared
                yield from (
                    name for name in self._mentioned_in(inner, inner_heads, inside) if name not in hidden | declared
                )

    def _closures(self, statement: Statement, scope: Scope) -> Iterator[tuple[Query, Scope, list[Node]]]:
        """Yield each closure of a statement: its query, the scope around it, and what it makes."""
        for root in statement.roots():
            for node in walk(root):
                if part(node)[0] in COMPREHENSIONS:
                    yield part(node)[1]["query"], scope, terms(node)
        if statement.kind == "Every":
            declared = self._every_names(statement.content)
            inside = scope.inside(declared)
            yield statement.content["query"], inside.binding(declared), []

    def _ordered(self, statements: list[Statement], scope: Scope) -> None:
        """Report variables that are declared twice, or behind what uses them: OPA refuses them."""
        declared: set[str] = set()
        used: set[str] = set()
        for statement in statements:
            names = self._declared_by(statement.kind, statement.content)
            before = used | set(self._used_by(statement, scope))
            for name in sorted(set(names)):
                if name in declared or names.count(name) > 1:
                    self._problem(self._start(statement), f"variable {name} must be declared once")
                elif name in before:
                    fault = f"variable {name} must be declared before it is used"
                    self._problem(self._start(statement), fault)
            declared.update(names)
            used = before | set(self._mentioned(statement.roots(), scope))

    def _start(self, statement: Statement) -> Node:
        span: Node = (statement.node or statement.content)["span"]
        return span

    def _used_by(self, statement: Statement, scope: Scope) -> Iterator[str]:
        """Yield the variables that a statement uses beside those that it declares."""
        kind, content = statement.kind, statement.content
        nodes = [modifier["as"] for modifier in statement.modifiers]
        assignment = part(content["expr"])[1] if kind == "Expr" and self._declared_by(kind, content) else None
        if assignment is not None:
            nodes.append(assignment["rhs"])
        elif kind == "SomeIn":
            nodes.append(content["collection"])
        elif kind != "SomeVars":
            nodes = statement.roots()
        yield from self._mentioned(nodes, scope)
        hidden = self._every_names(content) if kind == "Every" else NO_NAMES
        for inner, inside, heads in self._closures(statement, scope):
            yield from (name for name in self._mentioned_in(inner, heads, inside) if name not in hidden)

    def _used(self, statement: Statement, scope: Scope) -> None:
        """Report the variables of `every` that its body does not use: OPA refuses them."""
        declared = self._every_names(statement.content) - {"_"}
        used = frozenset(self._mentioned_in(statement.content["query"], [], scope.inside(declared)))
        for name in sorted(declared - used):
            self._problem(statement.content["span"], f"variable {name} of every must be used in its body")

    def _every_names(self, content: Node) -> Names:
        spans = [span for span in (content["key"], content["value"]) if span is not None]
        return frozenset(self._module.name_at(span) for span in spans)

    def _declared(self, query: Query) -> Names:
        """Return the names that a query declares, with `some` or `:=`."""
        return frozenset(name for kind, content, _ in literals(query) for name in self._declared_by(kind, content))

    def _declared_by(self, kind: str, content: Any) -> list[str]:
        """Return the names that a statement declares, as often as it does."""
        if kind == "SomeVars":
            return [self._module.name_at(span) for span in content["vars"]]
        if kind == "SomeIn":
            patterns = [pattern for pattern in (content["key"], content["value"]) if pattern is not None]
            return [name for pattern in patterns for name in self._pattern_names(pattern)]
        if kind == "Expr":
            node_kind, assignment = part(content["expr"])
            if node_kind == "AssignExpr" and assignment["op"] == "ColEq":
                return self._pattern_names(assignment["lhs"])
        return []

    def _pattern_names(self, pattern: Node) -> list[str]:
        kind, content = part(pattern)
        if kind == "Var":
            return [content["value"]] if content["value"] != "_" else []
        if kind == "Array":
            return [name for item in content["items"] for name in self._pattern_names(item)]
        if kind == "Object":
            return [name for _, _, value in content["fields"] for name in self._pattern_names(value)]
        return []

    def _problem(self, span: Node, rule: str) -> None:
        self._report(self._module.problem(span, rule))


def _statements(query: Query, heads: list[Node]) -> list[Statement]:
    written = zip(literals(query), query["stmts"], strict=True)
    return [Statement(*literal, query, node) for literal, node in written] + [
        Statement("Expr", {"expr": head}, [], query, None) for head in heads
    ]


def _place(name: str, statement: Statement) -> Node:
    """Return where a variable stands in a statement, or where that begins if only a closure in it has the variable."""
    roots = statement.roots()
    if not roots:
        raise Unreadable("a statement without an expression cannot be unsafe")
    for root in roots:
        for node in walk(root):
            kind, content = part(node)
            if kind == "Var" and content["value"] == name:
                return start_of(node)
    return start_of(roots[0])
