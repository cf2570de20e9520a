"""One serving process: opens the sockets, keeps the background work going, adopts snapshots, drains."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable
from pathlib import Path

from proxy.config import schema
from proxy.config.address import parse_address
from proxy.identity.keys import KeySource
from proxy.policy.engine import Engine
from proxy.server.admin import Admin
from proxy.server.listener import Listener
from proxy.server.reload import Prints, Reloader
from proxy.server.runtime import Runtime
from proxy.server.snapshot import Snapshot
from proxy.server.sockets import ListeningSocket
from proxy.server.tasks import Tasks
from proxy.server.watchdog import Watchdog
from proxy.telemetry.sink import tell

Bound = list[tuple[schema.Listener, ListeningSocket]]

_FLUSH_SECONDS = 5.0
_RETIRE_SECONDS = 30.0  # longer than a request may wait for a token's keys and then for a decision


class Worker:
    """The process.

    Args:
        path: the config file, read again on reload.
        runtime: made before the first snapshot was built.
        snapshot: the first.
        prints: of the files that it was built from, taken before they were read.
    """

    def __init__(self, path: Path, runtime: Runtime, snapshot: Snapshot, prints: Prints) -> None:
        self._runtime = runtime
        runtime.snapshot = snapshot
        self._reloader = Reloader(path, runtime, self._adopt, prints)
        self._listeners: dict[str, Listener] = {}
        self._retired: list[Listener] = []
        self._controls: dict[str, Admin] = {}
        self._tasks = Tasks()
        self._key_tasks: dict[KeySource, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()

    async def serve(self) -> None:
        """Serve until a signal says otherwise, then drain.

        Raises:
            OSError: an address cannot be bound; nothing is served then.
        """
        config = self._runtime.snapshot.config
        sockets = self._bind(config.listeners)
        await self._open_controls(config)
        self._tasks.spawn(self._runtime.deadlines.run(), "deadlines")
        self._tasks.spawn(Watchdog().run(), "watchdog")
        self._follow(self._runtime.snapshot)
        self._listen_to_signals()
        self._open(sockets)
        reloading = self._tasks.spawn(self._reloader.run(), "reload")
        await self._stopping.wait()
        reloading.cancel()  # first of all: a snapshot that is adopted now would open what nobody closes
        await self._drain()

    # --- sockets

    def _bind(self, listeners: Iterable[schema.Listener]) -> Bound:
        bound: Bound = []
        for listener in listeners:
            try:
                bound.append((listener, ListeningSocket(parse_address(listener.address))))
            except OSError as error:
                for _, sock in bound:
                    sock.close()
                reason = error.strerror or error
                raise OSError(error.errno, f"{listener.name}: {listener.address}: {reason}") from error
        return bound

    async def _open_controls(self, config: schema.Config) -> None:
        addresses = {"admin": config.admin.address}
        if config.health is not None:
            addresses["health"] = config.health.address
        for name, address in addresses.items():
            sock = ListeningSocket(parse_address(address))
            admin = Admin(self._runtime, with_metrics=name == "admin")
            await admin.start(sock)
            self._controls[name] = admin

    def _open(self, sockets: Bound) -> None:
        for config, sock in sockets:
            listener = self._listeners[config.name] = Listener(config, self._runtime, sock)
            listener.start()
            tell(f"listening on {listener.address} ({config.name})")
        if sockets:
            addresses = {name: listener.address for name, listener in self._listeners.items()}
            controls = {name: admin.address for name, admin in self._controls.items()}
            self._runtime.observe("listening", {"listeners": addresses, **controls})

    # --- snapshots

    async def _adopt(self, snapshot: Snapshot) -> None:
        """Take a snapshot into service: prepare, which may raise OSError; swap; retire, which raises nothing."""
        wanted = {listener.name: listener for listener in snapshot.config.listeners}
        kept = {name for name, old in self._listeners.items() if _same_socket(old.config, wanted.get(name))}
        leaving = [old for name, old in self._listeners.items() if name not in kept]
        arriving = [listener for name, listener in wanted.items() if name not in kept]
        moving = {old.address: old for old in leaving}  # by what it is bound to: port 0 never is the same one
        sockets = self._bind(listener for listener in arriving if listener.address not in moving)

        before, self._runtime.snapshot = self._runtime.snapshot, snapshot

        for name in kept:
            self._listeners[name].config = wanted[name]
            self._listeners[name].admit()
        for listener in arriving:
            if (mover := moving.get(listener.address)) is not None:
                sockets.append((listener, mover.hand_over()))
        for old in leaving:
            old.stop()
            del self._listeners[old.config.name]
        self._retired = [old for old in (*self._retired, *leaving) if not old.is_over]
        self._open(sockets)
        self._follow(snapshot)
        self._retire(before)
        self._runtime.writers.reopen()

    def _retire(self, before: Snapshot) -> None:
        now = self._runtime.snapshot
        for name, cluster in before.clusters.items():
            if now.clusters.get(name) is not cluster:
                cluster.close()
        if before.engine is not now.engine:
            self._tasks.spawn(_close_later(before.engine), "engine of the last snapshot")

    def _follow(self, snapshot: Snapshot) -> None:
        """Start and end what runs beside the requests: key sources, and gauges of what the config names."""
        sources = set(snapshot.issuers.sources.values())
        for gone in [source for source in self._key_tasks if source not in sources]:
            self._key_tasks.pop(gone).cancel()
        for source in sources - self._key_tasks.keys():
            self._key_tasks[source] = self._tasks.spawn(source.run(), f"keys of {source.name}")
        metrics = self._runtime.metrics
        metrics.keep_routes([route.name for route in snapshot.config.routes])
        metrics.set_certificates(
            {name: at for tls in snapshot.server_tls.values() for name, at in tls.expiries.items()}
        )

    # --- the end

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._reloader.ask)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)

    def _stop(self) -> None:
        if self._stopping.is_set():
            tell("second signal, ending at once")
            os._exit(1)
        self._stopping.set()

    async def _drain(self) -> None:
        """Tell load balancers, wait, stop accepting, let requests finish, end."""
        drain = self._runtime.snapshot.config.drain
        self._runtime.draining = True
        self._runtime.observe("draining", {"delay": drain.delay, "timeout": drain.timeout})
        await asyncio.sleep(drain.delay)
        listeners = [*self._listeners.values(), *self._retired]
        for listener in listeners:
            listener.stop()
        ended = await asyncio.gather(*(listener.finish(drain.timeout) for listener in listeners))
        if not all(ended):
            tell(f"requests were cut after {drain.timeout:g} s")
        for cluster in self._runtime.snapshot.clusters.values():
            cluster.close()
        await self._tasks.end()
        await self._runtime.snapshot.engine.close()
        for admin in self._controls.values():
            await admin.stop()
        self._runtime.observe("stopped", {})
        await self._runtime.writers.close(_FLUSH_SECONDS)


async def _close_later(engine: Engine) -> None:
    """Close an engine when no request can be asking it any more: those in flight finish on their own snapshot."""
    try:
        await asyncio.sleep(_RETIRE_SECONDS)
    finally:
        await engine.close()


def _same_socket(old: schema.Listener, new: schema.Listener | None) -> bool:
    return new is not None and old.address == new.address and (old.tls is None) == (new.tls is None)
