"""Records through slow, blocked, full and broken sinks: the loop never waits, and nothing is lost silently."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.telemetry.access import access_line
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.records import RecordsUnavailable, Writer, Writers
from proxy.telemetry.sink import Sink
from tests.telemetry.test_access import EXCHANGE
from tests.telemetry.test_metrics import samples

WAIT = 10.0


def spelled(record: dict[str, object]) -> tuple[bytes, str]:
    """Return a record as `write_line` and `write_through` take it."""
    return json.dumps(record, separators=(",", ":")).encode() + b"\n", str(record["type"])


class Pipe:
    """A pipe that a test may leave unread."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        self.lines = b""

    def drain(self) -> None:
        """Read what is there."""
        try:
            while data := os.read(self.reading, 1 << 20):
                self.lines += data
        except BlockingIOError:
            return

    def sip(self) -> bool:
        """Read one byte, which shows that the thread is writing and leaves it blocked."""
        try:
            self.lines += os.read(self.reading, 1)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Close the reading end, which ends a blocked write, and then the other."""
        os.close(self.reading)
        os.close(self.writing)


async def until(condition: object, pipe: Pipe | None = None) -> None:
    """Wait for a condition that another thread makes true."""
    assert callable(condition)
    async with asyncio.timeout(WAIT):
        while not condition():
            if pipe is not None:
                pipe.drain()
            await asyncio.sleep(0)


def dropped(metrics: Metrics, kind: str) -> float:
    return samples(metrics, "ztproxy_records_dropped_total")[(kind,)]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def writers(metrics: Metrics) -> AsyncIterator[Writers]:
    writers = Writers(metrics)
    yield writers
    await writers.close(WAIT)


async def test_records_reach_a_file_in_order_one_json_line_each(tmp_path: Path, writers: Writers) -> None:
    writer = writers.open(str(tmp_path / "records"))
    assert writer is not None
    for number in range(5000):
        writer.write({"type": "access", "number": number})
    await writers.close(WAIT)
    lines = (tmp_path / "records").read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == list(range(5000))


async def test_records_reach_stdout(capfd: pytest.CaptureFixture[str], writers: Writers) -> None:
    writer = writers.open("stdout")
    assert writer is not None
    writer.write({"type": "event", "event": "listening"})
    await writers.close(WAIT)
    assert json.loads(capfd.readouterr().out) == {"type": "event", "event": "listening"}


async def test_off_has_no_writer_and_one_place_has_one(tmp_path: Path, writers: Writers) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "records")
    assert writers.open("off") is None
    assert writers.open(str(tmp_path / "records")) is writers.open(str(tmp_path / "link"))
    with pytest.raises(IsADirectoryError):
        writers.open(str(tmp_path))


async def test_a_value_cannot_break_out_of_its_line(tmp_path: Path, writers: Writers) -> None:
    writer = writers.open(str(tmp_path / "records"))
    assert writer is not None
    writer.write({"type": "access", "path": '/\n{"type":"event"}\r\x1b[2J\x9b\ud800é'})
    await writers.close(WAIT)
    data = (tmp_path / "records").read_bytes()
    assert data.count(b"\n") == 1
    assert all(byte == 10 or 32 <= byte < 127 for byte in data)


async def test_a_record_that_is_no_json_is_counted_and_told(
    tmp_path: Path, writers: Writers, metrics: Metrics, capfd: pytest.CaptureFixture[str]
) -> None:
    writer = writers.open(str(tmp_path / "records"))
    assert writer is not None
    circle: dict[str, object] = {}
    circle["self"] = circle
    for value in (object(), float("inf"), float("nan"), circle):
        writer.write({"type": "access", "value": value})
    assert dropped(metrics, "access") == 4
    assert capfd.readouterr().err.count("is not JSON: ") == 4


async def test_a_full_disk_drops_counts_and_is_told_once(
    writers: Writers, metrics: Metrics, capfd: pytest.CaptureFixture[str]
) -> None:
    writer = writers.open("/dev/full")
    assert writer is not None
    writer.write({"type": "access"})
    await until(lambda: dropped(metrics, "access") == 1)
    for _ in range(100):
        writer.write({"type": "access"})
    await until(lambda: dropped(metrics, "access") == 101)
    assert not writer.healthy
    assert capfd.readouterr().err == "ztproxy: records are lost: /dev/full cannot be written: No space left on device\n"


async def test_a_sink_that_works_again_is_written_again_and_a_second_outage_is_told(
    tmp_path: Path, metrics: Metrics, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "records"
    path.symlink_to("/dev/full")
    writer = Writer(Sink("records", str(path)), metrics.records_dropped)

    def point(target: str) -> None:
        path.unlink()
        path.symlink_to(target)
        writer.reopen()

    for round_ in (1, 2):
        with pytest.raises(RecordsUnavailable, match="records cannot be written"):
            await writer.write_through(*spelled({"type": "decision", "round": round_}))
        assert not writer.healthy
        point(str(tmp_path / "real"))
        await writer.write_through(*spelled({"type": "decision", "round": round_ * 10}))
        assert writer.healthy
        point("/dev/full")
    await writer.close(WAIT)
    lines = (tmp_path / "real").read_text().splitlines()
    assert [json.loads(line)["round"] for line in lines] == [10, 20]
    assert dropped(metrics, "decision") == 2
    assert capfd.readouterr().err.count("records are lost") == 2


async def test_a_blocked_pipe_never_blocks_the_loop_and_holds_a_bounded_queue(
    metrics: Metrics, capfd: pytest.CaptureFixture[str]
) -> None:
    pipe = Pipe()
    writer = Writer(Sink("pipe", pipe.writing), metrics.records_dropped, records=1000, size=200_000)
    record = {"type": "access", "filler": "x" * 1000}
    slowest = 0.0
    for _ in range(2000):
        before = time.perf_counter()
        writer.write(record)
        slowest = max(slowest, time.perf_counter() - before)
    await until(lambda: dropped(metrics, "access") > 0)
    assert slowest < 0.5
    lost = dropped(metrics, "access")
    assert 2000 - lost <= (200_000 + 65_536) / 1000 + 1
    assert not writer.healthy
    assert capfd.readouterr().err == "ztproxy: records are lost: pipe takes records too slowly\n"

    await until(lambda: pipe.lines.count(b"\n") == 2000 - lost, pipe)
    assert all(json.loads(line) == record for line in pipe.lines.splitlines())
    await writer.write_through(*spelled({"type": "access", "last": True}))
    pipe.drain()
    assert json.loads(pipe.lines.splitlines()[-1]) == {"type": "access", "last": True}
    assert writer.healthy
    await writer.close(WAIT)
    pipe.close()


async def test_a_pipe_that_somebody_made_non_blocking_is_waited_for(metrics: Metrics) -> None:
    pipe = Pipe()
    os.set_blocking(pipe.writing, False)
    writer = Writer(Sink("pipe", pipe.writing), metrics.records_dropped)
    for number in range(500):
        writer.write({"type": "access", "number": number, "filler": "x" * 1000})
    await until(lambda: pipe.lines.count(b"\n") == 500, pipe)
    assert [json.loads(line)["number"] for line in pipe.lines.splitlines()] == list(range(500))
    assert dropped(metrics, "access") == 0
    await writer.close(WAIT)
    pipe.close()


async def test_a_bound_on_the_number_of_records_holds(metrics: Metrics) -> None:
    pipe = Pipe()
    writer = Writer(Sink("pipe", pipe.writing), metrics.records_dropped, records=10)
    writer.write({"type": "access", "filler": "x" * 200_000})
    for _ in range(100):
        writer.write({"type": "tls"})
    assert dropped(metrics, "tls") == 91
    await until(lambda: pipe.lines.count(b"\n") == 10, pipe)
    await writer.close(WAIT)
    pipe.close()


async def test_a_record_written_through_is_on_the_descriptor(metrics: Metrics) -> None:
    pipe = Pipe()
    writer = Writer(Sink("pipe", pipe.writing), metrics.records_dropped)
    for number in range(20):
        await writer.write_through(*spelled({"type": "decision", "number": number}))
        pipe.drain()
        assert pipe.lines.endswith(b'"number":%d}\n' % number)
    await writer.close(WAIT)
    pipe.close()


async def test_writing_through_a_blocked_pipe_is_refused_in_time_and_the_record_is_not_written_later(
    metrics: Metrics,
) -> None:
    pipe = Pipe()
    writer = Writer(Sink("pipe", pipe.writing), metrics.records_dropped)
    writer.write({"type": "access", "filler": "x" * 200_000})
    await until(pipe.sip)
    with pytest.raises(RecordsUnavailable, match="pipe is blocked"):
        await writer.write_through(*spelled({"type": "decision"}), timeout=0.05)
    await until(lambda: dropped(metrics, "decision") == 1, pipe)
    await writer.close(WAIT)
    pipe.drain()
    assert [json.loads(line)["type"] for line in pipe.lines.splitlines()] == ["access"]
    pipe.close()


async def test_a_waiter_who_is_cancelled_does_not_unmake_the_record(metrics: Metrics) -> None:
    pipe = Pipe()
    writer = Writer(Sink("pipe", pipe.writing), metrics.records_dropped)
    writer.write({"type": "access", "filler": "x" * 200_000})
    await until(pipe.sip)
    waiting = asyncio.ensure_future(writer.write_through(*spelled({"type": "decision"})))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await until(lambda: pipe.lines.count(b"\n") == 2, pipe)
    assert json.loads(pipe.lines.splitlines()[-1]) == {"type": "decision"}
    await writer.close(WAIT)
    pipe.close()


async def test_a_reader_that_is_gone_is_counted_and_kills_nothing(
    metrics: Metrics, capfd: pytest.CaptureFixture[str]
) -> None:
    pipe = Pipe()
    os.close(pipe.reading)
    writer = Writer(Sink("pipe", pipe.writing), metrics.records_dropped)
    for _ in range(3):
        with pytest.raises(RecordsUnavailable):
            await writer.write_through(*spelled({"type": "decision"}))
    assert dropped(metrics, "decision") == 3
    assert capfd.readouterr().err.count("Broken pipe") == 1
    await writer.close(WAIT)
    os.close(pipe.writing)


async def test_a_rotated_file_is_opened_anew_and_no_record_is_lost(tmp_path: Path, writers: Writers) -> None:
    path = tmp_path / "records"
    writer = writers.open(str(path))
    assert writer is not None
    await writer.write_through(*spelled({"type": "event", "event": "before"}))
    path.rename(tmp_path / "records.1")
    writers.reopen()
    await until(path.exists)
    await writer.write_through(*spelled({"type": "event", "event": "after"}))
    assert json.loads((tmp_path / "records.1").read_text())["event"] == "before"
    assert json.loads(path.read_text())["event"] == "after"


async def test_closing_gives_up_on_a_blocked_pipe_and_counts_what_is_left(metrics: Metrics) -> None:
    pipe = Pipe()
    writer = Writer(Sink("pipe", pipe.writing), metrics.records_dropped)
    writer.write({"type": "access", "filler": "x" * 200_000})
    await until(pipe.sip)
    writer.write({"type": "decision"})
    await writer.close(0.05)
    assert dropped(metrics, "decision") == 1
    writer.write({"type": "event"})
    assert dropped(metrics, "event") == 1
    pipe.drain()
    pipe.close()


async def test_a_record_costs_the_loop_microseconds(tmp_path: Path, writers: Writers) -> None:
    writer = writers.open(str(tmp_path / "records"))
    assert writer is not None
    costs = []
    for _ in range(4000):
        before = time.perf_counter()
        writer.write_line(access_line(**EXCHANGE), "access")
        costs.append(time.perf_counter() - before)
    # The typical figure is under 5 µs; the bound leaves room for a machine that is busy with other things.
    assert sorted(costs)[len(costs) // 2] < 100e-6
