"""`ztproxy policy parity`, as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from proxy.cli.policy import app
from tests.opa import ROOT, opa_binary

ROLES = ROOT / "policies" / "examples" / "roles"


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(opa_binary()).parent), prepend=":")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["parity", *map(str, arguments)])


@pytest.fixture
def differing(tmp_path: Path) -> Path:
    file = tmp_path / "shop.rego"
    file.write_text("package shop\n\nallow if 0.1 + 0.2 == 0.3\n")
    return file


def test_a_policy_with_the_same_answers_ends_with_0() -> None:
    result = run(ROLES, "--count", "100", "--seed", "7")
    assert result.exit_code == 0, result.output
    assert result.stdout == "400 of 400 answers are the same: 4 rules, 100 inputs, seed 7\n"


def test_a_difference_ends_with_1_and_shows_both_answers(differing: Path) -> None:
    result = run(differing, "--count", "20", "--seed", "7")
    lines = result.stdout.splitlines()
    assert result.exit_code == 1, result.output
    assert lines[:3] == [f"{differing}:3:1: shop/allow differs", "  here   undefined", "  OPA    true"]
    assert json.loads(lines[3].removeprefix("  input  "))["principal"]["groups"] == []
    assert lines[4] == "0 of 20 answers are the same: 1 rules, 20 inputs, seed 7"


def test_programs_get_json(differing: Path) -> None:
    result = run(differing, "--count", "20", "--format", "json")
    told = json.loads(result.stdout)
    assert (told["inputs"], told["same"], told["stricter"], told["different"]) == (20, 0, 0, 20)
    assert isinstance(told["seed"], int)
    [difference] = told["differences"]
    assert (difference["rule"], difference["here"], difference["opa"]) == ("shop/allow", "undefined", "true")


def test_what_cannot_be_found_out_ends_with_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(tmp_path / "none").exit_code == 2
    assert run().exit_code == 2
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run(ROLES)
    assert (result.exit_code, result.stderr) == (
        2, "opa is not on the PATH: install it (openpolicyagent.org) or name it (--opa PATH)\n",
    )  # fmt: skip
