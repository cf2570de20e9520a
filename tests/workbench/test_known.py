"""What is known of a policy from the last time: used where nothing has changed, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.policy.sources import Module
from proxy.policy.testing import CannotRun
from proxy.workbench.known import load_suite

TESTS = "package a_test\n\nimport rego.v1\n\ntest_one if data.x == 1\n"
MODULES = [Module("a_test.rego", TESTS)]
DATA: dict[str, Any] = {"x": 1}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "ztproxy" / "policies"


def outcomes(modules: list[Module] = MODULES, data: dict[str, Any] = DATA) -> dict[str, str]:
    suite = load_suite(modules, data)
    return {test.name: suite.run(test).outcome for test in suite.tests}


def rewritten(home: Path) -> Path:
    """Change what is kept, so that it shows whether it is used."""
    (file,) = home.iterdir()
    kept = json.loads(file.read_text(encoding="utf-8"))
    kept["tests"] = []
    file.write_text(json.dumps(kept), encoding="utf-8")
    return file


def test_what_has_not_changed_is_not_found_out_again(home: Path) -> None:
    assert outcomes() == {"test_one": "pass"}
    assert (home.stat().st_mode & 0o077, next(home.iterdir()).stat().st_mode & 0o077) == (0, 0)
    assert outcomes() == {"test_one": "pass"}
    rewritten(home)
    assert outcomes() == {}


@pytest.mark.parametrize(
    ("modules", "data", "then"),
    [
        ([Module("a_test.rego", TESTS + "\n")], DATA, {"test_one": "pass"}),
        ([Module("b_test.rego", TESTS)], DATA, {"test_one": "pass"}),
        ([*MODULES, Module("b.rego", "package b\n")], DATA, {"test_one": "pass"}),
        (MODULES, {"x": 2}, {"test_one": "fail"}),
        (MODULES, {"x": True}, {"test_one": "fail"}),
    ],
)
def test_what_has_changed_is_found_out_again(
    home: Path, modules: list[Module], data: dict[str, Any], then: dict[str, str]
) -> None:
    outcomes()
    rewritten(home)
    assert outcomes(modules, data) == then


def test_what_is_not_good_is_told_each_time() -> None:
    for _ in range(2):
        with pytest.raises(CannotRun, match="variable x is unsafe"):
            load_suite([Module("a.rego", "package a\n\nimport rego.v1\n\nallow if x == y\n")], {})


@pytest.mark.parametrize("content", ["", "{", "[]", '{"modules": [], "tests": [{}]}', '{"modules": [1], "tests": []}'])
def test_what_is_no_memory_of_ours_is_passed_over(home: Path, content: str) -> None:
    outcomes()
    rewritten(home).write_text(content, encoding="utf-8")
    assert outcomes() == {"test_one": "pass"}


def test_what_somebody_else_could_have_written_is_passed_over(home: Path) -> None:
    outcomes()
    rewritten(home).chmod(0o664)
    assert outcomes() == {"test_one": "pass"}


def test_a_home_that_cannot_be_written_to_costs_time_alone(tmp_path: Path) -> None:
    (tmp_path / "ztproxy").write_text("a file", encoding="utf-8")
    assert outcomes() == {"test_one": "pass"}


def test_few_policies_are_kept(home: Path) -> None:
    for number in range(70):
        outcomes([Module(f"{number}_test.rego", TESTS)])
    assert len([*home.iterdir()]) == 64
