"""Policies to begin with: of each shape a folder with the policy, its data, and its tests in Rego and in a table."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from proxy.policy.testing import CannotRun

__all__ = ["CannotRun", "write"]

_FOLDER: Final = Path(__file__).parent / "templates"


def write(shape: str, directory: Path) -> list[Path]:
    """Write a policy of a shape into a folder, which is made if it is missing.

    Returns:
        The files.

    Raises:
        CannotRun: a file of such a name is there already, and nothing was written; or the folder cannot be written to.
    """
    texts = {directory / file.name: file.read_text(encoding="utf-8") for file in sorted((_FOLDER / shape).iterdir())}
    if there := [file for file in texts if file.exists()]:
        raise CannotRun(*(f"{file}: is there already, and is not replaced" for file in there))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            with file.open("x", encoding="utf-8") as stream:
                stream.write(text)
    except OSError as error:
        raise CannotRun(f"{error.filename}: cannot be written: {(error.strerror or '').lower()}") from None
    return [*texts]
