"""Completion, as shells ask for it; bash itself, where the others are asked in their name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.opa import ROOT


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    command = tmp_path / "ztproxy"
    command.write_text(f"#!{sys.executable}\nfrom proxy.cli import main\n\nmain()\n", encoding="utf-8")
    command.chmod(0o755)
    return tmp_path


def said(commands: Path, command: list[str], **environment: str) -> str:
    path = {"PATH": f"{commands}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, env={**os.environ, **path, **environment}, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_which_commands_there_are(commands: Path, shell: str) -> None:
    asked = {"COMP_WORDS": "ztproxy policy ev", "COMP_CWORD": "2", "_TYPER_COMPLETE_ARGS": "ztproxy policy ev"}
    asked |= {"_ZTPROXY_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    answer = said(commands, ["ztproxy"], **asked)
    assert "eval" in answer
    assert "schema" not in answer


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(commands: Path, shell: str) -> None:
    assert f"_ZTPROXY_COMPLETE=complete_{shell}" in said(commands, ["ztproxy"], _ZTPROXY_COMPLETE=f"source_{shell}")


def test_bash_completes_commands_and_options(commands: Path) -> None:
    script = (
        'eval "$(_ZTPROXY_COMPLETE=source_bash ztproxy)"\n'
        "COMP_WORDS=(ztproxy policy sche) COMP_CWORD=2; _ztproxy_completion ztproxy; echo ${COMPREPLY[@]}\n"
        "COMP_WORDS=(ztproxy policy test --fail) COMP_CWORD=3; _ztproxy_completion ztproxy; echo ${COMPREPLY[@]}\n"
    )
    assert said(commands, ["bash", "-c", script]).split() == ["schema", "--fail-under"]
