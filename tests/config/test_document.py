"""YAML, strictly read."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config import document
from proxy.config.document import parse

INDENTED = "this line is indented otherwise than its neighbours"


def told(text: str | bytes) -> list[str]:
    content = text if isinstance(text, bytes) else text.encode()
    return [f"{line}: {mistake.path}: {mistake.rule}" for line, mistake in parse(content).mistakes]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: yes", {"a": "yes"}),
        ("a: [on, off, no, y, n]", {"a": ["on", "off", "no", "y", "n"]}),
        ("a: [true, False, TRUE]", {"a": [True, False, True]}),
        ("a: 08:00", {"a": "08:00"}),
        ("a: 12:30:45", {"a": "12:30:45"}),
        ("a: [0, 7, -7, +7]", {"a": [0, 7, -7, 7]}),
        ("a: [010, 0o10, 0x10, 0b1, 1_000]", {"a": ["010", "0o10", "0x10", "0b1", "1_000"]}),
        ("a: 1.5", {"a": 1.5}),
        ("a: 2024-01-01", {"a": "2024-01-01"}),
        ("a: '5'", {"a": "5"}),
        ('a: "true"', {"a": "true"}),
        ("a: =", {"a": "="}),
        ("1: a\ntrue: b\n1.5: c", {"1": "a", "true": "b", "1.5": "c"}),
        ("a: |\n  x\n  y\nb: >-\n  z", {"a": "x\ny\n", "b": "z"}),
        ("\ufeffa: 1", {"a": 1}),
        ("a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("---\na: 1\n...\n", {"a": 1}),
        ("%YAML 1.2\n---\na: 1", {"a": 1}),
        ("a: " + "9" * 41, {"a": "9" * 41}),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    read = parse(text.encode())
    assert (read.value, read.mistakes) == (value, [])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "1: : the file is empty"),
        ("# nothing\n", "1: : the file is empty"),
        ("a: 1\nb: 2\na: 3", "3: a: is given twice (the first is on line 1)"),
        ("x:\n  - b: 1\n    b: 2", "3: x[0].b: is given twice (the first is on line 2)"),
        ("a: 1\n'a': 2", "2: a: is given twice (the first is on line 1)"),
        ("a: 1\nb:\n", "2: b: must not be empty: give a value or leave the key out"),
        ("b: [~]", "1: b[0]: must not be empty: give a value or leave the key out"),
        ("b: {c}", "1: b.c: must not be empty: give a value or leave the key out"),
        ("b: {c: null}", "1: b.c: must not be empty: give a value or leave the key out"),
        ("<<: {a: 1}", "1: <<: merge keys (<<) are not accepted"),
        ("a: !!python/name:os.system x", "1: a: tags (!) are not accepted"),
        ("a: !!str 5", "1: a: tags (!) are not accepted"),
        ("a: !env HOME", "1: a: tags (!) are not accepted"),
        ("? [a]\n: b", "1: : a key must be text"),
        ("a: 1\n---\nb: 2", "2: : the file must be one YAML document: no second one after ---"),
        ("a: &x [*x]", "1: : the alias *x must name an anchor that is complete above it"),
        ("a: *x", "1: : the alias *x must name an anchor that is complete above it"),
        ("a: 1\n\tb: 2", "2: : not readable as YAML: a tab cannot indent YAML: use spaces"),
        ("a: b: c", "1: : not readable as YAML: a second `key: value` stands on this line: put the value in quotes"),
        ("a: @b", "1: : not readable as YAML: this character cannot begin a value: put the value in quotes"),
        ("host: *", "1: : not readable as YAML: a value that begins with * or & needs quotes"),
        ("a: 'b", "1: : not readable as YAML: a quote is not closed"),
        ("a: [b, c\nd: e", "2: : not readable as YAML: a comma is missing, or a bracket is not closed"),
        ("a:\n  b: 1\n c: 2", f"3: : not readable as YAML: {INDENTED}, or a bracket is not closed"),
        ("- a\nb: 1", "2: : not readable as YAML: this line is indented otherwise than the list above it"),
        (b"a: 1\nb: \xff", "2: : the file must be UTF-8"),
        (b"a: 1\nb: \x00", "2: : the file must not hold control characters"),
        (b"a: \x1b[2J", "1: : the file must not hold control characters"),
        ('a: "x\\0y"', "1: a: text must be valid Unicode without NUL"),
        ("[" * 100, "1: : the file must not be nested deeper than 32 levels"),
    ],
)  # fmt: skip
def test_each_mistake_of_the_text_has_its_line_and_its_words(text: str | bytes, line: str) -> None:
    assert told(text) == [line]


def test_every_mistake_of_a_text_is_told_at_once() -> None:
    assert len(told("a: 1\na: 2\nb:\nc: !x 1\n<<: {}\n")) == 4


def test_a_billion_laughs_are_refused_quickly() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    began = time.perf_counter()
    assert told("\n".join(rows)) == ["6: : the file must not hold more than 500000 values, aliases expanded"]
    assert time.perf_counter() - began < 2


def test_deep_nesting_is_refused_before_it_costs_a_stack() -> None:
    for text in ("[" * 100_000, "{a: " * 100_000, "- " * 100_000, "\n".join(" " * n + "a:" for n in range(2000))):
        assert told(text) == [
            f"{1 if chr(10) not in text else 33}: : the file must not be nested deeper than 32 levels"
        ]


def test_a_file_of_more_than_the_bound_is_refused() -> None:
    assert told(b"#" * (document.MAX_BYTES + 1)) == ["1: : the file must not be larger than 8 MiB"]


def test_every_place_has_its_line() -> None:
    read = parse(b"a:\n  b:\n    - c: 1\n    - {d: 2,\n       e: 3}\n")
    lines = {
        ("a",): 1, ("a", "b"): 2, ("a", "b", 0): 3, ("a", "b", 0, "c"): 3, ("a", "b", 1): 4, ("a", "b", 1, "e"): 5,
        (): 1, ("x",): 1, ("a", "b", 7): 2, ("a", "b", 1, "z"): 4, ("a", "b", "c"): 2,
    }  # fmt: skip
    assert {place: read.line_of(place) for place in lines} == lines


def test_ten_thousand_routes_are_read_within_seconds() -> None:
    route = "  - {name: r%d, host: r%d.example.org, path: /, upstream: u, allow: [{groups: [a, b]}]}\n"
    text = "routes:\n" + "".join(route % (n, n) for n in range(10_000))
    began = time.perf_counter()
    assert parse(text.encode()).mistakes == []
    assert time.perf_counter() - began < 10


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(), st.text(alphabet="ab:-[]{}&*!|>'\"%@#?,\n\t <~0.\\x").map(str.encode), st.text().map(str.encode)
    )
)
def test_no_text_makes_the_reader_raise(content: bytes) -> None:
    read = parse(content)
    assert read.value is not None or read.mistakes or content
