"""Targets and hosts: one row of the table of rules, one case or more."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.errors import TARGET_REFUSED, Refused, Row
from proxy.http.message import Target
from proxy.http.target import RULES, compile_path, match_path, parse_host, parse_target

HOST = [b"wiki.example.org"]

# (rule, method, target, hosts, version): each breaks the rule and no earlier one.
BROKEN: list[tuple[str, bytes, bytes, list[bytes], tuple[int, int]]] = [
    ("connect", b"CONNECT", b"wiki.example.org:443", HOST, (1, 1)),
    ("connect", b"CONNECT", b"/", HOST, (1, 1)),
    ("asterisk", b"GET", b"*", HOST, (1, 1)),
    ("characters", b"GET", b"/a b", HOST, (1, 1)),
    ("characters", b"GET", b"/a\tb", HOST, (1, 1)),
    ("characters", b"GET", b"/a\0b", HOST, (1, 1)),
    ("characters", b"GET", b"/a\r\nb", HOST, (1, 1)),
    ("characters", b"GET", b"/\xc3\xa4", HOST, (1, 1)),
    ("characters", b"GET", b"/a?b\x80", HOST, (1, 1)),
    ("characters", b"GET", b"/a?\x7f", HOST, (1, 1)),
    ("fragment", b"GET", b"/a#b", HOST, (1, 1)),
    ("fragment", b"GET", b"/a?b#c", HOST, (1, 1)),
    ("form", b"GET", b"", HOST, (1, 1)),
    ("form", b"GET", b"wiki.example.org:443", HOST, (1, 1)),
    ("form", b"GET", b"a/b", HOST, (1, 1)),
    ("form", b"GET", b"?a", HOST, (1, 1)),
    ("form", b"GET", b"ftp://wiki.example.org/", HOST, (1, 1)),
    ("form", b"GET", b"http:/wiki.example.org/", HOST, (1, 1)),
    ("form", b"OPTIONS", b"*a", HOST, (1, 1)),
    ("userinfo", b"GET", b"http://ana:pw@wiki.example.org/", HOST, (1, 1)),
    ("userinfo", b"GET", b"http://evil.example@wiki.example.org/", HOST, (1, 1)),
    ("backslash", b"GET", b"/a\\b", HOST, (1, 1)),
    ("backslash", b"GET", b"/a%5Cb", HOST, (1, 1)),
    ("backslash", b"GET", b"/a%5cb", HOST, (1, 1)),
    ("path_characters", b"GET", b'/a"b', HOST, (1, 1)),
    ("path_characters", b"GET", b"/<a>", HOST, (1, 1)),
    ("path_characters", b"GET", b"/{a}", HOST, (1, 1)),
    ("path_characters", b"GET", b"/a`b", HOST, (1, 1)),
    ("percent", b"GET", b"/%", HOST, (1, 1)),
    ("percent", b"GET", b"/%2", HOST, (1, 1)),
    ("percent", b"GET", b"/%zz", HOST, (1, 1)),
    ("percent", b"GET", b"/%u002e%u002e/", HOST, (1, 1)),
    ("control", b"GET", b"/a%00", HOST, (1, 1)),
    ("control", b"GET", b"/a%0d%0aX:%20y", HOST, (1, 1)),
    ("control", b"GET", b"/a%1F", HOST, (1, 1)),
    ("control", b"GET", b"/a%7f", HOST, (1, 1)),
    ("encoded_alphanumeric", b"GET", b"/%61dmin", HOST, (1, 1)),
    ("encoded_alphanumeric", b"GET", b"/%41", HOST, (1, 1)),
    ("encoded_alphanumeric", b"GET", b"/%5A", HOST, (1, 1)),
    ("encoded_alphanumeric", b"GET", b"/%7a", HOST, (1, 1)),
    ("encoded_alphanumeric", b"GET", b"/%30", HOST, (1, 1)),
    ("double_encoding", b"GET", b"/%252e%252e/a", HOST, (1, 1)),
    ("double_encoding", b"GET", b"/a%252Fb", HOST, (1, 1)),
    ("empty_segment", b"GET", b"//a", HOST, (1, 1)),
    ("empty_segment", b"GET", b"/a//", HOST, (1, 1)),
    ("utf8", b"GET", b"/%ff", HOST, (1, 1)),
    ("utf8", b"GET", b"/%c0%ae%c0%ae/", HOST, (1, 1)),
    ("utf8", b"GET", b"/%ed%a0%80", HOST, (1, 1)),
    ("dot_segment", b"GET", b"/.", HOST, (1, 1)),
    ("dot_segment", b"GET", b"/a/..", HOST, (1, 1)),
    ("dot_segment", b"GET", b"/a/../b", HOST, (1, 1)),
    ("dot_segment", b"GET", b"/a/%2e%2E/b", HOST, (1, 1)),
    ("dot_segment", b"GET", b"/a/.%2e/b", HOST, (1, 1)),
    ("dot_segment", b"GET", b"/a/..;x=1/b", HOST, (1, 1)),
    ("dot_segment", b"GET", b"/a/..%3bx/b", HOST, (1, 1)),
    ("dot_segment", b"GET", b"/a/..%20/b", HOST, (1, 1)),
    ("dot_segment", b"GET", b"/a/.%20./b", HOST, (1, 1)),
    ("dot_segment", b"GET", b"/a/..%3f/b", HOST, (1, 1)),
    ("dot_segment", b"GET", b"/a/..%23/b", HOST, (1, 1)),
    ("dot_segment", b"GET", b"/a/..%2fb", HOST, (1, 1)),
    ("dot_segment", b"GET", b"/a/b%2F..%2Fc", HOST, (1, 1)),
    ("dot_segment", b"GET", b"/a/%ef%bc%8e%ef%bc%8e/b", HOST, (1, 1)),  # fullwidth full stops
    ("dot_segment", b"GET", b"/a/%e2%80%a5/b", HOST, (1, 1)),  # a two dot leader
    ("blank_segment", b"GET", b"/;/admin", HOST, (1, 1)),
    ("blank_segment", b"GET", b"/a/;x=1", HOST, (1, 1)),
    ("slash_at_edge", b"GET", b"/%2fadmin", HOST, (1, 1)),
    ("slash_at_edge", b"GET", b"/a%2F", HOST, (1, 1)),
    ("slash_at_edge", b"GET", b"/a%2F%2fb", HOST, (1, 1)),
    ("c1_control", b"GET", b"/a%c2%85b", HOST, (1, 1)),
    ("folds_to_syntax", b"GET", b"/a%ef%bc%8fb", HOST, (1, 1)),  # a fullwidth solidus
    ("folds_to_syntax", b"GET", b"/a%ef%bc%bcb", HOST, (1, 1)),  # a fullwidth reverse solidus
    ("folds_to_syntax", b"GET", b"/%ef%bc%852e", HOST, (1, 1)),  # a fullwidth percent sign
    ("host_missing", b"GET", b"/", [], (1, 1)),
    ("host_missing", b"GET", b"http://wiki.example.org/", [], (1, 1)),
    ("host_duplicate", b"GET", b"/", [b"a.example", b"a.example"], (1, 1)),
    ("host_duplicate", b"GET", b"/", [b"a.example", b"b.example"], (1, 0)),
    ("host_disagrees", b"GET", b"http://a.example/", [b"b.example"], (1, 1)),
    ("host_disagrees", b"GET", b"http://a.example:81/", [b"a.example"], (1, 1)),
    ("host_disagrees", b"GET", b"https://a.example/", [b"a.example:80"], (1, 1)),
    ("host_disagrees", b"GET", b"http://a.example/", [b"b.example"], (1, 0)),
    ("host_trailing_dot", b"GET", b"/", [b"a.example."], (1, 1)),
    ("host_trailing_dot", b"GET", b"/", [b"a.example.:443"], (1, 1)),
    ("host_trailing_dot", b"GET", b"http://a.example./", [b"a.example"], (1, 1)),
    ("host_syntax", b"GET", b"/", [b""], (1, 1)),
    ("host_syntax", b"GET", b"/", [b""], (1, 0)),
    ("host_syntax", b"GET", b"/", [b":443"], (1, 1)),
    ("host_syntax", b"GET", b"/", [b"a b"], (1, 1)),
    ("host_syntax", b"GET", b"/", [b"a.example, b.example"], (1, 1)),
    ("host_syntax", b"GET", b"/", [b"a.example/b"], (1, 1)),
    ("host_syntax", b"GET", b"/", [b"ana@a.example"], (1, 1)),
    ("host_syntax", b"GET", b"/", [b"a%2eexample"], (1, 1)),
    ("host_syntax", b"GET", b"/", [b"a..example"], (1, 1)),
    ("host_syntax", b"GET", b"/", [b"-a.example"], (1, 1)),
    ("host_syntax", b"GET", b"/", [b"a*b"], (1, 1)),
    ("host_syntax", b"GET", b"/", [b"a.example\n"], (1, 1)),
    ("host_syntax", b"GET", b"/", [b"\xc3\xa4.example"], (1, 1)),
    ("host_syntax", b"GET", b"/", [b"x" * 64], (1, 1)),
    ("host_syntax", b"GET", b"/", [b"[::1"], (1, 1)),
    ("host_syntax", b"GET", b"/", [b"[fe80::1%25eth0]"], (1, 1)),
    ("host_syntax", b"GET", b"/", [b"::1"], (1, 1)),
    ("host_syntax", b"GET", b"http:///a", HOST, (1, 1)),
    ("host_length", b"GET", b"/", [b".".join([b"x" * 63] * 4)], (1, 1)),
    ("host_port", b"GET", b"/", [b"a.example:"], (1, 1)),
    ("host_port", b"GET", b"/", [b"a.example:0"], (1, 1)),
    ("host_port", b"GET", b"/", [b"a.example:080"], (1, 1)),
    ("host_port", b"GET", b"/", [b"a.example:65536"], (1, 1)),
    ("host_port", b"GET", b"/", [b"a.example:+80"], (1, 1)),
    ("host_port", b"GET", b"/", [b"a.example:8_0"], (1, 1)),
    ("host_port", b"GET", b"/", ["a.example:٤".encode()], (1, 1)),
    ("host_port", b"GET", b"/", [b"[::1]:"], (1, 1)),
    ("host_ipv4", b"GET", b"/", [b"127.1"], (1, 1)),
    ("host_ipv4", b"GET", b"/", [b"2130706433"], (1, 1)),
    ("host_ipv4", b"GET", b"/", [b"0x7f.0.0.1"], (1, 1)),
    ("host_ipv4", b"GET", b"/", [b"127.0.0.0x1"], (1, 1)),
    ("host_ipv4", b"GET", b"/", [b"127.0.0.01"], (1, 1)),
    ("host_ipv4", b"GET", b"/", [b"256.0.0.1:80"], (1, 1)),
    ("host_ipv6", b"GET", b"/", [b"[1::2::3]"], (1, 1)),
    ("host_ipv6", b"GET", b"/", [b"[127.0.0.1]"], (1, 1)),
]


@pytest.mark.parametrize(("name", "method", "target", "hosts", "version"), BROKEN)
def test_a_broken_rule_refuses(
    name: str, method: bytes, target: bytes, hosts: list[bytes], version: tuple[int, int]
) -> None:
    rule = next(rule for rule in RULES if rule.name == name)
    with pytest.raises(Refused) as caught:
        parse_target(method, target, hosts, version)
    assert caught.value.row is rule.row
    assert caught.value.detail == rule.text


def test_every_rule_has_a_case() -> None:
    assert {case[0] for case in BROKEN} == {rule.name for rule in RULES}


@pytest.mark.parametrize(
    ("target", "segments"),
    [
        (b"/", ("",)),
        (b"/a", ("a",)),
        (b"/a/", ("a", "")),
        (b"/a/b.c/~d-e_f", ("a", "b.c", "~d-e_f")),
        (b"/a%20b", ("a b",)),
        (b"/%E2%82%AC", ("€",)),
        (b"/a+b/a%2Bb", ("a+b", "a+b")),
        (b"/%7Eu", ("~u",)),
        (b"/.hidden", (".hidden",)),
        (b"/a..b/...", ("a..b", "...")),
        (b"/a;x=1/b", ("a;x=1", "b")),
        (b"/tags/%23foo", ("tags", "#foo")),
        (b"/100%25", ("100%",)),
        (b"/[x]/a|b/c^d", ("[x]", "a|b", "c^d")),
        (b"/!$&'()*,=:@", ("!$&'()*,=:@",)),
        (b"/%E5%90%8D%E5%89%8D", ("名前",)),
    ],
)
def test_a_path_reaches_the_upstream_byte_for_byte(target: bytes, segments: tuple[str, ...]) -> None:
    parsed = parse_target(b"GET", target, HOST, (1, 1))
    assert (parsed.origin_form, parsed.segments, parsed.encoded_slash) == (target, segments, False)


@pytest.mark.parametrize("query", [b"", b"a=1&a=2", b"q=../admin", b"%dd=%zz", b"/../admin", b'{a}|\\^`"<>', b"a?b"])
def test_a_query_is_untouched(query: bytes) -> None:
    parsed = parse_target(b"GET", b"/x?" + query, HOST, (1, 1))
    assert (parsed.path, parsed.query, parsed.origin_form) == (b"/x", query, b"/x?" + query)


def test_an_encoded_slash_is_marked_and_stays_inside_its_segment() -> None:
    parsed = parse_target(b"GET", b"/repos/group%2fname%2Fx/y", HOST, (1, 1))
    assert parsed.encoded_slash
    assert parsed.segments == ("repos", "group%2Fname%2Fx", "y")
    assert parsed.path == b"/repos/group%2fname%2Fx/y"


def test_the_asterisk_is_for_options_alone() -> None:
    parsed = parse_target(b"OPTIONS", b"*", HOST, (1, 1))
    assert (parsed.path, parsed.segments, parsed.query) == (b"*", (), None)


@pytest.mark.parametrize(
    ("method", "target", "hosts", "version", "authority", "origin_form"),
    [
        (b"GET", b"http://a.example/x?y", [b"a.example"], (1, 1), "a.example", b"/x?y"),
        (b"GET", b"HTTP://A.example/x", [b"a.EXAMPLE"], (1, 1), "a.example", b"/x"),
        (b"GET", b"http://a.example:80/x", [b"a.example"], (1, 1), "a.example:80", b"/x"),
        (b"GET", b"https://a.example/x", [b"a.example:443"], (1, 1), "a.example", b"/x"),
        (b"GET", b"http://a.example", [b"a.example"], (1, 1), "a.example", b"/"),
        (b"GET", b"http://a.example?x", [b"a.example"], (1, 1), "a.example", b"/?x"),
        (b"OPTIONS", b"http://a.example", [b"a.example"], (1, 1), "a.example", b"*"),
        (b"GET", b"http://a.example/x", [], (1, 0), "a.example", b"/x"),
        (b"GET", b"http://[::1]:8080/x", [b"[0:0::1]:8080"], (1, 1), "[::1]:8080", b"/x"),
    ],
)
def test_an_absolute_target_names_the_host_that_host_names(
    method: bytes, target: bytes, hosts: list[bytes], version: tuple[int, int], authority: str, origin_form: bytes
) -> None:
    parsed = parse_target(method, target, hosts, version)
    assert (parsed.authority, parsed.origin_form) == (authority, origin_form)


def test_a_path_of_an_absolute_target_is_judged_too() -> None:
    with pytest.raises(Refused) as caught:
        parse_target(b"GET", b"http://wiki.example.org/a/../b", HOST, (1, 1))
    assert caught.value.row is TARGET_REFUSED


def test_http_1_0_may_lack_a_host() -> None:
    assert parse_target(b"GET", b"/", [], (1, 0)).host == ""


@pytest.mark.parametrize(
    ("value", "host", "port"),
    [
        (b"a.example", "a.example", None),
        (b"Secret.EXAMPLE.com", "secret.example.com", None),
        (b"a.example:8443", "a.example", 8443),
        (b"a.example:65535", "a.example", 65535),
        (b"my_service", "my_service", None),
        (b"xn--bcher-kva.example", "xn--bcher-kva.example", None),
        (b"1password.example", "1password.example", None),
        (b"10.0.0.5:80", "10.0.0.5", 80),
        (b"[::1]", "[::1]", None),
        (b"[2001:DB8:0:0::1]:443", "[2001:db8::1]", 443),
    ],
)
def test_a_host_has_one_spelling(value: bytes, host: str, port: int | None) -> None:
    assert parse_host(value) == (host, port)


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/", b"/", True),
        ("/", b"/a", True),
        ("/api", b"/api", True),
        ("/api", b"/api/", True),
        ("/api", b"/api/a", True),
        ("/api", b"/apix", False),
        ("/api", b"/api./admin", False),
        ("/api", b"/API", False),
        ("/api", b"/", False),
        ("/api/", b"/api", False),
        ("/api/", b"/api/", True),
        ("/api/", b"/api/a/b", True),
        ("/api/", b"/apix/a", False),
        ("/a b", b"/a%20b/c", True),
        ("/g%2Fn", b"/g%2fn", True),
        ("/g", b"/g%2Fn", False),
    ],
)
def test_a_pattern_matches_whole_segments(pattern: str, path: bytes, matches: bool) -> None:
    assert match_path(pattern, parse_target(b"GET", path, HOST, (1, 1)).segments) is matches


def test_the_asterisk_target_lies_below_the_root_pattern_alone() -> None:
    segments = parse_target(b"OPTIONS", b"*", HOST, (1, 1)).segments
    assert match_path("/", segments)
    assert not match_path("/a", segments)


@pytest.mark.parametrize("pattern", ["", "a", "//", "/a//b", "/../a", "/a/.", "/a%20b", "/a%2fb"])
def test_a_pattern_that_no_path_can_match_is_a_mistake(pattern: str) -> None:
    with pytest.raises(ValueError, match="path must"):
        compile_path(pattern)


# What climbs, in pieces that generation can put together in many ways.
_CLIMBING = """
    / . .. %2e %2E %2f %5c \\ ; ;x= %3b %00 %09 %20 %25 25 2e 2f %c0%ae %u002e %23 %3f ? a b admin %61 %2561 %
    %ef%bc%8e %ef%bc%8f %e2%80%a4 %e2%80%a5 %ef%bc%85
"""


def _judged(target: bytes) -> Target | Row:
    try:
        return parse_target(b"GET", target, HOST, (1, 1))
    except Refused as refused:
        return refused.row


def _climbs(path: str) -> bool:
    """Say whether some reader finds a dot segment by decoding again and again, cutting where readers cut."""
    for _ in range(5):
        for segment in re.split(r"[/\\]", path)[1:]:
            if re.split("[;?#\0]", segment)[0].strip(" \t\r\n") in (".", ".."):
                return True
        decoded = unquote_to_bytes(path.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
        path = unicodedata.normalize("NFKC", decoded)
    return False


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(_CLIMBING.split()), max_size=8).map(lambda pieces: "/" + "".join(pieces)))
def test_no_target_that_passes_climbs_however_often_it_is_decoded(text: str) -> None:
    parsed = _judged(text.encode())
    assert parsed is TARGET_REFUSED or not _climbs(parsed.path.decode())


@settings(deadline=None)
@given(st.binary(max_size=24))
def test_whatever_the_bytes_a_target_passes_unchanged_or_is_refused(raw: bytes) -> None:
    parsed = _judged(b"/" + raw)
    assert parsed is TARGET_REFUSED or (parsed.origin_form == b"/" + raw and re.fullmatch(rb"[!-~]+", b"/" + raw))


@settings(deadline=None)
@given(st.from_regex(rb"[a-zA-Z0-9_.:\[\]-]{0,24}", fullmatch=True) | st.binary(max_size=24))
@example(b"A:]-")
def test_a_host_that_passes_has_one_spelling(raw: bytes) -> None:
    try:
        host, port = parse_host(raw)
    except Refused:
        return
    assert host == host.lower()
    assert parse_host(host.encode() if port is None else f"{host}:{port}".encode()) == (host, port)
