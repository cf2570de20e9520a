"""What of a file with mistakes can still be read, so that one bad route does not hide a dangling name elsewhere.

A bad value is left out where the schema has a default for it, and stands in where it has none; both places are
remembered, and what a later rule says about them is not repeated to the person. Where names would be lost (a whole
section is no map) nothing is salvaged, because every reference to it would be called dangling.
The result is for finding mistakes alone and never served.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from proxy.config.explain import details_of, is_key
from proxy.config.mistake import Location, Mistake
from proxy.config.schema import Config, Upstream

_ROUNDS: Final = 8  # removing a bad value can make its section incomplete, and so on outwards
_MOST: Final = 1_000  # errors; a file that has more is not worth the time

_ANY: Final = "*"
# Required values, and values whose default would clash with a neighbour, and what stands in; `{}` makes it unique.
_STAND_INS: Final[Mapping[tuple[str, ...], object]] = {
    ("version",): 1,
    ("trust_domain",): "stand-in.invalid",
    ("listeners", _ANY): {"name": "stand-in-{}", "address": "127.0.0.1:0", "plaintext": True},
    ("listeners", _ANY, "name"): "stand-in-{}",
    ("listeners", _ANY, "address"): "127.0.0.1:0",
    ("identity", "trust_bundles", _ANY): {"file": "stand-in"},
    ("identity", "issuers", _ANY): {"issuer": "https://stand-in-{}.invalid", "bearer": {"audiences": ["stand-in"]}},
    ("upstreams", _ANY): {"endpoints": ["http://stand-in.invalid"]},
    ("routes", _ANY): {"name": "stand-in-{}", "host": "stand-in-{}.invalid", "allow": [{"anyone": True}]},
    ("routes", _ANY, "name"): "stand-in-{}",
    ("routes", _ANY, "host"): "stand-in-{}.invalid",
    ("routes", _ANY, "path"): "/stand-in-{}",
    ("routes", _ANY, "listeners"): ["stand-in-{}"],
    ("routes", _ANY, "allow", _ANY): {"anyone": True},
}
_NOWHERE: Final = Upstream(endpoints=("http://stand-in.invalid",))
# Without these, names that the rest of the file refers to would be lost.
_NAMING: Final = frozenset(
    {("listeners",), ("identity",), ("identity", "trust_bundles"), ("identity", "issuers"), ("upstreams",), ("routes",)}
)


class Salvage:
    """A config without its mistakes, if there is one, and where they were."""

    __slots__ = ("_around", "config", "touched")

    def __init__(self, config: Config | None, touched: frozenset[Location]) -> None:
        self.config = config
        self.touched = touched
        self._around = frozenset(place[:end] for place in touched for end in range(len(place)))

    @property
    def complete(self) -> Config | None:
        """The config with a stand-in for every upstream that routes name and nothing declares."""
        if self.config is None:
            return None
        upstreams = self.config.upstreams
        dangling = {route.upstream for route in self.config.routes if route.upstream is not None} - upstreams.keys()
        return self.config.model_copy(update={"upstreams": upstreams | dict.fromkeys(dangling, _NOWHERE)})

    def believes(self, mistake: Mistake) -> bool:
        """Whether a mistake that a later rule found is the file's, and not made by what was left out."""
        place = mistake.location
        return place not in self._around and not any(place[:end] in self.touched for end in range(len(place) + 1))


def salvage(value: object, errors: ValidationError, context: Mapping[str, Any]) -> Salvage:
    """Leave out or replace what `errors` names until the rest is valid."""
    if not isinstance(value, dict) or errors.error_count() > _MOST:
        return Salvage(None, frozenset())
    rest = copy.deepcopy(value)
    touched: set[Location] = set()
    for _ in range(_ROUNDS):
        mended: set[Location] = set()
        for detail in details_of(errors):
            if any(detail["loc"][: len(place)] == place for place in mended):
                continue
            place = _mend(rest, detail["loc"], detail["type"] == "extra_forbidden", len(touched) + len(mended))
            if place is None:
                return Salvage(None, frozenset(touched))
            mended.add(place)
        touched |= mended
        try:
            return Salvage(Config.model_validate(rest, context=context), frozenset(touched))
        except ValidationError as again:
            errors = again
    return Salvage(None, frozenset(touched))


def _mend(rest: dict[str, Any], location: Location, unknown: bool, number: int) -> Location | None:
    """Mend the smallest place around a location; None where names would be lost."""
    if unknown:
        return _remove(rest, location)
    for end in range(len(location), 0, -1):
        place = location[:end]
        stand_in = _stand_in(place)
        if stand_in is not None:
            return _replace(rest, place, _numbered(stand_in, number))
        if place in _NAMING or location[-1] == "[key]":
            return None
        if is_key(place) and _holds(rest, place):
            return _remove(rest, place)
    return None


def _stand_in(place: Location) -> object | None:
    return next((value for pattern, value in _STAND_INS.items() if _matches(pattern, place)), None)


def _matches(pattern: tuple[str, ...], place: Location) -> bool:
    return len(pattern) == len(place) and all(
        ours in (_ANY, theirs) for ours, theirs in zip(pattern, place, strict=True)
    )


def _numbered(stand_in: Any, number: int) -> Any:
    if isinstance(stand_in, dict):
        return {key: _numbered(value, number) for key, value in stand_in.items()}
    if isinstance(stand_in, list):
        return [_numbered(value, number) for value in stand_in]
    return stand_in.format(number) if isinstance(stand_in, str) else stand_in


def _parent(rest: dict[str, Any], place: Location) -> Any:
    node: Any = rest
    for step in place[:-1]:
        node = node[step]
    return node


def _holds(rest: dict[str, Any], place: Location) -> bool:
    parent = _parent(rest, place)
    return isinstance(parent, dict) and place[-1] in parent


def _replace(rest: dict[str, Any], place: Location, stand_in: object) -> Location:
    _parent(rest, place)[place[-1]] = stand_in
    return place


def _remove(rest: dict[str, Any], place: Location) -> Location:
    _parent(rest, place).pop(place[-1], None)
    return place
