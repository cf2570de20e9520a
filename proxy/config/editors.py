"""The JSON Schema of the file: for editors, and for whoever writes the file by program.

Made from the models, so that it cannot say anything else than the loader; what pydantic writes for its own ends is put
the way people write the file: defaults with their units, and no `null`, for a key without a value is a mistake.
"""

from __future__ import annotations

from typing import Any

from proxy.config.schema import Config
from proxy.config.units import DURATION_PATTERN, SIZE_PATTERN, format_duration, format_size

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the file."""
    schema: dict[str, Any] = _tidy(Config.model_json_schema(by_alias=True))
    return {"$schema": DIALECT, **schema}


def _tidy(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: _tidy(item) for key, item in schema.items()}
    if "default" in out and not _is_worth_showing(out["default"]):
        del out["default"]
    return _with_units(_with_names(_without_null(out)))


def _is_worth_showing(default: object) -> bool:
    """Whether a default is a value; a section's is spelled key by key where the section is."""
    return default is not None and not isinstance(default, dict)


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    choices = [choice for choice in schema.pop("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) > 1:
        return {**schema, "anyOf": choices}
    return {**schema, **choices[0]} if choices else schema


def _with_names(schema: dict[str, Any]) -> dict[str, Any]:
    """Say a map's names so that one outside the pattern is refused, not ignored."""
    patterns = schema.pop("patternProperties", None)
    if patterns is None:
        return schema
    ((pattern, value),) = patterns.items()
    return {**schema, "propertyNames": {"pattern": pattern}, "additionalProperties": value}


def _with_units(schema: dict[str, Any]) -> dict[str, Any]:
    default, pattern = schema.get("default"), schema.get("pattern")
    if isinstance(default, int | float) and pattern == DURATION_PATTERN:
        return {**schema, "default": format_duration(default)}
    if isinstance(default, int | float) and pattern == SIZE_PATTERN:
        return {**schema, "default": format_size(int(default))}
    return schema
