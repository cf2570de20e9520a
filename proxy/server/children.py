"""The worker processes of a supervisor: made, asked, and made again when they end.

A worker is a new interpreter, not a fork: an embedded engine lives in the thread that made it, and writers have
threads. It inherits its end of a channel, a pipe for its records and stderr, and nothing else.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from proxy.server.channel import Channel, Message
from proxy.telemetry.sums import Families

ANSWER_SECONDS = 60.0  # longer than any config takes to compile; a worker that is silent for so long is ended
_STEADY_SECONDS = 60.0  # a worker that has served for so long did not end because of how it began
_BACKOFF_FIRST, _BACKOFF_LAST = 1.0, 30.0


class Child:
    """One worker process.

    Args:
        slot: which of the workers it is, from 0; a worker that takes its place has the same.
        path: the config file.
        stdout: where its records go; closed here.
    """

    def __init__(self, slot: int, path: Path, stdout: int) -> None:
        self.slot = slot
        self.serving = False
        self.refused = False  # it could not build what the files say, and waits until they change
        self.told: Families = []
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter, and no shell
                interpreter("proxy.server.member", str(path), str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                pass_fds=(theirs.fileno(),),
                process_group=0,  # what is typed at a terminal is the supervisor's to hear
            )
        os.close(stdout)
        self.channel = Channel(ours)

    async def ask(self, do: str, seconds: float = ANSWER_SECONDS) -> Message | None:
        """Return the worker's answer, or None where it has ended. One that does not answer in time is ended."""
        try:
            return await self.channel.ask({"do": do}, seconds)
        except TimeoutError:
            self.process.kill()
        except ConnectionError:
            pass
        return None

    async def measure(self, seconds: float) -> Families:
        """Return the worker's metrics, or those that it told last where it is busy or has ended."""
        with suppress(TimeoutError, ConnectionError):
            self.told = (await self.channel.ask({"do": "metrics"}, seconds))["families"]
        return self.told

    @property
    def end(self) -> str:
        """How it ended, in words; empty where it has not."""
        status = self.process.poll()
        if status is None:
            return ""
        return f"status {status}" if status >= 0 else f"signal {-status} ({signal.strsignal(-status)})"


class Backoff:
    """How long to wait before a worker is made again: not at all, then doubled from a second with every quick end.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends = 0
        self._served_since: float | None = None

    def served(self) -> None:
        """Tell that the worker serves."""
        self._served_since = self._clock()

    def ended(self) -> float:
        """Return the seconds to wait."""
        if self._served_since is not None and self._clock() - self._served_since >= _STEADY_SECONDS:
            self._ends = 0
        self._served_since = None
        self._ends += 1
        return 0.0 if self._ends == 1 else min(_BACKOFF_FIRST * 2.0 ** (self._ends - 2), _BACKOFF_LAST)


def interpreter(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of ours as this process runs: the same interpreter, options and paths.

    `-m` looks for modules in the working directory first, where anybody may have put some. So it may only where this
    process does.
    """
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    if not sys.flags.safe_path and sys.path[:1] not in ([os.getcwd()], [""]):
        flags = [*flags, "-P"]
    return [sys.executable, *flags, "-m", module, *arguments]
