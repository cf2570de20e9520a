"""Lines of several processes on one descriptor: whole, whoever is slow or dies."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from proxy.telemetry.funnel import Funnel
from tests.gateway import PATIENCE


def test_long_lines_of_several_pipes_arrive_whole_though_the_reader_is_slow() -> None:
    reading, writing = os.pipe()
    funnel = Funnel(writing)

    def write(pipe: int, number: int) -> None:
        with os.fdopen(pipe, "wb", buffering=0) as raw:
            for line in range(40):
                data = b"%d:%d:" % (number, line) + b"%d" % number * 9000 + b"\n"
                for start in range(0, len(data), 1000):  # in pieces, as a pipe that is full takes them
                    raw.write(data[start : start + 1000])

    threads = [threading.Thread(target=write, args=(funnel.pipe(), number)) for number in range(4)]
    for thread in threads:
        thread.start()
    told = b""
    while told.count(b"\n") < 160:
        told += os.read(reading, 3000)
    for thread in threads:
        thread.join(PATIENCE)
    funnel.close(PATIENCE)
    os.close(writing)
    with os.fdopen(reading, "rb") as rest:
        told += rest.read()
    wanted = {b"%d:%d:" % (n, line) + b"%d" % n * 9000 for n in range(4) for line in range(40)}
    assert told.endswith(b"\n")
    assert len(told.splitlines()) == 160
    assert set(told.splitlines()) == wanted


def test_half_a_line_of_a_process_that_died_is_left_out_and_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "out").open("wb") as out:
        funnel = Funnel(out.fileno())
        one, other = funnel.pipe(), funnel.pipe()
        os.write(one, b"whole\nhal")
        os.close(one)
        os.write(other, b"other\n")
        os.close(other)
        funnel.close(PATIENCE)
    assert sorted((tmp_path / "out").read_bytes().splitlines()) == [b"other", b"whole"]
    assert "a record was lost" in capfd.readouterr().err


def test_writers_learn_that_nobody_reads_any_more() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    funnel = Funnel(writing)
    pipe = funnel.pipe()
    os.write(pipe, b"one\n")
    funnel_ended = threading.Event()

    def write() -> None:
        try:
            while True:
                os.write(pipe, b"more\n")
        except BrokenPipeError:
            funnel_ended.set()

    threading.Thread(target=write, daemon=True).start()
    assert funnel_ended.wait(PATIENCE)
    funnel.close(PATIENCE)
    os.close(pipe)
    os.close(writing)


def test_a_full_disk_is_waited_for_and_told_once(capfd: pytest.CaptureFixture[str]) -> None:
    out = os.open("/dev/full", os.O_WRONLY)
    funnel = Funnel(out)
    pipe = funnel.pipe()
    os.write(pipe, b"one\n")
    os.close(pipe)
    funnel.close(0.4)  # it is not over, and does not hold up the end
    assert capfd.readouterr().err == "ztproxy: stdout cannot be written: No space left on device\n"
    null = os.open("/dev/null", os.O_WRONLY)
    os.dup2(null, out)  # there is space again
    funnel.close(PATIENCE)
    os.close(null)
    os.close(out)
