"""Why a policy of the user's own answers as it does, as a tree: rules, their first condition that fails, what it saw.

It follows rules from the one that decides, and asks the engine (`probe`) what becomes of each condition.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Any, Final, Literal

from proxy.policy.decision import UNDEFINED
from proxy.policy.syntax import COMPREHENSIONS, Module, Node, Path, Rule, part
from proxy.workbench.parts import Part, pattern_names, text_of
from proxy.workbench.probe import Probe, Seen, literal

State = Literal["held", "failed", "error", "late"]

_DEEPEST: Final = 6
_MOST: Final = 60
_LONGEST: Final = 96
_SHORTEST: Final = 60
_HEAD: Final = "ztproxy_value_of_head := "


@dataclass(slots=True)
class Step:
    """One line of the tree.

    Args:
        state: `late`: it would hold, and another rule came before it.
        text: a rule or a condition, as it is written.
        place: `file:line`, or empty.
        saw: what was there, by what is written.
        note: what else there is to say.
        below: what it rests on.
    """

    state: State
    text: str
    place: str = ""
    saw: tuple[tuple[str, str], ...] = ()
    note: str = ""
    below: list[Step] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return it for a program."""
        told: dict[str, Any] = {"state": self.state, "text": self.text}
        told |= {"place": self.place} if self.place else {}
        told |= {"saw": dict(self.saw)} if self.saw else {}
        told |= {"note": self.note} if self.note else {}
        return told | ({"below": [step.as_json() for step in self.below]} if self.below else {})


@dataclass(frozen=True, slots=True)
class _Body:
    """One body of a rule, or its default."""

    rule: Rule
    value: Node | None
    seen: list[Seen]

    @property
    def holds(self) -> bool:
        return all(seen.holds for seen in self.seen)

    @property
    def line(self) -> int:
        """Where it begins: a body after `else` at what it makes."""
        if self.value is not None:
            line: int = part(self.value)[1]["span"]["line"]
            return line
        return self.seen[0].part.line if self.seen else int(self.rule.span["line"])


class Trace:
    """Explains one decision.

    Args:
        probe: of the policy.
        document: the input.
    """

    def __init__(self, probe: Probe, document: Mapping[str, Any]) -> None:
        self._probe = probe
        self._told: set[str] = set()
        self._count = 0
        probe.show(document)

    def of(self, point: str, value: object) -> list[Step]:
        """Return why a rule has its value: the body that it is of, and each that might have permitted.

        Args:
            point: the rule that decides.
            value: what it answered, or `UNDEFINED`.
        """
        path: Path = tuple(point.split("/"))
        rules = [rule for rule in self._probe.rules.by_path.get(path, ()) if rule.kind != "default"]
        bodies = [body for rule in rules for body in self._bodies(rule, ())]
        deciding = next((body for body in bodies if body.holds), None)
        steps = [] if deciding is None else [self._decides(deciding)]
        if deciding is None and value is not UNDEFINED:
            verdict = "allows" if permits(value) else "refuses"
            steps.append(Step("held", f"{path[-1]} {verdict}, by default", self._default(path)))
        if not permits(value):
            others = [body for body in bodies if body is not deciding and not _refuses(body.value)]
            steps += [self._might(body, deciding) for body in others]
        return steps

    def _default(self, path: Path) -> str:
        rule = next((rule for rule in self._probe.rules.by_path.get(path, ()) if rule.kind == "default"), None)
        return "" if rule is None else _place(rule.module, rule.span["line"])

    def _decides(self, body: _Body) -> Step:
        title = _title(body)
        return Step("held", title, _place(body.rule.module, body.line), below=[*self._why_held(body, 1)])

    def _might(self, body: _Body, deciding: _Body | None) -> Step:
        place = _place(body.rule.module, body.line)
        if body.holds:
            line = deciding.line if deciding is not None else 0
            return Step("late", _title(body), place, note=f"its conditions hold, and line {line} comes before it")
        return Step("failed", _title(body), place, below=[self._failing(body, 1)])

    # --- bodies

    def _bodies(self, rule: Rule, arguments: Sequence[Any]) -> Iterator[_Body]:
        """Yield the bodies of a rule with what becomes of them; none where the arguments are not for it."""
        module = rule.module
        hidden = frozenset(name for argument in rule.arguments for name in pattern_names(argument))
        before = [
            f"{text_of(module, pattern)} {':=' if part(pattern)[0] in ('Var', 'Array') else '=='} {literal(argument)}"
            for pattern, argument in zip(rule.arguments, arguments, strict=False)
        ]
        if before and self._probe.ask(module, [f"[true | {chr(10).join(before)}]"]) != [[True]]:
            return
        bodies = rule.bodies or [(None, {"stmts": []})]
        for index, (own, query) in enumerate(bodies):
            value = own if own is not None or index else rule.value if rule.key is None else rule.key
            parts = self._probe.parts(module, query, value, hidden)
            yield _Body(rule, value, self._probe.follow(module, parts, before))

    def _why_held(self, body: _Body, depth: int) -> Iterator[Step]:
        for seen in body.seen:
            step = self._condition(body.rule.module, seen, "held", depth)
            if seen.part.kind == "Head":
                yield from step.below
            else:
                yield step

    def _failing(self, body: _Body, depth: int) -> Step:
        seen = body.seen[-1]
        state: State = "error" if seen.failure else "failed"
        step = self._condition(body.rule.module, seen, state, depth)
        step.below += self._emptied(body, seen, depth)
        return step

    def _condition(self, module: Module, seen: Seen, state: State, depth: int) -> Step:
        text = _flat(seen.part.text.removeprefix(_HEAD), _LONGEST)
        step = Step(state, text, _place(module, seen.part.line), self._saw(module, seen))
        if seen.failure:
            step.note = seen.failure
        elif seen.culprits and state == "failed":
            step.note = "not for " + "; ".join(short(one) for one in seen.culprits[:2])
        step.below = [*self._behind(module, seen, state, depth)]
        if len(step.below) == 1 and step.below[0].text == text.removeprefix("not "):
            [named] = step.below  # it says the same once more
            step.below, step.note = named.below, step.note or named.note
        return step

    def _saw(self, module: Module, seen: Seen) -> tuple[tuple[str, str], ...]:
        out = []
        scope = self._probe.scope(module, frozenset())
        for text, values in seen.values.items():
            node = seen.part.asked[text]
            path = self._probe.rules.data_path(node, module, scope)
            if path is not None and self._is_constant(path):
                continue
            if not values and part(node)[0] == "Var" and seen.part.kind != "Head":
                continue  # of a name that the statement itself binds
            if path is not None and all(isinstance(value, bool) for value in values):
                continue  # of a condition that has a line of its own
            many = [*dict.fromkeys(map(short, values))]
            out.append((text, " | ".join(many) if many else "undefined"))
        return tuple(out)

    # --- what a condition rests on

    def _behind(self, module: Module, seen: Seen, state: State, depth: int) -> Iterator[Step]:
        """Yield why the rules and functions that a condition names have the values that they have."""
        if depth >= _DEEPEST or seen.part.content.get("modified"):
            return
        is_not = seen.part.kind == "NotExpr"
        held = (state == "held") != is_not
        is_member = _is_membership(seen.part)
        for text, node in seen.part.asked.items():
            rule = self._rule_of(node, module, seen.part)
            if rule is None:
                continue
            values = seen.values.get(text) or []
            is_there = any(value not in (False, set(), [], {}) for value in values)
            gathers = rule[0].kind in ("set", "object")
            yield from self._rules(text, rule, (), depth, held=held if gathers and is_member else is_there)
        for (path, name, _), arguments in zip(seen.part.calls, seen.arguments, strict=False):
            if arguments is not None:
                title = f"{name}({', '.join(short(one) for one in arguments)})"
                yield from self._rules(title, self._probe.rules.by_path[path], arguments, depth, held=held)

    def _rules(
        self, title: str, rules: Sequence[Rule], arguments: Sequence[Any], depth: int, *, held: bool
    ) -> Iterator[Step]:
        """Yield one step: why a rule or function holds, or why none of its definitions does."""
        key = f"{held} {rules[0].name} {short(list(arguments))}"
        self._count += 1
        if self._count > _MOST or not any(rule.bodies for rule in rules):
            return
        state: State = "held" if held else "failed"
        step = Step(state, title)
        if key in self._told:
            step.note = "as above"
            yield step
            return
        self._told.add(key)
        for rule in rules:
            if rule.kind == "default":
                continue
            step.below += self._definition(rule, arguments, depth, held=held)
        if step.below:
            yield step

    def _definition(self, rule: Rule, arguments: Sequence[Any], depth: int, *, held: bool) -> Iterator[Step]:
        for body in self._bodies(rule, arguments):
            if held and body.holds:
                if rule.kind in ("set", "object"):
                    below = [*self._why_held(body, depth + 1)]
                    yield Step("held", _title(body), _at(body), below=below)
                else:
                    yield from self._why_held(body, depth + 1)
                return
            if not held and not body.holds:
                yield self._failing(body, depth + 1)

    def _emptied(self, body: _Body, seen: Seen, depth: int) -> Iterator[Step]:
        """Yield why a comprehension before a condition that fails has found nothing."""
        for earlier in body.seen[:-1]:
            one = earlier.part
            if one.kind != "Expr" or part(one.content["expr"])[0] != "AssignExpr" or not one.declares & seen.part.names:
                continue
            node = part(one.content["expr"])[1]["rhs"]
            if part(node)[0] not in COMPREHENSIONS:
                continue
            before = [other.part.text for other in body.seen[: body.seen.index(earlier)]]
            hidden = frozenset().union(*(other.part.declares for other in body.seen))
            module = body.rule.module
            parts = self._probe.parts(module, part(node)[1]["query"], None, hidden)
            found = self._probe.follow(module, parts, before)
            if found and not found[-1].holds:
                yield self._condition(module, found[-1], "failed", depth + 1)

    # --- rules

    def _rule_of(self, node: Node, module: Module, one: Part) -> Sequence[Rule] | None:
        """Return the rules that a reference means, or None: it means none of the policy's."""
        local = frozenset(one.declares)
        path = self._probe.rules.data_path(node, module, self._probe.scope(module, local))
        for length in range(len(path or ()), 0, -1):
            rules = self._probe.rules.by_path.get((path or ())[:length])
            if rules and not rules[0].is_function:
                return rules
        return None

    def _is_constant(self, path: Path) -> bool:
        """Tell whether a rule is written out, so that its value tells nothing of this request."""
        for length in range(len(path), 0, -1):
            rules = self._probe.rules.by_path.get(path[:length])
            if rules:
                return not any(rule.bodies for rule in rules)
        return False


def permits(value: object) -> bool:
    """Tell whether a decision's value allows."""
    if isinstance(value, dict):
        return value.get("allow", value.get("allowed")) is True
    return value is True


def _refuses(value: Node | None) -> bool:
    """Tell whether what a body makes is no permit, whatever it is evaluated to."""
    if value is None:
        return False
    said = _members(value)
    kind, content = part(said.get("allow", said.get("allowed", value)))
    return kind == "Bool" and content["value"] is False


def _title(body: _Body) -> str:
    """Return a body as a person would name it: by what it makes."""
    name, module = str(body.rule.steps[0]), body.rule.module
    if body.value is None:
        return name
    said = _members(body.value)
    verdict = said.get("allow", said.get("allowed"))
    if verdict is None or part(verdict)[0] != "Bool":
        return f"{name} {_flat(text_of(module, body.value), _SHORTEST)}"
    allows = "allows" if part(verdict)[1]["value"] else "refuses"
    asks = ", and requires " + _flat(text_of(module, said["require"]), _SHORTEST) if "require" in said else ""
    why = " " + _flat(text_of(module, said["reasons"]), _SHORTEST) if "reasons" in said else ""
    return f"{name} {allows}{why}{asks}"


def _members(value: Node) -> dict[str, Node]:
    """Return the members of an object that is written out, by name."""
    kind, content = part(value)
    if kind != "Object":
        return {}
    return {part(key)[1]["value"]: item for _, key, item in content["fields"] if part(key)[0] == "String"}


def _at(body: _Body) -> str:
    return _place(body.rule.module, int(body.rule.span["line"]))


def _is_membership(one: Part) -> bool:
    return one.kind in ("Expr", "NotExpr") and part(one.content["expr"])[0] == "Membership"


def _flat(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def short(value: object) -> str:
    """Return a value for a person, cut where it is long."""
    if value is UNDEFINED:
        return "undefined"
    text = literal(value) if not isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHORTEST else f"{text[: _SHORTEST - 1]}…"


def _place(module: Module, line: int) -> str:
    path = File(module.file)
    near = path.relative_to(File.cwd()) if path.is_relative_to(File.cwd()) else path
    return f"{near}:{line}"
