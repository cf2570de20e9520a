"""`ztproxy config schema`, and every example config of the project held against it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from proxy.cli import app
from proxy.config import document

ROOT = Path(__file__).parents[2]


def printed_schema() -> dict[str, object]:
    result = CliRunner().invoke(app, ["config", "schema"])
    assert result.exit_code == 0
    schema = json.loads(result.stdout)
    assert isinstance(schema, dict)
    return schema


def examples() -> dict[str, str]:
    """Return every config that the documents and `deploy/` show, by where it is."""
    found = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in ROOT.glob("deploy/*.yaml")}
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = page.read_text(encoding="utf-8")
        for block in re.finditer(r"^```yaml\n(version: 1\n.*?)^```$", text, re.M | re.S):
            line = text.count("\n", 0, block.start(1)) + 1
            found[f"{page.relative_to(ROOT)}:{line}"] = block[1]
    return found


def test_the_schema_goes_to_stdout_as_json() -> None:
    schema = printed_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("place", sorted(examples()))
def test_every_example_of_the_project_is_valid(place: str) -> None:
    read = document.parse(examples()[place].encode())
    assert read.mistakes == []
    jsonschema.Draft202012Validator(printed_schema()).validate(read.value)


def test_there_are_examples_in_every_place() -> None:
    places = " ".join(examples())
    for where in ("README.md", "docs/configuration.md", "deploy/"):
        assert where in places
