"""The real `opa`: the one that `make test` installed, or the one on the path."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@cache
def _found() -> str | None:
    installed = ROOT / ".tools" / "bin" / "opa"
    return str(installed) if installed.exists() else shutil.which("opa")


def opa(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `opa` and return what it said; skip where it is absent, fail where that must not be."""
    binary = _found()
    if binary is None:
        reason = "opa is absent: `make test` installs it where Go is"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True, check=check, timeout=60)
