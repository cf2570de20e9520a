"""Header rules: which names pass, and that no spelling of ours does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import FRAMING_REFUSED, Refused
from proxy.http.headers import (
    FORWARDING,
    HOP_BY_HOP,
    IDENTITY,
    IDENTITY_PREFIXES,
    OVERRIDES,
    SPELLED,
    Learned,
    clean_head,
    clean_request,
    clean_response,
    clean_trailers,
    fold,
)
from proxy.http.message import Headers, RequestHead

OURS = [
    b"x-ztproxy-subject",
    b"x-ztproxy-email",
    b"x-ztproxy-groups",
    b"x-ztproxy-assertion",
    b"x-forwarded-client-cert",
    b"client-cert",
    b"client-cert-chain",
    *sorted(FORWARDING),
]


@pytest.mark.parametrize(
    ("name", "folded"),
    [
        (b"X-A", b"x-a"),
        (b"x_a", b"x-a"),
        (b"X.A", b"x-a"),
        (b"x a", b"x-a"),
        (b"x*a", b"x-a"),
        (b"x!a9", b"x-a9"),
    ],
)
def test_a_name_folds_to_what_servers_take_it_for(name: bytes, folded: bytes) -> None:
    assert fold(name) == folded


@pytest.mark.parametrize(
    "name",
    [b"accept", b"authorization", b"content-type", b"x-api-key", b"via", b"origin", b"priority", b"x-correlation-id"],
)
def test_an_end_to_end_field_passes_as_it_is(name: bytes) -> None:
    assert clean_request([(name, b"a"), (name, b"b")]) == ([(name, b"a"), (name, b"b")], [])


@pytest.mark.parametrize(
    "name",
    [
        *sorted(HOP_BY_HOP),
        *sorted(IDENTITY),
        *sorted(OVERRIDES),
        *(prefix + b"x" for prefix in IDENTITY_PREFIXES),
        b"host",
        b"expect",
        b"proxy",
        b"proxy-connection",
        b"proxy-authorization",
        b"proxy_authorization",
        b"keep_alive",
        b"x-forwarded-user",
        b"x-forwarded-port",
        b"x-forwarded",
        b"x-http-method-override",
    ],
)
def test_what_is_of_one_hop_or_says_who_calls_is_dropped(name: bytes) -> None:
    assert clean_request([(name, b"a")]) == ([], [])
    assert clean_trailers([(name, b"a")]) == []


@pytest.mark.parametrize("name", sorted(FORWARDING))
def test_a_forwarding_field_is_handed_back_in_its_one_spelling(name: bytes) -> None:
    fields = [(name, b"a"), (b"accept", b"b"), (name, b"c")]
    assert clean_request(fields) == ([(b"accept", b"b")], [(name, b"a"), (name, b"c")])
    if b"-" in name:
        assert clean_request([(name.replace(b"-", b"_"), b"a")]) == ([], [])


@pytest.mark.parametrize("connection", [b"x-a", b"close, X-A", b"keep-alive ,\tx-a, y"])
def test_what_connection_names_is_dropped(connection: bytes) -> None:
    fields = [(b"x-a", b"1"), (b"connection", connection), (b"x-b", b"2"), (b"x-a", b"3")]
    assert clean_request(fields) == ([(b"x-b", b"2")], [])
    assert clean_response(fields) == [(b"x-b", b"2")]


def test_several_connection_fields_are_one_list() -> None:
    fields = [(b"connection", b"x-a"), (b"connection", b"cookie"), (b"cookie", b"a=1"), (b"x-a", b"1")]
    assert clean_request(fields) == ([], [])
    assert clean_response([*fields, (b"x-b", b"2")]) == [(b"x-b", b"2")]


def test_connection_cannot_hide_the_way_that_a_trusted_proxy_tells() -> None:
    fields = [(b"connection", b"x-forwarded-for"), (b"x-forwarded-for", b"10.0.0.1")]
    assert clean_request(fields) == ([], [(b"x-forwarded-for", b"10.0.0.1")])


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (b"a=1; b=2", b"a=1; b=2"),
        (b"__Host-ztproxy=x; a=1", b"a=1"),
        (b"a=1;ztproxy_session=x;  b=2", b"a=1; b=2"),
        (b"a=1; __Secure-ZTPROXY-csrf=x", b"a=1"),
        (b"a=ztproxy; b=__Host-ztproxy", b"a=ztproxy; b=__Host-ztproxy"),
    ],
)
def test_our_cookies_stay_here(value: bytes, left: bytes) -> None:
    assert clean_request([(b"cookie", value)])[0] == [(b"cookie", left)]


def test_a_cookie_field_of_our_cookies_alone_is_dropped() -> None:
    assert clean_request([(b"cookie", b"__Host-ztproxy=x")])[0] == []


@pytest.mark.parametrize(
    ("credential", "passes"),
    [
        (b"Basic YTpi", True),
        (b"Bearer of-the-application", True),
        (b"Bearer ztcl_" + b"a" * 43, False),
        (b"bearer  ztcl_" + b"a" * 43, False),
        (b"BEARER ztst_" + b"a" * 43, False),
        (b"Basic ztcl_", True),
    ],
)
def test_a_token_of_ours_stays_here_whatever_a_route_passes(credential: bytes, passes: bool) -> None:
    block = clean_head(RequestHead(b"GET", b"/", (1, 1), [(b"authorization", credential), (b"x-a", b"1")]))
    assert (block.passing, block.passes_authorization) == ([(b"x-a", b"1")], passes)


def test_an_upstream_cannot_set_our_cookies() -> None:
    fields = [(b"set-cookie", b"__Host-ztproxy=x; Path=/"), (b"set-cookie", b"a=ztproxy")]
    assert clean_response(fields) == [(b"set-cookie", b"a=ztproxy")]


@pytest.mark.parametrize(
    "name",
    [*sorted(HOP_BY_HOP), b"proxy-connection", b"proxy-authenticate", b"keep_alive", b"transfer_encoding"],
)
def test_an_answer_loses_what_is_of_one_hop(name: bytes) -> None:
    fields = [(b"x-a", b"1"), (name, b"x"), (b"content-type", b"text/plain")]
    assert clean_response(fields) == [(b"x-a", b"1"), (b"content-type", b"text/plain")]


def test_an_answer_keeps_the_proxy_status_of_proxies_before_us() -> None:
    assert clean_response([(b"proxy-status", b"a")]) == [(b"proxy-status", b"a")]


@pytest.mark.parametrize(
    "name",
    [b"content-length", b"transfer_encoding", b"host", b"authorization", b"cookie", b"set-cookie", b"x-ztproxy-email",
     b"content-type", b"location", b"www-authenticate", b"x-request-id", b"cache-control", b"trailer"],
)  # fmt: skip
def test_a_trailer_that_frames_routes_or_identifies_is_dropped(name: bytes) -> None:
    assert clean_trailers([(b"x-sum", b"1"), (name, b"a")]) == [(b"x-sum", b"1")]


@pytest.mark.parametrize("name", [b"grpc-status", b"server-timing", b"digest", b"etag", b"x-sum"])
def test_a_trailer_that_tells_of_the_content_passes(name: bytes) -> None:
    assert clean_trailers([(name, b"a")]) == [(name, b"a")]


@pytest.mark.parametrize("name", [b"Transfer_Encoding", b"TRANSFER.ENCODING", b"Content--Length", b"contentlength"])
def test_a_false_spelling_of_a_framing_name_is_refused(name: bytes) -> None:
    with pytest.raises(Refused) as caught:
        SPELLED[name]
    assert caught.value.row is FRAMING_REFUSED


@pytest.mark.parametrize("name", [b"Content-Length", b"TRANSFER-encoding", b"Content-Length-X", b"X_A"])
def test_other_names_are_spelled_in_lower_case(name: bytes) -> None:
    assert SPELLED[name] == name.lower()


def test_what_is_learned_of_names_is_bounded() -> None:
    learned: Learned[bytes] = Learned(bytes.upper)
    for number in range(3 * Learned.BOUND):
        assert learned[b"x-%d" % number] == b"X-%d" % number
        assert len(learned) <= Learned.BOUND
    long = b"x" * (Learned.LONGEST + 1)
    assert learned[long] == long.upper()
    assert long not in learned


_SEPARATORS = st.sampled_from([b"-", b"_", b".", b"!", b"~", b"*"])


@st.composite
def _spellings(draw: st.DrawFn) -> bytes:
    """Draw a spelling of one of our names as a client may send it."""
    name = draw(st.sampled_from(OURS))
    return b"".join(
        draw(_SEPARATORS) if byte == 0x2D else draw(st.sampled_from([bytes([byte]), bytes([byte]).upper()]))
        for byte in name
    )


@settings(deadline=None)
@given(st.lists(_spellings() | st.sampled_from([b"Accept", b"X-A"]), max_size=8))
def test_no_spelling_of_a_name_of_ours_survives(names: list[bytes]) -> None:
    headers: Headers = [(SPELLED[name], b"forged") for name in names]
    kept, forwarded = clean_request(headers)
    assert not {fold(name) for name, _ in kept} & set(OURS)
    assert {name for name, _ in forwarded} <= FORWARDING
    assert not {fold(name) for name, _ in clean_trailers(headers)} & set(OURS)


_ANY_NAME = st.from_regex(rb"[!#$%&'*+.^_`|~0-9a-z-]{1,12}", fullmatch=True)


@settings(deadline=None)
@given(st.lists(st.tuples(_ANY_NAME | st.sampled_from(OURS), st.just(b"v")), max_size=8))
def test_what_is_clean_stays_as_it_is(headers: Headers) -> None:
    kept, _ = clean_request(headers)
    assert clean_request(kept) == (kept, [])
    assert [pair for pair in headers if pair in kept] == kept
