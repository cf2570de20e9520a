"""How many CPUs this process may use: those that it may run on, as far as its control groups give it time on them."""

from __future__ import annotations

import math
import os
from pathlib import Path

_MEMBERSHIP = Path("/proc/self/cgroup")
_HIERARCHY = Path("/sys/fs/cgroup")


def usable_cpus(membership: Path = _MEMBERSHIP, hierarchy: Path = _HIERARCHY) -> int:
    """Return how many CPUs this process may use, at least 1; a share of one counts as one.

    Args:
        membership: which control group this process is in, as Linux spells it.
        hierarchy: where control groups (version 2) are mounted.
    """
    try:
        allowed = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not on every system, nor behind every system-call filter
        allowed = os.cpu_count() or 1
    quotas = (_quota(group / "cpu.max") for group in _groups(membership, hierarchy))
    return max(1, math.ceil(min([allowed, *(quota for quota in quotas if quota is not None)])))


def _groups(membership: Path, hierarchy: Path) -> list[Path]:
    """Return the directories of the group and of all around it: the tightest bound holds."""
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    inside = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if inside is None:
        return []
    group = hierarchy / inside
    return [group, *(parent for parent in group.parents if parent.is_relative_to(hierarchy))]


def _quota(file: Path) -> float | None:
    """Return the CPUs that a `cpu.max` gives ("max 100000", "150000 100000"), or None for no bound."""
    try:
        quota, period = file.read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
