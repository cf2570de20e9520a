"""`ztproxy policy replay`, as a person types it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from proxy.cli.policy import app
from proxy.workbench.case import Case, Who
from proxy.workbench.desk import Desk
from tests.opa import ROOT
from tests.workbench.records import record, write

OLD = "package shop\n\nimport rego.v1\n\nallow if input.principal.kind == \"user\"\n"  # fmt: skip
NEW = "package shop\n\nimport rego.v1\n\nallow if input.request.path == \"/\"\n"  # fmt: skip
ERASED = "package shop\n\nimport rego.v1\n\nallow if input.request.headers.cookie\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("old", OLD), ("new", NEW), ("erased", ERASED)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shop.rego").write_text(text, encoding="utf-8")
    desk = Desk.open(None, tmp_path / "old")
    cases = [
        Case("GET", "https://shop.example/", Who(user="ana"), (("Cookie", "a=b"),)),
        Case("GET", "https://shop.example/cart", Who(user="ana")),
        Case("GET", "https://shop.example/"),
    ]
    write(tmp_path / "log", [record(desk, case, number) for number, case in enumerate(cases)])
    return tmp_path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["replay", *map(str, arguments)])


def test_nothing_changes_with_the_same_policy(folder: Path) -> None:
    result = run(folder / "log", "--policy", folder / "old")
    assert result.exit_code == 0, result.output
    assert result.stdout == "3 decisions: 3 same, 0 newly allowed, 0 newly denied, 0 undecidable\n"
    assert "decisions a second" in result.stderr


def test_what_changes_is_told_by_caller_with_an_example(folder: Path) -> None:
    result = run(folder / "log", "--policy", folder / "new")
    assert result.exit_code == 1
    assert (
        result.stdout
        == """\
3 decisions: 1 same, 1 newly allowed, 1 newly denied, 0 undecidable

newly allowed: anonymous on any, 1 of 1
  such as  GET https://shop.example/
  was      policy_undefined (policy must be defined for the request)
  would be allowed
  decision decision-2

newly denied: user:ana on any, 1 of 2
  such as  GET https://shop.example/cart
  was      allowed
  would be policy_undefined (policy must be defined for the request)
  decision decision-1
"""
    )


def test_what_cannot_be_decided_is_no_success(folder: Path) -> None:
    result = run(folder / "log", "--policy", folder / "erased", "--format", "json")
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (told["undecidable"], told["newly_denied"], told["same"]) == (1, 1, 1)
    (row,) = [row for row in told["rows"] if row["principal"] == "user:ana"]
    assert row["examples"]["undecidable"]["now"] == ("unknown: it reads input.request.headers.cookie, which was erased")


def test_a_broken_line_is_told_with_its_place_and_is_no_success(folder: Path) -> None:
    with (folder / "log").open("a", encoding="utf-8") as log:
        log.write('{"type": "access"}\n{"type": "decis')
    result = run(folder / "log", "--policy", folder / "old")
    assert result.exit_code == 1
    assert f"{folder / 'log'}:5:10: is no JSON" in result.stderr
    assert "1 other records were passed over\n1 lines could not be read\n" in result.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["log", "--policy", "nowhere"], "there is no such file or folder"),
        (["nowhere", "--policy", "old"], "nowhere: cannot be read: no such file or directory"),
        (["log"], "a config (-c FILE) or a policy (--policy PATH) must be named"),
        (["empty", "--policy", "old"], "no decision of a policy was found"),
    ],
)
def test_what_cannot_run_says_why(folder: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str) -> None:
    monkeypatch.chdir(folder)
    (folder / "empty").write_text('{"type": "access"}\n', encoding="utf-8")
    result = run(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_a_log_may_come_by_stdin(folder: Path) -> None:
    content = (folder / "log").read_bytes()
    result = CliRunner().invoke(app, ["replay", "-", "--policy", str(folder / "old")], input=content)
    assert result.exit_code == 0, result.output


def test_a_terminal_sees_how_far_it_is(folder: Path) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "policy", "replay", "log", "--policy", "old"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}, stdout=subprocess.DEVNULL,
        stderr=theirs, check=False,
    )  # fmt: skip
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "100%  3 decisions" in shown
