"""Lines of several processes onto one descriptor, whole.

What two processes write to one pipe mixes in the middle of lines, as soon as a write is longer than PIPE_BUF (4,096
bytes) and the pipe is full; a process that is killed leaves half a line behind. A lock would be held by whoever hangs.
So each process has a pipe of its own, and one thread passes on what is whole. It belongs to a process that does little
else, and blocks where its reader is slow: then the pipes fill, and each process deals with it as with a slow reader.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import threading
import time

from proxy.telemetry.sink import tell, writable

_READ = 256 * 1024
_PIPE_BYTES = 1024 * 1024  # what an ordinary user may have (/proc/sys/fs/pipe-max-size); fewer turns than with 64 KiB
_AGAIN_SECONDS = 0.1


class Funnel:
    """The pipes and the thread.

    Args:
        to: an open descriptor, where the lines go.
    """

    def __init__(self, to: int) -> None:
        self._to = to
        self._poll = select.poll()
        self._halves: dict[int, bytes] = {}  # by read end: what came of a line whose end has not come
        self._woken, self._wake = os.pipe()
        self._poll.register(self._woken, select.POLLIN)
        self._lock = threading.Lock()  # over the pipes, which one thread adds and the other ends
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="funnel", daemon=True)
        self._thread.start()

    def pipe(self) -> int:
        """Return the write end of a new pipe. It ends when every copy of that is closed."""
        ours, theirs = os.pipe()
        _widen(theirs)
        with self._lock:
            self._halves[ours] = b""
            self._poll.register(ours, select.POLLIN)
        os.write(self._wake, b".")
        return theirs

    def close(self, seconds: float) -> None:
        """Pass on what is left, until every pipe has ended or the time is over."""
        self._closing = True
        os.write(self._wake, b".")
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._lock:
                if self._closing and not self._halves:
                    return
            for ready, _ in self._poll.poll():
                if ready == self._woken:
                    os.read(self._woken, 4096)
                else:
                    self._pass_on(ready)

    def _pass_on(self, pipe: int) -> None:
        data = os.read(pipe, _READ)
        end = data.rfind(b"\n") + 1
        if end:
            if not self._write(self._halves[pipe] + data[:end]):
                self._give_up()
                return
            self._halves[pipe] = data[end:]
        elif data:
            self._halves[pipe] += data
        else:
            self._end(pipe)

    def _end(self, pipe: int) -> None:
        with self._lock:
            self._poll.unregister(pipe)
            if self._halves.pop(pipe):
                tell("a record was lost: its process ended before it was written")
            os.close(pipe)

    def _give_up(self) -> None:
        """End every pipe, so that who writes there learns that nobody reads."""
        for pipe in list(self._halves):
            self._halves[pipe] = b""
            self._end(pipe)

    def _write(self, data: bytes) -> bool:
        """Write it, however long that takes; return False where nobody will ever read it."""
        view, told = memoryview(data), False
        while view:
            try:
                view = view[os.write(self._to, view) :]
            except BlockingIOError:  # somebody else has set it to non-blocking: wait here instead
                writable(self._to, None)
            except OSError as error:
                if error.errno in (errno.EPIPE, errno.EBADF, errno.ECONNRESET):
                    return False
                if not told:  # a full disk: in the middle of a line, which goes on there when it is no longer full
                    tell(f"stdout cannot be written: {error.strerror}")
                    told = True
                time.sleep(_AGAIN_SECONDS)
        return True


def _widen(pipe: int) -> None:
    """Let a pipe hold more, where this system and its limits allow it."""
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (AttributeError, OSError):
        return
