"""A process that serves by itself: it opens the sockets, watches its files, hears the signals, tells what it does."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from proxy.config import schema
from proxy.config.address import parse_address
from proxy.server.admin import Admin
from proxy.server.moves import tell_fresh
from proxy.server.reload import Reloader
from proxy.server.runtime import Runtime
from proxy.server.snapshot import Snapshot
from proxy.server.sockets import ListeningSocket, unbound
from proxy.server.tasks import Tasks
from proxy.server.watch import Prints
from proxy.server.worker import Worker
from proxy.telemetry.records import FLUSH_SECONDS
from proxy.telemetry.sink import tell


class Standalone:
    """The process.

    Args:
        path: the config file, read again on reload.
        runtime: made before the first snapshot was built.
        snapshot: the first.
        prints: of the files that it was built from, taken before they were read.
    """

    def __init__(self, path: Path, runtime: Runtime, snapshot: Snapshot, prints: Prints) -> None:
        self._runtime = runtime
        self._first = snapshot
        self._worker = Worker(runtime)
        self._reloader = Reloader(path, runtime, self._adopt, prints)
        self._controls: dict[str, Admin] = {}
        self._tasks = Tasks()
        self._stopping = asyncio.Event()

    async def serve(self) -> None:
        """Serve until a signal says otherwise, then drain.

        Raises:
            OSError: an address cannot be bound; nothing is served then.
        """
        sockets = self._bind(self._first.config)
        await self._open_controls(self._first.config)
        self._worker.start()
        self._listen_to_signals()
        self._serve_from_now(self._first, sockets)
        reloading = self._tasks.spawn(self._reloader.run(), "reload")
        await self._stopping.wait()
        reloading.cancel()  # first of all: a snapshot that is adopted now would open what nobody closes
        await self._drain()

    def _bind(self, config: schema.Config) -> dict[str, ListeningSocket]:
        """Bind what a config has and we do not serve: all of it, or nothing and an OSError."""
        bound: dict[str, ListeningSocket] = {}
        addresses = {listener.name: listener.address for listener in config.listeners}
        for name in self._worker.moves(config).arriving:
            try:
                bound[name] = ListeningSocket(parse_address(addresses[name]))
            except OSError as error:
                for sock in bound.values():
                    sock.close()
                raise unbound(error, name, addresses[name]) from error
        return bound

    async def _open_controls(self, config: schema.Config) -> None:
        addresses = {"admin": config.admin.address}
        if config.health is not None:
            addresses["health"] = config.health.address
        for name, address in addresses.items():
            admin = Admin(self._unready, self._metrics if name == "admin" else None)
            await admin.start(ListeningSocket(parse_address(address)))
            self._controls[name] = admin

    def _unready(self) -> str:
        return "draining" if self._runtime.draining else ""

    async def _metrics(self) -> bytes:
        return self._runtime.metrics.expose()

    async def _adopt(self, snapshot: Snapshot) -> None:
        self._serve_from_now(snapshot, self._bind(snapshot.config))

    def _serve_from_now(self, snapshot: Snapshot, sockets: dict[str, ListeningSocket]) -> None:
        before = self._worker.addresses
        self._worker.adopt(snapshot, sockets)
        addresses = self._worker.addresses
        if tell_fresh(before, addresses):
            controls = {name: admin.address for name, admin in self._controls.items()}
            self._runtime.observe("listening", {"listeners": addresses, **controls})

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
        """Tell load balancers, wait, let the worker finish, end."""
        drain = self._runtime.snapshot.config.drain
        self._runtime.draining = True
        self._runtime.observe("draining", {"delay": drain.delay, "timeout": drain.timeout})
        await asyncio.sleep(drain.delay)
        await self._worker.drain()
        await self._tasks.end()
        for admin in self._controls.values():
            await admin.stop()
        self._runtime.observe("stopped", {})
        await self._runtime.writers.close(FLUSH_SECONDS)
