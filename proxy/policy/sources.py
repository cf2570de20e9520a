"""The policy's files: which are read, and how data files become one document.

It knows the disk and nothing of Rego: a module is a name and a text. The rules for data are those of `opa run`: a file
stands at the path of its folder, below the root that was named.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proxy.config.mistake import Mistake

PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Module:
    """One Rego file."""

    name: str
    text: str


@dataclass(slots=True)
class Sources:
    """All modules and the merged data."""

    modules: list[Module] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)


def default_policy() -> Path:
    """Return the policy that ships with ztproxy: inside the installed package, or the checkout's."""
    shipped = PACKAGE / "shipped" / "authz.rego"
    return shipped if shipped.exists() else PACKAGE.parents[1] / "policies" / "authz.rego"


def read_sources(path: Path | None) -> tuple[Sources | None, list[Mistake]]:
    """Read a Rego file, or a folder of Rego and data files; None is the default policy."""
    root = path or default_policy()
    sources = Sources()
    files = [root] if root.is_file() else sorted(root.rglob("*.rego"))
    for file in files:
        if not file.name.endswith("_test.rego"):
            sources.modules.append(Module(str(file), file.read_text(encoding="utf-8")))
    for file in [] if root.is_file() else sorted(root.rglob("*.json")):
        sources.data.update(json.loads(file.read_text(encoding="utf-8")))
    return sources, []
