"""A worker of a supervisor: a process of its own that is told over its channel what to serve, and when to end.

It builds its snapshots itself, so that keys and policy are in no other process; sockets come from the supervisor.
Signals are the supervisor's to hear, and the supervisor's end is the worker's.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

import uvloop

from proxy.config.schema import Config
from proxy.server.channel import Channel, Message
from proxy.server.reload import Built, build
from proxy.server.runtime import Runtime
from proxy.server.sockets import ListeningSocket
from proxy.server.tasks import Tasks
from proxy.server.watch import prints_of, watched_files
from proxy.server.worker import Worker, place_of
from proxy.telemetry import sums
from proxy.telemetry.records import FLUSH_SECONDS

_ORPHAN_SECONDS = 1.0  # for the records that wait when the supervisor is gone


class Member:
    """The process.

    Args:
        path: the config file.
        channel: to the supervisor.
    """

    def __init__(self, path: Path, channel: Channel) -> None:
        self._path = path
        self._channel = channel
        self._runtime = Runtime()
        self._worker = Worker(self._runtime)
        self._tasks = Tasks()
        self._built: Built | None = None
        self._refused: Config | None = None
        self._serving = False
        self._sockets: dict[str, ListeningSocket] = {}
        self._drained = False

    async def serve(self) -> int:
        """Do what the supervisor says, until it says to drain or is gone; return the exit status."""
        self._worker.start()
        orders: dict[str, Callable[[Message], Awaitable[None]]] = {
            "prepare": self._prepare,
            "socket": self._socket,
            "adopt": self._adopt,
            "discard": self._discard,
            "mind": self._mind,
            "release": self._release,
            "metrics": self._metrics,
            "drain": self._drain,
        }
        while (message := await self._channel.receive()) is not None:
            await orders[message["do"]](message)
        if self._drained:
            return 0
        await self._runtime.writers.close(_ORPHAN_SECONDS)
        return 1

    async def _prepare(self, question: Message) -> None:
        """Build what the config file says now, and say what that would be."""
        serving = self._runtime.snapshot if self._serving else None
        self._built = built = await build(self._path, self._runtime, serving, self._refused)
        config = built.snapshot.config if built.snapshot is not None else None
        self._refused = built.wanted if config is None else None
        files = watched_files(self._path, built.wanted) if built.wanted is not None else [self._path]
        answer: Message = {
            "good": config is not None,
            "lines": built.lines,
            "files": [str(file) for file in files],
            "prints": prints_of(built.prints, files),
        }
        if config is not None and built.snapshot is not None:
            places = map(place_of, config.listeners)
            answer |= {
                "places": [[place.name, place.address, place.tls] for place in places],
                "controls": {"admin": config.admin.address}
                | ({"health": config.health.address} if config.health is not None else {}),
                "drain": [config.drain.delay, config.drain.timeout],
                "routes": [route.name for route in config.routes],
                "revision": built.snapshot.engine.revision,
            }
        self._channel.answer(question, answer)

    async def _socket(self, message: Message) -> None:
        self._sockets[message["listener"]] = ListeningSocket.handed(message["descriptor"])

    async def _adopt(self, question: Message) -> None:
        assert self._built is not None
        assert self._built.snapshot is not None
        sockets, self._sockets = self._sockets, {}
        self._worker.adopt(self._built.snapshot, sockets)
        self._serving = True
        self._built = None
        self._channel.answer(question, {})

    async def _discard(self, _: Message) -> None:
        """Forget what was prepared: another worker could not build it, or an address could not be bound."""
        built, self._built = self._built, None
        if built is not None and built.snapshot is not None:
            engine = built.snapshot.engine
            if not self._serving or engine is not self._runtime.snapshot.engine:
                await engine.close()

    async def _mind(self, message: Message) -> None:
        self._worker.mind(message["listener"], ListeningSocket.handed(message["descriptor"]))

    async def _release(self, _: Message) -> None:
        self._worker.release()

    async def _metrics(self, question: Message) -> None:
        self._channel.answer(question, {"families": sums.told(self._runtime.metrics.registry)})

    async def _drain(self, _: Message) -> None:
        self._runtime.draining = True
        self._tasks.spawn(self._end(), "drain")

    async def _end(self) -> None:
        if self._serving:
            await asyncio.sleep(self._runtime.snapshot.config.drain.delay)
            await self._worker.drain()
        await self._runtime.writers.close(FLUSH_SECONDS)
        self._drained = True
        self._channel.close()  # last of all: a worker that is silent is ended


async def _serve(path: Path, descriptor: int) -> NoReturn:
    status = await Member(path, Channel(socket.socket(fileno=descriptor))).serve()
    os._exit(status)  # what clients, an engine or a blocked sink still wait for must not outlive the supervisor


def main() -> None:
    """Run a worker: its arguments are the config file and the descriptor of its channel."""
    path, channel = sys.argv[1:]
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    uvloop.run(_serve(Path(path), int(channel)))


if __name__ == "__main__":
    main()
