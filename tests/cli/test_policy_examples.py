"""The examples of the workbench's help, typed as they stand."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from proxy.cli.policy import app
from tests.opa import ROOT, opa_binary
from tests.workbench.test_desk import CONFIG

COMMANDS = ("eval", "input", "new", "parity", "schema", "test")


def examples(command: str) -> list[str]:
    said = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "250"}).stdout
    return [example.rstrip(" │") for example in re.findall(r"Example: (ztproxy [^\n]+)", said)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("examples")
    (place / "ztproxy.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    shutil.copytree(ROOT / "policies", place / "policies")
    document = {"principal": {"kind": "user", "issuer": "corp", "groups": ["everybody"]},
                "request": {"method": "GET", "path_segments": ["articles", "1"]}}  # fmt: skip
    (place / "input.json").write_text(json.dumps(document), encoding="utf-8")
    record = {"type": "decision", "input": document}
    (place / "decisions.jsonl").write_text(json.dumps(record), encoding="utf-8")
    (place / "bin").mkdir()
    (place / "bin" / "opa").symlink_to(opa_binary())
    (place / "bin" / "ztproxy").write_text(f'#!/bin/sh\nexec {sys.executable} -m proxy "$@"\n', encoding="utf-8")
    (place / "bin" / "ztproxy").chmod(0o755)
    return place


@pytest.mark.parametrize("command", COMMANDS)
def test_each_help_has_two_examples(command: str) -> None:
    assert len(examples(command)) >= 2


@pytest.mark.parametrize("example", [example for command in COMMANDS for example in examples(command)])
def test_an_example_does_what_its_help_says(folder: Path, example: str) -> None:
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", example],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
