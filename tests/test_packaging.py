"""What is installed is what was built: a wheel, in an empty environment, outside the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests import image

ROOT = image.ROOT


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which the commands of the Dockerfile were carried out."""
    directory = tmp_path_factory.mktemp("image")
    image.build(directory, os.path.realpath(sys.executable))
    return directory


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command as somebody would who has never had the checkout."""
    empty = directory / "empty"
    empty.mkdir(exist_ok=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(empty), "LANG": "C.UTF-8", "TMPDIR": str(empty)}
    command = [str(directory / "prefix" / "bin" / "ztproxy"), *arguments]
    return subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_the_demo_runs_from_the_wheel_outside_the_checkout(directory: Path) -> None:
    ran = run(directory, "demo", "--once")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "calls were decided as they should be" in ran.stdout
    assert list((directory / "empty").iterdir()) == []


def test_the_installed_package_is_not_the_checkout(directory: Path) -> None:
    python = directory / "prefix" / "bin" / "python"
    where = subprocess.run(
        [python, "-c", "import proxy; print(proxy.__file__)"], cwd=directory, capture_output=True, text=True, check=True
    )
    assert Path(where.stdout.strip()).is_relative_to(directory / "prefix")


def test_the_wheel_holds_the_default_policy_and_the_pages_and_no_tests(directory: Path) -> None:
    (wheel,) = (directory / "build" / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.startswith("proxy/policy/shipped/") and name.endswith("authz.rego") for name in names)
    assert "proxy/portal/templates/frame.html" in names
    assert "proxy/portal/static/portal.css" in names
    assert "proxy/cli/demo_templates/people.html" in names
    assert not [name for name in names if name.startswith(("tests", "bench")) or "__pycache__" in name]
    assert any(name.endswith("licenses/LICENSE") for name in names)


def pins(lock: str) -> dict[str, str]:
    """Return the pinned version of every package of a lock; each must have a hash."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    found = {}
    for entry in re.split(r"\n(?=[a-z0-9])", text)[1:]:
        match = re.match(r"([a-z0-9.-]+)==(\S+) \\\n", entry)
        assert match, entry
        assert "--hash=sha256:" in entry
        found[match[1]] = match[2]
    return found


def normal(requirement: str) -> str:
    """Return the normalised name of a requirement (PEP 503)."""
    return re.sub(r"[-_.]+", "-", re.split(r"[ ;<>=!~\[]", requirement)[0]).lower()


def test_the_locks_pin_everything_that_is_asked_for_with_hashes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    runtime, dev = pins("requirements.lock"), pins("requirements-dev.lock")
    asked = {normal(each) for each in project["project"]["dependencies"] + project["build-system"]["requires"]}
    assert asked <= set(runtime)
    assert {normal(each) for each in project["dependency-groups"]["dev"]} <= set(dev)
    assert {name: version for name, version in dev.items() if runtime.get(name, version) != version} == {}


def test_the_locks_name_no_registry() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / lock).read_text(encoding="utf-8")
        assert not re.search(r"^ *--(?!hash)|://|@ ", text, re.MULTILINE)
