"""What is said of each field: the same as the page says, of every field that there is, and as a schema."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from proxy.policy.input import build_input
from proxy.workbench.glossary import GLOSSARY, TERMS, input_schema, leaves
from tests.opa import ROOT
from tests.policy.inquiries import ANA, ask, device, workload
from tests.policy.opa import opa

PAGE = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
DOCUMENTS = [
    build_input(ask()),
    build_input(ask("PUT", "/a/b?c=d", principal=ANA, peer=workload("spiffe://example.org/device/1"))),
    build_input(ask(peer=device("mdm:7"), tls_version=None, sni=None)),
]


def _plain(cell: str) -> str:
    linked = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", cell)
    return linked.replace("**", "").replace("`", "").strip()


def _told() -> dict[str, tuple[str, ...]]:
    section = PAGE.partition("## The input\n")[2].partition("\n## The decision")[0]
    told: dict[str, tuple[str, ...]] = {}
    for row in re.findall(r"^\| (`.*) \|$", section, re.MULTILINE):
        names, *cells = row.split(" | ")
        told |= {name: tuple(map(_plain, cells)) for name in re.findall(r"`([^`]+)`", names)}
    return told


def test_the_glossary_says_what_the_page_says() -> None:
    told = _told()
    assert [*told] == [term.path for term in GLOSSARY]
    for path, cells in told.items():
        term = TERMS[path]
        assert cells[-1] == term.text, path
        assert len(cells) == 1 or cells[0] == term.type, path


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_field_is_explained(document: dict[str, Any]) -> None:
    told = [path for path, _ in leaves(document)]
    assert {path for path in told if path not in TERMS} == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_document_is_what_its_schema_says(document: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(input_schema()).validate(document)


def test_the_schema_knows_no_field_that_there_is_not() -> None:
    schema = jsonschema.Draft202012Validator(input_schema())
    for spoilt in ({"principle": {}}, {"listener": 1}, {"source": {"address": "1.1.1.1"}}):
        assert not schema.is_valid(DOCUMENTS[0] | spoilt)


def test_opa_finds_a_misspelt_field_by_the_schema(tmp_path: Path) -> None:
    (tmp_path / "input.json").write_text(json.dumps(input_schema()), encoding="utf-8")
    policy = tmp_path / "p.rego"
    text = 'package p\n\nimport rego.v1\n\nallow if input.principal.kind == "user"\n'
    policy.write_text(text, encoding="utf-8")
    assert opa("check", "--schema", tmp_path / "input.json", policy).returncode == 0
    policy.write_text(text.replace("principal", "principle"), encoding="utf-8")
    refused = opa("check", "--schema", tmp_path / "input.json", policy, check=False)
    assert refused.returncode == 1
    assert "undefined ref: input.principle.kind" in refused.stderr
