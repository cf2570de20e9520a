"""The embedded engine: Rego in this process, by regorus.

It knows regorus and the policy's files. regorus is fast and is not OPA: what it would get wrong is refused at load by
`analysis`, what could end the process is kept from it by `scalars`, and a policy that never ends is the business of
`server/watchdog`, for regorus holds the interpreter lock through an evaluation and has no timer.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from proxy.config.mistake import Location, Mistake
from proxy.config.schema import Config
from proxy.errors import INPUT_REFUSED, POLICY_FAILED, POLICY_PANICKED, POLICY_TOO_SLOW, Refused
from proxy.policy.analysis import Analysed, analyse
from proxy.policy.decision import UNDEFINED
from proxy.policy.input import Inquiry
from proxy.policy.reading import NotLoaded, load_fault, nesting_fault, new_engine, read_policy, told
from proxy.policy.reads import Reader, Reads, unknown_reads
from proxy.policy.shown import Plan, Plans
from proxy.policy.sources import Module, Sources, read_sources

_HERE: Final = ("policy", "path")
_UNDEFINED_AS_JSON: Final = '"<undefined>"'  # and the JSON of that very string, which `eval_rule` tells apart

_PROBE: Final = Module("probe.rego", "package ztproxy_probe\n\nready := true\n")


_SCALARS: Final = frozenset({str, bool, int, type(None)})


def _is_plain(value: Any) -> bool:
    """Tell whether a value is what JSON would make of it."""
    kind = type(value)
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or (type(item) not in _SCALARS and not _is_plain(item)):
                return False
        return True
    if kind is list:
        return all(map(_is_plain, value))
    return kind in _SCALARS


class EmbeddedEngine:
    """A compiled policy with its data. It lives on the thread that made it: regorus panics on any other.

    Args:
        engine: of regorus, loaded.
        revision: a digest of policy and data.
        deadline: seconds that an evaluation may take.
        reads: finds out what a rule reads of the input.
    """

    __slots__ = ("_engine", "_plans", "_pristine", "_rules", "_through_json", "deadline", "generation", "revision")
    instant = True

    def __init__(
        self, engine: Any, revision: str, deadline: float, reads: Callable[[str], Reads] = unknown_reads
    ) -> None:
        self.revision = revision
        self.generation: object = object()
        self._plans = Plans(reads)
        self._pristine = engine  # never evaluated: what failed in a clone of it cannot have touched it
        self._engine = engine.clone()
        self.deadline = deadline
        self._rules: dict[str, str] = {}
        self._through_json: set[str] = set()  # the rules that had a value which is not plain

    def plan(self, path: str) -> Plan:
        """Return what is made of requests for a rule."""
        return self._plans.of(path)

    def document(self, inquiry: Inquiry, path: str) -> dict[str, Any]:
        """Return the input for a rule: no more of it than the rule can read. Raise Refused(INPUT_REFUSED)."""
        return self._plans.of(path).build(inquiry)

    async def evaluate(self, path: str, document: dict[str, Any]) -> object:
        """Return the value of a rule, or `UNDEFINED`; nothing here waits. Raise what `Engine.evaluate` says."""
        return self.evaluate_now(path, document)

    def evaluate_now(self, path: str, document: dict[str, Any]) -> object:
        """Return the value of a rule, or `UNDEFINED`. Raise what `Engine.evaluate` says."""
        rule = self._rules.get(path)
        if rule is None:
            rule = self._rules[path] = "data." + path.replace("/", ".")
        began = time.monotonic()
        try:
            self._engine.set_input(document)
            value = self._value(rule)
        except TypeError:
            # The engine still has the input of the request before; the new clone has none.
            raise self._failed(Refused(INPUT_REFUSED, "the input's values must be JSON")) from None
        except Exception as error:
            raise self._failed(Refused(POLICY_FAILED, told(error))) from None
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            raise self._failed(Refused(POLICY_PANICKED, told(error))) from None
        took = time.monotonic() - began
        if took > self.deadline:
            raise Refused(POLICY_TOO_SLOW, f"the evaluation took {took * 1000:.0f} ms")
        return value

    def _value(self, rule: str) -> object:
        """Return the value of a rule for the input that is set.

        regorus makes Python values in half the time in which JSON is made and read, but its sets have no order, its
        keys are of any type, what cannot be hashed is an error, and None is two things. JSON is asked for those.
        """
        if rule not in self._through_json:
            try:
                value = self._engine.eval_rule(rule)
            except (TypeError, RuntimeError):
                pass  # of the value, or of the policy: then it comes again
            else:
                if value is None:
                    return UNDEFINED if self._engine.eval_rule_as_json(rule) == _UNDEFINED_AS_JSON else None
                if _is_plain(value):
                    return value
                self._through_json.add(rule)
        text = self._engine.eval_rule_as_json(rule)
        if text == _UNDEFINED_AS_JSON and self._engine.eval_rule(rule) is None:
            return UNDEFINED
        return json.loads(text)

    def _failed(self, refused: Refused) -> Refused:
        """Return a refusal, with an engine in place that no failure has touched."""
        self._engine = self._pristine.clone()
        return refused

    async def look(self) -> None:
        """Know everything already."""

    async def run(self) -> None:
        """End at once: files that change make another engine."""

    async def close(self) -> None:
        """Let regorus' engines go, in the thread that made them: dropped in another one they would be leaked."""
        self._engine = self._pristine = None


def build_embedded(
    config: Config, data: Mapping[str, Any], entry_points: Mapping[str, Location], previous: object
) -> tuple[EmbeddedEngine | None, list[Mistake]]:
    """Compile the policy of a config, or say what is wrong with it; `build_engine` says what the arguments are."""
    sources, mistakes = read_sources(config.policy.path)
    if sources is None:
        return None, mistakes
    for root in sources.data.keys() & data.keys():
        mistakes.append(Mistake(_HERE, f"data.{root} is ztproxy's own: it holds the routes"))
    whole = {**sources.data, **data}
    engine, faults, undefined = compile_policy(sources.modules, whole, list(entry_points))
    mistakes += [Mistake(_HERE, fault) for fault in faults]
    mistakes += [Mistake(entry_points[point], f"no rule of the policy defines {point}") for point in sorted(undefined)]
    if engine is None or mistakes:
        return None, mistakes
    revision = revision_of(sources, whole)
    deadline = config.policy.deadline
    if isinstance(previous, EmbeddedEngine) and (previous.revision, previous.deadline) == (revision, deadline):
        return previous, []
    _, reader = _understood(tuple(sources.modules), tuple(entry_points))
    return EmbeddedEngine(engine, revision, deadline, reader.reads), []


def compile_policy(
    modules: list[Module], data: Mapping[str, Any], entry_points: list[str]
) -> tuple[Any | None, list[str], set[str]]:
    """Load modules and data into an engine, once all is known to be right.

    Returns:
        The engine, or None; what is wrong, each with its place; the entry points that no rule defines.
    """
    faults = [fault for module in modules if (fault := nesting_fault(module)) is not None]
    if faults:
        return None, faults, set()
    try:
        read = read_policy(tuple(modules))
        analysed, _ = _understood(tuple(modules), tuple(entry_points))
    except NotLoaded as unread:
        return None, [str(line) for line in unread.args], set()
    except RecursionError:
        return None, ["an expression of the policy must not have so many parts"], set()
    faults = [str(read.placed(problem)) for problem in analysed.problems_with(data)]
    engine = new_engine()
    if not faults:
        written = zip(read.modules, analysed.texts, strict=True)
        faults = [fault for module, text in written if (fault := load_fault(engine.add_policy, module.name, text))]
    if not faults and (fault := load_fault(engine.add_data, data) or _probe_fault(engine)):
        faults = [fault]
    return (None if faults else engine), faults, set(analysed.undefined)


def as_compiled(modules: list[Module]) -> list[Module]:
    """Return modules that `compile_policy` has compiled without entry points, in the words in which it did."""
    analysed, _ = _understood(tuple(modules), ())
    read = read_policy(tuple(modules)).modules
    return [Module(module.name, text) for module, text in zip(read, analysed.texts, strict=True)]


@lru_cache(maxsize=4)
def _understood(modules: tuple[Module, ...], entry_points: tuple[str, ...]) -> tuple[Analysed, Reader]:
    """Return what is wrong with modules that load, and what reads them.

    Most reloads change data alone, and this is most of what a reload takes the event loop.

    Raises:
        NotLoaded: a module does not load.
        RecursionError: an expression has too many parts.
    """
    trees = read_policy(modules).trees
    return analyse(trees, entry_points), Reader(trees)


def _probe_fault(engine: Any) -> str | None:
    """Return what the engine finds when it prepares all rules, which it does on the first evaluation of any."""
    probe = engine.clone()
    return load_fault(probe.add_policy, _PROBE.name, _PROBE.text) or load_fault(
        probe.eval_rule, "data.ztproxy_probe.ready"
    )


def revision_of(sources: Sources, data: Mapping[str, Any]) -> str:
    """Return the digest of policy and data."""
    digest = hashlib.sha256()
    for module in sources.modules:
        digest.update(f"{len(module.text)} {module.name}\n".encode())
        digest.update(module.text.encode())
    digest.update(json.dumps(data, sort_keys=True).encode())
    return f"sha256:{digest.hexdigest()}"
