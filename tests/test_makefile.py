"""The two commands on machines that lack something: what is absent is named, with how to get it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("bash", "sh", "sed", "grep", "expand")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A directory with the Makefile, and a `bin` with the few commands of a bare machine."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / name, tmp_path)
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found
        (commands / name).symlink_to(found)
    return tmp_path


def command(machine: Path, name: str, script: str) -> None:
    """Put a command on the machine that does what a script says."""
    path = machine / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def make(machine: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    made = shutil.which("make")
    assert made
    environment = {"PATH": str(machine / "bin"), "HOME": str(machine)}
    assert "CI" not in environment
    return subprocess.run([made, *arguments], cwd=machine, env=environment, capture_output=True, text=True, check=False)


def test_without_python_the_message_says_which_is_needed(machine: Path) -> None:
    ran = make(machine, "demo")
    assert ran.returncode != 0
    assert "Python 3.11 or newer is needed" in ran.stderr


def test_a_python_that_is_too_old_is_passed_over(machine: Path) -> None:
    command(machine, "python3", "exit 1")
    ran = make(machine, "demo")
    assert "Python 3.11 or newer is needed" in ran.stderr


def test_a_python_that_cannot_make_environments_is_told(machine: Path) -> None:
    command(machine, "python3", 'case "$2" in *ensurepip*) exit 1;; esac')
    ran = make(machine, "demo")
    assert ran.returncode != 0
    assert "python3 cannot make virtual environments" in ran.stderr
    assert "python3-venv" in ran.stderr
    assert not (machine / ".venv").exists()


def test_an_environment_that_could_not_be_made_whole_is_removed(machine: Path) -> None:
    command(machine, "rm", f'exec {shutil.which("rm")} "$@"')
    command(machine, "mkdir", f'exec {shutil.which("mkdir")} "$@"')
    command(machine, "python3", '[ "$1" = -m ] || exit 0; mkdir -p .venv/bin; : > .venv/bin/python; exit 1')
    assert make(machine, "demo").returncode != 0
    assert not (machine / ".venv").exists()


@pytest.mark.parametrize("version", [None, "go1.19.8", "go1.20"])
def test_without_a_recent_go_the_opa_binary_is_named_once_and_nothing_fails(machine: Path, version: str | None) -> None:
    if version is not None:
        command(machine, "go", f'[ "$1" = env ] && echo {version} || touch installed')
    ran = make(machine, "opa")
    assert ran.returncode == 0
    assert ran.stderr.count("absent: the opa binary") == 1
    assert not (machine / "installed").exists()


def test_a_recent_go_installs_the_pinned_opa_below_the_checkout(machine: Path) -> None:
    command(machine, "go", '[ "$1" = env ] && echo go1.26.8 || echo "$GOTOOLCHAIN $GOBIN $*"')
    ran = make(machine, "opa")
    assert ran.returncode == 0
    words = ran.stdout.split()
    assert words[:4] == ["auto", f"{machine.resolve()}/.tools/bin", "install", words[3]]
    assert words[3].startswith("github.com/open-policy-agent/opa@v1.")


def test_an_opa_of_that_version_is_not_installed_again(machine: Path) -> None:
    pinned = next(
        line.split("v")[-1] for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("OPA_VERSION")
    )
    (machine / ".tools" / "bin").mkdir(parents=True)
    opa = machine / ".tools" / "bin" / "opa"
    opa.write_text(f"#!/bin/sh\necho Version: {pinned}\n")
    opa.chmod(0o755)
    command(machine, "go", "touch installed")
    assert make(machine, "opa").returncode == 0
    assert not (machine / "installed").exists()


@pytest.mark.parametrize("version", [None, "v18.20.4", "v20.20.2"])
def test_without_npm_and_a_recent_node_the_provider_is_named_once_and_nothing_fails(
    machine: Path, version: str | None
) -> None:
    if version is not None:
        command(machine, "node", f"echo {version}")
    if version == "v18.20.4":
        command(machine, "npm", "exit 1")
    ran = make(machine, "oidc-provider")
    assert ran.returncode == 0
    assert ran.stderr.count("absent: npm's oidc-provider") == 1


def test_without_npm_and_chromium_both_are_named_once_and_nothing_fails(machine: Path) -> None:
    ran = make(machine, "browser")
    assert ran.returncode == 0
    assert ran.stderr.count("absent: a Chromium") == 1
    assert ran.stderr.count("absent: npm's axe-core") == 1


def test_a_chromium_is_taken_under_any_of_its_names(machine: Path) -> None:
    command(machine, "google-chrome", "exit 1")
    assert "absent: a Chromium" not in make(machine, "browser").stderr


def test_help_names_both_commands(machine: Path) -> None:
    told = make(machine).stdout
    assert "make demo" in told
    assert "make test" in told
