"""Inputs for a policy, many and likely: made of its config, its tests and decision logs, and turned by what it reads.

A seed is an input that somebody had or wrote. Each input that is made is a seed with a few paths changed, to values
that the policy names there, or anywhere. What every input has stays there, and of its kind.
"""

from __future__ import annotations

import copy
import gzip
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

from proxy.config.schema import Allow, Route
from proxy.errors import Refused
from proxy.policy.negation import ALWAYS_IN_INPUT
from proxy.policy.scalars import find_fault
from proxy.policy.testing import CannotRun
from proxy.workbench.case import NOBODY, Case, Who
from proxy.workbench.desk import Desk
from proxy.workbench.hints import Hints
from proxy.workbench.hints import Path as Steps

_T = TypeVar("_T")

_ABSENT: Final = object()
_MOST_TURNS: Final = 4
_ANYBODY: Final = (
    Who(workload="spiffe://example.org/ns/a"),
    Who(user="ana", groups=("staff",), device="any:device-1"),
)
_METHODS: Final = ("GET", "POST", "PUT", "DELETE")
_HEADS: Final = {path[:1] for path in ALWAYS_IN_INPUT}
# Whose values come from outside, so that they may be of any kind.
_FOREIGN: Final[tuple[Steps, ...]] = (("principal", "claims"),)


def cases_of(desk: Desk) -> Iterator[Case]:
    """Yield requests that the routes of a config are made for: of each `allow` entry somebody whom it names."""
    for route in desk.config.routes:
        host = route.host[0].replace("*", "a") if route.host else "any.example.org"
        url = f"https://{host}"
        for entry in route.allow or (None,):
            for who in (NOBODY, _somebody(entry, route), *(() if entry else _ANYBODY)):
                for method in (entry.methods if entry and entry.methods else _METHODS)[:4]:
                    for path in entry.paths if entry and entry.paths else (route.path,):
                        yield Case(method, url + path, who)


def _somebody(entry: Allow | None, route: Route) -> Who:
    if entry is None:
        return Who(user="ana", email="ana@example.org", groups=("staff",))
    workload = _first(entry.workloads)
    device = _first(entry.devices)
    asks = entry.users or entry.groups or entry.claims or entry.authenticated
    user = (_first(entry.users) or "ana") if asks or workload is None else None
    return Who(
        user=user,
        email=user if user and "@" in user else "",
        groups=tuple(entry.groups or ()) if user else (),
        claims={name: values[0] for name, values in (entry.claims or {}).items()} if user else {},
        issuer=_first(entry.issuers or route.authenticate.issuers) if user else None,
        workload=workload.replace("*", "a") if workload else None,
        device=device.replace("*", "a") if device else None,
    )


def _first(values: Iterable[_T] | None) -> _T | None:
    return next(iter(values or ()), None)


def documents_of(desk: Desk, cases: Iterable[Case]) -> Iterator[dict[str, Any]]:
    """Yield the inputs of those cases in which policy is asked."""
    for case in cases:
        try:
            document = desk.decide(case).input
        except (ValueError, Refused):
            continue  # nobody could make this request
        if document is not None:
            yield document


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the inputs of a decision log, ztproxy's or OPA's: JSON lines, `.gz` too.

    Raises:
        CannotRun: it cannot be read, or a line is no JSON.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    record = json.loads(line) if line.strip() else None
                except ValueError:
                    raise CannotRun(f"{path}:{number}:1: must be a JSON object on a line") from None
                if isinstance(record, dict) and isinstance(record.get("input"), dict):
                    yield record["input"]
    except (OSError, EOFError) as error:
        raise CannotRun(f"{path}: {getattr(error, 'strerror', None) or 'cannot be read'}".lower()) from None


def completed(document: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a document that lacks nothing of what every request's input has, or None: it has something else there.

    Args:
        document: of a test or a log, which may be part of one.
        base: a whole one, from which the rest is taken.
    """
    whole = _united(base, document)
    return whole if all(_at(whole, path) is not _ABSENT for path in ALWAYS_IN_INPUT) else None


def _united(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    united = dict(base)
    for name, value in over.items():
        held = base.get(name)
        united[name] = _united(held, value) if isinstance(held, Mapping) and isinstance(value, Mapping) else value
    return united


def make_inputs(seeds: list[dict[str, Any]], hints: Hints, dice: random.Random, count: int) -> Iterator[dict[str, Any]]:
    """Yield inputs: first the seeds as they are, then turned ones.

    Args:
        seeds: at least one.
        hints: of the policies that are asked about them.
        dice: by which they are turned.
        count: how many.
    """
    yield from islice(seeds, count)
    turner = _Turner(hints, dice)
    made = len(seeds)
    while made < count:
        document = turner.turn(dice.choice(seeds))
        if find_fault(document) is None:
            made += 1
            yield document


class _Turner:
    """Turns inputs into others."""

    def __init__(self, hints: Hints, dice: random.Random) -> None:
        self._hints = hints
        self._dice = dice
        self._words = hints.words or [""]
        paths = {path[:end] for path in [*hints.paths, *hints.brought] for end in range(2, len(path) + 1)}
        self._paths = sorted(
            path
            for path in paths | {path for path in hints.paths if path[:1] not in _HEADS}
            if not any(len(path) < len(sure) and sure[: len(path)] == path for sure in ALWAYS_IN_INPUT)
        )

    def turn(self, seed: dict[str, Any]) -> dict[str, Any]:
        document = copy.deepcopy(seed)
        for _ in range(self._dice.randint(1, _MOST_TURNS) if self._paths else 0):
            path = self._dice.choice(self._paths)
            held = _at(document, path)
            value = self._value(path, held, document)
            if not (value is _ABSENT and path in ALWAYS_IN_INPUT):
                _put(document, path, value)
        return document

    def _value(self, path: Steps, held: Any, document: dict[str, Any]) -> Any:
        dice, is_sure = self._dice, path in ALWAYS_IN_INPUT
        known = self._hints.at.get(path, [])
        if not is_sure and dice.random() < 0.15:
            return _ABSENT
        brought = [value for value in self._hints.brought.get(path, ()) if type(value) is type(held)]
        if brought and dice.random() < 0.3:
            return copy.deepcopy(dice.choice(brought))
        if held in (_ABSENT, None) or (path[:2] in _FOREIGN and dice.random() < 0.1):
            return _ABSENT if is_sure else self._any(path, known)
        same = [value for other in self._paths if type(value := _at(document, other)) is type(held)]
        if same and dice.random() < 0.15:
            return copy.deepcopy(dice.choice(same))
        return self._like(held, known)

    def _like(self, held: Any, known: list[Any]) -> Any:
        """Return another value of a kind."""
        dice = self._dice
        words = [value for value in known if isinstance(value, str)] if dice.random() < 0.8 else []
        words = words or self._words
        if isinstance(held, str):
            return dice.choice(words)
        if isinstance(held, bool):
            return not held
        if isinstance(held, int | float):
            numbers = [value for value in known if isinstance(value, int | float)] or [held]
            return dice.choice(numbers) + dice.choice([0, 0, 1, -1])
        if isinstance(held, list):
            return [dice.choice(words) for _ in range(dice.randrange(4))]
        if isinstance(held, dict):
            members = dict(held)
            for name in dice.sample(sorted(members), min(len(members), 1)):
                del members[name]
            return members | {dice.choice(words): dice.choice(self._words) for _ in range(dice.randrange(3))}
        return held

    def _any(self, path: Steps, known: list[Any]) -> Any:
        """Return a value for a path at which there is none; what is a request's own is text there."""
        dice = self._dice
        if path[:1] in _HEADS and path[:2] not in _FOREIGN:
            return dice.choice([value for value in known if isinstance(value, str)] or self._words)
        ways: list[Callable[[], Any]] = [
            lambda: dice.choice(known or self._words),
            lambda: dice.choice(known or self._words),
            lambda: [dice.choice(known or self._words) for _ in range(dice.randrange(3))],
            lambda: {dice.choice(self._words): dice.choice(known or self._words)},
            lambda: dice.choice([True, False, 0, 1]),
        ]
        return dice.choice(ways)()


def _at(document: Any, path: Steps) -> Any:
    for step in path:
        if not isinstance(document, dict) or step not in document:
            return _ABSENT
        document = document[step]
    return document


def _put(document: dict[str, Any], path: Steps, value: Any) -> None:
    """Set a value at a path, or take away what is there; what is in the way of it stays."""
    *above, last = path
    for step in above:
        below = document.get(step)
        if below is None and value is not _ABSENT:
            below = document[step] = {}
        if not isinstance(below, dict):
            return
        document = below
    if value is _ABSENT:
        document.pop(last, None)
    else:
        document[last] = value
