"""The programs that a run needs: where they are, how to get what is absent, and which versions ran."""

from __future__ import annotations

import os
import platform
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterable
from pathlib import Path

from bench.process import CORES

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / ".tools"
OPA = str(TOOLS / "bin" / "opa")
ENVOY = str(TOOLS / "bench" / "bin" / "envoy")
BOMBARDIER = str(TOOLS / "bin" / "bombardier")
VEGETA = str(TOOLS / "bin" / "vegeta")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"  # Debian has nginx where a user's path does not lead
NGINX, WRK = shutil.which("nginx", path=PATH) or "nginx", "wrk"

SOURCES = {
    WRK: "Debian: apt install wrk",
    NGINX: "Debian: apt install nginx",
    ENVOY: "make bench-tools",
    BOMBARDIER: "make bench-tools, which takes Go 1.21 or newer",
    VEGETA: "make bench-tools, which takes Go 1.21 or newer",
    OPA: "make opa, which takes Go 1.21 or newer",
}


def absent(programs: Iterable[str]) -> list[str]:
    """Return a line for each program that is not here, with how to get it."""
    missing = (program for program in programs if shutil.which(program) is None)
    return [f"{Path(program).name} is absent ({SOURCES[program]})" for program in missing]


def versions() -> dict[str, str]:
    """Return the version of everything that takes part and is here."""
    asked = {
        "ztproxy": (["git", "-C", str(ROOT), "describe", "--always", "--dirty"], r"(\S+)"),
        "nginx": ([NGINX, "-V"], r"nginx/(\S+)"),
        "nginx's OpenSSL": ([NGINX, "-V"], r"(?:.*running with|built with) OpenSSL (\S+)"),
        "Envoy": ([ENVOY, "--version"], r"/([\d.]+)/"),
        "wrk": ([WRK, "-v"], r"wrk (\S+)"),
        "bombardier": (["go", "version", "-m", BOMBARDIER], r"\tmod\t\S+\t(\S+)"),
        "vegeta": (["go", "version", "-m", VEGETA], r"\tmod\t\S+\t(\S+)"),
        "OPA": ([OPA, "version"], r"Version: (\S+)"),
    }
    found = {name: _said(command, pattern) for name, (command, pattern) in asked.items()}
    own = {"Python": platform.python_version(), "Python's OpenSSL": ssl.OPENSSL_VERSION.split()[1]}
    return {name: version for name, version in {**own, **found}.items() if version}


def machine() -> dict[str, str]:
    """Return what a reader must know of the machine."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return {
        "processor": f"{model[1] if model else platform.machine()}, {len(CORES)} cores",
        "system": f"Linux {platform.release()}",
    }


def _said(command: list[str], pattern: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    found = re.search(pattern, done.stdout + done.stderr, re.MULTILINE)
    return found[1] if found else ""
