"""The worker processes of a supervisor: made, asked, and made again when they end.

A worker is a new interpreter, not a fork: an embedded engine lives in the thread that made it, and writers have
threads. It inherits its end of a channel, a pipe for its records and stderr, and nothing else.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from proxy.server.channel import Channel, Message
from proxy.server.tasks import Tasks
from proxy.telemetry.funnel import Funnel
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


class Children:
    """All workers of a supervisor.

    Args:
        count: how many there are to be.
        path: the config file.
        funnel: takes the records of all.
        ended: told of a worker that has ended, and of the seconds until it is made again.
    """

    def __init__(self, count: int, path: Path, funnel: Funnel, ended: Callable[[Child, float], None]) -> None:
        self._path = path
        self._funnel = funnel
        self._ended = ended
        self._slots: list[Child | None] = [None] * count
        self._backoffs = [Backoff() for _ in range(count)]
        self._tasks = Tasks()
        self.fresh = asyncio.Event()  # set when a worker has been made or has ended
        self.replaced = False  # whether who ends is made again

    @property
    def living(self) -> list[Child]:
        """Those that have not ended."""
        return [child for child in self._slots if child is not None]

    def make(self) -> None:
        """Make all of them."""
        for slot in range(len(self._slots)):
            self._make(slot)

    def served(self, children: Iterable[Child]) -> None:
        """Tell which of them serve."""
        for child in children:
            if child.serving:
                self._backoffs[child.slot].served()

    def reap(self) -> None:
        """Find who has ended (SIGCHLD)."""
        for child in self.living:
            if child.end:
                self._gone(child)

    async def end(self) -> None:
        """End all of them now."""
        self.replaced = False
        self.kill()
        for child in self.living:
            child.process.wait()
        await self._tasks.end()

    def kill(self) -> None:
        """Send all of them SIGKILL."""
        for child in self.living:
            child.process.kill()

    def _make(self, slot: int) -> None:
        child = self._slots[slot] = Child(slot, self._path, self._funnel.pipe())
        self._tasks.spawn(_end_when_silent(child), f"channel of worker {slot}")
        self.fresh.set()

    def _gone(self, child: Child) -> None:
        child.channel.close()
        child.serving = False
        self._slots[child.slot] = None
        self.fresh.set()
        if self.replaced:
            pause = self._backoffs[child.slot].ended()
            asyncio.get_running_loop().call_later(pause, self._replace, child.slot)
            self._ended(child, pause)

    def _replace(self, slot: int) -> None:
        if self.replaced:
            self._make(slot)


async def _end_when_silent(child: Child) -> None:
    """End a worker that has closed its channel: nobody could tell it anything."""
    while await child.channel.receive() is not None:
        pass
    child.process.kill()


def interpreter(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of ours as this process runs: the same interpreter, options and paths.

    `-m` looks for modules in the working directory first, where anybody may have put some. So it may only where this
    process does.
    """
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    if not sys.flags.safe_path and sys.path[:1] not in ([os.getcwd()], [""]):
        flags = [*flags, "-P"]
    return [sys.executable, *flags, "-m", module, *arguments]
