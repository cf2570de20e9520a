"""`ztproxy run`: serve."""

from __future__ import annotations

import resource
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from proxy.config.load import read, render
from proxy.server.reload import fingerprints, watched_files
from proxy.server.runtime import Runtime
from proxy.server.snapshot import compile_file
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
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a reload that is asked for while we start is what we do anyway
    _allow_descriptors()
    raise typer.Exit(uvloop.run(_serve(config)))


def _allow_descriptors() -> None:
    """Take as many descriptors as the system gives: each connection needs one, and the soft limit is often 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(path: Path) -> int:
    runtime = Runtime()
    prints = fingerprints([path])  # before it is read
    file = read(path)
    if file.config is not None:
        prints = {**fingerprints(watched_files(path, file.config)), **prints}
    snapshot, file = compile_file(file, None, runtime)
    for line in render(file.mistakes, path):
        sys.stderr.write(line + "\n")
    if snapshot is None:
        return 2
    try:
        await Worker(path, runtime, snapshot, prints).serve()
    except OSError as error:
        sys.stderr.write(f"ztproxy: cannot serve: {error.strerror or error}\n")
        return 1
    return 0
