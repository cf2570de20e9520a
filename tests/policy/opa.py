"""The real `opa`, asked by its command line."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.opa import opa_binary


def opa(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `opa` and return what it said; skip where it is absent, fail where that must not be."""
    command = [opa_binary(), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=check, timeout=60)
