"""Texts are cut, counted and replaced by characters."""

from __future__ import annotations

from tests.opa import OPAServer
from tests.policy.builtins.judged import Cases, agrees, is_stricter
from tests.policy.reference import FAILS

CASES: Cases = [
    ('indexof_n("aaa", "aa")', [0, 1]),
    ('indexof_n("añaña", "ña")', [1, 3]),
    ('indexof_n("abc", "")', FAILS),
    ('indexof_n("abc", "z")', []),
    ('indexof_n(1, "z")', FAILS),
    ('strings.split_n("a,b,c", ",", 2)', ["a", "b"]),
    ('strings.split_n("a,b,c", ",", 0)', []),
    ('strings.split_n("a,b,c", ",", 9)', ["a", "b", "c"]),
    ('strings.split_n("a,b,c", ",", -1)', ["c"]),
    ('strings.split_n("a,b,c", ",", -9)', ["a", "b", "c"]),
    ('strings.split_n("añb", "", 2)', ["a", "ñ"]),
    ('strings.split_n("añb", "", -2)', ["ñ", "b"]),
    ('strings.split_n("", "", 2)', []),
    ('strings.split_n("", ",", 2)', [""]),
    ('strings.split_n("a,b", ",", 1.5)', FAILS),
    ('strings.replace_n({"a": "b", "b": "a"}, "abab")', "baba"),
    ('strings.replace_n({"f": "x", "foo": "xxx"}, "foobar")', "xoobar"),
    ('strings.replace_n({}, "foobar")', "foobar"),
    ('strings.replace_n({"é": "e"}, "café")', "cafe"),
    ('strings.replace_n({"a": 1}, "ab")', FAILS),
    ('glob.quote_meta("*.github.com")', "\\*.github.com"),
    (r'glob.quote_meta("a?b[c]{d}\\e!,-é")', "a\\?b\\[c\\]\\{d\\}\\\\e!,-é"),
]

STRICTER: Cases = [
    ('strings.replace_n({"": "x"}, "ab")', "xaxbx"),
]


def test_these_calls_have_the_values_that_opa_gives_them(opa: OPAServer) -> None:
    agrees(opa, CASES)


def test_where_ours_is_stricter_it_fails(opa: OPAServer) -> None:
    is_stricter(opa, STRICTER)
