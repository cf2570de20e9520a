"""What the upstream is told: the way of a request, its caller, its client certificate."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import INPUT_REFUSED, REQUEST_MALFORMED, Refused
from proxy.http.forwarding import (
    client_certificate_fields,
    forwarding_fields,
    identity_fields,
    request_id_of,
    source_of,
)
from proxy.http.message import Headers

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))
TRACE = ("a" * 32, "b" * 16)


def _way(forwarded: Headers, remote: str = "10.0.0.1", header: str = "x-forwarded-for") -> dict[bytes, bytes]:
    fields = forwarding_fields(
        forwarded, remote=remote, scheme="https", authority="a.example", request_id="r", trace=TRACE, header=header
    )
    assert len(dict(fields)) == len(fields)
    return dict(fields)


def _xff(*values: str) -> Headers:
    return [(b"x-forwarded-for", value.encode("latin-1")) for value in values]


def _forwarded(*values: str) -> Headers:
    return [(b"forwarded", value.encode("latin-1")) for value in values]


@pytest.mark.parametrize(
    ("forwarded", "header", "source"),
    [
        ([], "x-forwarded-for", "10.0.0.1"),
        (_xff("203.0.113.9"), "x-forwarded-for", "203.0.113.9"),
        (_xff("1.1.1.1, 203.0.113.9"), "x-forwarded-for", "203.0.113.9"),  # the left is the client's word
        (_xff("1.1.1.1, 203.0.113.9, 10.0.0.7"), "x-forwarded-for", "203.0.113.9"),
        (_xff("1.1.1.1", "203.0.113.9", "10.0.0.7"), "x-forwarded-for", "203.0.113.9"),
        (_xff("garbage, 203.0.113.9"), "x-forwarded-for", "203.0.113.9"),
        (_xff("10.0.0.8, 10.0.0.7"), "x-forwarded-for", "10.0.0.8"),
        (_xff("203.0.113.9:4711"), "x-forwarded-for", "203.0.113.9"),
        (_xff("[2001:DB9::9]:4711"), "x-forwarded-for", "2001:db9::9"),
        (_xff("2001:db9::9, 2001:db8::7"), "x-forwarded-for", "2001:db9::9"),
        (_xff("203.0.113.9, ::ffff:10.0.0.7"), "x-forwarded-for", "203.0.113.9"),
        (_xff("203.0.113.9") + _forwarded("for=1.1.1.1"), "x-forwarded-for", "203.0.113.9"),
        (_forwarded("for=203.0.113.9"), "x-forwarded-for", "10.0.0.1"),
        (_forwarded("for=1.1.1.1, For=203.0.113.9;proto=https;by=10.0.0.7"), "forwarded", "203.0.113.9"),
        (_forwarded('for="[2001:db9::9]:80"', "for=10.0.0.7"), "forwarded", "2001:db9::9"),
        (_forwarded('for="203.0.113.9";;host=a;'), "forwarded", "203.0.113.9"),
        (_xff("1.1.1.1") + _forwarded("for=203.0.113.9"), "forwarded", "203.0.113.9"),
        (_xff("1.1.1.1"), "forwarded", "10.0.0.1"),
    ],
)
def test_the_source_is_the_rightmost_address_that_is_no_trusted_proxy(
    forwarded: Headers, header: str, source: str
) -> None:
    assert source_of(forwarded, header, "10.0.0.1", TRUSTED) == source


@pytest.mark.parametrize(
    ("forwarded", "header"),
    [
        (_xff("unknown"), "x-forwarded-for"),
        (_xff("203.0.113.9,"), "x-forwarded-for"),
        (_xff("203.0.113.9, 10.0.0.300"), "x-forwarded-for"),
        (_xff("203.0.113.9, 10.0.0.7%eth0"), "x-forwarded-for"),
        (_xff("203.0.113.9, 010.0.0.7"), "x-forwarded-for"),
        (_xff("203.0.113.9 10.0.0.7"), "x-forwarded-for"),
        (_xff("٢.2.2.2".encode().decode("latin-1")), "x-forwarded-for"),
        (_forwarded("for=unknown"), "forwarded"),
        (_forwarded("for=_hidden"), "forwarded"),
        (_forwarded("proto=https"), "forwarded"),
        (_forwarded("for=1.1.1.1;for=10.0.0.7"), "forwarded"),
        (_forwarded('for=10.0.0.8;x=", for=203.0.113.9'), "forwarded"),  # an open quote
        (_forwarded('for="10.0.0.8, for=203.0.113.9'), "forwarded"),
        (_forwarded("for = 203.0.113.9"), "forwarded"),
    ],
)
def test_an_address_that_is_needed_and_is_none_is_refused(forwarded: Headers, header: str) -> None:
    with pytest.raises(Refused) as caught:
        source_of(forwarded, header, "10.0.0.1", TRUSTED)
    assert caught.value.row is REQUEST_MALFORMED


def test_a_long_way_is_walked_in_bounded_steps() -> None:
    assert source_of(_xff(",".join(["10.0.0.7"] * 20_000)), "x-forwarded-for", "10.0.0.1", TRUSTED) == "10.0.0.7"
    with pytest.raises(Refused):
        source_of(_forwarded('for="' + '\\"' * 20_000), "forwarded", "10.0.0.1", TRUSTED)


def test_nobody_is_believed_who_is_not_trusted() -> None:
    assert _way([]) == {
        b"x-forwarded-for": b"10.0.0.1",
        b"x-forwarded-proto": b"https",
        b"x-forwarded-host": b"a.example",
        b"forwarded": b'for=10.0.0.1;host="a.example";proto=https',
        b"x-request-id": b"r",
        b"traceparent": b"00-%b-%b-00" % (b"a" * 32, b"b" * 16),
    }


def test_an_ipv6_address_is_quoted_in_forwarded() -> None:
    way = _way([], remote="2001:db8::1")
    assert way[b"x-forwarded-for"] == b"2001:db8::1"
    assert way[b"forwarded"].startswith(b'for="[2001:db8::1]";')


def test_a_request_without_host_tells_none() -> None:
    fields = forwarding_fields([], remote="10.0.0.1", scheme="http", authority="", request_id="r", trace=TRACE)
    assert b"x-forwarded-host" not in dict(fields)


@pytest.mark.parametrize(
    ("forwarded", "header", "xff", "nodes"),
    [
        (_xff("203.0.113.9"), "x-forwarded-for", b"203.0.113.9, 10.0.0.1", b"for=203.0.113.9, for=10.0.0.1;"),
        (_xff("a", "203.0.113.9"), "x-forwarded-for", b"203.0.113.9, 10.0.0.1", b"for=203.0.113.9, for=10.0.0.1;"),
        (_xff("a"), "x-forwarded-for", b"10.0.0.1", b"for=10.0.0.1;"),
        (
            _xff("203.0.113.9") + _forwarded("for=1.1.1.1"),
            "x-forwarded-for",
            b"203.0.113.9, 10.0.0.1",
            b"for=203.0.113.9, for=10.0.0.1;",
        ),
        (
            _xff("1.1.1.1") + _forwarded('for="[2001:db9::9]";proto=http'),
            "forwarded",
            b"2001:db9::9, 10.0.0.1",
            b'for="[2001:db9::9]", for=10.0.0.1;',
        ),
    ],
)
def test_both_fields_tell_the_way_of_the_believed_one(
    forwarded: Headers, header: str, xff: bytes, nodes: bytes
) -> None:
    way = _way(forwarded, header=header)
    assert way[b"x-forwarded-for"] == xff
    assert way[b"forwarded"].startswith(nodes)


@pytest.mark.parametrize(
    ("forwarded", "header", "proto", "host"),
    [
        ([(b"x-forwarded-proto", b"http"), (b"x-forwarded-host", b"b:81")], "x-forwarded-for", b"http", b"b:81"),
        ([(b"x-forwarded-proto", b"gopher")], "x-forwarded-for", b"https", b"a.example"),
        ([(b"x-forwarded-proto", b"http"), (b"x-forwarded-proto", b"http")], "x-forwarded-for", b"https", b"a.example"),
        ([(b"x-forwarded-host", b"b.example, c.example")], "x-forwarded-for", b"https", b"a.example"),
        ([(b"x-forwarded-host", b"")], "x-forwarded-for", b"https", b"a.example"),
        ([(b"x-forwarded-proto", b"http"), (b"x-forwarded-host", b"b.example")], "forwarded", b"https", b"a.example"),
        (_forwarded("for=1.1.1.1;proto=http;host=b.example"), "forwarded", b"http", b"b.example"),
    ],
)  # fmt: skip
def test_scheme_and_host_of_the_first_hop_are_told_where_they_are_sane(
    forwarded: Headers, header: str, proto: bytes, host: bytes
) -> None:
    way = _way(forwarded, header=header)
    assert (way[b"x-forwarded-proto"], way[b"x-forwarded-host"]) == (proto, host)
    assert way[b"forwarded"].endswith(b';host="a.example";proto=https')


PARENT = b"00-" + b"c" * 32 + b"-" + b"d" * 16 + b"-01"


@pytest.mark.parametrize(
    ("forwarded", "parent", "state"),
    [
        ([(b"traceparent", PARENT)], b"00-" + b"c" * 32 + b"-" + b"b" * 16 + b"-01", None),
        ([(b"traceparent", PARENT), (b"tracestate", b"a=1"), (b"tracestate", b"b=2")], None, b"a=1,b=2"),
        ([(b"traceparent", PARENT), (b"tracestate", b"a" * 513)], None, None),
        ([(b"traceparent", PARENT), (b"traceparent", PARENT)], b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-00", None),
        ([(b"traceparent", PARENT.upper())], b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-00", None),
        ([(b"traceparent", PARENT.replace(b"c", b"0"))], b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-00", None),
        ([(b"traceparent", b"01" + PARENT[2:])], b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-00", None),
        ([(b"tracestate", b"a=1")], b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-00", None),
    ],
)
def test_a_trace_goes_on_with_our_span_or_begins_anew(
    forwarded: Headers, parent: bytes | None, state: bytes | None
) -> None:
    way = _way(forwarded)
    assert parent is None or way[b"traceparent"] == parent
    assert way.get(b"tracestate") == state


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([b"abc-123"], "abc-123"),
        ([b"a" * 128], "a" * 128),
        ([], None),
        ([b"a" * 129], None),
        ([b""], None),
        ([b"a b"], None),
        ([b"a", b"a"], None),
        ([b'"a"'], None),
        ([b"\xff"], None),
    ],
)
def test_a_request_id_is_believed_if_it_is_one_token(values: list[bytes], found: str | None) -> None:
    assert request_id_of([(b"x-request-id", value) for value in values]) == found


def test_identity_is_told_in_fields_of_ours() -> None:
    assert identity_fields("ana", "ana@example.org", ("eng", "ops")) == [
        (b"x-ztproxy-subject", b"ana"),
        (b"x-ztproxy-email", b"ana@example.org"),
        (b"x-ztproxy-groups", b"eng,ops"),
    ]
    assert identity_fields("spiffe://example.org/ns/ci", "", ()) == [
        (b"x-ztproxy-subject", b"spiffe://example.org/ns/ci")
    ]


def test_nobody_has_no_identity_fields() -> None:
    assert identity_fields("", "ana@example.org", ("eng",)) == []


@pytest.mark.parametrize(
    ("subject", "spelled"),
    [
        ("a b", b"a%20b"),
        (" admin", b"%20admin"),
        ("admin\t", b"admin%09"),
        ("a\r\nX-Ztproxy-Groups: admin", b"a%0D%0AX-Ztproxy-Groups:%20admin"),
        ("a\0", b"a%00"),
        ("50%", b"50%25"),
        ("a%20b", b"a%2520b"),
        ("Žofie", b"%C5%BDofie"),
        ('a"b\\c,d;e', b'a"b\\c,d;e'),
    ],
)
def test_an_identity_is_spelled_in_visible_ascii(subject: str, spelled: bytes) -> None:
    assert identity_fields(subject, "", ())[0][1] == spelled


def test_a_comma_in_a_group_is_not_one_between_groups() -> None:
    assert identity_fields("a", "", ("x,admin", "é"))[1][1] == b"x%2Cadmin,%C3%A9"


def test_a_lone_surrogate_is_refused() -> None:
    for values in (("\ud800", "", ()), ("a", "\ud800", ()), ("a", "", ("\ud800",))):
        with pytest.raises(Refused) as caught:
            identity_fields(*values)
        assert caught.value.row is INPUT_REFUSED


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@settings(deadline=None)
@given(_TEXT, _TEXT, st.lists(_TEXT, max_size=4))
def test_an_identity_is_read_back_as_it_was(subject: str, email: str, groups: list[str]) -> None:
    fields = dict(identity_fields(subject, email, groups))
    assert all(0x21 <= byte <= 0x7E for value in fields.values() for byte in value)
    assert unquote(fields[b"x-ztproxy-subject"].decode()) == subject
    assert unquote(fields[b"x-ztproxy-email"].decode()) == email
    told = fields.get(b"x-ztproxy-groups")
    assert [unquote(group) for group in told.decode().split(",")] == groups if told is not None else not groups


@dataclass(frozen=True)
class Facts:
    der: bytes = b"leaf"
    sha256: str = "ab" * 32
    subject: str = "CN=runner,O=Example"
    uri: str = "spiffe://example.org/ns/ci"
    dns: tuple[str, ...] = ()
    chain: tuple[bytes, ...] = ()


def test_xfcc_is_told_in_envoys_format() -> None:
    facts = Facts(dns=("a.example", "*.b.example"))
    assert client_certificate_fields("xfcc", [], facts) == [
        (
            b"x-forwarded-client-cert",
            b"Hash=" + b"ab" * 32 + b';Subject="CN=runner,O=Example";URI=spiffe://example.org/ns/ci'
            b";DNS=a.example;DNS=*.b.example",
        )
    ]


@pytest.mark.parametrize(
    ("subject", "quoted"),
    [
        ('CN=a";URI=spiffe://example.org/admin', b'"CN=a\\";URI=spiffe://example.org/admin"'),
        ('CN=a\\";URI=x', b'"CN=a\\\\\\";URI=x"'),
        ("CN=a\\", b'"CN=a\\\\"'),
        ("CN=é\r\n", b'"CN=%C3%A9%0D%0A"'),
        ("", b'""'),
    ],
)
def test_a_subject_cannot_end_its_quotes(subject: str, quoted: bytes) -> None:
    ((_, value),) = client_certificate_fields("xfcc", [], Facts(subject=subject))
    assert b";Subject=" + quoted + b";URI=" in value


def test_a_name_with_syntax_in_it_is_quoted() -> None:
    ((_, value),) = client_certificate_fields("xfcc", [], Facts(dns=("a,By=b", "c=d", "")))
    assert value.endswith(b';DNS="a,By=b";DNS="c=d";DNS=""')


def test_a_certificate_without_a_uri_has_none_in_xfcc() -> None:
    ((_, value),) = client_certificate_fields("xfcc", [], Facts(uri="", dns=("a.example",)))
    assert value == b"Hash=" + b"ab" * 32 + b';Subject="CN=runner,O=Example";DNS=a.example'


def test_elements_of_a_trusted_proxy_stand_before_ours() -> None:
    forwarded = [(b"x-forwarded-client-cert", b"Hash=1"), (b"x-forwarded-client-cert", b"Hash=2")]
    ((_, value),) = client_certificate_fields("xfcc", forwarded, Facts())
    assert value.startswith(b"Hash=1,Hash=2,Hash=abab")
    assert client_certificate_fields("xfcc", forwarded, None) == [(b"x-forwarded-client-cert", b"Hash=1,Hash=2")]


def test_rfc_9440_fields_are_byte_sequences() -> None:
    assert client_certificate_fields("rfc9440", [], Facts(chain=(b"one", b"two"))) == [
        (b"client-cert", b":bGVhZg==:"),
        (b"client-cert-chain", b":b25l:, :dHdv:"),
    ]
    assert client_certificate_fields("rfc9440", [], Facts()) == [(b"client-cert", b":bGVhZg==:")]


@pytest.mark.parametrize("mode", ["none", "xfcc", "rfc9440"])
def test_without_a_certificate_nothing_is_told(mode: str) -> None:
    assert client_certificate_fields(mode, [], None) == []


def test_none_tells_nothing_of_a_certificate() -> None:
    assert client_certificate_fields("none", [(b"x-forwarded-client-cert", b"Hash=1")], Facts()) == []
