"""Globs are matched as a naive reading of them would, however long they are."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.globs import compile_glob, glob_match

PIECES = ["*", "**", "***", "?", "a", "b", "/", ".", "{a,b}", "{ab,a*}", "{**,?}", "[ab]", "[a-c]", "[!a]", "\\*", "é"]


def naive(pattern: str, delimiters: str) -> re.Pattern[str]:
    """Return a regular expression for a pattern, element by element."""
    out, stop = "", f"[^{re.escape(delimiters)}]" if delimiters else "."
    for element in re.findall(r"\*\*+|\[!?[^\]]*\]|\{[^}]*\}|\\.|.", pattern):
        if element.startswith("**"):
            out += ".*"
        elif element == "*":
            out += f"{stop}*"
        elif element == "?":
            out += stop
        elif element[0] == "[":
            out += "[" + element[1:].replace("!", "^")
        elif element[0] == "{":
            out += "(?:" + "|".join(naive(part, delimiters).pattern for part in element[1:-1].split(",")) + ")"
        else:
            out += re.escape(element[-1])
    return re.compile(out, re.DOTALL)


@given(
    st.lists(st.sampled_from(PIECES), max_size=6),
    st.sampled_from([[], ["/"], [".", "/"], None]),
    st.text("ab/.*é", max_size=8),
)
def test_a_glob_matches_what_a_naive_reading_matches(
    pieces: list[str], delimiters: list[str] | None, text: str
) -> None:
    pattern = "".join(pieces)
    stops = "" if delimiters is None else "".join(delimiters) or "."
    assert glob_match(pattern, delimiters, text) == (naive(pattern, stops).fullmatch(text) is not None)


@pytest.mark.parametrize(
    ("pattern", "rule"),
    [
        ("{a", "close its braces"),
        ("{a,{b,c}}", "braces in braces"),
        ("{a,}", "empty alternative"),
        ("{}", "empty alternative"),
        ("[a", "close its brackets"),
        ("a]", "closes nothing"),
        ("a}", "closes nothing"),
        ("a\\", "end in a backslash"),
        ("[]", "classes such as"),
        ("[a-]", "classes such as"),
        ("[^a]", "classes such as"),
        ("[c-a]", "classes such as"),
        ("{a,b}" * 7, "more than 64"),
    ],
)
def test_a_pattern_that_is_read_in_two_ways_is_refused(pattern: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        compile_glob(pattern)


@pytest.mark.parametrize("delimiters", ["/", [1], ["//"], [""], {"a": 1}])
def test_delimiters_are_single_characters(delimiters: object) -> None:
    with pytest.raises(ValueError, match="one character"):
        glob_match("*", delimiters, "a")


def test_no_pattern_makes_a_text_slow() -> None:
    began = time.perf_counter()
    assert not glob_match("**a" * 30 + "b", ["/"], "a" * 5000)
    assert time.perf_counter() - began < 0.5
