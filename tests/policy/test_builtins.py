"""Every built-in that the embedded engine may be asked for gives OPA's answer, or fails."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.policy import builtins
from proxy.policy.decision import UNDEFINED
from tests.opa import OPAServer, opa_server
from tests.policy import builtins as by_file
from tests.policy.reference import FAILS, REFUSED, compiled, opas, ours

CASES: list[tuple[str, object]] = [
    ("abs(-3)", 3),
    ("round(-2.5)", -3),
    ("ceil(1.2)", 2),
    ("floor(-1.2)", -2),
    ("sum([1, 2.5])", 3.5),
    ("sum({1, 2})", 3),
    ("product([2, 3])", 6),
    ("max([3, 1, 2])", 3),
    ("max([])", UNDEFINED),
    ('min({"b", "a"})', "a"),
    ("min([])", UNDEFINED),
    ("sort({3, 1, 2})", [1, 2, 3]),
    ('sort(["b", null, 1, true, [1], {"a": 1}])', [None, True, 1, "b", [1], {"a": 1}]),
    ('count("añb")', 3),
    ('count({"a": 1})', 1),
    ("count(5)", FAILS),
    ("numbers.range(3, 1)", [3, 2, 1]),
    ("numbers.range_step(0, 6, 3)", [0, 3, 6]),
    ("numbers.range_step(0, 6, 0)", FAILS),
    ("format_int(-255, 16)", "-ff"),
    ("format_int(1.9, 10)", "1"),
    ("format_int(1, 3)", FAILS),
    ("array.concat([1], [2])", [1, 2]),
    ("array.reverse([1, 2])", [2, 1]),
    ("union({{1}, {2}})", [1, 2]),
    ("intersection({{1, 2}, {2}})", [2]),
    ('object.filter({"a": 1, "b": 2}, ["a"])', {"a": 1}),
    ('object.get({"a": {"b": 1}}, ["a", "b"], 0)', 1),
    ('object.get({"a": null}, "a", 0)', None),
    ('object.get({}, ["a", "b"], 0)', 0),
    ("object.get([5], [0], 0)", FAILS),
    ('object.keys({"a": 1})', ["a"]),
    ('object.remove({"a": 1, "b": 2}, {"a"})', {"b": 2}),
    ('object.union({"a": {"x": 1}}, {"a": {"y": 2}})', {"a": {"x": 1, "y": 2}}),
    ('object.union_n([{"a": 1}, {"a": 2}])', {"a": 2}),
    ("is_array([])", True),
    ("is_boolean(null)", False),
    ("is_null(null)", True),
    ('is_number("1")', False),
    ("is_object({})", True),
    ("is_set(set())", True),
    ('is_string("")', True),
    ("type_name({1})", "set"),
    ('concat(",", ["a", "b"])', "a,b"),
    ('concat(",", {"b", "a"})', "a,b"),
    ('concat(",", ["a", 1])', FAILS),
    ('contains("abc", "bc")', True),
    ('contains("abc", 1)', FAILS),
    ('endswith("abc", "")', True),
    ('startswith("ÄB", "Ä")', True),
    ('replace("aaa", "aa", "b")', "ba"),
    ('replace("ab", "", "-")', "-a-b-"),
    ('split("a/b//c", "/")', ["a", "b", "", "c"]),
    ('split("añ", "")', ["a", "ñ"]),
    ('split("", "/")', [""]),
    ('strings.reverse("añb")', "bña"),
    ('strings.any_prefix_match(["a", "b"], ["x", "b"])', True),
    ('strings.any_suffix_match("abc", {"bc"})', True),
    ('trim("¡¡x!", "¡!")', "x"),
    ('trim_left("xxa", "x")', "a"),
    ('trim_right("axx", "x")', "a"),
    ('trim_prefix("xxa", "x")', "xa"),
    ('trim_suffix("axx", "x")', "ax"),
    (r'trim_space("\u00a0 a\u0085\u2003")', "a"),
    ('base64.decode("4pyT")', "✓"),
    ('base64.decode("YQ")', FAILS),
    ('base64.decode("YQ==YQ==")', FAILS),
    ('base64.decode("YWI=YWI=")', FAILS),
    ('base64.decode("YR==")', "a"),
    ('base64.decode("YQ==\\r\\n")', "a"),
    ('base64.decode("YW\\nJj")', "abc"),
    ('base64.decode("_w==")', FAILS),
    ('base64.decode("")', ""),
    ('base64.encode("✓")', "4pyT"),
    ('base64url.decode("4pyT")', "✓"),
    ('base64url.decode("YQ==YQ==")', FAILS),
    ('base64url.decode("YQ")', "a"),
    ('base64url.decode("YQ==")', "a"),
    ('base64url.decode("w78_")', "ÿ?"),
    ('base64url.decode("/w==")', FAILS),
    ('base64url.decode("Y")', FAILS),
    ('base64url.encode("ab?>")', "YWI_Pg=="),
    ('base64url.encode_no_pad("a")', "YQ"),
    ('hex.decode("6a")', "j"),
    ('hex.decode("6")', FAILS),
    ('hex.encode("é")', "c3a9"),
    (r'json.unmarshal("{\"a\": [1, null, 1.50]}")', {"a": [1, None, 1.5]}),
    ('json.unmarshal("{")', FAILS),
    (r'json.unmarshal("\"\\ud83d\\ude00\"")', "😀"),
    ('regex.match("^/users/[^/]+$", "/users/é")', True),
    ('regex.match("(?i)abc", "xABCx")', True),
    (r'regex.match("^a.c$", "a\nc")', False),
    (r'regex.match("a$", "a\n")', False),
    ('regex.match("^[[:alpha:]]+$", "aé")', False),
    ('regex.find_n("[0-9]{2}", "1234567", 2)', ["12", "34"]),
    ('regex.find_n("[0-9]", "12", -1)', ["1", "2"]),
    ('regex.find_all_string_submatch_n("a(b|c)?", "abac", -1)', [["ab", "b"], ["ac", "c"]]),
    ('regex.replace("a-b-c", "([a-z])-", "$1+")', "a+b+c"),
    ('regex.replace("a-b", "([a-z])-", "${1}0$$$0 $2")', "a0$a- b"),
    ('regex.split("z+", "pizza")', ["pi", "a"]),
    ('regex.split("^[a-z]+$", "")', [""]),
    ('regex.split("[[:digit:]]|é", "a1éb")', ["a", "", "b"]),
    ('graph.reachable({"a": ["b"], "b": ["a", "c"], "c": []}, ["a"])', ["a", "b", "c"]),
    ('graph.reachable({"a": {"b"}}, {"a"})', ["a"]),
    ('net.cidr_is_valid("10.0.0.0/8")', True),
    ('net.cidr_is_valid("10.0.0.0")', False),
    ('net.cidr_is_valid("2001:db8::/129")', False),
    ('[p | walk({"a": [1]}, [p, v]); v == 1]', [["a", 0]]),
    ('[v | walk([1, {"b": 2}], [_, v])]', [[1, {"b": 2}], 1, {"b": 2}, 2]),
    ("time.now_ns() == time.now_ns()", True),
    ("time.clock(1704164645000000000)", [3, 4, 5]),
    ('time.clock([1711846800000000000, "Europe/Berlin"])', [3, 0, 0]),
    ('time.clock([1704164645000000000, "America/New_York"])', [22, 4, 5]),
    ('time.clock([0, "No/Such"])', FAILS),
    ('time.date([1704164645000000000, "Asia/Tokyo"])', [2024, 1, 2]),
    ("time.weekday(1704164645000000000)", "Tuesday"),
    ('time.weekday([1704067199000000000, "Europe/Berlin"])', "Monday"),
    ('time.parse_duration_ns("1h2m3.5s")', 3723500000000),
    ('time.parse_duration_ns("1")', FAILS),
    ("array.slice([1, 2, 3], 1, 2)", [2]),
    ("array.slice([1, 2, 3], -5, 99)", [1, 2, 3]),
    ("array.slice([1, 2, 3], 2, 1)", []),
    ("array.slice([1, 2, 3], 1.5, 2)", FAILS),
    ('glob.match("*.example.org", ["."], "x.example.org")', True),
    ('glob.match("*.example.org", ["."], "x.y.example.org")', False),
    ('glob.match("**.example.org", ["."], "x.y.example.org")', True),
    ('glob.match("*:b", [":"], "x:a:b")', False),
    ('glob.match("/{users,groups}/?", ["/"], "/groups/é")', True),
    ('glob.match("[a-c]?[!x]", [], "bß.")', True),
    ('glob.match("a*c", null, "a.b/c")', True),
    ('glob.match("a*c", [], "a.c")', False),
    (r'glob.match("\\*", [], "*")', True),
    ('glob.match("{a", [], "a")', FAILS),
    ('glob.match("[a", [], "a")', FAILS),
    ('glob.match("a", ["ab"], "a")', FAILS),
    ('indexof("añb", "b")', 2),
    ('indexof("abc", "z")', -1),
    ('indexof("abc", "")', FAILS),
    ('lower("ÀİΣ")', "àiσ"),
    ("lower(5)", FAILS),
    ('upper("ßﬁᾳé")', "ßﬁᾼÉ"),
    ('net.cidr_contains("10.0.0.0/8", "10.1.2.3")', True),
    ('net.cidr_contains("10.0.0.0/8", "10.1.0.0/16")', True),
    ('net.cidr_contains("10.1.0.0/16", "10.0.0.0/8")', False),
    ('net.cidr_contains("10.0.0.0/8", "::ffff:10.1.2.3")', True),
    ('net.cidr_contains("::ffff:10.0.0.0/104", "10.1.2.3")', True),
    ('net.cidr_contains("::/0", "::ffff:10.1.2.3")', False),
    ('net.cidr_contains("2001:db8::/32", "2001:db8:1::1")', True),
    ('net.cidr_contains("10.0.0.0/8", "010.1.2.3")', FAILS),
    ('net.cidr_contains("10.0.0.0/255.0.0.0", "10.1.2.3")', FAILS),
    ('net.cidr_contains("fe80::/10", "fe80::1%eth0")', FAILS),
    ('net.cidr_contains("10.0.0.0", "10.0.0.0")', FAILS),
    ('net.cidr_contains("10.0.0.0/8", "nonsense")', FAILS),
    (r'sprintf("%s %d %v%%", ["a", 1, [true, null, {"k": "v\n"}]])', 'a 1 [true, null, {"k": "v\\n"}]%'),
    ('sprintf("%v %v", [set(), {"b", "a"}])', 'set() {"a", "b"}'),
    ('sprintf("%s", [5])', "%!s(int64=5)"),
    ('sprintf("%d", ["x"])', "%!d(string=x)"),
    ('sprintf("%v", [0.5])', "0.5"),
    ('strings.count("aaaa", "aa")', 2),
    ('strings.count("añ", "")', 3),
    ('substring("añbc", 1, 2)', "ñb"),
    ('substring("abc", 1, -1)', "bc"),
    ('substring("abc", 9, 1)', ""),
    ('substring("abc", -1, 1)', FAILS),
    ('substring("abc", 0.5, 1)', FAILS),
    ('time.parse_rfc3339_ns("2024-01-02T03:04:05.000000001+02:00")', 1704157445000000001),
    ('time.parse_rfc3339_ns("1969-12-31T23:59:59Z")', -1000000000),
    ('time.parse_rfc3339_ns("2024-01-02t03:04:05z")', FAILS),
    ('time.parse_rfc3339_ns("2024-01-02 03:04:05Z")', FAILS),
    ('time.parse_rfc3339_ns("2024-01-02T23:59:60Z")', FAILS),
    ('time.parse_rfc3339_ns("2024-02-30T00:00:00Z")', FAILS),
    ('time.parse_rfc3339_ns("2300-01-01T00:00:00Z")', FAILS),
    ('to_number("-1.5e3")', -1500.0),
    ('to_number("12")', 12),
    ('to_number(" 1")', FAILS),
    ('to_number("0x10")', FAILS),
    ('to_number("")', FAILS),
    ("to_number(true)", 1),
    ("to_number(null)", 0),
    ("to_number([])", FAILS),
]  # fmt: skip

# Where OPA answers and ours fails, which is a refusal: what both are asked, and what OPA says.
STRICTER: list[tuple[str, object]] = [
    ('glob.match("[^a]", [], "b")', False),
    ('glob.match("{a,}", [], "a")', True),
    ('to_number("1e-400")', 0),
    ('time.parse_rfc3339_ns("2024-01-02T3:04:05Z")', 1704164645000000000),
    ('time.parse_duration_ns("1d")', 86400000000000),
    ('base64.decode("/w==")', "�"),
    ('base64url.decode("_w==")', "�"),
    ('base64url.decode("Y\\nQ==")', "a"),
    ('sprintf("%s", [])', "%!s(MISSING)"),
    ('sprintf("%c", [65])', "A"),
]


@pytest.fixture(scope="module")
def opa() -> Iterator[OPAServer]:
    with opa_server() as server:
        yield server


@pytest.mark.parametrize(("expression", "value"), CASES)
def test_a_built_in_gives_this_value(expression: str, value: object) -> None:
    assert ours(f"r := {expression}") == value


def test_opa_gives_the_same_values(opa: OPAServer) -> None:
    theirs = {expression: opas(opa, f"r := {expression}") for expression, _ in CASES}
    assert theirs == dict(CASES)


def test_where_ours_is_stricter_it_fails(opa: OPAServer) -> None:
    assert {expression: ours(f"r := {expression}") for expression, _ in STRICTER} == dict.fromkeys(
        (expression for expression, _ in STRICTER), FAILS
    )
    assert {expression: opas(opa, f"r := {expression}") for expression, _ in STRICTER} == dict(STRICTER)


def _called_in_each_file() -> Iterator[str]:
    for file in pkgutil.iter_modules(by_file.__path__):
        module = importlib.import_module(f"{by_file.__name__}.{file.name}")
        yield from getattr(module, "CALLED", ())
        yield from (call for call, _ in getattr(module, "CASES", ()))


def test_every_built_in_of_the_table_is_in_a_case() -> None:
    calls = [*_called_in_each_file(), *(call for call, _ in CASES)]
    called = {name for call in calls for name in re.findall(r"[a-z][a-z0-9_.]*(?=\(|$)", call)}
    assert _NAMES - called == set()


_NAMES = builtins.AGREEING.keys() | builtins.REPLACED.keys()


@pytest.mark.parametrize("name", sorted(builtins.ARITY))
def test_a_built_in_is_refused_with_too_few_and_too_many_arguments(name: str) -> None:
    arity = builtins.ARITY[name]
    for count in {max(arity - 1, 0), arity + 2} - {arity}:
        assert ours(f"r if {name}({', '.join(['1'] * count)})") == REFUSED


@pytest.mark.parametrize(
    "call",
    [
        'http.send({"method": "get", "url": "http://127.0.0.1"})', 'net.lookup_ip_addr("localhost")', "opa.runtime()",
        'rand.intn("a", 2)', 'uuid.rfc4122("a")', 'print("a")', 'trace("a")', 'no.such("function")', 'walk({"a": 1})',
        'regex.is_valid("a*")', 'crypto.x509.parse_certificates("")', 'yaml.marshal({})', 'uri.parse("/a")',
        'rego.metadata.rule()',
        'graphql.is_valid("", "")',
        'providers.aws.sign_req({}, {}, 1)', 'crypto.parse_private_keys("")',
        'cast_array([])',
    ],
)  # fmt: skip
def test_any_other_function_is_refused_at_load_with_its_place_and_the_way_out(call: str) -> None:
    for rule in (f"r if {call}", f"r if not {call}", f"r := [x | x := {call}]"):
        faults = compiled(rule)
        assert isinstance(faults, list)
        name = call.partition("(")[0]
        assert any(fault.startswith("t.rego:3:") and name in fault for fault in faults), faults
        assert "engine: opa" in " ".join(faults) or name == "walk"


def test_the_page_lists_exactly_the_built_ins_of_the_table() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "policy-engines.md").read_text(encoding="utf-8")
    table = page.partition("### Built-ins")[2].partition("`sprintf` knows")[0]
    assert sorted(re.findall(r"`([^`]+)`", table)) == sorted(_NAMES)


def test_undefined_is_told_from_null() -> None:
    assert ours("r := max([])") is UNDEFINED
    assert ours("r := null") is None
