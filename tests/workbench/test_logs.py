"""What is found in a decision log, in whatever form it lies about."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from proxy.workbench.logs import Log

OURS = {"type": "decision", "decision_id": "1", "path": "a/allow", "input": {}, "erased": []}
CONSOLE = OURS | {"type": "openpolicyagent.org/decision_logs", "decision_id": "2", "msg": "Decision Log"}
COLLECTED = {name: value for name, value in OURS.items() if name != "type"} | {"decision_id": "3"}
NONE = [
    OURS | {"type": "access"},
    {"type": "event", "event": "listening"},
    OURS | {"input": None},
    {name: value for name, value in OURS.items() if name != "path"},
    "text",
]


def lines(*values: object) -> bytes:
    return "".join(json.dumps(value) + "\n" for value in values).encode()


def read(folder: Path, content: bytes) -> tuple[Log, list[tuple[int, str]]]:
    path = folder / "log"
    path.write_bytes(content)
    log = Log(path)
    return log, [(line, record["decision_id"]) for line, record in log]


@pytest.mark.parametrize(
    "content",
    [
        lines(OURS, CONSOLE, COLLECTED),
        gzip.compress(lines(OURS, CONSOLE, COLLECTED)),
        gzip.compress(lines(OURS)) + gzip.compress(lines(CONSOLE, COLLECTED)),
        lines([OURS, CONSOLE], [COLLECTED]),
        json.dumps([OURS, CONSOLE, COLLECTED], indent=2).encode(),
        b"\n" + lines(OURS, CONSOLE) + b"\n\n" + lines(COLLECTED).strip(),
    ],
    ids=["lines", "compressed", "appended", "batches", "an array", "empty lines"],
)
def test_a_log_is_lines_or_batches_compressed_or_not(tmp_path: Path, content: bytes) -> None:
    log, found = read(tmp_path, content)
    assert [name for _, name in found] == ["1", "2", "3"]
    assert (log.unread, log.passed_over) == (0, 0)


def test_what_is_no_decision_is_passed_over_and_counted(tmp_path: Path) -> None:
    log, found = read(tmp_path, lines(*NONE, OURS))
    assert found == [(len(NONE) + 1, "1")]
    assert (log.passed_over, log.unread) == (len(NONE), 0)


def test_a_line_that_cannot_be_read_is_told_with_its_place_and_no_other_is_lost(tmp_path: Path) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    log, found = read(tmp_path, b'{"a": x}\n' + lines(OURS) + b"\xff\n" + deep + b"\n" + lines(COLLECTED)[:20])
    assert found == [(2, "1")]
    told = [fault.removeprefix(f"{tmp_path}/log") for fault in log.faults]
    assert told == [
        ":1:7: is no JSON: expecting value",
        ":3:1: must be utf-8",
        ":4:1: nests too deep",
        ":5:21: is no JSON: expecting property name enclosed in double quotes",
    ]
    assert log.unread == 4


def test_of_many_broken_lines_the_first_are_told_and_all_are_counted(tmp_path: Path) -> None:
    log, _ = read(tmp_path, b"{\n" * 1000)
    assert (len(log.faults), log.unread) == (20, 1000)


def test_a_compressed_log_that_was_cut_off_gives_what_it_has(tmp_path: Path) -> None:
    log, found = read(tmp_path, gzip.compress(lines(*[OURS] * 1000))[:-8])
    assert len(found) == 1000
    assert "cut off or broken" in log.faults[0]


def test_how_far_it_is_is_told_in_bytes_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(lines(*[OURS | {"decision_id": str(n)} for n in range(10_000)])))
    log = Log(path)
    seen = [log.done() for _ in log]
    assert seen == sorted(seen)
    assert 0 < seen[0] < (log.size() or 0)
    assert seen[-1] <= (log.size() or 0)
