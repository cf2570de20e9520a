"""Our cookies: read strictly, and set for one host alone."""

from __future__ import annotations

import pytest

from proxy.http.cookies import BEGUN, HANDLE, clear_cookie, cookies_of, handle_of, set_cookie
from proxy.http.message import Headers

GOOD, OTHER = b"A" * 43, b"B" * 43


def cookie(*values: bytes) -> Headers:
    return [(b"accept", b"*/*"), *((b"cookie", value) for value in values)]


@pytest.mark.parametrize(
    "headers",
    [
        cookie(b"__Host-ztproxy=" + GOOD),
        cookie(b"a=b; __Host-ztproxy=" + GOOD + b"; c=d"),
        cookie(b"a=b;__Host-ztproxy=" + GOOD),
        cookie(b"a=b", b"__Host-ztproxy=" + GOOD),
        cookie(b"__Host-ztproxy-nonce=" + OTHER + b"; __Host-ztproxy=" + GOOD),
        cookie(b"x__Host-ztproxy=" + OTHER + b"; __Host-ztproxy=" + GOOD),
    ],
)
def test_a_handle_is_found_among_other_cookies(headers: Headers) -> None:
    assert handle_of(headers) == GOOD


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"a=b",
        b"__Host-ztproxy",
        b"__Host-ztproxy=",
        b"__Host-ztproxy=" + GOOD[1:],
        b"__Host-ztproxy=" + GOOD + b"A",
        b"__Host-ztproxy=" + GOOD[1:] + b"=",
        b"__Host-ztproxy=" + GOOD[1:] + b"\xe4",
        b'__Host-ztproxy="' + GOOD + b'"',
        b"__host-ztproxy=" + GOOD,
        b"__HOST-ZTPROXY=" + GOOD,
        b"__%48ost-ztproxy=" + GOOD,
        b"__Host-ztproxy =" + GOOD,
        b"$__Host-ztproxy=" + GOOD,
        b"ztproxy=" + GOOD,
        b"__Secure-ztproxy=" + GOOD,
        b"__Host-ztproxy=" + GOOD + b", __Host-ztproxy=" + GOOD,
        b"a=__Host-ztproxy=" + GOOD,
    ],
)
def test_what_is_not_our_handle_to_the_letter_is_none(value: bytes) -> None:
    assert handle_of(cookie(value)) is None


@pytest.mark.parametrize(
    "headers",
    [
        cookie(b"__Host-ztproxy=" + GOOD + b"; __Host-ztproxy=" + OTHER),
        cookie(b"__Host-ztproxy=" + GOOD + b"; __Host-ztproxy=" + GOOD),
        cookie(b"__Host-ztproxy=" + GOOD, b"__Host-ztproxy=" + OTHER),
        cookie(b"__Host-ztproxy=" + GOOD + b"; __Host-ztproxy=x"),
    ],
)
def test_two_handles_are_none(headers: Headers) -> None:
    assert handle_of(headers) is None
    assert HANDLE not in cookies_of(headers)


def test_a_crowded_jar_holds_no_handle_and_does_no_harm() -> None:
    assert handle_of(cookie(b"; ".join(b"c%d=%d" % (i, i) for i in range(5000)))) is None


def test_cookies_of_ours_are_read_by_name() -> None:
    headers = cookie(b"a=b; __Host-ztproxy-nonce=n.0.1; __Host-ztproxy-begun-0=x", b"__Host-ztproxy-provider=corp; z")
    assert cookies_of(headers) == {
        b"__Host-ztproxy-nonce": b"n.0.1",
        BEGUN + b"0": b"x",
        b"__Host-ztproxy-provider": b"corp",
    }


def test_a_cookie_is_for_one_host_and_no_script() -> None:
    assert set_cookie(HANDLE, GOOD, 60) == (
        b"set-cookie",
        b"__Host-ztproxy=" + GOOD + b"; Max-Age=60; Path=/; Secure; HttpOnly; SameSite=Lax",
    )
    assert clear_cookie(HANDLE)[1].startswith(b"__Host-ztproxy=; Max-Age=0; Path=/; Secure")


@pytest.mark.parametrize(
    ("name", "value"),
    [(b"ztproxy", b"x"), (HANDLE, b"x; Domain=evil.example"), (HANDLE, b"x\r\na: b"), (HANDLE + b"=", b"")],
)
def test_what_would_be_another_cookie_is_never_set(name: bytes, value: bytes) -> None:
    with pytest.raises(ValueError, match="must be a __Host- one"):
        set_cookie(name, value, 60)
