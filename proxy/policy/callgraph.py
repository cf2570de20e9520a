"""The rules of a policy by path: what a reference means, which rules clash, and whether one comes back to itself.

regorus ends the process on a function that calls itself, and so does a chain of calls that is long enough; OPA knows no
recursion at all. A computed step in a reference stands for every rule that it could mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.policy.scope import Scope
from proxy.policy.syntax import LITERALS, Module, Node, Path, Problem, Rule, part, reference

_LONGEST_CHAIN: Final = 200  # regorus ends the process somewhere above 1,000


@dataclass(slots=True)
class _Step:
    """A step below the root of data; under None stand the rules with a variable there."""

    below: dict[str | None, _Step] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)

    def all_rules(self) -> Iterator[Rule]:
        yield from self.rules
        for step in self.below.values():
            yield from step.all_rules()

    def meant_by(self, path: Path) -> Iterator[Rule]:
        """Yield the rules that a path leads to, through or into."""
        if not path:
            yield from self.all_rules()
            return
        yield from self.rules
        if path[0] is None:
            following = list(self.below.values())
        else:
            following = [self.below[key] for key in (path[0], None) if key in self.below]
        for step in following:
            yield from step.meant_by(path[1:])


class Rules:
    """All rules of a policy, and what is noted of them on the way."""

    __slots__ = ("_by_path", "_defined", "_names", "_references", "_root", "calls")

    def __init__(self, modules: list[Module]) -> None:
        self._root = _Step()
        self._by_path: dict[Path, list[Rule]] = {}
        self._defined: dict[Path, bool] = {}
        self._names: dict[tuple[str, ...], set[str]] = {}
        self._references: dict[Path, dict[Path, None]] = {}
        self.calls: set[tuple[str, Path]] = set()  # each function that is called, and the words that it is called by
        for rule in (rule for module in modules for rule in module.rules):
            self._by_path.setdefault(rule.path, []).append(rule)
            self._names.setdefault(rule.module.package, set()).add(str(rule.steps[0]))
            step = self._root
            for name in rule.path:
                step = step.below.setdefault(name, _Step())
            step.rules.append(rule)

    @property
    def by_path(self) -> Mapping[Path, list[Rule]]:
        """Every path and the rules that define it."""
        return self._by_path

    def names_in(self, package: tuple[str, ...]) -> set[str]:
        """Return the names of the rules of a package."""
        return self._names.get(package, set())

    def defines(self, path: Path) -> bool:
        """Tell whether a path can be asked for: a rule's own, or a set's or an object's of one variable."""
        rules = [rule for rule in self._root.meant_by(path) if not rule.is_function]
        return bool(rules) and all(rule.path in (path, (*path, None)) for rule in rules)

    def arity(self, path: Path) -> int | None:
        """Return how many arguments the function at a path takes; None: there is no function."""
        return next((len(rule.arguments) for rule in self._by_path.get(path, ()) if rule.is_function), None)

    def always_defined(self, path: Path) -> bool:
        """Tell whether a rule has a value whatever the input is."""
        known = self._defined.get(path)
        if known is None:
            self._defined[path] = False  # what leads back to itself is refused elsewhere
            known = self._defined[path] = self.is_collection(path) or any(
                rule.kind in ("default", "set", "object")
                or (rule.kind == "complete" and not rule.bodies and self._constant(rule.value, rule.module))
                for rule in self._by_path.get(path, ())
                if not rule.arguments
            )
        return known

    def _constant(self, value: Node | None, module: Module) -> bool:
        """Tell whether the value of a rule without a body needs nothing that might be undefined."""
        if value is None:
            return True
        kind, content = part(value)
        if kind in ("Array", "Set"):
            return all(self._constant(item, module) for item in content["items"])
        if kind == "Object":
            return all(
                self._constant(key, module) and self._constant(item, module) for _, key, item in content["fields"]
            )
        if kind in ("Var", "RefDot", "RefBrack"):
            scope = Scope(module, frozenset({"data", *module.imports, *self.names_in(module.package)}))
            path = self.data_path(value, module, scope)
            return path is not None and self.always_defined(path)
        return kind in LITERALS

    def is_collection(self, path: Path | None) -> bool:
        """Tell whether a path is that of a rule that makes a set or an object, member by member."""
        return path is not None and any(
            rule.kind in ("set", "object") and constant_part(rule) == path for rule in self._root.meant_by(path)
        )

    def data_path(self, node: Node, module: Module, scope: Scope) -> Path | None:
        """Return the path below the root of data that a reference means; None: it means something else."""
        head, steps = reference(node)
        kind, content = part(head)
        path: Path = tuple(step if isinstance(step, str) else None for step in steps)
        if kind != "Var" or scope.is_local(content["value"]) or content["value"] == "input":
            return None
        name = content["value"]
        if name == "data":
            return path
        if name in module.imports:
            root, *rest = module.imports[name]
            return (*rest, *path) if root == "data" else None
        return (*module.package, name, *path)

    def refers(self, source: Path, target: Path) -> None:
        """Note that the rules at a path read another one or call the function there."""
        self._references.setdefault(source, {})[target] = None

    def half_way(self, path: Path) -> Rule | None:
        """Return a rule whose head goes on below where a reference stops."""
        for rule in self._root.meant_by(path):
            if len(rule.module.package) < len(path) < len(constant_part(rule)):
                return rule
        return None

    def following(self, path: Path) -> list[Path]:
        """Return the paths of the rules that the rules of a path read or call."""
        return list(dict.fromkeys(self.meant(self._references.get(path, ()))))

    def meant(self, targets: Iterable[Path]) -> Iterator[Path]:
        """Yield the paths of the rules and functions that references mean."""
        for target in targets:
            for rule in self._root.meant_by(target):
                if not rule.is_function or rule.path == target:
                    yield rule.path

    def reachable(self, paths: Iterable[Path]) -> set[Path]:
        """Return the rules, functions left out, that references may lead to, however many rules are between."""
        found: set[Path] = set()
        rest = list(self.meant(paths))
        while rest:
            path = rest.pop()
            if path not in found:
                found.add(path)
                rest += self.following(path)
        return {path for path in found if self.arity(path) is None}

    def conflicts(self) -> Iterator[Problem]:
        """Yield the rules that clash with each other."""
        for rules in self._by_path.values():
            first = rules[0]
            for rule in rules[1:]:
                if (clash := _clash(first, rule)) is not None:
                    yield rule.module.problem(rule.span, f"{rule.name} {clash}")
            defaults = [rule for rule in rules if rule.kind == "default"]
            for rule in defaults[1:]:
                yield rule.module.problem(rule.span, f"{rule.name} must not have two defaults")

    def hidden_by(self, data: Mapping[str, Any]) -> Iterator[Problem]:
        """Yield the rules that clash with data."""
        for first, *_ in self._by_path.values():
            if _in_data(data, constant_part(first)):
                yield first.module.problem(first.span, f"{first.name} must not be both a rule and data")


def constant_part(rule: Rule) -> Path:
    """Return a rule's path up to its first variable."""
    return rule.path[: rule.path.index(None)] if None in rule.path else rule.path


def _clash(first: Rule, other: Rule) -> str | None:
    if first.is_function != other.is_function:
        return "must not be both a function and a value"
    if len(first.arguments) != len(other.arguments):
        return "must take the same number of arguments everywhere"
    kinds = {rule.kind for rule in (first, other)} - {"default"}
    return "must be of one kind: a set, an object or a value" if len(kinds) > 1 else None


def _in_data(data: Any, path: Path) -> bool:
    for step in path:
        if not isinstance(data, Mapping):
            return True
        if step not in data:
            return False
        data = data[step]
    return True


def find_recursion(rules: Rules) -> list[Problem]:
    """Return a problem for each way in which rules come back to themselves, and for chains that are too long."""
    problems: list[Problem] = []
    depth: dict[Path, int] = {}  # the longest chain below; -1 while it is being followed
    for start in rules.by_path:
        if start not in depth:
            _follow(rules, start, depth, problems)
    return problems


def _follow(rules: Rules, start: Path, depth: dict[Path, int], problems: list[Problem]) -> None:
    depth[start] = -1
    trail: list[tuple[Path, list[Path]]] = [(start, rules.following(start))]
    while trail:
        path, rest = trail[-1]
        if not rest:
            trail.pop()
            depth[path] = 1 + max((depth[following] for following in rules.following(path)), default=0)
            if depth[path] == _LONGEST_CHAIN:
                problems.append(_at(rules, path, f"rules must not call each other more than {_LONGEST_CHAIN} deep"))
            continue
        following = rest.pop()
        if following not in depth:
            depth[following] = -1
            trail.append((following, rules.following(following)))
        elif depth[following] < 0:
            steps = [step for step, _ in trail]
            problems.append(_loop(rules, steps[steps.index(following) :]))


def _loop(rules: Rules, loop: list[Path]) -> Problem:
    """Return the problem of a loop, told from its first rule in the files on."""
    first = min(range(len(loop)), key=lambda index: _place(rules.by_path[loop[index]][0]))
    loop = [*loop[first:], *loop[: first + 1]]
    names = " -> ".join(rules.by_path[step][0].name for step in loop)
    return _at(rules, loop[0], f"rules must not be recursive: {names}")


def _place(rule: Rule) -> tuple[str, int, int]:
    return rule.module.file, rule.span["line"], rule.span["col"]


def _at(rules: Rules, path: Path, text: str) -> Problem:
    rule = rules.by_path[path][0]
    return rule.module.problem(rule.span, text)
