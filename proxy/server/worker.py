"""One serving process: opens the sockets, keeps the background work going, adopts snapshots, drains."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

from proxy.config import schema
from proxy.config.address import parse_address
from proxy.identity.keys import KeySource
from proxy.server.admin import Admin
from proxy.server.listener import Listener, bind, bound_address
from proxy.server.reload import Reloader
from proxy.server.runtime import Runtime
from proxy.server.snapshot import Snapshot
from proxy.server.tasks import Tasks
from proxy.server.watchdog import Watchdog

_FLUSH_SECONDS = 5.0


class Worker:
    """The process.

    Args:
        path: the config file, read again on reload.
        runtime: made before the first snapshot was built.
        snapshot: the first.
    """

    def __init__(self, path: Path, runtime: Runtime, snapshot: Snapshot) -> None:
        self._path = path
        self._runtime = runtime
        runtime.snapshot = snapshot
        self._listeners: dict[str, Listener] = {}
        self._retired: list[Listener] = []
        self._controls: list[Admin] = []
        self._control_addresses: dict[str, str] = {}
        self._tasks = Tasks()
        self._key_tasks: dict[KeySource, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()

    async def serve(self) -> int:
        """Serve until a signal says otherwise; return the exit status: 0 after a drain, 1 when that was cut short.

        Raises:
            OSError: an address cannot be bound; nothing is served then.
        """
        config = self._runtime.snapshot.config
        sockets = self._bind(config.listeners)
        controls = self._bind_controls(config)
        self._tasks.spawn(self._runtime.deadlines.run(), "deadlines")
        self._tasks.spawn(Watchdog().run(), "watchdog")
        self._follow(self._runtime.snapshot)
        reloader = Reloader(self._path, self._runtime, self._adopt)
        self._listen_to_signals(reloader)
        for admin, sock in controls:
            await admin.start(sock)
            self._controls.append(admin)
        self._control_addresses = dict(
            zip(("admin", "health"), (bound_address(sock) for _, sock in controls), strict=False)
        )
        self._open(sockets)
        self._tasks.spawn(reloader.run(), "reload")
        await self._stopping.wait()
        return await self._drain()

    # --- sockets

    def _bind(self, listeners: tuple[schema.Listener, ...]) -> list[tuple[schema.Listener, socket.socket]]:
        bound: list[tuple[schema.Listener, socket.socket]] = []
        try:
            for listener in listeners:
                bound.append((listener, bind(parse_address(listener.address))))
        except OSError as error:
            for _, sock in bound:
                sock.close()
            raise OSError(error.errno, f"{listener.name}: {listener.address}: {error.strerror}") from error
        return bound

    def _bind_controls(self, config: schema.Config) -> list[tuple[Admin, socket.socket]]:
        controls = [(Admin(self._runtime, with_metrics=True), bind(parse_address(config.admin.address)))]
        if config.health is not None:
            controls.append((Admin(self._runtime, with_metrics=False), bind(parse_address(config.health.address))))
        return controls

    def _open(self, sockets: list[tuple[schema.Listener, socket.socket]]) -> None:
        for config, sock in sockets:
            listener = self._listeners[config.name] = Listener(config, self._runtime, sock)
            listener.start()
            sys.stderr.write(f"ztproxy: listening on {listener.address} ({config.name})\n")
        if sockets:
            addresses = {name: listener.address for name, listener in self._listeners.items()}
            self._runtime.observe("listening", {"listeners": addresses, **self._control_addresses})

    # --- snapshots

    async def _adopt(self, snapshot: Snapshot) -> None:
        """Swap the snapshot in. New sockets are bound first, so that a taken address changes nothing."""
        wanted = {listener.name: listener for listener in snapshot.config.listeners}
        kept = {
            name for name, old in self._listeners.items() if name in wanted and _same_socket(old.config, wanted[name])
        }
        sockets = self._bind(tuple(config for name, config in wanted.items() if name not in kept))
        before, self._runtime.snapshot = self._runtime.snapshot, snapshot
        for name in [name for name in self._listeners if name not in kept]:
            listener = self._listeners.pop(name)
            listener.stop()
            self._retired.append(listener)
        for name in kept:
            self._listeners[name].config = wanted[name]
        self._open(sockets)
        self._follow(snapshot)
        for name, cluster in before.clusters.items():
            if snapshot.clusters.get(name) is not cluster:
                cluster.close()
        if before.engine is not snapshot.engine:
            await before.engine.close()
        self._runtime.writers.reopen()

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

    def _listen_to_signals(self, reloader: Reloader) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, reloader.ask)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)

    def _stop(self) -> None:
        if self._stopping.is_set():
            sys.stderr.write("ztproxy: second signal, ending at once\n")
            sys.stderr.flush()
            os._exit(1)
        self._stopping.set()

    async def _drain(self) -> int:
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
            sys.stderr.write(f"ztproxy: requests were cut after {drain.timeout:g} s\n")
        for cluster in self._runtime.snapshot.clusters.values():
            cluster.close()
        await self._tasks.end()
        await self._runtime.snapshot.engine.close()
        for admin in self._controls:
            await admin.stop()
        self._runtime.observe("stopped", {})
        await self._runtime.writers.close(_FLUSH_SECONDS)
        return 0


def _same_socket(old: schema.Listener, new: schema.Listener) -> bool:
    return old.address == new.address and (old.tls is None) == (new.tls is None)
