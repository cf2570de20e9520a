"""Table tests under pytest, as somebody else's project has them."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import EntryPoint

import pytest

from tests.opa import ROOT
from tests.workbench.test_desk import write

pytest_plugins = ["pytester"]
Run = Callable[..., str]
TABLE = """\
tests:
  - name: engineers read the wiki
    given: {user: ana, groups: [engineering]}
    when: GET https://wiki.example.org/x
    then: {allow: true}
  - name: others do not
    given: {user: bob}
    when: GET https://wiki.example.org/x
    then: {allow: true, status: 404}
  - name: later
    todo: true
    when: GET https://wiki.example.org/x
    then: {allow: true}
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run pytest in a project of its own, with the plugin and no other; return what it says."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # the plugin may be installed, too
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("COLUMNS", "150")
    return lambda *arguments: pytester.runpytest_inprocess(
        "-p", "proxy.workbench.pytest_plugin", *arguments
    ).stdout.str()


def test_each_test_of_a_table_is_an_item(pytester: pytest.Pytester, run: Run) -> None:
    write(pytester.path)
    (pytester.path / "wiki.policy.yaml").write_text(f"config: ztproxy.yaml\n{TABLE}", encoding="utf-8")
    said = run("-v", "-rs")
    assert "wiki.policy.yaml::engineers read the wiki PASSED" in said
    assert "wiki.policy.yaml::others do not FAILED" in said
    assert "wiki.policy.yaml::later SKIPPED (todo)" in said
    for line in ("allow must be true, and is false", "status must be 404, and is 403"):
        assert f"{pytester.path}/wiki.policy.yaml:7:5: {line} (403 policy_denied" in said
    assert "Traceback" not in said
    assert "1 failed, 1 passed, 1 skipped" in said
    assert "1 passed, 2 deselected" in run("-k", "engineers")


def test_a_table_with_mistakes_is_an_error_of_collection(pytester: pytest.Pytester, run: Run) -> None:
    (pytester.path / "wiki.policy.yaml").write_text(TABLE.replace("then:", "than:", 1), encoding="utf-8")
    said = run()
    assert f"{pytester.path}/wiki.policy.yaml:5:5: tests[0].than: is no key here" in said
    assert "Traceback" not in said


def test_a_table_that_names_no_config_is_about_the_one_of_the_ini_file(pytester: pytest.Pytester, run: Run) -> None:
    write(pytester.path)
    (pytester.path / "tables").mkdir()
    (pytester.path / "tables" / "wiki.policy.yaml").write_text(TABLE, encoding="utf-8")
    assert "there is no policy in it" in run()
    (pytester.path / "pytest.ini").write_text("[pytest]\nztproxy_config = ztproxy.yaml\n", encoding="utf-8")
    assert "1 failed, 1 passed, 1 skipped" in run()


def test_a_desk_is_there_for_tests_in_python(pytester: pytest.Pytester, run: Run) -> None:
    text = """\
from pathlib import Path

from proxy.workbench.case import Case, Who


def test_ana(ztproxy_desk):
    desk = ztproxy_desk(Path("ztproxy.yaml"))
    assert desk.decide(Case("GET", "https://wiki.example.org/", Who("ana", groups=("engineering",)))).allow
"""
    write(pytester.path)
    (pytester.path / "test_it.py").write_text(text, encoding="utf-8")
    assert "1 passed" in run()


def test_the_plugin_is_installed_with_the_package_and_loads_nothing_of_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (value,) = project["entry-points"]["pytest11"].values()
    module = EntryPoint("ztproxy", value, "pytest11").module
    code = f"import sys, {module}; print(*sorted(name for name in sys.modules if name.startswith('proxy')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["proxy", "proxy.workbench", module]


def test_other_files_are_left_alone(pytester: pytest.Pytester, run: Run) -> None:
    for name in ("other.yaml", "policy.yaml", "x.policy.yml"):
        (pytester.path / name).write_text("x", encoding="utf-8")
    assert "no tests ran" in run()
