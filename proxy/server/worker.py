"""What serves: listeners with their connections, and the background work of the snapshot that they are served by.

It takes sockets and snapshots from whoever runs it: a process by itself (`standalone`), or one of a supervisor's
(`member`). It must not know where they come from, nor what is told of them.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Mapping
from typing import Protocol

from proxy.config import schema
from proxy.policy.engine import Engine
from proxy.server.listener import Listener
from proxy.server.moves import Moves, Place, moves
from proxy.server.runtime import Runtime
from proxy.server.snapshot import Snapshot
from proxy.server.sockets import ListeningSocket
from proxy.server.tasks import Tasks
from proxy.server.watchdog import Watchdog
from proxy.telemetry.sink import tell

# Seconds that the loop waits for another thread that works in Python: one that spells records, or reads a file.
_SWITCH_SECONDS = 0.0005
_RETIRE_SECONDS = 30.0  # longer than a request may wait for a token's keys and then for a decision


class Runs(Protocol):
    """Whatever works beside the requests until it is cancelled."""

    async def run(self) -> None:
        """Work."""


class Worker:
    """The serving part of a process.

    Args:
        runtime: made before the first snapshot was built.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._snapshot: Snapshot | None = None
        self._listeners: dict[str, Listener] = {}
        self._retired: list[Listener] = []
        self._tasks = Tasks()
        self._beside: dict[Runs, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Begin what every snapshot needs; the first one has been built."""
        gc.freeze()  # what the process is made of is no garbage, and looking through it would stop the loop for 50 ms
        sys.setswitchinterval(_SWITCH_SECONDS)
        self._tasks.spawn(self._runtime.deadlines.run(), "deadlines")
        self._tasks.spawn(Watchdog().run(), "watchdog")

    @property
    def addresses(self) -> dict[str, str]:
        """What each listener is bound to."""
        return {name: listener.address for name, listener in self._listeners.items()}

    def moves(self, config: schema.Config) -> Moves:
        """Return what a config would do to the sockets."""
        serving = [place_of(listener.config, listener.address) for listener in self._listeners.values()]
        return moves(serving, map(place_of, config.listeners))

    def adopt(self, snapshot: Snapshot, sockets: Mapping[str, ListeningSocket]) -> None:
        """Take a snapshot into service.

        Args:
            snapshot: a good one.
            sockets: for every listener that arrives, by its name; they are ours from here on.
        """
        wanted = {listener.name: listener for listener in snapshot.config.listeners}
        change = self.moves(snapshot.config)
        before, self._snapshot = self._snapshot, snapshot
        self._runtime.snapshot = snapshot

        for name in change.kept:
            self._listeners[name].config = wanted[name]
            self._listeners[name].admit()
        leaving = {name: self._listeners.pop(name) for name in change.leaving}
        moved = {name: leaving[old].hand_over() for name, old in change.moving.items()}
        for old in leaving.values():
            old.stop()
        self._retired = [old for old in (*self._retired, *leaving.values()) if not old.is_over]
        for name, sock in ({name: sockets[name] for name in change.arriving} | moved).items():
            listener = self._listeners[name] = Listener(wanted[name], self._runtime, sock)
            listener.start()
        self._follow(snapshot)
        self._runtime.lasting.look()
        if before is not None:
            self._retire(before)
        self._runtime.metrics.workers.set(1)
        self._runtime.writers.reopen()

    def mind(self, name: str, sock: ListeningSocket) -> None:
        """Serve clients of another worker's socket too, until `release`."""
        self._listeners[name].mind(sock)

    def release(self) -> None:
        """Leave other workers' sockets to them."""
        for listener in self._listeners.values():
            listener.release()

    def _retire(self, before: Snapshot) -> None:
        now = self._runtime.snapshot
        for name, cluster in before.clusters.items():
            if now.clusters.get(name) is not cluster:
                cluster.close()
        if before.engine is not now.engine:
            self._tasks.spawn(_close_later(before.engine), "engine of the last snapshot")

    def _follow(self, snapshot: Snapshot) -> None:
        """Start and end what runs beside the requests: key sources, the engine, and gauges of what the config names."""
        running: dict[Runs, str] = {source: f"keys of {source.name}" for source in snapshot.issuers.sources.values()}
        running[snapshot.engine] = "policy"
        if snapshot.staff is not None:
            snapshot.staff.enter()
            sessions = snapshot.staff.keeping.sessions
            running[sessions] = "sessions"
            if sessions not in self._beside:
                sessions.following.tell_changes(self._runtime.lasting.tell)
            if snapshot.staff.refresher is not None:
                running[snapshot.staff.refresher] = "sessions' providers"
        for gone in [each for each in self._beside if each not in running]:
            self._beside.pop(gone).cancel()
        for each in running.keys() - self._beside.keys():
            self._beside[each] = self._tasks.spawn(each.run(), running[each])
        metrics = self._runtime.metrics
        metrics.keep_routes([route.name for route in snapshot.config.routes])
        metrics.set_certificates(
            {name: at for tls in snapshot.server_tls.values() for name, at in tls.expiries.items()}
        )

    async def drain(self) -> None:
        """Stop accepting, let requests finish, end."""
        timeout = self._runtime.snapshot.config.drain.timeout
        listeners = [*self._listeners.values(), *self._retired]
        for listener in listeners:
            listener.stop()
        self._runtime.lasting.go_away()
        ended = await asyncio.gather(*(listener.finish(timeout) for listener in listeners))
        if not all(ended):
            tell(f"requests were cut after {timeout:g} s")
        for cluster in self._runtime.snapshot.clusters.values():
            cluster.close()
        await self._runtime.lasting.end()
        await self._tasks.end()
        await self._runtime.snapshot.engine.close()
        if self._runtime.snapshot.staff is not None:
            await self._runtime.snapshot.staff.keeping.close()


def place_of(listener: schema.Listener, bound: str = "") -> Place:
    """Return what of a listener its socket hangs on."""
    return Place(listener.name, listener.address, listener.tls is not None, bound)


async def _close_later(engine: Engine) -> None:
    """Close an engine when no request can be asking it any more: those in flight finish on their own snapshot."""
    try:
        await asyncio.sleep(_RETIRE_SECONDS)
    finally:
        await engine.close()
