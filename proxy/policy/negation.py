"""What may stand under `not`, and where `in` may be a value: the two places where undefined is not undefined.

OPA evaluates what stands inside an operation before the operation: in `not f(input.x)` an undefined `input.x` fails the
whole body. To regorus the operation is undefined, so its negation holds, and `allow if not blocked(input.user)` would
permit whom OPA refuses. In the same way `1 in input.x` is undefined in OPA and false in regorus. So only what is surely
defined may stand there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from proxy.policy import builtins
from proxy.policy.callgraph import Rules
from proxy.policy.scope import Scope
from proxy.policy.syntax import COMPREHENSIONS, LITERALS, OPERATIONS, Module, Node, Path, children, part, reference

Callee = Callable[[Node, Scope], tuple[str | None, Path | None]]
Rests = Callable[[tuple[str, ...]], None]

_HTTP: Final = ("attributes", "request", "http")
# What the input document always has, whoever asks (`proxy/policy/input`).
ALWAYS_IN_INPUT: Final[frozenset[tuple[str, ...]]] = frozenset({
    (), ("schema",), ("peer",), ("tls",), ("listener",), ("version",), ("parsed_path",), ("parsed_query",),
    *(("principal", name) for name in (
        "kind", "id", "issuer", "issuer_url", "email", "groups", "claims", "method", "authenticated_at",
        "authentication",
    )),
    *(("principal", "authentication", name) for name in ("method", "amr", "acr")),
    *(("request", name) for name in (
        "id", "method", "scheme", "host", "authority", "path", "path_segments", "query", "headers", "protocol",
    )),
    *(("route", name) for name in ("name", "labels")),
    *(("source", name) for name in ("address", "port")),
    *(("time", name) for name in ("now", "unix_ns", "minute_ns", "minute", "hour", "weekday")),
    *((*_HTTP, name) for name in ("method", "path", "host", "headers", "protocol", "scheme")),
})  # fmt: skip


class Definedness:
    """Tells what is surely defined in one module.

    Args:
        callee: resolves a call to a built-in's name or a function's path.
        rests: is called with each path that is taken to be defined because every input has it.
    """

    __slots__ = ("_callee", "_module", "_rests", "_rules")

    def __init__(self, rules: Rules, module: Module, callee: Callee, rests: Rests) -> None:
        self._rules = rules
        self._module = module
        self._callee = callee
        self._rests = rests

    def under_not(self, expression: Node, scope: Scope) -> Node | None:
        """Return the part of a negated expression that may be undefined and would fail OPA's whole body."""
        kind, content = part(expression)
        if kind in ("Var", "RefDot", "RefBrack"):
            return self._in_steps(expression, scope)
        if kind == "Call":
            return self._undefined_among(content["params"], scope)
        if (kind == "BoolExpr" and content["op"] == "Eq") or kind == "AssignExpr":
            for side in (content["lhs"], content["rhs"]):
                plain = part(side)[0] in ("Var", "RefDot", "RefBrack")
                culprit = self._in_steps(side, scope) if plain else self._undefined_among([side], scope)
                if culprit is not None:
                    return culprit
            return None
        return self._undefined_among(list(children(expression)), scope)

    def _in_steps(self, node: Node, scope: Scope) -> Node | None:
        """Return what may be undefined inside a reference, which may be undefined itself."""
        head, steps = reference(node)
        inside = [step for step in steps if not isinstance(step, str)]
        return self._undefined_among(inside if part(head)[0] == "Var" else [head, *inside], scope)

    def _undefined_among(self, nodes: list[Node], scope: Scope) -> Node | None:
        return next((node for node in nodes if not self.defined(node, scope)), None)

    def defined(self, node: Node, scope: Scope) -> bool:
        """Tell whether an expression has a value, or fails, whatever the input is."""
        kind, content = part(node)
        if kind in LITERALS or kind in COMPREHENSIONS:
            return True
        if kind in ("Var", "RefDot", "RefBrack"):
            return self._reference_defined(node, scope)
        if kind == "Call":
            return self._call_defined(content, scope)
        if kind in ("Array", "Set", "Object", "Membership") or (kind in OPERATIONS and kind != "AssignExpr"):
            return all(self.defined(child, scope) for child in children(node))
        return False

    def _reference_defined(self, node: Node, scope: Scope) -> bool:
        head, steps = reference(node)
        kind, content = part(head)
        if kind != "Var" or not all(isinstance(step, str) for step in steps):
            return False
        if scope.is_local(content["value"]):
            return not steps
        path = self._rules.data_path(node, self._module, scope)
        if path is not None:
            return self._rules.always_defined(path)
        root = self._module.imports.get(content["value"], ("input",))
        found = (*root[1:], *(step for step in steps if isinstance(step, str)))
        if found not in ALWAYS_IN_INPUT:
            return False
        self._rests(found)
        return True

    def _call_defined(self, call: dict[str, Any], scope: Scope) -> bool:
        name, _ = self._callee(call, scope)
        arity = builtins.ARITY.get(name) if name is not None else None
        total = arity == len(call["params"]) and name not in builtins.PARTIAL
        return total and all(self.defined(param, scope) for param in call["params"])
