"""The commands of `deploy/Dockerfile`, carried out in an empty directory instead of an image."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"


@dataclass(slots=True)
class Stage:
    """One stage of a Dockerfile: its instructions in order, as `(keyword, rest)`."""

    image: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, keyword: str) -> list[str]:
        """Return what follows every instruction of a kind."""
        return [rest for known, rest in self.instructions if known == keyword]


def stages() -> list[Stage]:
    """Parse the Dockerfile."""
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text(encoding="utf-8"))
    found: list[Stage] = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        keyword, _, rest = line.partition(" ")
        if keyword == "FROM":
            found.append(Stage(rest))
        else:
            found[-1].instructions.append((keyword, rest.strip()))
    return found


def build(directory: Path, python: str) -> Path:
    """Carry out the build stage in `directory` and return the prefix that it fills.

    Args:
        directory: empty.
        python: what `python` is in the image.
    """
    prefix, workdir, commands = directory / "prefix", directory / "build", directory / "bin"
    workdir.mkdir()
    commands.mkdir()
    (commands / "python").symlink_to(python)
    environment = {
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(directory),
        "PREFIX": str(prefix),
        **{name: value for name, value in os.environ.items() if name.startswith(("PIP_", "XDG_CACHE", "SSL_"))},
    }
    environment.setdefault("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip"))
    for keyword, rest in stages()[0].instructions:
        if keyword == "COPY":
            *sources, target = shlex.split(rest)
            for source in sources:
                _copy(ROOT / source, workdir / target)
        elif keyword == "RUN":
            ran = subprocess.run(
                ["sh", "-c", rest], cwd=workdir, env=environment, capture_output=True, text=True, check=False
            )
            assert ran.returncode == 0, f"{rest}\n{ran.stdout}{ran.stderr}"
    return prefix


def entrypoint() -> list[str]:
    """Return the image's entry point and its default arguments."""
    last = stages()[-1]
    return [*json.loads(last.all("ENTRYPOINT")[0]), *json.loads(last.all("CMD")[0])]


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target if target.suffix else target / source.name)
