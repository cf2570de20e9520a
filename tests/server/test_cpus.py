"""How many CPUs a process may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.server.cpus import usable_cpus

ALLOWED = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quotas", "cpus"),
    [
        ({}, ALLOWED),
        ({"": "max 100000"}, ALLOWED),
        ({"box/app": "50000 100000"}, 1),
        ({"box/app": "100000 100000"}, 1),
        ({"box/app": "100001 100000"}, min(2, ALLOWED)),
        ({"box": "100000 100000", "box/app": "max 100000"}, 1),
        ({"box": "max 100000", "box/app": "900000 100000"}, min(9, ALLOWED)),
        ({"box/app": "nonsense"}, ALLOWED),
        ({"box/app": "1 0"}, ALLOWED),
        ({"other": "1000 100000"}, ALLOWED),
    ],
)
def test_the_tightest_quota_of_the_group_and_those_around_it_is_rounded_up(
    tmp_path: Path, quotas: dict[str, str], cpus: int
) -> None:
    for group in ("box/app", "other"):
        (tmp_path / group).mkdir(parents=True)
    for group, text in quotas.items():
        (tmp_path / group / "cpu.max").write_text(text + "\n", encoding="ascii")
    membership = tmp_path / "cgroup"
    membership.write_text("1:name=systemd:/old\n0::/box/app\n", encoding="ascii")
    assert usable_cpus(membership, tmp_path) == cpus


def test_without_control_groups_it_is_what_the_process_may_run_on(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path / "absent", tmp_path) == ALLOWED
