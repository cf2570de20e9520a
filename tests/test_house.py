"""The house rules that a machine can check: arrows, docstrings, sizes, and what must never be in the tree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOM_LINES = 350
FUNCTION_LINES = 80


def tracked() -> list[Path]:
    """Return every file of the tree that git knows, without what a checkout without git cannot tell."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    return [path for name in listed.split(b"\0") if name and (path := ROOT / name.decode()).is_file()]


def texts() -> Iterator[tuple[Path, str]]:
    """Yield every tracked file that is text."""
    for path in tracked():
        try:
            yield path.relative_to(ROOT), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


MODULES = sorted((ROOT / "proxy").rglob("*.py"))


def found(pattern: str, *, without: str = "") -> list[str]:
    """Return the places in the tree where a pattern matches, this file's own patterns left out."""
    return [
        f"{path}: {match.group()}"
        for path, text in texts()
        if path.name != Path(__file__).name and not (without and re.search(without, str(path)))
        for match in re.finditer(pattern, text)
    ]


def test_arrows_between_the_rooms_go_one_way() -> None:
    contracts = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert contracts.returncode == 0, contracts.stdout


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_opens_with_what_it_is(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring
    assert docstring != "Placeholder."


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_has_one_noun(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= ROOM_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < FUNCTION_LINES, node.name


def test_file_names_are_nouns_of_the_field() -> None:
    vague = {"utils", "util", "common", "helpers", "helper", "misc", "manager", "base", "core"}
    assert [path for path in tracked() if path.suffix == ".py" and path.stem in vague] == []


def test_only_one_file_starts_tasks() -> None:
    assert found(r"\bcreate_task\(|\bensure_future\(", without=r"^tests/|^bench/|server/tasks\.py|\.md$") == []


def test_the_parser_is_never_made_lenient() -> None:
    assert found(r"set_dangerous_leniencies", without=r"^tests/|\.md$") == []


def test_no_path_of_a_machine_is_in_the_tree() -> None:
    assert found(r"(?<![\w.$}])/(?:root|home|work|farm)/[A-Za-z0-9_.-]+", without=r"\.lock$") == []


def test_no_host_of_a_package_registry_is_in_the_tree() -> None:
    hosts = ("pypi.org", "pythonhosted.org", "registry.npmjs.org", "proxy.golang.org", "crates.io", "deb.debian.org")
    assert found("|".join(map(re.escape, hosts))) == []


def test_no_private_key_is_in_the_tree() -> None:
    assert found(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{32}") == []
    assert found(r'"(?:d|k)"\s*:\s*"[A-Za-z0-9_-]{40,}"') == []


def test_the_top_of_the_tree_holds_nothing_that_a_newcomer_must_wonder_about() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in tracked()} <= {
        ".ci", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "SECURITY.md",
        "bench", "certs", "deploy", "docs", "policies", "proxy", "pyproject.toml", "requirements-dev.lock",
        "requirements.lock", "tests",
    }  # fmt: skip
