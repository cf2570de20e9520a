"""The JSON Schema, and the page that documents every key of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from proxy.config import document
from proxy.config.editors import json_schema
from proxy.config.load import load, render
from tests.config.test_check import GOOD

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def keys_of(
    schema: dict[str, Any], node: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Yield every key's path, its schema and whether it is required; `[]` is an item and `NAME` a map's entry."""
    node = _section(schema, node)
    for name, value in node.get("properties", {}).items():
        path = f"{prefix}.{name}" if prefix else name
        yield path, value, name in node.get("required", ())
        inner = _section(schema, value)
        yield from keys_of(schema, value, path)
        if isinstance(inner.get("items"), dict):
            yield from keys_of(schema, inner["items"], f"{path}[]")
        if isinstance(inner.get("additionalProperties"), dict):
            yield from keys_of(schema, inner["additionalProperties"], f"{path}.NAME")


def _section(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        return _section(schema, schema["$defs"][node["$ref"].rpartition("/")[2]])
    objects = [choice for choice in node.get("anyOf", ()) if choice.get("type") == "object" or "$ref" in choice]
    return _section(schema, objects[0]) if objects else node


def documented() -> dict[str, str]:
    """Return the default cell of every key that the page's tables have, by the key's path."""
    rows: dict[str, str] = {}
    section: str | None = None
    for line in PAGE.read_text(encoding="utf-8").partition("## Every key")[2].splitlines():
        if heading := re.fullmatch(r"### (?:The file|`(.+)`)", line):
            section = heading[1] or ""
        elif row := re.match(r"\| `(\w+)` \| [^|]+ \| ([^|]*) \| \S", line):
            assert section is not None
            path = f"{section}.{row[1]}" if section else row[1]
            assert path not in rows, path
            rows[path] = row[2].strip()
    return rows


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    schema = json_schema()
    assert set(documented()) == {path for path, _, _ in keys_of(schema, schema)}


def test_the_documented_defaults_are_those_of_the_schema() -> None:
    schema, page = json_schema(), documented()
    for path, key, required in keys_of(schema, schema):
        cell = page[path]
        if required:
            assert cell == "**required**", path
        elif "default" in key and key["default"] not in ([], {}):
            assert _spelled(cell) == key["default"], path
        else:
            assert cell == ("`{}`" if _has_defaults(schema, key) and cell != "none" else "none"), path


def _has_defaults(schema: dict[str, Any], key: dict[str, Any]) -> bool:
    return "$ref" in key and not _section(schema, key).get("required")


def _spelled(cell: str) -> object:
    return document.parse(cell.strip("`").encode()).value


def test_the_schema_is_valid_and_of_the_draft_that_it_names() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


def test_the_schema_offers_no_null_and_no_default_without_its_unit() -> None:
    text = json.dumps(json_schema())
    assert "null" not in text
    for key, node in ((path, node) for path, node, _ in keys_of(json_schema(), json_schema())):
        if node.get("type") == "string" and "default" in node:
            assert isinstance(node["default"], str), key


@pytest.mark.parametrize(
    "change",
    [
        ("version: 1", "version: 2"),
        ("serves:", "serve:"),
        ("optional", "maybe"),
        ("name: edge\n", "name: 5\n"),
        ("wiki: {endpoints", "a b: {endpoints"),
        ("audiences: [ztproxy]", "audiences: []"),
        ("identity:", "drain: {delay: 5}\nidentity:"),
        ("identity:", "limits: {header_count: 0}\nidentity:"),
        ("{example.org: ca.pem}", "{example.org: {files: ca.pem}}"),
        ("groups: [engineering]", "anyone: false"),
    ],
)
def test_an_editor_sees_a_mistake_of_shape_too(change: tuple[str, str]) -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.validate(document.parse(GOOD.encode()).value)
    bad = document.parse(GOOD.replace(*change, 1).encode()).value
    assert not validator.is_valid(bad)


def examples() -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.parametrize("index", range(len(examples())))
def test_every_config_of_the_page_loads_without_a_word(index: int, tmp_path: Path) -> None:
    path = tmp_path / "ztproxy.yaml"
    path.write_text(examples()[index], encoding="utf-8")
    config, mistakes = load(path)
    assert render(mistakes, path) == []
    assert config is not None
