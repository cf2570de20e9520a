"""What `with` may replace, and by what: three places where regorus loses what OPA sees.

A rule that the new value is made of is undefined to regorus for whatever runs under the `with`: `allow if not blocked
with input.user as who` permits where `blocked` reads `who`, too. A function is replaced only where it is called by the
very words of the `with`, and then whichever function they mean. Both are known when the whole policy has been read.
And of several values the last alone counts where one is undefined: the statement should be, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from proxy.policy.callgraph import Rules
from proxy.policy.negation import ALWAYS_IN_INPUT
from proxy.policy.scope import Scope, Statement
from proxy.policy.syntax import Module, Node, Path, Problem, input_path, part, reference, references, spelled, start_of


def _may_lack(base: tuple[str, ...] | None) -> bool:
    """Tell whether an input that is brought at a path replaces what every request's input has below."""
    return base is not None and any(path[: len(base)] == base != path for path in ALWAYS_IN_INPUT)


IsDefined = Callable[[Node, Scope], bool]

_UNDEFINED: Final = (
    "what with brings must not be undefined where another with follows: OPA then has the statement undefined, this "
    "engine goes on; assign it to a variable before"
)
_CLOCK: Final = ("time", "now_ns")  # what tests replace; any other built-in might become undefined under `not`


@dataclass(frozen=True, slots=True)
class _Brought:
    """A value that a `with` brings: what it reads, and what is read under it."""

    problem: Problem
    values: list[Path]
    under: list[Path]


class Modifiers:
    """Checks the `with` modifiers of a policy.

    Args:
        rules: all rules of the policy.
    """

    __slots__ = ("_brought", "_functions", "_rules", "brings_input")

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._brought: list[_Brought] = []
        self._functions: list[tuple[Problem, str, Path]] = []
        self.brings_input = False  # which may lack what every request's input has

    def check(self, module: Module, statement: Statement, scope: Scope, is_defined: IsDefined) -> Iterator[Problem]:
        """Yield what is wrong with a statement's modifiers by themselves, and note the rest for `problems`."""
        if not statement.modifiers:
            return
        # What is replaced counts as read: a value must not be made of it either.
        replaced = [modifier["refr"] for modifier in statement.modifiers]
        under = self._read_by([statement.content, replaced], module, scope)
        for modifier in statement.modifiers:
            self.brings_input |= _may_lack(input_path(modifier["refr"], module.imports))
            names = spelled(modifier["refr"])
            if names != _CLOCK and (names is None or names[0] not in scope.global_names - scope.declared):
                rule = "with must replace input, data, a function of the policy or time.now_ns; use engine: opa"
                yield module.problem(modifier["span"], rule)
            elif not self._function(module, modifier, scope):
                self._value(module, modifier, under, scope)
                if modifier is not statement.modifiers[-1] and not is_defined(modifier["as"], scope):
                    yield module.problem(start_of(modifier["as"]), _UNDEFINED)
                if self._is_function(modifier["refr"], module, scope) and self._is_computed(modifier["as"], scope):
                    rule = "with must replace a function by another one, a variable or a constant; assign it before"
                    yield module.problem(start_of(modifier["as"]), rule)

    def _function(self, module: Module, modifier: Node, scope: Scope) -> bool:
        """Note a function that is replaced; tell whether another one takes its place."""
        replaced = self._rules.data_path(modifier["refr"], module, scope)
        if replaced is None or self._rules.arity(replaced) is None:
            return False
        problem = module.problem(
            start_of(modifier["refr"]),
            "with must name a function as every call of it does, and no other function is called so: this engine goes "
            "by the words",
        )
        self._functions.append((problem, ".".join(spelled(modifier["refr"]) or ()), replaced))
        if part(modifier["as"])[0] not in ("Var", "RefDot", "RefBrack"):
            return False
        replacement = self._rules.data_path(modifier["as"], module, scope)
        if replacement is None or self._rules.arity(replacement) is None:
            return False
        self._rules.refers(replaced, replacement)  # whoever calls the one may now call the other
        return True

    def _is_function(self, node: Node, module: Module, scope: Scope) -> bool:
        path = self._rules.data_path(node, module, scope)
        return path is not None and self._rules.arity(path) is not None

    def _is_computed(self, value: Node, scope: Scope) -> bool:
        """Tell whether a value is made of more than variables: OPA evaluates it when the function is called."""
        return not all(scope.is_local(part(reference(node)[0])[1]["value"]) for node in references(value))

    def _value(self, module: Module, modifier: Node, under: list[Path], scope: Scope) -> None:
        values = self._read_by(modifier["as"], module, scope)
        if values and under:
            problem = module.problem(
                start_of(modifier["as"]),
                "what with brings must not read a rule that is read under it: this engine has it undefined there; "
                "assign it to a variable before",
            )
            self._brought.append(_Brought(problem, values, under))

    def _read_by(self, value: Any, module: Module, scope: Scope) -> list[Path]:
        """Return the paths below data that are named anywhere in a part of the tree."""
        paths = (self._rules.data_path(node, module, scope) for node in references(value))
        return [path for path in paths if path is not None]

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong with them in the whole policy, all calls and references of which have been noted."""
        for brought in self._brought:
            if self._rules.reachable(brought.values) & self._rules.reachable(brought.under):
                yield brought.problem
        for problem, words, path in self._functions:
            if any((words == other) != (path == target) for other, target in self._rules.calls):
                yield problem
