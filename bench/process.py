"""Processes as a benchmark sees them: which core they are on, how long they have been on it, and their memory."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

PATIENCE = 60.0  # seconds for what must happen: the largest configuration takes some to load

CORES = sorted(os.sched_getaffinity(0))
LOAD_CORE, PROXY_CORE = CORES[0], CORES[-1]  # the same one where there is no second


def start(command: Sequence[str], core: int, output: Path, *, directory: Path | None = None) -> subprocess.Popen[bytes]:
    """Start a process on a core, with all that it says in a file. It ends when this one does, however that happens."""
    with output.open("ab") as file:
        bound = ["setpriv", "--pdeathsig", "TERM", *on_core(core, command)]
        return subprocess.Popen(bound, cwd=directory, stdout=file, stderr=file)


def on_core(core: int, command: Sequence[str]) -> list[str]:
    """Return the command that runs another one on a core, its threads and children too."""
    return ["taskset", "-c", str(core), *command]


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end; insist after a while."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def family(process: int) -> list[int]:
    """Return a process and all that descend from it (proc(5))."""
    found = [process]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            with suppress(OSError):  # a thread that has ended meanwhile
                found += map(int, children.read_text(encoding="ascii").split())
    return found


def processor_time(processes: Sequence[int]) -> float:
    """Return the seconds that processes and their descendants have been on a processor."""
    return sum(_ticks(one) for process in processes for one in family(process)) / os.sysconf("SC_CLK_TCK")


def others_time() -> float:
    """Return the seconds that the two cores have worked for processes that are not of this run (proc(5))."""
    text = Path("/proc/stat").read_text(encoding="ascii")
    ticks = 0
    for core in {LOAD_CORE, PROXY_CORE}:
        fields = text.partition(f"cpu{core} ")[2].split(maxsplit=3)
        ticks += sum(map(int, fields[:3]))
    ended = os.times()
    own = processor_time([os.getpid()]) + ended.children_user + ended.children_system
    return ticks / os.sysconf("SC_CLK_TCK") - own


def memory(processes: Sequence[int]) -> int:
    """Return the resident bytes of processes and their descendants."""
    pages = 0
    for process in processes:
        for one in family(process):
            pages += int(Path(f"/proc/{one}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def wait_for(condition: Callable[[], bool], what: str, *, seconds: float = PATIENCE, pause: float = 0.02) -> None:
    """Return once a condition holds; raise TimeoutError when it does not in time."""
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError(f"{what} did not happen within {seconds:g} s")
        time.sleep(pause)


def accepts(port: int) -> bool:
    """Say whether somebody listens on a port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def allow_many_files() -> None:
    """Raise the number of files that this process and its children may open as far as is allowed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _ticks(process: int) -> int:
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
