"""A new generation without a restart: on SIGHUP, and when a file that the config names has changed.

The new snapshot is built beside the one that serves. A mistake changes nothing and is told; a good
one is swapped in by one assignment. What a running process cannot change is refused by name.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from proxy.config.load import read, render
from proxy.config.schema import Config
from proxy.server.runtime import Runtime
from proxy.server.snapshot import Snapshot, compile_file

_WATCH_SECONDS = 1.0

Prints = dict[str, tuple[int, int, int]]
Adopt = Callable[[Snapshot], Awaitable[None]]


def watched_files(path: Path, config: Config) -> list[Path]:
    """Return the config file and every file and directory that it names and a snapshot reads."""
    named: list[Path | None] = [path, config.policy.path]
    for listener in config.listeners:
        if listener.tls is not None:
            named += [listener.tls.certificate, listener.tls.key]
            for pair in listener.tls.certificates:
                named += [pair.certificate, pair.key]
    named += [bundle.file for bundle in config.identity.trust_bundles.values()]
    named += [issuer.ca for issuer in config.identity.issuers.values()]
    named += [upstream.tls.ca for upstream in config.upstreams.values()]
    if (opa := config.policy.opa) is not None:
        named += [opa.ca, opa.certificate, opa.key]
        if opa.token_file is not None and not opa.token_file.startswith("env:"):
            named.append(Path(opa.token_file))
    return [file for file in named if file is not None]


def fingerprints(files: Iterable[Path]) -> Prints:
    """Return device-independent marks of files, and of everything in those that are directories."""
    prints: Prints = {}
    for file in files:
        for each in (file, *file.rglob("*")) if file.is_dir() else (file,):
            try:
                status = os.stat(each)
            except OSError:
                continue
            prints[str(each)] = (status.st_mtime_ns, status.st_size, status.st_ino)
    return prints


class Reloader:
    """Builds the next snapshot when something has changed.

    Args:
        path: the config file.
        runtime: the serving process.
        adopt: takes a good snapshot into service; raises OSError where a new listener cannot be bound.
    """

    def __init__(self, path: Path, runtime: Runtime, adopt: Adopt) -> None:
        self._path = path
        self._runtime = runtime
        self._adopt = adopt
        self._asked = asyncio.Event()
        self._prints = self._look()

    def ask(self) -> None:
        """Reload soon, whether anything has changed or not (SIGHUP)."""
        self._asked.set()

    async def run(self) -> None:
        """Watch and reload until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_WATCH_SECONDS):
                    await self._asked.wait()
            except TimeoutError:
                if self._look() == self._prints:
                    continue
            self._asked.clear()
            await self.reload()

    async def reload(self) -> None:
        """Build and adopt the next snapshot, or keep this one and say why."""
        self._prints = self._look()
        file = await asyncio.to_thread(read, self._path)  # a big file takes seconds to read
        snapshot, file = compile_file(file, self._runtime.snapshot, self._runtime)
        lines = render(file.mistakes, self._path)
        if snapshot is not None:
            try:
                await self._adopt(snapshot)
            except OSError as error:
                snapshot, lines = None, [f"{self._path}: listener cannot be bound: {error}"]
        for line in lines:
            sys.stderr.write(line + "\n")
        result = "ok" if snapshot is not None else "refused"
        self._runtime.metrics.reloads.of(result).inc()
        if snapshot is not None:
            self._prints = self._look()
            self._runtime.observe("reloaded", {"policy_revision": snapshot.engine.revision})
        else:
            self._runtime.observe("reload_refused", {"mistakes": lines})

    def _look(self) -> Prints:
        return fingerprints(watched_files(self._path, self._runtime.snapshot.config))
