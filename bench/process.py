"""A process as a benchmark sees it: which core it is on, and how long it has been on one."""

from __future__ import annotations

import os
from pathlib import Path


def pin(process: int, core: int) -> None:
    """Keep a process on a core, where there are two."""
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(process, {core})


def processor_time(process: int) -> float:
    """Return the seconds that a process has been on a processor (proc(5))."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
