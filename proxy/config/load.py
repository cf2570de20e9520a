"""A config file to a `Config`, or to every mistake in it with its line.

It reads the config file and, on request, secrets; certificates, keys and policies are read by the rooms that own
them. No content of a file makes it raise. Relative paths are relative to the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from proxy.config import document
from proxy.config.check import check
from proxy.config.document import Document, Located
from proxy.config.explain import mistakes_of
from proxy.config.mistake import Location, Mistake
from proxy.config.salvage import Salvage, salvage
from proxy.config.schema import Config

_SECRET_BYTES: Final = 64 * 1024

LocatedMistake = Located


@dataclass(frozen=True, slots=True)
class File:
    """A config file that was read once.

    Args:
        path: where it was.
        config: what it says, or None when it has errors.
        mistakes: errors and warnings, in the order of their lines.
    """

    path: Path
    config: Config | None
    mistakes: list[LocatedMistake]
    _document: Document
    _rest: Salvage

    @property
    def salvaged(self) -> Config | None:
        """What can be read of a file with mistakes, no name in it dangling: to find further ones, never to serve."""
        return self._rest.complete

    def line_of(self, location: Location) -> int:
        """Return the line on which a part of the file stands."""
        return self._document.line_of(location)

    def locate(self, mistakes: Iterable[Mistake]) -> list[LocatedMistake]:
        """Give mistakes that other rooms found their lines, without those that follow from an earlier one."""
        told = _told(self.mistakes)
        believed = (m for m in mistakes if m.location not in told and self._rest.believes(m))
        return sorted(
            (Located(self._document.line_of(mistake.location), mistake) for mistake in believed),
            key=lambda located: located.line,
        )

    def with_mistakes(self, mistakes: Iterable[Mistake]) -> File:
        """Return the file with further mistakes; without its config when one of them is an error."""
        found = sorted([*self.mistakes, *self.locate(mistakes)], key=lambda located: located.line)
        return replace(self, mistakes=found, config=None if has_errors(found) else self.config)


def load(path: Path) -> tuple[Config | None, list[LocatedMistake]]:
    """Read a config file. Return it, or None and every mistake; warnings come beside a config."""
    file = read(path)
    return file.config, file.mistakes


def read(path: Path) -> File:
    """Read a config file and keep the lines, so that other rooms' mistakes can be located too."""
    nothing = Salvage(None, frozenset())
    try:
        with path.open("rb") as stream:
            content = stream.read(document.MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "no valid path"
        found = [Located(1, Mistake((), f"the file cannot be read: {reason.lower()}"))]
        return File(path, None, found, Document(None, found), nothing)
    return _interpret(path, document.parse(content))


def read_secret(value: str) -> str:
    """Return the secret that `*_file` names: a file's content or, as `env:NAME`, an environment variable's.

    One trailing newline is cut. Raise ValueError with the rule, never with the secret, when it is absent, empty, not
    text, or larger than 64 KiB.
    """
    secret = _from_environment(value[4:]) if value.startswith("env:") else _from_file(Path(value))
    secret = secret.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise ValueError("the secret must not be empty")
    return secret


def render(mistakes: Iterable[LocatedMistake], path: Path) -> list[str]:
    """Return a line for each mistake, as compilers write them: `FILE:LINE: routes[2].upstream: …`."""
    return [_line(located, path) for located in mistakes]


def has_errors(mistakes: Iterable[LocatedMistake]) -> bool:
    """Whether one of the mistakes is more than a warning."""
    return any(located.mistake.severity == "error" for located in mistakes)


def _interpret(path: Path, read: Document) -> File:
    if read.value is None and read.mistakes:
        return File(path, None, read.mistakes, read, Salvage(None, frozenset()))
    config, mistakes, rest = _validate(path, read)
    file = File(path, config, read.mistakes, read, rest)
    told = {located.mistake.location for located in read.mistakes}
    file = replace(file, mistakes=[*read.mistakes, *_at_lines(read, [m for m in mistakes if m.location not in told])])
    return file.with_mistakes(check(rest.config) if rest.config else ())


def _validate(path: Path, read: Document) -> tuple[Config | None, list[Mistake], Salvage]:
    context = {"base": str(path.absolute().parent)}
    bad = frozenset(located.mistake.location for located in read.mistakes)
    try:
        config = Config.model_validate(read.value, context=context)
    except ValidationError as error:
        rest = salvage(read.value, error, context)
        return None, mistakes_of(error), Salvage(rest.config, rest.touched | bad)
    return config, [], Salvage(config, bad)


def _told(mistakes: Iterable[LocatedMistake]) -> set[Location]:
    """Where a further mistake would say again what one of these errors says: the same place, or a section around it.

    A route or a listener, two steps deep, has too many keys for that.
    """
    told: set[Location] = set()
    for _, mistake in mistakes:
        if mistake.severity == "error":
            told.add(mistake.location)
            told.update(mistake.location[:end] for end in range(3, len(mistake.location)))
    return told


def _at_lines(read: Document, mistakes: Iterable[Mistake]) -> list[LocatedMistake]:
    return [Located(read.line_of(mistake.location), mistake) for mistake in mistakes]


def _line(located: LocatedMistake, path: Path) -> str:
    line, mistake = located
    severity = "warning: " if mistake.severity == "warning" else ""
    place = f"{mistake.path}: " if mistake.location else ""
    return f"{path}:{line}: {severity}{place}{mistake.rule}"


def _from_environment(name: str) -> str:
    if name not in os.environ:
        raise ValueError(f"the environment variable {name} must be set")
    return os.environ[name]


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(_SECRET_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "no valid path"
        raise ValueError(f"the secret cannot be read from {path}: {reason.lower()}") from None
    if len(content) > _SECRET_BYTES:
        raise ValueError(f"the secret in {path} must not be larger than {_SECRET_BYTES // 1024} KiB")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"the secret in {path} must be UTF-8") from None
