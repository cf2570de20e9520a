"""`ztproxy policy explain`, as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from proxy.cli.policy import app
from tests.opa import ROOT
from tests.workbench.test_desk import write

ROLES = ROOT / "policies" / "examples" / "roles"
WIKI = "https://wiki.example.org"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["explain", *map(str, arguments)])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write(tmp_path)


def test_a_refusal_names_each_entry_with_its_line_and_what_would_do(config: Path) -> None:
    result = run("-c", config, "--as", "user:bob", "GET", f"{WIKI}/admin/x")
    lines = result.stdout.splitlines()
    line = next(n for n, text in enumerate(config.read_text().splitlines(), start=1) if "engineering" in text) - 1
    assert result.exit_code == 1, result.output
    assert lines[0] == "refused: 403 policy_denied"
    assert lines[5:8] == [
        "why: no entry of allow matches",
        f"  ✗ allow[0]  {config}:{line}",
        "      ✗ groups     engineering  saw no group",
    ]
    assert lines[-2:] == ["it would be permitted if", "  the user is in group engineering  (allow[0])"]


def test_a_permit_names_the_entry(config: Path) -> None:
    result = run("-c", config, "--as", "user:ana", "--groups", "engineering", f"{WIKI}/x")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (0, "permitted: 200")
    assert "why: this entry of allow matches" in result.stdout


def test_json_is_for_programs() -> None:
    result = run("--policy", ROLES, "--format", "json", "--as", "user:ana", "https://any.example.org/drafts")
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert [step["state"] for step in told["why"]] == ["held", "failed"]
    assert told["permitted_if"][0]["if"] == ["the user is in group engineering"]


def test_people_of_tests_and_logs_are_known(tmp_path: Path) -> None:
    (tmp_path / "own.rego").write_text(
        "package own\n\nimport rego.v1\n\nallow if crypto.sha256(input.principal.id) == "
        '"81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9"\n',
        encoding="utf-8",
    )
    table = tmp_path / "own.policy.yaml"
    table.write_text("tests:\n  - {name: x, given: {user: bob}, when: GET https://a.example/, then: {allow: true}}\n")
    log = tmp_path / "log.jsonl"
    principal = {"kind": "user", "id": "bob"}
    record = {
        "decision_id": "d",
        "input": {"principal": principal, "request": {"method": "GET", "host": "a.example", "path": "/"}},
    }
    log.write_text(json.dumps(record) + "\n")
    asked = ["--policy", tmp_path / "own.rego", "--as", "user:ana", "https://a.example/"]
    assert "no change that is known would permit it" in run(*asked).stdout
    assert "the user is bob" in run(*asked, "--tests", tmp_path).stdout
    assert "the user is bob" in run(*asked, "--log", log).stdout
    logged = run("--policy", tmp_path / "own.rego", "--decision-id", "d", log)
    assert (logged.exit_code, logged.stdout.splitlines()[0]) == (0, "permitted: 200")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-c", "CONFIG", "--decision-id", "x"], "one decision log must be named"),
        (["-c", "CONFIG", "--decision-id", "x", "nowhere"], "nowhere: cannot be read: no such file"),
        (["-c", "CONFIG", "--decision-id", "x", "CONFIG"], "no decision has the id x"),
        (["-c", "CONFIG", "--input", "CONFIG"], "line 1 column 1"),
        (["-c", "CONFIG", "--input", "x", "https://a.example/"], "must not stand beside --input"),
        (["-c", "CONFIG", "--as", "user:a", "--issuer", "crop", f"{WIKI}/"], 'did you mean "corp"?'),
        (["--policy", str(ROLES), "--log", "nowhere", f"{WIKI}/"], "nowhere: cannot be read"),
    ],
)
def test_what_cannot_be_explained_is_told_on_stderr(config: Path, arguments: list[str], said: str) -> None:
    result = run(*[str(config) if word == "CONFIG" else word for word in arguments])
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
