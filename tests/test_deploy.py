"""What is deployed: a sound and hardened unit, a slim image that runs as nobody, an example that is a good config."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from proxy.config.load import load
from tests import image

DEPLOY = image.ROOT / "deploy"
UNIT = DEPLOY / "ztproxy.service"


@pytest.fixture
def systemd_analyze() -> str:
    """The command, which is no part of every machine."""
    command = shutil.which("systemd-analyze")
    if command is None:
        reason = "systemd-analyze is absent (Debian: apt install systemd)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return command


def test_the_unit_is_one_that_systemd_accepts_without_a_word(systemd_analyze: str, tmp_path: Path) -> None:
    # The command must exist for the check to pass, and here it is installed elsewhere.
    installed = Path(sys.executable).with_name("ztproxy")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/ztproxy/bin/ztproxy", str(installed)))
    ran = subprocess.run(
        [systemd_analyze, "verify", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


def test_the_unit_is_hardened_to_ok_or_better(systemd_analyze: str) -> None:
    ran = subprocess.run(
        [systemd_analyze, "security", "--offline=true", "--no-pager", "--threshold=50", str(UNIT)],
        capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    level = re.search(r"Overall exposure level for ztproxy\.service: ([0-9.]+) (\w+)", ran.stdout)
    assert level, ran.stdout
    assert level[2] in ("OK", "SAFE", "PERFECT")


def test_the_unit_waits_longer_than_the_example_drains() -> None:
    drain = load(DEPLOY / "ztproxy.yaml")[0].drain  # type: ignore[union-attr]
    timeout = re.search(r"^TimeoutStopSec=([0-9]+)s$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    assert timeout
    assert int(timeout[1]) > drain.delay + drain.timeout


def test_the_unit_and_the_image_start_the_same_command() -> None:
    start = re.search(r"^ExecStart=(.+)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)
    assert start
    assert start[1].split() == image.entrypoint()


def test_the_image_is_slim_and_runs_as_nobody() -> None:
    build, last = image.stages()
    assert last.image.endswith("-slim")
    assert last.all("RUN") == []
    assert last.all("USER") == ["65532:65532"]
    assert last.all("COPY") == [f"--from=build {prefix} {prefix}" for prefix in ("/opt/ztproxy",)]
    assert build.all("ARG") == ["PREFIX=/opt/ztproxy"]
    assert build.image.split()[0] == last.image


def test_the_image_installs_nothing_without_its_hash() -> None:
    for command in image.stages()[0].all("RUN"):
        if re.search(r"\bpip (install|download|wheel)\b", command):
            assert "--require-hashes" in command or "--no-deps" in command


def test_the_example_is_a_config_without_a_mistake() -> None:
    config, mistakes = load(DEPLOY / "ztproxy.yaml")
    assert mistakes == []
    assert config is not None
    assert config.decision_log.required


def test_ci_runs_what_a_newcomer_runs() -> None:
    script = (image.ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.findall(r"^make .+$", script, re.MULTILINE) == ["make lint", "make demo ARGS=--once", "make test"]
    assert "set -euo pipefail" in script
    assert os.access(image.ROOT / ".ci" / "run", os.X_OK)
    assert yaml.safe_load((DEPLOY / "ztproxy.yaml").read_text())["version"] == 1
