"""Whole lines through short writes, full disks, rotation and closed pipes."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.telemetry.sink import Sink, tell


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """Files may grow to `size` bytes: the kernel then tears a write and fails the next, as a full disk does.

    Within the test alone: what reports the test writes to a file too.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)


def test_lines_are_appended_to_a_file_that_the_world_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "records"
    path.write_bytes(b"before\n")
    sink = Sink("records", str(path))
    assert sink.put([b"one\n", b"two\n"]) == (2, None)
    sink.close()
    assert path.read_bytes() == b"before\none\ntwo\n"
    fresh = tmp_path / "fresh"
    Sink("fresh", str(fresh)).close()
    assert fresh.stat().st_mode & 0o007 == 0


def test_a_full_disk_takes_nothing_and_says_why() -> None:
    sink = Sink("full", "/dev/full")
    whole, error = sink.put([b"one\n"])
    assert (whole, error and error.errno) == (0, 28)
    sink.close()


def test_a_line_that_a_full_disk_tore_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "records"
    sink = Sink("records", str(path))
    with small_disk(25):
        whole, error = sink.put([b"0123456789\n", b"abcdefghij\n", b"ABCDEFGHIJ\n", b"never\n"])
        assert (whole, error is not None) == (2, True)
        assert path.read_bytes() == b"0123456789\nabcdefghij\n"
        assert sink.put([b"never\n"])[0] == 0
    assert path.read_bytes() == b"0123456789\nabcdefghij\n"
    assert sink.put([b"after\n"]) == (1, None)
    sink.close()
    assert path.read_bytes() == b"0123456789\nabcdefghij\nafter\n"


def test_a_torn_line_of_a_descriptor_that_was_given_is_finished_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "records"
    with path.open("ab", buffering=0) as file:
        sink = Sink("stdout", file.fileno())
        with small_disk(25):
            whole, error = sink.put([b"0123456789\n", b"abcdefghij\n", b"ABCDEFGHIJ\n", b"never\n"])
            assert (whole, error is not None) == (2, True)
            assert path.read_bytes() == b"0123456789\nabcdefghij\nABC"
            assert sink.put([b"never\n"])[0] == 0
        with small_disk(30):
            assert sink.put([b"never\n"])[0] == 0
        assert sink.put([b"after\n"]) == (1, None)
    assert path.read_bytes() == b"0123456789\nabcdefghij\nABCDEFGHIJ\nafter\n"


WRITER = """
import resource, signal, sys
from proxy.telemetry.sink import Sink
path, name, size = sys.argv[1:]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sink = Sink("records", path)
told = 0
resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), resource.RLIM_INFINITY))
for turn in range(300):
    told += sink.put([f"{name}:{turn}:{line}:{'x' * 500}\\n".encode() for line in range(20)])[0]
print(told)
"""


@pytest.mark.parametrize("size", [2**40, 3_000_001], ids=["space for all", "a disk that is full"])
def test_lines_of_several_processes_in_one_file_are_whole(tmp_path: Path, size: int) -> None:
    path = tmp_path / "records"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name, str(size)], stdout=subprocess.PIPE, text=True)
        for name in ("one", "two", "three")
    ]
    told = [int(writer.communicate(timeout=60)[0]) for writer in writers]
    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert all(re.fullmatch(rb"(one|two|three):\d+:\d+:x{500}", line) for line in lines)
    assert len(set(lines)) == len(lines) == sum(told)
    assert path.stat().st_size <= size


def test_a_rotated_file_begins_with_a_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "records"
    sink = Sink("records", str(path))
    with small_disk(25):
        assert sink.put([b"0123456789012345678901234567890\n"])[0] == 0
    path.rename(tmp_path / "records.1")
    sink.reopen()
    assert sink.put([b"after\n"]) == (1, None)
    sink.close()
    assert path.read_bytes() == b"after\n"


def test_a_file_that_cannot_be_opened_anew_is_written_on(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    path = folder / "records"
    sink = Sink("records", str(path))
    moved = tmp_path / "moved"
    folder.rename(moved)
    with pytest.raises(FileNotFoundError):
        sink.reopen()
    assert sink.put([b"after\n"]) == (1, None)
    sink.close()
    assert (moved / "records").read_bytes() == b"after\n"


def test_a_pipe_that_nobody_reads_any_more_is_an_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    whole, error = Sink("pipe", writing).put([b"one\n"])
    assert whole == 0
    assert isinstance(error, BrokenPipeError)
    os.close(writing)


def test_a_fifo_that_nobody_reads_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="No such device"):
        Sink("fifo", str(tmp_path / "fifo"))


def test_a_descriptor_that_was_given_is_not_closed() -> None:
    reading, writing = os.pipe()
    Sink("pipe", writing).close()
    os.write(writing, b"x")
    os.close(reading)
    os.close(writing)


def test_stderr_is_told_in_one_line_without_control_of_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    tell("records are lost")
    assert capfd.readouterr().err == "ztproxy: records are lost\n"


def test_a_blocked_stderr_blocks_nobody() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    saved = os.dup(2)
    os.dup2(writing, 2)
    try:
        tell("nobody will see this")
    finally:
        os.dup2(saved, 2)
        for fd in (saved, reading, writing):
            os.close(fd)
