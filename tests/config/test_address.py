"""Socket addresses and URLs."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.address import URL, Address, parse_address, parse_host, parse_url


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8443", Address("tcp", "127.0.0.1", 8443)),
        ("0.0.0.0:0", Address("tcp", "0.0.0.0", 0)),
        ("[::1]:80", Address("tcp", "::1", 80)),
        ("[0:0::0:1]:80", Address("tcp", "::1", 80)),
        ("LocalHost:1", Address("tcp", "localhost", 1)),
        ("unix:/run/edge.sock", Address("unix", path="/run/edge.sock")),
    ],
)
def test_an_address_is_read(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "", ":", ":80", "80", "localhost", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1",
        "127.0.0.1:080", "127.0.0.1:8_0", "127.0.0.1:80 ", " 127.0.0.1:80", "127.0.0.01:80", "127.1:80", "1:80",
        "0x7f.0.0.1:80", "::1:80", "::1", "[::1]", "[::1%lo]:80", "[127.0.0.1]:80", "[]:80", "a b:80", "a..b:80",
        "-a:80", "http://a:80", "unix:", "unix:run.sock", "unix:/run/", "unix:/" + "a" * 108, "exämple.org:1", "a\n:1",
    ],
)  # fmt: skip
def test_an_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("127.0.0.1:1", True), ("127.8.8.8:1", True), ("[::1]:1", True), ("localhost:1", True), ("unix:/a", True),
        ("0.0.0.0:1", False), ("[::]:1", False), ("10.0.0.1:1", False), ("example.org:1", False),
    ],
)  # fmt: skip
def test_loopback_is_known_by_its_name(text: str, loopback: bool) -> None:
    assert parse_address(text).is_loopback is loopback


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://a.example", URL("http", "a.example", 80, "")),
        ("HTTPS://A.Example:8443/x/y?z=1", URL("https", "a.example", 8443, "/x/y?z=1")),
        ("https://[::1]/", URL("https", "::1", 443, "/")),
        ("http://10.0.0.5:8080", URL("http", "10.0.0.5", 8080, "")),
    ],
)
def test_a_url_is_read(text: str, url: URL) -> None:
    assert parse_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "", "a.example", "//a.example", "ftp://a.example", "http:a.example", "http:///x", "http://", "http://u@a.example",
        "http://u:p@a.example", "http://a.example#f", "http://a.example/#", "http://a.example:0", "http://a.example:99999",
        "http://a.example:", "http://a.example\\@b", "http://a example", "http://a.example/ä", "http://a.example\n",
        "http://[::1", "http://::1/", "http://[v1.x]/", "http://010.0.0.1", "http://a.example?x", "http://a%2eb",
        "http://a.example/\"",
    ],
)  # fmt: skip
def test_a_url_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_url(text)


@given(st.text())
def test_no_text_makes_a_parser_fail_otherwise(text: str) -> None:
    for parse in (parse_address, parse_url, parse_host):
        for spelled in (text, f"http://{text}", f"unix:{text}", f"[{text}]", f"a:{text}"):
            with contextlib.suppress(ValueError):
                parse(spelled)
