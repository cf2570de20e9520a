"""Policies that were read, analysed and found good before: tests that run again and again need not wait for it again.

What is kept is what came of it, under a digest of everything that it came of: every file and its name, the data, the
engine's release, and this package's own reading and analysis. It only ever says "good"; what is not good is told anew
each time. What serves requests never looks here.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from proxy.policy.sources import PACKAGE, Module
from proxy.policy.testing import Found, Suite

_MOST: Final = 64  # policies that are kept
_SUFFIX: Final = ".json"


def load_suite(modules: list[Module], data: Mapping[str, Any]) -> Suite:
    """Return the tests of modules, by what is known of them or by finding it out.

    Raises:
        CannotRun: a module does not load, or a test would not be run.
    """
    folder = _folder()
    key = _digest(modules, data)
    known = _recall(folder / f"{key}{_SUFFIX}")
    if known is not None:
        with suppress(RuntimeError):  # then it is found out again
            return Suite.again(known[0], data, known[1])
    suite = Suite.of(modules, data)
    with suppress(OSError):  # a home that cannot be written to costs time alone
        _remember(folder, key, suite)
    return suite


def _folder() -> Path:
    """Return where it is kept (XDG Base Directory Specification)."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if os.path.isabs(named) else Path("~/.cache").expanduser()) / "ztproxy" / "policies"


def _digest(modules: Sequence[Module], data: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(_ourselves())
    for part in _parts(modules, data):
        digest.update(b"%d " % len(part))
        digest.update(part)
    return digest.hexdigest()


def _parts(modules: Sequence[Module], data: Mapping[str, Any]) -> Iterator[bytes]:
    for module in modules:
        yield module.name.encode("utf-8", "surrogateescape")
        yield module.text.encode()
    yield json.dumps(data, sort_keys=True).encode()


@cache
def _ourselves() -> bytes:
    """Return the digest of what reads and analyses policies."""
    digest = hashlib.sha256(version("gordon-to-regorus").encode())
    for file in sorted(PACKAGE.rglob("*.py")):
        digest.update(f"{file.relative_to(PACKAGE)} {file.stat().st_size} ".encode())
        digest.update(file.read_bytes())
    return digest.digest()


def _recall(file: Path) -> tuple[list[Module], list[Found]] | None:
    """Return what is known, or None; a file that another user could have written is nothing."""
    try:
        with file.open("rb") as stream:
            state = os.fstat(stream.fileno())
            if state.st_uid != os.getuid() or state.st_mode & 0o022:
                return None
            kept = json.load(stream)
        os.utime(file)
        return [Module(**module) for module in kept["modules"]], [Found(**test) for test in kept["tests"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(folder: Path, key: str, suite: Suite) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = {"modules": [asdict(module) for module in suite.spelled], "tests": [asdict(test) for test in suite.tests]}
    with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as stream:
        json.dump(kept, stream)
    os.replace(stream.name, folder / f"{key}{_SUFFIX}")
    files = sorted(folder.glob(f"*{_SUFFIX}"), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[_MOST:]:
        file.unlink(missing_ok=True)
