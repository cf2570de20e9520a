"""Pydantic's errors in our own words: one mistake for each thing that a person has to change.

It knows pydantic's error types so that nobody else has to. What pydantic adds by itself is dropped: a list that is
"too short" because its items are wrong, and the branches of a union.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from proxy.config.editors import json_schema
from proxy.config.mistake import Location, Mistake, did_you_mean

_KEY = "[key]"  # pydantic's last step of a location that means the key itself, not its value


def mistakes_of(error: ValidationError) -> list[Mistake]:
    """Return every mistake that a validation found, in the order of the file's shape."""
    return [_mistake(detail) for detail in details_of(error)]


def details_of(error: ValidationError) -> list[ErrorDetails]:
    """Return pydantic's own errors without those that only repeat another one."""
    return [detail for detail in error.errors(include_url=False) if not _is_echo(detail)]


def known_keys(location: Location) -> tuple[str, ...]:
    """Return the keys that the schema knows at a place; none where keys are free or the place is unknown."""
    node: Mapping[str, Any] = _schema()
    for step in location:
        node = _step(_resolved(node), step)
    return tuple(_resolved(node).get("properties", ()))


def is_key(location: Location) -> bool:
    """Whether the place is a key of a section, not an item of a list or an entry of a map with free keys."""
    return bool(location) and location[-1] in known_keys(location[:-1])


@cache
def _schema() -> dict[str, Any]:
    return json_schema()


def _resolved(node: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in node:
        return _resolved(_schema()["$defs"][node["$ref"].rpartition("/")[2]])
    for choice in node.get("anyOf", ()):
        if "$ref" in choice or choice.get("type") in ("object", "array"):
            return _resolved(choice)
    return node


def _step(node: Mapping[str, Any], step: str | int) -> Mapping[str, Any]:
    if isinstance(step, int):
        return _mapping(node.get("items"))
    return _mapping(node.get("properties", {}).get(step, node.get("additionalProperties")))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _is_echo(detail: ErrorDetails) -> bool:
    given = detail["input"]
    return detail["type"] == "too_short" and isinstance(given, list | dict) and len(given) > 0


def _mistake(detail: ErrorDetails) -> Mistake:
    location = detail["loc"]
    if location and location[-1] == _KEY:
        location = location[:-1]
    explain = _RULES.get(detail["type"])
    return Mistake(location, explain(detail) if explain else "is not accepted here")


def _unknown_key(detail: ErrorDetails) -> str:
    *parents, key = detail["loc"]
    known = known_keys(tuple(parents))
    return f"unknown key{did_you_mean(str(key), known)}; the keys here are {', '.join(known)}"


def _choice(detail: ErrorDetails) -> str:
    names = re.findall(r"'([^']*)'", detail.get("ctx", {}).get("expected", ""))
    given = detail["input"]
    near = did_you_mean(given, names) if isinstance(given, str) else ""
    listed = " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"must be {listed}{near}"


def _own_words(detail: ErrorDetails) -> str:
    return str(detail.get("ctx", {}).get("error", "is not accepted here"))


_RULES: Final[dict[str, Callable[[ErrorDetails], str]]] = {
    "value_error": _own_words,
    "missing": lambda _: "is required",
    "extra_forbidden": _unknown_key,
    "literal_error": _choice,
    "too_short": lambda _: "must not be empty",
    "tuple_type": lambda _: "must be a list",
    "dict_type": lambda _: "must be a map of keys and values",
    "model_type": lambda _: "must be a map of keys and values",
}
