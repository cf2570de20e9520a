"""What one rule of a policy can read of the input, and whether equal inputs surely get equal answers.

Every rule and function that the deciding rule can reach is looked at, in the syntax tree: through references to data,
imports, `with`, defaults and `else`. Whatever is in doubt counts as read: a name that a local variable may hide is
taken for what it would mean without it, a computed step for all that it could mean. So what is not found here cannot be
read, and need neither be shown to an engine nor tell two remembered decisions apart. It knows trees, and no engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.policy.callgraph import Rules
from proxy.policy.determinism import DETERMINISTIC
from proxy.policy.input import UNIQUE
from proxy.policy.modules import read_module
from proxy.policy.syntax import Module, Node, Path, Rule, Unreadable, dotted, part, reference, spelled, start_of

InputPath = tuple[str, ...]

# What a read makes of the memory, where that is not to be seen at once. Longest first.
_COSTS: Final[tuple[tuple[InputPath, str], ...]] = (
    (("attributes", "request", "http", "headers"), "per header set"),
    (("request", "headers"), "per header set"),
    (("parsed_query",), "per query"),
    (("request", "query"), "per query"),
    (("attributes", "source", "address"), "per connection"),
    (("source", "port"), "per connection"),
    (("principal", "claims"), "per token"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a policy."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file} line {self.line}" if self.file else f"line {self.line}"


@dataclass(frozen=True, slots=True)
class Reads:
    """What a deciding rule reads.

    Args:
        point: the rule, such as `ztproxy/authz/decision`.
        paths: of the input, none below another, and where the policy first names each; `()` is all of it.
        data: constant beginnings of the paths below data that it names, rules included.
        obstacle: why its decisions cannot be remembered, or None.
    """

    point: str
    paths: Mapping[InputPath, Place]
    data: frozenset[tuple[str, ...]] = frozenset()
    obstacle: str | None = None

    def told(self) -> list[str]:
        """Return what a person should know of its memory: why there is none, or for whom alone it works."""
        if self.obstacle is not None:
            return [f"{self.point} {self.obstacle}, so its decisions are not remembered"]
        return [f"{self.point} {cost}" for path, place in self.paths.items() for cost in _costs(path, place)]


def unknown_reads(point: str, why: str = "was not analysed") -> Reads:
    """Return the reads of a rule of which nothing can be proven."""
    return Reads(point, {(): Place("", 1)}, obstacle=why)


def _costs(path: InputPath, place: Place) -> Iterator[str]:
    for costly, how in _COSTS:
        if path == costly[: len(path)]:
            yield f"reads {_spelled(path)}{' whole' if how != 'per connection' else ''}, {place}: remembered only {how}"
            return


def _spelled(path: InputPath) -> str:
    return dotted(("input", *path))


@dataclass(slots=True)
class _Facts:
    """What one rule names by itself."""

    inputs: list[tuple[InputPath, Place]] = field(default_factory=list)
    data: list[Path] = field(default_factory=list)
    calls: list[tuple[str, Place]] = field(default_factory=list)  # of built-ins


class Reader:
    """Finds the reads of a policy's rules.

    Args:
        trees: the syntax trees of all its modules.
    """

    __slots__ = ("_facts", "_rules", "_unreadable")

    def __init__(self, trees: Iterable[Node]) -> None:
        self._facts: dict[int, _Facts] = {}
        self._unreadable: str | None = None
        try:
            self._rules = Rules([read_module(tree) for tree in trees])
        except (Unreadable, KeyError) as unreadable:
            self._unreadable = f"has a syntax that is not known ({unreadable})"

    def reads(self, point: str) -> Reads:
        """Return what a rule can read, through all that it can reach."""
        if self._unreadable is not None:
            return unknown_reads(point, self._unreadable)
        try:
            return self._reachable(point)
        except (Unreadable, KeyError) as unreadable:
            return unknown_reads(point, f"has a syntax that is not known ({unreadable})")
        except RecursionError:
            return unknown_reads(point, "has an expression that nests too deep")

    def _reachable(self, point: str) -> Reads:
        inputs: dict[InputPath, Place] = {}
        calls: list[tuple[str, Place]] = []
        start: Path = tuple(point.split("/"))
        named: set[Path] = {start}
        seen: set[Path] = set()
        rest = list(self._rules.meant([start]))
        while rest:
            path = rest.pop()
            if path in seen:
                continue
            seen.add(path)
            for rule in self._rules.by_path[path]:
                facts = self._facts_of(rule)
                for read, place in facts.inputs:
                    inputs.setdefault(read, place)
                calls += facts.calls
                named.update(facts.data)
                rest += self._rules.meant(facts.data)
        paths = {path: inputs[path] for path in sorted(inputs) if not _is_below(path, inputs)}
        return Reads(point, paths, frozenset(map(_constant, named)), _obstacle(calls, paths))

    def _facts_of(self, rule: Rule) -> _Facts:
        known = self._facts.get(id(rule))  # the graph holds every rule, so an id stays its own
        if known is None:
            known = self._facts[id(rule)] = _Facts()
            _Finder(rule.module, self._rules, known).look(
                [rule.key, rule.value, rule.arguments, rule.steps, rule.bodies]
            )
        return known


class _Finder:
    """Looks through the tree of one rule."""

    def __init__(self, module: Module, rules: Rules, facts: _Facts) -> None:
        self._module = module
        self._rules = rules
        self._facts = facts
        self._names = rules.names_in(module.package)

    def look(self, value: Any) -> None:
        """Note every reference and call in a part of the tree, closures included."""
        if isinstance(value, list | tuple):
            for item in value:
                self.look(item)
        elif isinstance(value, dict):
            kind = next(iter(value)) if len(value) == 1 else ""
            if kind in ("Var", "RefDot", "RefBrack"):
                self._reference(value)
            elif kind == "Call":
                self._call(value["Call"])
            else:
                if "refr" in value and "as" in value:
                    self._modifier(value)
                for item in value.values():
                    self.look(item)

    def _reference(self, node: Node, below: tuple[str, ...] = ()) -> None:
        """Note what a reference means, with constant steps below it."""
        head, steps = reference(node)
        if part(head)[0] != "Var":
            self.look(head)
        else:
            inputs, data = self._meanings(part(head)[1]["value"], [*steps, *below])
            self._facts.inputs += [(_constant(path), self._place(node)) for path in inputs]
            self._facts.data += data
        for step in steps:
            if not isinstance(step, str):
                self.look(step)

    def _meanings(self, name: str, steps: Iterable[str | Node]) -> tuple[list[Path], list[Path]]:
        """Return what a name with steps may mean: paths of the input, and paths below data."""
        path: Path = tuple(step if isinstance(step, str) else None for step in steps)
        inputs: list[Path] = [path] if name == "input" else []
        data: list[Path] = [path] if name == "data" else []
        if name in self._module.imports:
            root, *rest = self._module.imports[name]
            (data if root == "data" else inputs).append((*rest, *path))
        if name in self._names:
            data.append((*self._module.package, name, *path))
        return inputs, data

    def _call(self, call: Node) -> None:
        names = spelled(call["fcn"])
        parameters = call["params"]
        if names is None:
            self._facts.calls.append(("what it computes", self._place(call["fcn"])))
        elif not self._is_function(names):
            name = ".".join(names)
            self._facts.calls.append((name, self._place(call["fcn"])))
            keys = _constant_keys(parameters) if name == "object.get" else None
            if keys is not None:
                self._reference(parameters[0], keys)
                parameters = parameters[2:]
        self.look(parameters)

    def _is_function(self, names: tuple[str, ...]) -> bool:
        """Note the function of the policy that is called by some words; tell whether there is one."""
        data = self._meanings(names[0], names[1:])[1]
        self._facts.data += data
        return any(self._rules.arity(path) is not None for path in data)

    def _modifier(self, modifier: Node) -> None:
        """Note a built-in that may take the place of a function: `with f as time.now_ns`."""
        target = reference(modifier["refr"])[0]
        names = spelled(modifier["as"]) if part(modifier["as"])[0] in ("Var", "RefDot", "RefBrack") else None
        if names is None or len(names) == 1 or part(target)[1].get("value") == "input":
            return
        inputs, data = self._meanings(names[0], names[1:])
        if not inputs and not data:
            self._facts.calls.append((".".join(names), self._place(modifier["as"])))

    def _place(self, node: Node) -> Place:
        return Place(self._module.file, start_of(node)["line"])


def _constant_keys(parameters: list[Node]) -> tuple[str, ...] | None:
    """Return the steps that `object.get` takes below its first parameter, if all is written out; else None."""
    if len(parameters) < 2 or part(parameters[0])[0] not in ("Var", "RefDot", "RefBrack"):
        return None
    steps = reference(parameters[0])[1]
    kind, content = part(parameters[1])
    keys = content["items"] if kind == "Array" else [parameters[1]]
    if not all(isinstance(step, str) for step in steps) or part(reference(parameters[0])[0])[0] != "Var":
        return None
    if not keys or not all(part(key)[0] in ("String", "RawString") for key in keys):
        return None
    return tuple(part(key)[1]["value"] for key in keys)


def _constant(path: Path) -> tuple[str, ...]:
    out: list[str] = []
    for step in path:
        if step is None:
            break
        out.append(step)
    return tuple(out)


def _is_below(path: InputPath, paths: Mapping[InputPath, Place]) -> bool:
    return any(path[:length] in paths for length in range(len(path)))


def _obstacle(calls: list[tuple[str, Place]], paths: Mapping[InputPath, Place]) -> str | None:
    for name, place in calls:
        if name not in DETERMINISTIC:
            return f"calls {name}, {place}"
    for path, place in paths.items():
        for unique in UNIQUE:
            if path == unique[: len(path)]:
                inside = f" and in it {_spelled(unique)}" if path != unique else ""
                return f"reads {_spelled(path)}{inside}, {place}, which is never the same twice"
            if path[: len(unique)] == unique:
                return f"reads {_spelled(unique)}, {place}, which is never the same twice"
    return None
