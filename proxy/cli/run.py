"""`ztproxy run`: serve."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from proxy.config.load import read, render
from proxy.server.runtime import Runtime
from proxy.server.snapshot import Snapshot, compile_file
from proxy.server.worker import Worker


def run(
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration.")],
) -> None:
    """Serve until SIGTERM or SIGINT, which drain; SIGHUP and changed files reload.

    No port is opened before the configuration, its keys and its policy are good. Records go to stdout as JSON lines,
    what a person should know to stderr.

    Exit status: 0 after a drain, 1 when it cannot serve, 2 when FILE has a mistake.

    Example: ztproxy run -c /etc/ztproxy/ztproxy.yaml
    """
    raise typer.Exit(uvloop.run(_serve(config)))


async def _serve(path: Path) -> int:
    runtime = Runtime()
    snapshot, file = compile_file(read(path), None, runtime)
    for line in render(file.mistakes, path):
        sys.stderr.write(line + "\n")
    if snapshot is None:
        return 2
    return await _serve_snapshot(path, runtime, snapshot)


async def _serve_snapshot(path: Path, runtime: Runtime, snapshot: Snapshot) -> int:
    try:
        return await Worker(path, runtime, snapshot).serve()
    except OSError as error:
        sys.stderr.write(f"ztproxy: cannot serve: {error}\n")
        return 1
