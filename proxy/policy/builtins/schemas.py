"""`json.match_schema` and `json.verify_schema`: JSON schemas of common keywords; any other keyword fails the call.

OPA passes over what it does not know, and fetches what `$ref` names: neither is for a decision.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from proxy.policy.builtins.documents import same
from proxy.policy.builtins.encodings import json_marshal
from proxy.policy.builtins.operands import mapping
from proxy.policy.scalars import find_fault

_TYPES: Final = ("array", "boolean", "integer", "number", "null", "object", "string")
_COUNTS: Final = ("maxItems", "maxLength", "minItems", "minLength")
_NUMBERS: Final = ("maximum", "minimum")
_TEXTS: Final = ("description", "title")
_KNOWN: Final = frozenset({
    *_COUNTS, *_NUMBERS, *_TEXTS, "additionalProperties", "const", "enum", "items", "properties", "required", "type",
})  # fmt: skip
_MOST_ERRORS: Final = 100
_MOST_ALLOWED: Final = 500  # values of an enum, which are compared with each other


class _UnknownTypeError(ValueError):
    """A primitive type that JSON Schema does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"has a primitive type that is NOT VALID -- given: /{name}/ Expected valid values are:[{' '.join(_TYPES)}]"
        )


def verify_schema(schema: object) -> list[Any]:
    """Return true and null for a schema; false and what is wrong where it names a type that there is not."""
    try:
        _check(_loaded(schema))
    except _UnknownTypeError as unknown:
        return [False, f"jsonschema: {unknown}"]
    return [True, None]


def match_schema(document: object, schema: object) -> list[Any]:
    """Return whether a document, or a text of JSON, is as a schema says, and each error."""
    rules = _loaded(schema)
    _check(rules)
    errors = [error.told() for error in _errors(_loaded(document), rules, ())]
    if len(errors) > _MOST_ERRORS:
        raise ValueError(f"a document must not break a schema in more than {_MOST_ERRORS} ways")
    return [not errors, errors]


def _loaded(value: object) -> Any:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("operand must be JSON") from None
        if (fault := find_fault(value)) is not None:
            raise ValueError(fault)
        return value
    if isinstance(value, dict | list):
        return value
    raise ValueError("operand must be an object, an array or a text of JSON")


def _check(schema: object) -> None:
    """Raise ValueError for a schema that is none, or that has other keywords than these."""
    rules = mapping(schema)
    if rules.keys() - _KNOWN:
        raise ValueError(f"a schema must have no keywords but {', '.join(sorted(_KNOWN))}")
    for name in _types(rules):
        if name not in _TYPES:
            raise _UnknownTypeError(name)
    required, enum = rules.get("required", []), rules.get("enum", [])
    shapes = (
        all(isinstance(rules.get(name, ""), str) for name in _TEXTS),
        all(type(rules.get(name, 0)) is int and rules.get(name, 0) >= 0 for name in _COUNTS),
        all(type(rules.get(name, 0)) in (int, float) for name in _NUMBERS),
        rules.get("minLength", 0) <= rules.get("maxLength", rules.get("minLength", 0)),
        isinstance(required, list) and all(isinstance(name, str) for name in required),
        isinstance(enum, list)
        and len(enum) <= _MOST_ALLOWED
        and not any(same(one, other) for i, one in enumerate(enum) for other in enum[:i]),
        isinstance(rules.get("additionalProperties", True), bool),
        isinstance(rules.get("properties", {}), dict),
    )
    if not all(shapes) or len(set(required)) < len(required):
        raise ValueError("a schema must have values of the right kinds")
    for inner in (*rules.get("properties", {}).values(), *([rules["items"]] if "items" in rules else [])):
        _check(inner)


def _types(rules: dict[str, Any]) -> list[str]:
    found = rules.get("type", [])
    names = [found] if isinstance(found, str) else found
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ValueError("the type of a schema must be a name, or an array of different ones")
    return names


class _Error(NamedTuple):
    """One way in which a document is not as it should be."""

    path: tuple[str, ...]
    kind: str
    text: str

    def told(self) -> dict[str, str]:
        field = ".".join(self.path) if self.path else "(Root)"
        text = self.text.replace("\0", field)
        return {"desc": text, "error": f"{field}: {text}", "field": field, "type": self.kind}


def _errors(value: Any, rules: dict[str, Any], path: tuple[str, ...]) -> Iterator[_Error]:
    """Yield what is wrong with a value. Where its type is, nothing else is looked at."""
    given, types = _type_of(value), _types(rules)
    if types and given not in types and not (given == "integer" and "number" in types):
        expected = types[0] if isinstance(rules["type"], str) or len(types) == 1 else f"[{','.join(types)}]"
        yield _Error(path, "invalid_type", f"Invalid type. Expected: {expected}, given: {given}")
        return
    if "const" in rules and not same(value, rules["const"]):
        yield _Error(path, "const", f"\0 does not match: {json_marshal(rules['const'])}")
    if "enum" in rules and not any(same(value, one) for one in rules["enum"]):
        allowed = ", ".join(map(json_marshal, rules["enum"]))
        yield _Error(path, "enum", f"\0 must be one of the following: {allowed}")
    if isinstance(value, dict):
        yield from _object_errors(value, rules, path)
    elif isinstance(value, list):
        yield from _array_errors(value, rules, path)
    elif isinstance(value, str):
        yield from _bounds(len(value), rules, path, _TEXT_BOUNDS)
    elif not isinstance(value, bool) and value is not None:
        yield from _bounds(value, rules, path, _NUMBER_BOUNDS)


def _object_errors(value: dict[str, Any], rules: dict[str, Any], path: tuple[str, ...]) -> Iterator[_Error]:
    properties = rules.get("properties", {})
    for name in rules.get("required", ()):
        if name not in value:
            yield _Error(path, "required", f"{name} is required")
    if not rules.get("additionalProperties", True):
        for name in sorted(value.keys() - properties.keys()):
            yield _Error(path, "additional_property_not_allowed", f"Additional property {name} is not allowed")
    for name, inner in properties.items():
        if name in value:
            yield from _errors(value[name], inner, (*path, name))


def _array_errors(value: list[Any], rules: dict[str, Any], path: tuple[str, ...]) -> Iterator[_Error]:
    yield from _bounds(len(value), rules, path, _ARRAY_BOUNDS)
    if "items" in rules:
        for index, item in enumerate(value):
            yield from _errors(item, rules["items"], (*path, str(index)))


_Bounds = tuple[tuple[str, bool, str, str], ...]  # keyword, whether it is the upper one, kind and text of the error

_TEXT_BOUNDS: Final[_Bounds] = (
    ("minLength", False, "string_gte", "String length must be greater than or equal to {}"),
    ("maxLength", True, "string_lte", "String length must be less than or equal to {}"),
)
_NUMBER_BOUNDS: Final[_Bounds] = (
    ("maximum", True, "number_lte", "Must be less than or equal to {}"),
    ("minimum", False, "number_gte", "Must be greater than or equal to {}"),
)
_ARRAY_BOUNDS: Final[_Bounds] = (
    ("minItems", False, "array_min_items", "Array must have at least {} items"),
    ("maxItems", True, "array_max_items", "Array must have at most {} items"),
)


def _bounds(value: float, rules: dict[str, Any], path: tuple[str, ...], bounds: _Bounds) -> Iterator[_Error]:
    for keyword, is_upper, kind, text in bounds:
        bound = rules.get(keyword)
        if bound is not None and (value > bound if is_upper else value < bound):
            yield _Error(path, kind, text.format(json_marshal(bound)))


def _type_of(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return "null" if value is None else "boolean"
    if isinstance(value, int | float):
        return "integer" if value == int(value) else "number"
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "array"
    if isinstance(value, str):
        return "string"
    raise ValueError("a document must be of JSON's kinds")
