"""The log whose replay is timed: as the gateway would have written it, and replayed without a change."""

from __future__ import annotations

import json
from pathlib import Path

from bench.policy_replay import CONFIG, write_log
from proxy.workbench.desk import Desk
from proxy.workbench.replay import Change, policy_of, replay


def test_the_log_that_is_timed_has_both_answers_and_the_size_of_a_real_one(tmp_path: Path) -> None:
    config, log = tmp_path / "ztproxy.yaml", tmp_path / "log"
    config.write_text(json.dumps(CONFIG), encoding="utf-8")
    write_log(log, Desk.open(config), 300)
    found = replay(policy_of(config, None, None), [log])
    assert (found.decisions, found.counts[Change.SAME]) == (300, 300)
    allowed = sum(json.loads(line)["result"]["allow"] for line in log.read_text(encoding="utf-8").splitlines())
    assert 30 < allowed < 270
    assert 1_500 < log.stat().st_size / 300 < 2_500
