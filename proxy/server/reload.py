"""A new generation without a restart: on SIGHUP, and when a file that the config names has changed.

The new snapshot is built beside the one that serves. A mistake changes nothing and is told; a good
one is swapped in by one assignment. What a running process cannot change is refused by name.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path

from proxy.config.load import read, render
from proxy.config.schema import Config
from proxy.server.runtime import Runtime
from proxy.server.snapshot import Snapshot, compile_file
from proxy.telemetry.sink import tell

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
        for each in _with_contents(file):
            with suppress(OSError):  # absent, or swapped in this moment: then it is another print the next time
                status = os.stat(each)
                prints[str(each)] = (status.st_mtime_ns, status.st_size, status.st_ino)
    return prints


def _of(prints: Prints, files: list[Path]) -> Prints:
    """Return the marks of these files, and of what is in those that are directories."""
    return {
        name: seen
        for name, seen in prints.items()
        if any(file in (path := Path(name), *path.parents) for file in files)
    }


def _with_contents(file: Path) -> list[Path]:
    try:
        return [file, *file.rglob("*")] if file.is_dir() else [file]
    except OSError:
        return [file]


class Reloader:
    """Builds the next snapshot when something has changed.

    Args:
        path: the config file.
        runtime: the serving process.
        adopt: takes a good snapshot into service; raises OSError where a new listener cannot be bound.
        prints: of the files that the first snapshot was built from, taken before they were read.
    """

    def __init__(self, path: Path, runtime: Runtime, adopt: Adopt, prints: Prints) -> None:
        self._path = path
        self._runtime = runtime
        self._adopt = adopt
        self._asked = asyncio.Event()
        self._prints = prints
        self._refused: Config | None = None  # its files are watched too: one of them may be what is amended

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
                if self._look(self._refused) == self._prints:
                    continue
            self._asked.clear()
            await self._reload()

    async def _reload(self) -> None:
        """Build and adopt the next snapshot, or keep this one and say why; whatever happens, the next try will come."""
        try:
            snapshot, lines = await self._build()
            if snapshot is not None:
                await self._adopt(snapshot)
                self._prints = _of(self._prints, watched_files(self._path, snapshot.config))
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except OSError as error:
            snapshot, lines = None, [f"{self._path}: {error.strerror or error}"]
        except BaseException as error:  # a Rust panic is no Exception
            snapshot, lines = None, [f"{self._path}: reload failed: {type(error).__name__}: {error}"]
        for line in lines:
            tell(line)
        self._runtime.metrics.reloads.of("ok" if snapshot is not None else "refused").inc()
        if snapshot is not None:
            self._runtime.observe("reloaded", {"policy_revision": snapshot.engine.revision})
        else:
            self._runtime.observe("reload_refused", {"mistakes": lines})

    async def _build(self) -> tuple[Snapshot | None, list[str]]:
        """Compile the file as it is now. Files are looked at before they are read, so that no change is lost."""
        before = self._look(self._refused)
        file = await asyncio.to_thread(read, self._path)  # a big file takes seconds to read
        wanted = file.config or file.salvaged
        prints = {name: before.get(name, found) for name, found in self._look(wanted).items()}
        snapshot, file = compile_file(file, self._runtime.snapshot, self._runtime)
        self._refused = wanted if snapshot is None else None
        self._prints = prints
        return snapshot, render(file.mistakes, self._path)

    def _look(self, also: Config | None) -> Prints:
        files = watched_files(self._path, self._runtime.snapshot.config)
        return fingerprints(files + (watched_files(self._path, also) if also is not None else []))
