"""`ztproxy policy eval`, as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from proxy.cli.policy import app
from tests.opa import ROOT
from tests.workbench.test_desk import CONFIG

ROLES = ROOT / "policies" / "examples" / "roles"


def run(*arguments: str | Path, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["eval", *map(str, arguments)], input=stdin)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "ztproxy.yaml"
    file.write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    return file


def test_an_allowed_request_is_told_with_its_route_and_reasons(config: Path) -> None:
    result = run("-c", config, "--as", "user:ana", "--groups", "engineering", "GET", "https://wiki.example.org/x")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0, result.output
    assert lines[:5] == [
        "allowed: 200",
        "  asked    user:ana, groups engineering: GET https://wiki.example.org/x",
        "  route    wiki",
        "  rule     ztproxy/authz/decision",
        "  reasons  allow[0]",
    ]


def test_a_refused_request_is_told_with_its_code_and_ends_with_1(config: Path) -> None:
    result = run("-c", config, "--as", "user:bob", "https://wiki.example.org/x")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (1, "refused: 403 policy_denied")
    result = run("-c", config, "GET", "https://wiki.example.org/a/../b")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (1, "refused: 400 target_refused")
    assert "  detail   path must not have dot segments" in result.stdout


def test_json_is_for_programs(config: Path) -> None:
    result = run("-c", config, "--format", "json", "--device", "mdm:7", "GET", "https://wiki.example.org/x")
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (told["allow"], told["status"], told["code"], told["route"]) == (False, 401, "credentials_missing", "wiki")
    assert told["headers"] == [["www-authenticate", "Bearer"]]
    assert told["decision"]["allow"] is False


def test_an_input_document_is_shown_to_the_policy_as_it_stands(tmp_path: Path) -> None:
    principal = {"kind": "user", "issuer": "corp", "groups": ["everybody"]}
    document = {"principal": principal, "request": {"method": "GET", "path_segments": ["articles", "1"]}}
    file = tmp_path / "input.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    assert run("--policy", ROLES, "--input", file).exit_code == 0
    assert run("--policy", ROLES, "--input", "-", stdin=json.dumps({"input": document})).exit_code == 0
    assert run("--policy", ROLES, "--input", "-", stdin="{}").exit_code == 1


def test_a_saved_curl_command_is_a_request(tmp_path: Path, config: Path) -> None:
    file = tmp_path / "request.sh"
    file.write_text("curl 'https://wiki.example.org/x' \\\n  -H 'Accept: text/html'\n", encoding="utf-8")
    anonymous = run("-c", config, "--curl", file)
    assert (anonymous.exit_code, anonymous.stdout.splitlines()[0]) == (1, "refused: 303 credentials_missing")
    assert run("-c", config, "--as", "user:ana", "--groups", "engineering", "--curl", file).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["GET", "https://wiki.example.org/"], "must be named"),
        (["-c", "CONFIG"], "a request is METHOD URL"),
        (["-c", "CONFIG", "GET", "/x"], "must be a whole URL"),
        (["-c", "CONFIG", "--as", "ana", "https://wiki.example.org/"], "must be user:NAME"),
        (["-c", "CONFIG", "--groups", "x", "https://wiki.example.org/"], "--groups is about a user"),
        (["-c", "CONFIG", "--as", "user:ana", "--age", "10", "https://wiki.example.org/"], "must be a duration"),
        (["-c", "CONFIG", "--device", "mdn:1", "https://wiki.example.org/"], 'did you mean "mdm"?'),
        (["-c", "CONFIG", "--curl", "nowhere"], "nowhere: cannot be read: no such file"),
        (["-c", "CONFIG", "--input", "nowhere"], "nowhere: cannot be read: no such file"),
        (["-c", "CONFIG", "--input", "CONFIG"], "line 1 column 1"),
        (["-c", "CONFIG", "--input", "x", "https://wiki.example.org/"], "must not stand beside --input"),
        (["-c", "CONFIG", "--curl", "x", "https://wiki.example.org/"], "must not stand beside --curl"),
        (["--policy", "nowhere", "https://wiki.example.org/"], "there is no such file or folder"),
    ],
)
def test_what_cannot_be_asked_is_told_on_stderr(config: Path, arguments: list[str], said: str) -> None:
    result = run(*[str(config) if word == "CONFIG" else word for word in arguments])
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
