"""`ztproxy policy new`: what it writes passes at once, under our test and under OPA's, and replaces nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from proxy.cli import app
from proxy.cli.policy_new import Shape
from tests.opa import opa_binary

FILES = ["access.policy.yaml", "access.rego", "access_test.rego", "data.json"]


def typed(*words: object) -> Result:
    return CliRunner().invoke(app, ["policy", *map(str, words)])


@pytest.mark.parametrize("shape", Shape)
def test_a_new_policy_passes_its_tests_at_once(shape: Shape, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "access"
    written = typed("new", "--shape", shape, folder)
    assert written.exit_code == 0
    assert written.stdout.splitlines() == [str(folder / name) for name in FILES]
    tested = typed("test", "--format", "json", folder)
    assert tested.exit_code == 0, tested.output
    assert {"access.policy.yaml", "access_test.rego"} == {name for name in FILES if str(folder / name) in tested.stdout}


@pytest.mark.parametrize("shape", Shape)
def test_opa_passes_them_and_would_write_them_so(shape: Shape, tmp_path: Path) -> None:
    typed("new", "--shape", shape, tmp_path)
    for command in (["test"], ["fmt", "--fail", "-l"], ["check", "--strict"]):
        done = subprocess.run([opa_binary(), *command, tmp_path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_there_is_not_replaced(tmp_path: Path) -> None:
    mine = tmp_path / "data.json"
    mine.write_text("{}", encoding="utf-8")
    written = typed("new", tmp_path)
    assert written.exit_code == 2
    assert written.stderr == f"{mine}: is there already, and is not replaced\n"
    assert [*tmp_path.iterdir()] == [mine]
    assert mine.read_text(encoding="utf-8") == "{}"


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    written = typed("new", tmp_path / "file" / "access")
    assert written.exit_code == 2
    assert "cannot be written: not a directory" in written.stderr
