"""A descriptor that takes whole lines: a file, or stdout.

It may block and belongs to a thread of its own (`records`). It knows bytes, paths and the ways in which a write can
fail; it must not know what a line says.
"""

from __future__ import annotations

import os
import select
from collections.abc import Sequence
from itertools import accumulate


class Sink:
    """Lines to one descriptor.

    A line that a full disk tore is taken back where that is possible, for other processes may append to the file, and
    else finished before the next one begins: a reader never meets half a line with another behind it.

    Args:
        name: what a person calls it.
        to: an open descriptor that is not ours to close, or a file's path.

    Raises:
        OSError: the path cannot be opened.
    """

    def __init__(self, name: str, to: int | str) -> None:
        self.name = name
        self._path = to if isinstance(to, str) else None
        self._fd = _open(to) if isinstance(to, str) else to
        self._unfinished = b""

    def put(self, lines: Sequence[bytes]) -> tuple[int, OSError | None]:
        """Write lines; return how many are on the descriptor whole, and what stopped the others."""
        rest = len(self._unfinished)
        data = self._unfinished + b"".join(lines)
        written, error = self._write(data)
        if error is None:
            self._unfinished = b""
            return len(lines), None
        if written < rest:
            self._unfinished = data[written:rest]
            return 0, error
        ends = list(accumulate((len(line) for line in lines), initial=rest))
        whole = max(index for index, end in enumerate(ends) if end <= written)
        torn = written - ends[whole]
        self._unfinished = data[written : ends[whole + 1]] if torn and not self._take_back(torn) else b""
        return whole, error

    def _take_back(self, size: int) -> bool:
        """Cut off the last bytes that were written to a file of ours; return False where others came behind them."""
        if self._path is None:
            return False
        try:
            end = os.lseek(self._fd, 0, os.SEEK_CUR)  # of our last write; a FIFO has none, and raises
            if os.fstat(self._fd).st_size != end:
                return False
            os.ftruncate(self._fd, end - size)
        except OSError:
            return False
        return True

    def reopen(self) -> None:
        """Open the path anew, for the file was rotated. Raise OSError and keep the old one where that fails."""
        if self._path is None:
            return
        fd = _open(self._path)
        os.close(self._fd)
        self._fd = fd
        self._unfinished = b""

    def close(self) -> None:
        """Close a file; stdout is left open."""
        if self._path is not None:
            os.close(self._fd)

    def _write(self, data: bytes) -> tuple[int, OSError | None]:
        view, written = memoryview(data), 0
        while written < len(data):
            try:
                written += os.write(self._fd, view[written:])
            except BlockingIOError:  # a pipe that somebody else has set to non-blocking: wait here instead
                writable(self._fd, None)
            except OSError as error:
                return written, error
        return written, None


def tell(text: str) -> None:
    """Say something on stderr, unless that would block: stderr may be the same stuck pipe as stdout."""
    try:
        if writable(2, 0):
            os.write(2, f"ztproxy: {text}\n".encode(errors="backslashreplace")[:4096])
    except OSError:  # nobody is left to be told
        return


def _open(path: str) -> int:
    # Not for the world to read, for records name people. O_NONBLOCK: a FIFO that nobody reads is an error, not a wait.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    return os.open(path, flags, 0o640)


def writable(fd: int, timeout_ms: int | None) -> bool:
    """Wait until a descriptor takes bytes; return whether it does."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(timeout_ms))
