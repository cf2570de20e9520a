"""The page about changing a policy that is in use: its files written down, its commands typed, its answers compared."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.image import ROOT
from tests.test_policy_testing import steps, typed

PAGE = (ROOT / "docs" / "policy-rollout.md").read_text(encoding="utf-8")
FILES: list[tuple[str, str]] = re.findall(r"^```\w+ (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
CONSOLE: list[str] = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's files, and ztproxy on the path."""
    place = tmp_path_factory.mktemp("page")
    for name, text in FILES:
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text, encoding="utf-8")
    (place / "bin").mkdir()
    (place / "bin" / "ztproxy").write_text(f'#!/bin/sh\nexec {sys.executable} -m proxy "$@"\n', encoding="utf-8")
    (place / "bin" / "ztproxy").chmod(0o755)
    return place


@pytest.mark.parametrize("number", range(len(CONSOLE)))
def test_the_commands_answer_what_the_page_says(folder: Path, number: int) -> None:
    for command, answer in steps(CONSOLE[number]):
        assert typed(folder, command) == answer, command
