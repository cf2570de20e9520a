"""SPIFFE IDs have one spelling each, and patterns match whole segments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.identity.spiffe import SpiffeID, parse_pattern, parse_spiffe_id, parse_trust_domain

SEGMENT = st.text("abcXYZ019._-", min_size=1, max_size=12).filter(lambda text: text not in {".", ".."})
DOMAIN = st.text("abc019._-", min_size=1, max_size=40)


def test_an_id_is_its_trust_domain_and_its_path() -> None:
    assert parse_spiffe_id("spiffe://example.org/ns/ci") == SpiffeID("example.org", "/ns/ci")


def test_a_trust_domain_alone_is_an_id_without_a_path() -> None:
    assert parse_spiffe_id("spiffe://example.org") == SpiffeID("example.org", "")


@pytest.mark.parametrize(
    "text",
    [
        "spiffe://example.org/admin\n",
        "spiffe://example.org/admin\0.evil",
        "spiffe://example.org/%61dmin",
        "spiffe://Example.org/admin",
        "SPIFFE://example.org/admin",
        "spiffe:/example.org/admin",
        "spiffe://example.org:443/admin",
        "spiffe://ana@example.org/admin",
        "spiffe://example.org/admin/",
        "spiffe://example.org//admin",
        "spiffe://example.org/./admin",
        "spiffe://example.org/a/../admin",
        "spiffe://example.org/admin?x",
        "spiffe://example.org/admin#x",
        "spiffe://example.org/*",
        "spiffe://example.org/ａdmin",
        "spiffe://exаmple.org/admin",
        " spiffe://example.org/admin",
        "spiffe:///admin",
        "spiffe://",
        "https://example.org/admin",
        "",
    ],
)
def test_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_spiffe_id(text)


def test_an_id_has_2048_bytes_at_most() -> None:
    longest = "spiffe://a/" + "b" * (2048 - 11)
    assert str(parse_spiffe_id(longest)) == longest
    with pytest.raises(ValueError, match="2048"):
        parse_spiffe_id(longest + "b")


def test_a_trust_domain_has_255_bytes_at_most() -> None:
    assert parse_trust_domain("a" * 255) == "a" * 255
    with pytest.raises(ValueError, match="255"):
        parse_trust_domain("a" * 256)


@given(DOMAIN, st.lists(SEGMENT, max_size=5))
def test_what_is_accepted_is_written_back_as_it_was(domain: str, segments: list[str]) -> None:
    text = f"spiffe://{domain}" + "".join(f"/{segment}" for segment in segments)
    assert str(parse_spiffe_id(text)) == text


@given(st.text(max_size=60))
def test_any_other_text_is_refused_or_written_back(tail: str) -> None:
    text = "spiffe://" + tail
    try:
        parsed = parse_spiffe_id(text)
    except ValueError:
        return
    assert str(parsed) == text
    assert text.isascii()


@pytest.mark.parametrize(
    ("pattern", "id_", "matches"),
    [
        ("spiffe://td/ns/ci", "spiffe://td/ns/ci", True),
        ("spiffe://td/ns/ci", "spiffe://td/ns/ci/a", False),
        ("spiffe://td/ns/ci/*", "spiffe://td/ns/ci/a", True),
        ("spiffe://td/ns/ci/*", "spiffe://td/ns/ci/a/b", True),
        ("spiffe://td/ns/ci/*", "spiffe://td/ns/ci", False),
        ("spiffe://td/ns/ci/*", "spiffe://td/ns/cix", False),
        ("spiffe://td/ns/ci/*", "spiffe://td/ns/cix/a", False),
        ("spiffe://td/ns/ci/*", "spiffe://td.evil/ns/ci/a", False),
        ("spiffe://td/*", "spiffe://td/a", True),
        ("spiffe://td/*", "spiffe://td", False),
        ("spiffe://td", "spiffe://td", True),
        ("spiffe://td", "spiffe://td/a", False),
    ],
)
def test_a_pattern_matches_one_id_or_whole_segments_below_it(pattern: str, id_: str, matches: bool) -> None:
    assert parse_pattern(pattern).match(parse_spiffe_id(id_)) is matches


def test_a_pattern_is_written_back_as_it_was() -> None:
    assert str(parse_pattern("spiffe://td/ns/*")) == "spiffe://td/ns/*"
    assert str(parse_pattern("spiffe://td/ns")) == "spiffe://td/ns"


@pytest.mark.parametrize(
    "text",
    ["*", "spiffe://*", "spiffe://*/a", "spiffe://td/a*", "spiffe://td/*/a", "spiffe://td/a/**", "spiffe://td//*"],
)
def test_a_star_stands_for_whole_last_segments_alone(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_pattern(text)
