"""The page about asking and testing a policy: its files written down, its commands typed, its answers compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from proxy.workbench.table_schema import FILE, GIVEN, THEN, WHEN
from tests.image import ROOT
from tests.opa import opa_binary
from tests.test_docs import code

PAGE = (ROOT / "docs" / "policy-testing.md").read_text(encoding="utf-8")
FILES = re.findall(r"^```\w+ (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
CONSOLE: list[str] = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
# What no two runs have in common.
VARYING = (
    (re.compile(r"\(\d+µs\)"), "(…)"),
    (re.compile(r"took( +)[\d.]+ ms"), r"took\g<1>…"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's files, and its commands on the path."""
    place = tmp_path_factory.mktemp("page")
    for name, text in FILES:
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text, encoding="utf-8")
    commands = place / "bin"
    commands.mkdir()
    (commands / "ztproxy").write_text(f'#!/bin/sh\nexec {sys.executable} -m proxy "$@"\n', encoding="utf-8")
    (commands / "ztproxy").chmod(0o755)
    (commands / "opa").symlink_to(opa_binary())
    return place


def typed(folder: Path, command: str) -> str:
    """Type a command into a shell; return what it says, errors too."""
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return done.stdout


def without_times(text: str) -> str:
    for pattern, instead in VARYING:
        text = pattern.sub(instead, text)
    return text


def steps(block: str) -> list[tuple[str, str]]:
    """Return each command of a block, and what the page says that it answers."""
    return re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)


@pytest.mark.parametrize("number", range(len(CONSOLE)))
def test_the_commands_answer_what_the_page_says(folder: Path, number: int) -> None:
    for command, answer in steps(CONSOLE[number]):
        assert without_times(typed(folder, command)) == without_times(answer), command


def test_the_page_has_every_key_of_a_table() -> None:
    section = PAGE.partition("## Tests in tables")[2].partition("\n## ")[0]
    told = set(code(re.sub(r"^```.*?^```$", "", section, flags=re.MULTILINE | re.DOTALL)))
    assert {*FILE, *GIVEN, *WHEN, *THEN, "given", "tests", "name", "when", "then"} <= told


def test_the_test_in_python_passes(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "proxy.workbench.pytest_plugin", "-p", "no:cacheprovider"],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "6 passed" in done.stdout, done.stdout


CI = ROOT / "deploy" / "ci"


@pytest.mark.parametrize("path", sorted(CI.glob("*.yaml")), ids=lambda path: path.name)
def test_what_builds_run_is_a_command_that_passes(folder: Path, path: Path) -> None:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    jobs, repos = document.get("jobs", {}), document.get("repos", [])
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    commands += [hook["entry"] for repo in repos for hook in repo["hooks"]]
    (command,) = [command for command in commands if command.startswith("ztproxy ")]
    assert typed(folder, f"{command} && echo passed").splitlines()[-1] == "passed"


def test_the_hook_looks_at_whatever_a_test_rests_on() -> None:
    document = yaml.safe_load((CI / "pre-commit-config.yaml").read_text(encoding="utf-8"))
    files = re.compile(document["repos"][0]["hooks"][0]["files"])
    assert all(files.search(name) for name, _ in FILES if not name.startswith("test_"))
    assert not files.search("README.md")
