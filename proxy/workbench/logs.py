"""Decision logs as they lie about: ours and OPA's, a record a line or a batch, compressed or not, other lines between.

It finds the decisions in them and says where what it could not read stands. What a decision means is `again`'s.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

Record = dict[str, Any]

# Ours, OPA's on its console, and OPA's to a collector, which has none.
_TYPES: Final = frozenset({"decision", "openpolicyagent.org/decision_logs", None})
_GZIP: Final = b"\x1f\x8b"
_MOST_FAULTS: Final = 20


def is_decision(record: object) -> bool:
    """Tell whether a JSON value is the record of a decision about an input."""
    return (
        type(record) is dict
        and record.get("type") in _TYPES
        and type(record.get("decision_id")) is str
        and type(record.get("input")) is dict
        and type(record.get("path")) is str
    )


class Log:
    """One log.

    Args:
        path: the file; `-` is stdin.

    Attributes:
        passed_over: values that were read and are no decision.
        unread: lines that could not be read.
        faults: the first of these, a message each, with its place.
    """

    __slots__ = ("_file", "faults", "passed_over", "path", "unread")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.passed_over = self.unread = 0
        self.faults: list[str] = []
        self._file: IO[bytes] | None = None

    def size(self) -> int | None:
        """Return how many bytes there are to read; None: nobody knows."""
        return None if str(self.path) == "-" else self.path.stat().st_size

    def done(self) -> int:
        """Return how many bytes of the file have been read."""
        return 0 if self._file is None or self._file.closed or not self._file.seekable() else self._file.tell()

    def __iter__(self) -> Iterator[tuple[int, Record]]:
        """Yield each decision, and the line on which it stands. Raise OSError where the file cannot be read."""
        with sys.stdin.buffer if str(self.path) == "-" else self.path.open("rb") as file:
            self._file = file
            for number, value in self._values(_plain(file)):
                for record in value if type(value) is list else (value,):
                    if is_decision(record):
                        yield number, record
                    else:
                        self.passed_over += 1

    def _values(self, lines: IO[bytes]) -> Iterator[tuple[int, Any]]:
        number, decode = 0, json.JSONDecoder().decode
        try:
            for number, line in enumerate(lines, 1):
                try:
                    yield number, decode(line.decode())
                except (ValueError, RecursionError) as wrong:
                    if line.lstrip()[:1] == b"[" and number == 1:  # a batch that is written over several lines
                        yield from self._whole(line + lines.read())
                        return
                    if line.strip():
                        self._fault(number, wrong)
        except (EOFError, gzip.BadGzipFile) as cut:
            self._fault(number + 1, cut)

    def _whole(self, text: bytes) -> Iterator[tuple[int, Any]]:
        try:
            yield 1, json.loads(text)
        except (ValueError, RecursionError) as wrong:
            self._fault(1, wrong)

    def fault(self, line: int, rule: str, column: int = 1) -> None:
        """Count a line that could not be read, and say why."""
        self.unread += 1
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append(f"{self.path}:{line}:{column}: {rule}")

    def _fault(self, line: int, wrong: Exception) -> None:
        if isinstance(wrong, json.JSONDecodeError):
            self.fault(line + wrong.lineno - 1, f"is no JSON: {wrong.msg.lower()}", wrong.colno)
        elif isinstance(wrong, UnicodeDecodeError):
            self.fault(line, "must be utf-8", wrong.start + 1)
        elif isinstance(wrong, RecursionError):
            self.fault(line, "nests too deep")
        else:
            self.fault(line, f"the compressed file is cut off or broken: {str(wrong).lower()}")


def _plain(file: IO[bytes]) -> IO[bytes]:
    """Return a file without its compression."""
    peek = getattr(file, "peek", None)
    return gzip.GzipFile(fileobj=file) if peek is not None and peek(2)[:2] == _GZIP else file  # type: ignore[return-value]
