"""Verbs of sprintf and actions of templates: as Go fills them in, or not at all."""

from __future__ import annotations

from tests.opa import OPAServer
from tests.policy.builtins.judged import Cases, agrees, is_stricter
from tests.policy.reference import FAILS

CASES: Cases = [
    ('strings.render_template("{{.test}}", {"test": 2023})', "2023"),
    ('strings.render_template("a {{ .a.b }} c", {"a": {"b": "x<"}})', "a x< c"),
    ('strings.render_template("{{.missing}}", {})', "<undefined>"),
    ('strings.render_template("{{.a}} {{.b}}", {"a": true, "b": null})', "true <undefined>"),
    ('strings.render_template("{{.a.b}}", {"a": 5})', FAILS),
    ('strings.render_template("{{.a.b}}", {"a": {}})', "<undefined>"),
    ('strings.render_template("{{.a.b}}", {})', "<undefined>"),
    ('strings.render_template("{{.a}}", {"a": 1.5})', "1.5"),
    ('strings.render_template("{ {.a}", {"a": 1})', "{ {.a}"),
    ('strings.render_template("}}", {"a": 1})', "}}"),
    (r'strings.render_template("x\n{{.a}}", {"a": "<no value>"})', "x\n<undefined>"),
    ('sprintf("%5d|%-5d|%05d|%+d|% d", [1, 2, 3, 4, 5])', "    1|2    |00003|+4| 5"),
    ('sprintf("%05d|%+05d", [-3, 3])', "-0003|+0003"),
    ('sprintf("%x %X %o %b", [255, 255, 8, 5])', "ff FF 10 101"),
    ('sprintf("%x", [-255])', "-ff"),
    ('sprintf("%02X.%04x", [127, 1])', "7F.0001"),
    ('sprintf("%.2f", [3.1415])', "3.14"),
    ('sprintf("%8.3f|%-8.1f|%08.2f|%+.1f", [3.14159, 2.55, 2.5, 0.25])', "   3.142|2.5     |00002.50|+0.2"),
    ('sprintf("%f", [0.1])', "0.100000"),
    ('sprintf("%e", [0.00012345])', "1.234500e-04"),
    ('sprintf("%.2E", [123456.5])', "1.23E+05"),
    ('sprintf("%.0f", [2.5])', "2"),
    ('sprintf("%.f", [3.5])', "4"),
    ('sprintf("%5s|%-5s|%.2s|%5.1s|", ["a", "b", "cde", "fgh"])', "    a|b    |cd|    f|"),
    ('sprintf("%s", [1.5])', "%!s(float64=1.5)"),
    ('sprintf("%d", [1.5])', "%!d(float64=1.5)"),
    ('sprintf("%f", [1])', "%!f(int64=1)"),
    ('sprintf("%x", ["abc"])', "616263"),
    (r'sprintf("%q", ["a\"b\né"])', '"a\\"b\\né"'),
    ('sprintf("%v", [true])', "true"),
    ('sprintf("%d", [true])', "%!d(string=true)"),
    ('sprintf("%s", [null])', "null"),
    ('sprintf("%5v|", [null])', " null|"),
    ('sprintf("%5v|%-4v|", [12, 3])', "   12|3   |"),
    ('sprintf("%%", [])', "%"),
    ('sprintf("%s", [[1, {"a": 2.5}, {1}]])', '[1, {"a": 2.5}, {1}]'),
    ('sprintf("%6.2f%%", [12.345])', " 12.35%"),
    ('sprintf("%v", [1234567])', "1234567"),
    ('sprintf("%f", [12345678.5])', "12345678.500000"),
    ('sprintf("%.10f", [0.1])', "0.1000000000"),
    ('sprintf("%5.1f|", [0.05])', "  0.1|"),
    ('sprintf("%.1f %.1f %.1f", [0.25, 0.35, 0.45])', "0.2 0.3 0.5"),
    ('sprintf("%-05d|", [3])', "3    |"),
    ('sprintf("%d", [9223372036854775807])', "9223372036854775807"),
]

STRICTER: Cases = [
    ('strings.render_template("{{.a}}", {"a": [1]})', "[1]"),
    ('strings.render_template("{{if .a}}x{{end}}", {"a": [1]})', "x"),
    ('strings.render_template("{{- .a}}", {"a": 1})', "1"),
    ('sprintf("%x", [1.5])', "0x1.8p+00"),
    ('sprintf("%q", [1])', "'\\x01'"),
    ('sprintf("%05s", ["a"])', "0000a"),
    ('sprintf("%z", [1])', "%!z(int64=1)"),
    ('sprintf("%", [])', "%!(NOVERB)"),
    ('sprintf("%!", [1])', "%!!(int64=1)"),
    ('sprintf("%5%", [])', "%"),
    ('sprintf("%[1]s", ["a"])', "a"),
    ('sprintf("%*d", [5, 1])', "    1"),
    ('sprintf("%.3d", [5])', "005"),
    ('sprintf("%t", [true])', "%!t(string=true)"),
    ('sprintf("%c", [65])', "A"),
    ('sprintf("%v", [0.00001])', "1e-05"),
    ('sprintf("%v", [12345678.5])', "1.23456785e+07"),
    ('sprintf("%g", [0.1])', "0.1"),
    ('sprintf("%+s", ["a"])', "a"),
]


def test_these_calls_have_the_values_that_opa_gives_them(opa: OPAServer) -> None:
    agrees(opa, CASES)


def test_where_ours_is_stricter_it_fails(opa: OPAServer) -> None:
    is_stricter(opa, STRICTER)
