"""Asks the embedded engine about parts of a policy's rules: does a body hold up to here, and what did it see there.

A question is an array comprehension in one more module of the same package, with the same imports; the statements in it
are the policy's own text, as it was compiled. So nothing but the engine evaluates anything. It knows spans, and not
what a person is told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

from proxy.policy.allow import route_data
from proxy.policy.callgraph import Rules
from proxy.policy.embedded import compile_policy
from proxy.policy.modules import read_module
from proxy.policy.reading import told
from proxy.policy.scope import Scope
from proxy.policy.sources import read_sources
from proxy.policy.syntax import Module, Node, Query, dotted, literals, part, references_outside_closures, walk
from proxy.policy.testing import CannotRun
from proxy.workbench.desk import Desk
from proxy.workbench.parts import Part, declared, names, ordered, roots, statement_text, text_of, unified

_NAME: Final = "ztproxy_asked"
_VALUE: Final = "ztproxy_value"
_FILE: Final = "asked.rego"
_MANY: Final = 3  # solutions that are looked at


class Failed(str):
    """What an engine says where a question cannot be answered."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of a part.

    Args:
        part: which.
        holds: whether the body holds up to here, this part included.
        values: by what is asked: its values in the first solutions of what comes before; none: it is undefined.
        arguments: of each call, in the first solution; None where one is undefined.
        culprits: of `every`, what its body does not hold for.
        failure: why it cannot be said, or None.
    """

    part: Part
    holds: bool
    values: Mapping[str, Sequence[Any]]
    arguments: Sequence[Sequence[Any] | None] = ()
    culprits: Sequence[Any] = ()
    failure: str | None = None


class Probe:
    """Asks one policy about one input at a time.

    Attributes:
        rules: of the policy.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._document: dict[str, Any] = {}

    @classmethod
    def of(cls, desk: Desk) -> Self:
        """Return the probe of a desk's policy. Raise CannotRun where its files have changed and do not load."""
        sources, mistakes = read_sources(desk.config.policy.path)
        if sources is None:
            raise CannotRun(*(mistake.rule for mistake in mistakes))
        engine, faults, _ = compile_policy(sources.modules, {**sources.data, **route_data(desk.config)}, [])
        if engine is None:
            raise CannotRun(*faults)
        return cls(engine)

    @cached_property
    def rules(self) -> Rules:
        """The rules as they were compiled; lines are those of the files."""
        return Rules([read_module(tree) for tree in json.loads(self._engine.get_ast_as_json())])

    def show(self, document: Mapping[str, Any]) -> None:
        """Have questions be about an input."""
        self._document = dict(document)

    def ask(self, module: Module, questions: Sequence[str]) -> list[Any]:
        """Return the value of each expression as it would be in a module; a `Failed` where there is none."""
        engine = self._engine.clone()
        imports = [f"import {dotted(path)} as {name}" for name, path in module.imports.items()]
        rules = [f"{_NAME}_{number} := {question}" for number, question in enumerate(questions)]
        package = dotted(module.package)
        text = "\n".join([f"package {package}", "import rego.v1", *imports, *rules, ""])
        try:
            engine.add_policy(_FILE, text)
            engine.set_input(self._document)
        except RuntimeError as error:
            return [Failed(told(error)) for _ in questions]
        return [_value(engine, f"{dotted(('data', *module.package))}.{_NAME}_{n}") for n in range(len(questions))]

    def follow(self, module: Module, parts: Sequence[Part], before: Sequence[str] = ()) -> list[Seen]:
        """Return what becomes of the parts of a body, up to the first that does not hold.

        Args:
            parts: in an order in which they can be evaluated.
            before: statements that come first.
        """
        questions: list[str] = []
        written = [*before]
        for one in parts:
            questions.append(_comprehension(f"[{', '.join(_asking(one))}]", written))
            written.append(one.text)
            questions.append(_comprehension("true", written))
        answers = self.ask(module, questions)
        out: list[Seen] = []
        for one, solutions, held in zip(parts, answers[::2], answers[1::2], strict=True):
            out.append(_seen(one, solutions, held))
            if not out[-1].holds:
                break
        return out

    def parts(self, module: Module, query: Query | None, head: Node | None, hidden: frozenset[str]) -> list[Part]:
        """Return the parts of a body, each behind those that declare what it needs.

        Args:
            head: what the rule makes if the body holds, or None: true.
            hidden: names that mean something else than in the module: arguments, variables around.
        """
        found: list[Part] = []
        for (kind, content, modifiers), statement in zip(
            literals(query) if query else (), query["stmts"] if query else (), strict=True
        ):
            text = statement_text(module, statement)
            if not text.startswith("internal."):
                found.append(self._part(module, kind, content, text, statement["span"]["line"], bool(modifiers)))
        if head is not None:
            text = f"{_VALUE}_of_head := {text_of(module, head)}"
            found.append(
                self._part(module, "Head", {"expr": head}, text, part(head)[1]["span"]["line"], modified=False)
            )
        local = hidden.union(*(one.declares for one in found)) if found else hidden
        scope = self.scope(module, local)
        for one in found:
            self._look(one, module, scope)
        return ordered(found)

    def scope(self, module: Module, local: frozenset[str]) -> Scope:
        """Return what names mean in a body with these variables."""
        known = frozenset({*self.rules.names_in(module.package), *module.imports, "input", "data"})
        return Scope(module, known, local, local, local)

    def _part(self, module: Module, kind: str, content: Any, text: str, line: int, modified: bool) -> Part:
        one = Part(kind, content, text, line)
        one.declares = frozenset(declared(module, kind, content))
        one.binds = one.declares | frozenset(unified(kind, content))
        one.names = frozenset(names(content))
        if modified:
            one.content = {**content, "modified": True}
        return one

    def _look(self, one: Part, module: Module, scope: Scope) -> None:
        """Note what a part is held against. Of one with `with` that is another world, which is not shown."""
        if one.content.get("modified"):
            return
        for root in roots(one):
            for node in references_outside_closures(root):
                one.asked.setdefault(text_of(module, node), node)
            for node in walk(root):
                if part(node)[0] != "Call":
                    continue
                call = part(node)[1]
                path = self.rules.data_path(call["fcn"], module, scope)
                if path is not None and self.rules.arity(path) is not None:
                    arguments = [text_of(module, argument) for argument in call["params"]]
                    one.calls.append((path, text_of(module, call["fcn"]), arguments))


def literal(value: Any) -> str:
    """Return a value as Rego spells it, sets too."""
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(map(literal, value)))}}}" if value else "set()"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{literal(key)}: {literal(item)}' for key, item in value.items())}}}"
    return json.dumps(value, ensure_ascii=False)


def _value(engine: Any, rule: str) -> Any:
    try:
        return engine.eval_rule(rule)
    except TypeError:  # of what Python cannot hash
        return json.loads(engine.eval_rule_as_json(rule))
    except RuntimeError as error:
        return Failed(told(error))


def _comprehension(term: str, statements: Sequence[str]) -> str:
    return f"[{term} | {chr(10).join(statements) or 'true'}]" if statements else f"[{term}]"


def _asking(one: Part) -> Iterator[str]:
    for text in one.asked:
        yield f"[{_VALUE} | {_VALUE} := {text}]"
    for _, _, arguments in one.calls:
        yield f"[{_VALUE} | {_VALUE} := [{', '.join(arguments)}]]"
    if one.kind == "Every":
        yield _culprits(one)


def _culprits(one: Part) -> str:
    """Return the question for what an `every` does not hold: its own text, asked of one member at a time."""
    head, brace, body = one.text.partition("{")
    pair, _, domain = head.strip().removeprefix("every").rpartition(" in ") if " in " in head else (head, "", "")
    value = f"[{pair.strip()}]"
    return (
        f"[{value} | some {pair.strip()} in {domain.strip()}; count([1 | {body.rpartition('}')[0]}]) == 0]"
        if (brace)
        else "[]"
    )


def _seen(one: Part, solutions: Any, held: Any) -> Seen:
    failure = next((str(answer) for answer in (held, solutions) if isinstance(answer, Failed)), None)
    rows = [] if isinstance(solutions, Failed) else solutions[:_MANY]
    columns = [*zip(*rows, strict=True)] if rows else []
    values = {
        text: [value for found in column for value in found] for text, column in zip(one.asked, columns, strict=False)
    }
    after = len(one.asked)
    arguments = [column[0][0] if column[0] else None for column in columns[after : after + len(one.calls)]]
    culprits = columns[after + len(one.calls)][0] if one.kind == "Every" and columns else ()
    holds = not isinstance(held, Failed) and bool(held)
    return Seen(one, holds, values, arguments, culprits, failure if not holds else None)
