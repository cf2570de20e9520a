"""Durations and sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("5s", 5), ("0s", 0), ("1.5m", 90), ("30m", 1800), ("12h", 43200), ("7d", 604800)],
)
def test_a_duration_has_its_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["5", "", "s", "5 s", "-5s", "+5s", "5S", "5sec", "1e3s", ".5s", "5.s", "5s\n", "٥s", 5, 5.0, True, None, []],
)
def test_anything_else_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="must be a duration with its unit"):
        parse_duration(text)


def test_a_duration_that_an_event_loop_could_not_count_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be longer than 3650d"):
        parse_duration("3651d")


@pytest.mark.parametrize(
    ("text", "size"), [("0B", 0), ("512B", 512), ("64KiB", 65536), ("10MiB", 10485760), ("4GiB", 4294967296)]
)
def test_a_size_has_its_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["64", "64K", "64KB", "64kib", "1.5KiB", "-1B", "64 KiB", 64, None])
def test_anything_else_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="must be a size with its unit"):
        parse_size(text)


@given(st.integers(min_value=0, max_value=10**8))
def test_a_duration_reads_back_as_it_is_written(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


@given(st.integers(min_value=0, max_value=10**9 - 1))
def test_a_size_reads_back_as_it_is_written(size: int) -> None:
    assert parse_size(format_size(size)) == size
