"""A new generation without a restart: on SIGHUP, and when a file that the config names has changed.

The new snapshot is built beside the one that serves. A mistake changes nothing and is told; a good
one is swapped in by one assignment. What a running process cannot change is refused by name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from proxy.config.load import File, read, render
from proxy.config.schema import Config
from proxy.server.runtime import Runtime
from proxy.server.snapshot import Snapshot, Steps, T, at_once, compile_file
from proxy.server.watch import WATCH_SECONDS, Prints, fingerprints, prints_of, watched_files
from proxy.telemetry.sink import tell

_REST = 0.005  # seconds between two steps, for what came meanwhile and for the upstreams' answers

Adopt = Callable[[Snapshot], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Built:
    """What became of a config file.

    Args:
        snapshot: the next generation, or None where there is a mistake.
        lines: every mistake and warning, as a person reads it.
        wanted: what the file says, as far as it can be read.
        prints: of all files that were looked at.
    """

    snapshot: Snapshot | None
    lines: list[str]
    wanted: Config | None
    prints: Prints


async def build(path: Path, runtime: Runtime, serving: Snapshot | None = None, refused: Config | None = None) -> Built:
    """Compile a config file as it is now; whatever is wrong with it is told, not raised.

    Args:
        path: the config file.
        runtime: the process that will serve it.
        serving: the snapshot that serves now.
        refused: the config that was refused last: one of its files may be what is amended.
    """
    before = _look(path, serving.config if serving is not None else None, refused)
    file = await asyncio.to_thread(read, path)  # a big file takes seconds to read
    return await _in_turns(_build(file, before, runtime, serving))


def build_read(file: File, before: Prints, runtime: Runtime, serving: Snapshot | None = None) -> Built:
    """Compile a config file that was read, with what it names as it is now.

    Args:
        file: as it was read.
        before: how it looked, and files that it may name, before it was.
        runtime, serving: as of `build`.
    """
    return at_once(_build(file, before, runtime, serving))


async def _in_turns(steps: Steps[T]) -> T:
    """Do all steps, and let requests be served between them."""
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]
        await asyncio.sleep(_REST)


def _build(file: File, before: Prints, runtime: Runtime, serving: Snapshot | None) -> Steps[Built]:
    path, wanted = file.path, file.config or file.salvaged
    now = _look(path, serving.config if serving is not None else None, wanted)
    prints = {name: before.get(name, found) for name, found in now.items()}
    try:
        snapshot, file = yield from compile_file(file, serving, runtime)
        return Built(snapshot, render(file.mistakes, path), wanted, prints)
    except (GeneratorExit, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a Rust panic is no Exception
        return Built(None, [f"{path}: compiling it failed: {type(error).__name__}: {error}"], wanted, prints)


def _look(path: Path, *configs: Config | None) -> Prints:
    named = [watched_files(path, config) for config in configs if config is not None]
    return fingerprints([path, *(file for files in named for file in files)])


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
                async with asyncio.timeout(WATCH_SECONDS):
                    await self._asked.wait()
            except TimeoutError:
                if _look(self._path, self._runtime.snapshot.config, self._refused) == self._prints:
                    continue
            self._asked.clear()
            await self._reload()

    async def _reload(self) -> None:
        """Build and adopt the next snapshot, or keep this one and say why; whatever happens, the next try will come."""
        built = await build(self._path, self._runtime, self._runtime.snapshot, self._refused)
        snapshot, lines, self._prints = built.snapshot, built.lines, built.prints
        if snapshot is not None:
            try:
                await self._adopt(snapshot)
            except OSError as error:
                snapshot, lines = None, [f"{self._path}: {error.strerror or error}"]
        self._refused = built.wanted if snapshot is None else None
        for line in lines:
            tell(line)
        self._runtime.metrics.reloads.of("ok" if snapshot is not None else "refused").inc()
        if snapshot is not None:
            self._prints = prints_of(self._prints, watched_files(self._path, snapshot.config))
            self._runtime.observe("reloaded", {"policy_revision": snapshot.engine.revision})
        else:
            self._runtime.observe("reload_refused", {"mistakes": lines})
