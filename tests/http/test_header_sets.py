"""The sets that say who is calling: what they hold, and that clients cannot."""

from __future__ import annotations

import pytest

from proxy.http.header_sets import ASSERTED, NAMES, Words, set_fields
from proxy.http.headers import clean_request, clean_trailers

ANA = Words("ana", "ana@example.org", ("eng", "ops"), "Ana Añez", "ana.a")


@pytest.mark.parametrize("name", [name for names in NAMES.values() for name in names])
def test_no_spelling_of_a_set_s_field_comes_from_a_client(name: bytes) -> None:
    spellings = [name.replace(b"-", mark) for mark in (b"-", b"_", b".", b" ", b"*", b"!")]
    spellings += [name.replace(b"-", b"_", 1), name.replace(b"-", b"_").replace(b"_", b"-", 1)]
    for spelling in spellings:
        fields = [(spelling, b"root"), (spelling, b"root")]
        assert clean_request(fields) == ([], []), spelling
        assert clean_trailers(fields) == [], spelling


@pytest.mark.parametrize("name", NAMES)
def test_a_set_has_no_other_fields_than_its_names(name: str) -> None:
    unsigned = [field for field in NAMES[name] if field != ASSERTED.get(name)]
    assert sorted(field for field, _ in set_fields(name, ANA)) in (sorted(unsigned), [])
    assert set_fields(name, Words("", "ana@example.org", ("eng",))) == []


def test_the_sets_tell_the_same_words() -> None:
    assert set_fields("oauth2-proxy", ANA) == [
        (b"x-forwarded-user", b"ana"), (b"x-forwarded-email", b"ana@example.org"), (b"x-forwarded-groups", b"eng,ops"),
        (b"x-forwarded-preferred-username", b"ana.a"),
    ]  # fmt: skip
    assert set_fields("authelia", ANA) == [
        (b"remote-user", b"ana"), (b"remote-email", b"ana@example.org"), (b"remote-groups", b"eng,ops"),
        (b"remote-name", "Ana Añez".encode()),
    ]  # fmt: skip
    assert set_fields("pomerium", ANA) == []
    assert (b"x-ztproxy-subject", b"ana") in set_fields("ztproxy", ANA)


def test_what_is_not_there_has_no_field() -> None:
    assert set_fields("authelia", Words("ana", "", ())) == [(b"remote-user", b"ana")]


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b", " a", "a ", "\ta", "a\x7f", "a\x85b", "a\u2028b", "a\ud800"])
def test_a_word_that_is_no_field_as_it_stands_is_not_told(bad: str) -> None:
    assert set_fields("authelia", Words(bad, "ana@example.org", ("eng",))) == []
    assert set_fields("oauth2-proxy", Words("ana", bad, (bad,), bad, bad)) == [(b"x-forwarded-user", b"ana")]


def test_a_group_with_a_comma_is_not_two() -> None:
    assert set_fields("authelia", Words("ana", "", ("eng,admin", "ops"))) == [
        (b"remote-user", b"ana"), (b"remote-groups", b"ops"),
    ]  # fmt: skip
