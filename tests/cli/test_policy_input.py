"""`ztproxy policy input` and `ztproxy policy schema`, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from click.testing import Result
from typer.testing import CliRunner

from proxy.cli.policy import app
from tests.opa import ROOT

ROLES = ROOT / "policies" / "examples" / "roles"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def test_each_field_is_told_with_its_value_what_it_is_and_whether_it_is_read() -> None:
    result = run("input", "--policy", ROLES, "--as", "user:ana", "--groups", "editors", "https://a.example.org/drafts")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0, result.output
    assert lines[0] == "* is read by examples/roles/decision"
    assert '* principal.groups = ["editors"]' in lines
    assert '  principal.id = "ana"' in lines
    at = lines.index('* request.path_segments = ["drafts"]')
    assert lines[at + 1].startswith("      its segments, decoded once")


def test_the_json_is_what_eval_takes() -> None:
    asked = ["--policy", ROLES, "--as", "user:ana", "--groups", "editors"]
    document = run("input", *asked, "--format", "json", "POST", "https://a.example.org/articles/1").stdout
    assert json.loads(document)["request"]["method"] == "POST"
    again = CliRunner().invoke(app, ["eval", "--policy", str(ROLES), "--input", "-"], input=document)
    assert again.exit_code == 0, again.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["https://a.example.org/a/../b"], "no policy is asked about this request: 400 target_refused"),
        (["--source", "x", "/x"], "must be a whole URL"),
        (["--device", "mdm", "https://a.example.org/"], "must be NAME:ID"),
        (["-H", "x: \udcff", "https://a.example.org/"], ""),
    ],
)
def test_a_request_that_no_policy_sees_has_no_input(words: list[str], said: str) -> None:
    result = run("input", "--policy", ROLES, *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


@pytest.mark.parametrize("subject", ["tests", "input"])
def test_a_schema_is_a_json_schema(subject: str) -> None:
    result = run("schema", subject)
    assert result.exit_code == 0, result.output
    jsonschema.Draft202012Validator.check_schema(json.loads(result.stdout))
