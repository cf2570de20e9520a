"""`ztproxy run`: serve."""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from proxy.config.load import File
    from proxy.server.watch import Prints

_WORKERS_HELP = "Processes that serve: auto, one for each CPU, or a number. Takes the place of `workers` in FILE."


def run(
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration.")],
    workers: Annotated[str | None, typer.Option(metavar="N", help=_WORKERS_HELP)] = None,
) -> None:
    """Serve until SIGTERM or SIGINT, which drain; SIGHUP and changed files reload.

    No port is opened before the configuration, its keys and its policy are good. Records go to stdout as JSON lines,
    what a person should know to stderr.

    Exit status: 0 after a drain, 1 when it cannot serve, 2 when FILE has a mistake.

    Example: ztproxy run -c /etc/ztproxy/ztproxy.yaml

    Example: ztproxy run -c ztproxy.yaml --workers auto
    """
    from proxy.config.load import read
    from proxy.server.cpus import usable_cpus
    from proxy.server.watch import fingerprints

    asked = _count(workers)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a reload that is asked for while we start is what we do anyway
    _allow_descriptors()
    before = fingerprints([config])
    file = read(config)
    # A file with mistakes is one process's to tell, and is told before anything is begun.
    wanted: int | str = asked or file.config.workers if file.config is not None else 1
    count = usable_cpus() if wanted == "auto" else int(wanted)
    if count > 1:
        _supervise(config, count)
    raise typer.Exit(_serve(file, before))


def _count(text: str | None) -> int | str | None:
    """Return what `--workers` says."""
    if text is None:
        return None
    from proxy.config.limits import parse_workers

    try:
        return parse_workers(int(text) if text.isdecimal() and text.isascii() else text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--workers") from None


def _allow_descriptors() -> None:
    """Take as many descriptors as the system gives: each connection needs one, and the soft limit is often 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _supervise(path: Path, count: int) -> NoReturn:
    """Become the supervisor, in this very process but anew: it needs little of what was loaded to come here."""
    from proxy.server.children import interpreter

    command = interpreter("proxy.server.supervisor", str(path), str(count))
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - our own interpreter


def _serve(file: File, before: Prints) -> int:
    """Serve in this process."""
    import uvloop

    return uvloop.run(_run(file, before))


async def _run(file: File, before: Prints) -> int:
    from proxy.server.reload import build_read
    from proxy.server.runtime import Runtime
    from proxy.server.standalone import Standalone

    runtime = Runtime()
    built = build_read(file, before, runtime)
    for line in built.lines:
        sys.stderr.write(line + "\n")
    if built.snapshot is None:
        return 2
    try:
        await Standalone(file.path, runtime, built.snapshot, built.prints).serve()
    except OSError as error:
        sys.stderr.write(f"ztproxy: cannot serve: {error.strerror or error}\n")
        return 1
    return 0
