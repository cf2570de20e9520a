"""Calls: whom a name means, whether the embedded engine may be asked for it, and with which arguments."""

from __future__ import annotations

from collections.abc import Callable

from proxy.policy import builtins
from proxy.policy.callgraph import Rules
from proxy.policy.mending import Mending
from proxy.policy.patterns import PatternError
from proxy.policy.scope import Scope
from proxy.policy.sources import TESTS
from proxy.policy.syntax import Module, Node, Path, Problem, Rule, part, spelled, start_of


class Calls:
    """Checks the calls of one module.

    Args:
        rules: all rules of the policy.
        module: the file.
        problems: takes what is wrong.
        mending: takes what must be compiled otherwise.
    """

    __slots__ = ("_mending", "_module", "_problems", "_rules")

    def __init__(self, rules: Rules, module: Module, problems: list[Problem], mending: Mending) -> None:
        self._mending = mending
        self._rules = rules
        self._module = module
        self._problems = problems

    def callee(self, call: Node, scope: Scope) -> tuple[str | None, Path | None]:
        """Return the built-in's name or the function's path that a call means; neither: nothing is called so."""
        names = spelled(call["fcn"])
        if names is None or names[0] in scope.declared:
            return None, None
        if names[0] == "data":
            return None, names[1:]
        if names[0] in self._module.imports:
            path = self._module.imports[names[0]] + names[1:]
            return None, path[1:] if path[0] == "data" else None
        if names[0] in self._rules.names_in(self._module.package):
            return None, self._module.package + names
        return ".".join(names), None

    def _arity(self, call: Node, scope: Scope) -> int | None:
        name, path = self.callee(call, scope)
        if name is not None:
            return builtins.ARITY.get(name)
        return self._rules.arity(path) if path is not None else None

    def has_output(self, call: Node, scope: Scope) -> bool:
        """Tell whether a call's last argument is unified with its value; of an unknown function let it be so."""
        arity = self._arity(call, scope)
        return bool(call["params"]) and (arity is None or len(call["params"]) == arity + 1)

    def check(self, node: Node, rule: Rule, scope: Scope, *, alone: bool) -> None:
        """Report what is wrong with a call, and note whom it calls.

        Args:
            alone: it is a statement.
        """
        content = part(node)[1]
        name, path = self.callee(content, scope)
        if name == "print" and self._module.file.endswith(TESTS):
            return  # no test is loaded to serve
        if name is not None and name not in builtins.ARITY:
            self._report(node, builtins.refusal_of(name))
            return
        arity = self._arity(content, scope)
        if arity is None:
            self._report(node, "what is called must be a function, by its name")
        elif len(content["params"]) not in (arity, arity + 1):
            self._report(node, f"the function takes {arity} arguments, not {len(content['params'])}")
        if path is not None:
            self._rules.refers(rule.path, path)
            self._rules.calls.add((".".join(spelled(content["fcn"]) or ()), path))
        if name is not None:
            self._builtin(node, name, content["params"], alone=alone)

    def _builtin(self, node: Node, name: str, params: list[Node], *, alone: bool) -> None:
        if name == "walk":
            fault = "walk must be a statement, walk(x, [path, value])"
            if alone and len(params) == 2:
                fault = self._mending.walk(part(node)[1]) or ""
            if fault:
                self._report(node, fault)
        if name in builtins.EXTENSIONS and len(params) == builtins.ARITY[name] + 1:
            self._report(node, f"the value of {name} must be assigned: x := {name}(…)")
        for index, check in builtins.WRITTEN_OUT.get(name, {}).items():
            if index < len(params):
                self._written_out(name, params[index], check)

    def _written_out(self, name: str, param: Node, check: Callable[[str], None]) -> None:
        kind, content = part(param)
        if kind not in ("String", "RawString"):
            self._report(param, f"pattern and replacement of {name} must be written out here; use engine: opa")
            return
        try:
            check(content["value"])
        except PatternError as error:
            self._report(param, f"{error}, or use engine: opa")

    def _report(self, node: Node, rule: str) -> None:
        self._problems.append(self._module.problem(start_of(node), rule))
