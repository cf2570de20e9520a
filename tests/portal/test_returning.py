"""Return addresses: ours exactly, and nobody else's in any spelling."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

import pytest

from proxy.http.target import parse_target
from proxy.portal.request import Place
from proxy.portal.returning import Return, Returns, authority_of, return_to
from tests.suites import suite

# What oauth2-proxy's suite allows, as far as routes can say so: hosts, and one label below a domain.
HOSTS = {"foo.bar", "bar.foo", "baz.bar.foo", "port.bar", "anyport.bar", "wildcard.bar", "foo.wildcard.bar"}
BASE = "foo.bar"


def places(host: str, segments: tuple[str, ...]) -> Place | None:
    return Place(host, host) if host in HOSTS and segments[:1] != ("closed",) else None


RETURNS = Returns("access.foo.bar", 443, places)
ELSEWHERE = Returns("access.foo.bar", 8080, places)


def entries() -> list[tuple[str, str, bool]]:
    text = suite("paths/open-redirect-entries.txt").read_text(encoding="utf-8")
    rows = re.findall(r'^Entry\("([^"]*)", "((?:[^"\\]|\\.)*)", (true|false)\)', text, re.MULTILINE)
    escapes = {"\\\\": "\\", "\\t": "\t", "\\v": "\v", "\\n": "\n", "\\r": "\r"}
    return [(name, re.sub(r"\\.", lambda m: escapes[m[0]], url), verdict == "true") for name, url, verdict in rows]


ENTRIES = entries()


def as_a_browser_reads(url: str, base: str) -> str:
    """Return the host that a browser would go to (WHATWG URL): it drops tabs and line ends, and `\\` is `/`."""
    text = re.sub(r"[\t\n\r]", "", url.strip("".join(map(chr, range(33))))).replace("\\", "/")
    split = urlsplit(text)
    return split.hostname or (base if not text.startswith("//") else "")


def test_the_suite_is_read_whole() -> None:
    assert len(ENTRIES) == 57
    assert sum(RETURNS.read(url, BASE) is not None for _, url, _ in ENTRIES) == 5  # https, on one of our routes' hosts


@pytest.mark.parametrize(("name", "url", "valid"), ENTRIES, ids=[name for name, _, _ in ENTRIES])
@pytest.mark.parametrize("returns", [RETURNS, ELSEWHERE], ids=["443", "8080"])
def test_what_the_suite_refuses_is_refused(returns: Returns, name: str, url: str, valid: bool) -> None:
    accepted = returns.read(url, BASE)
    if accepted is None:
        return
    assert valid
    host, _, port = accepted.authority.partition(":")
    assert host in HOSTS
    assert (port or "443") == ("443" if returns is RETURNS else "8080")
    assert as_a_browser_reads(url, BASE) == host


@pytest.mark.parametrize(("name", "url", "valid"), ENTRIES, ids=[name for name, _, _ in ENTRIES])
@pytest.mark.parametrize("encode", ["%{:02x}", "%25{:02x}"])
def test_what_the_suite_refuses_is_refused_in_other_encodings(name: str, url: str, valid: bool, encode: str) -> None:
    hidden = "".join(c if c.isalnum() or c in "/:.?=-" else encode.format(ord(c)) for c in url)
    accepted = RETURNS.read(hidden, BASE)
    if accepted is not None:
        assert accepted.authority in HOSTS
        assert accepted.path.startswith("/")
        assert not unquote(accepted.path).startswith(("//", "/\\", "/\t", "/\n", "/\r"))


@pytest.mark.parametrize(
    "url",
    [
        "https://foo.bar@evil.corp/",
        "https://foo.bar:evil@evil.corp/",
        "https://evil.corp\\.foo.bar/",
        "https://foo.bar\\@evil.corp/",
        "https://foo.bar%2eevil.corp/",
        "https://foo.bar./",
        "https:/evil.corp",
        "https:evil.corp",
        "https:///evil.corp",
        "HTTPS://foo.bar/",
        "http://foo.bar/",
        "javascript:alert(1)",
        "data:text/html,x",
        "//foo.bar/",
        "/%0a/evil.com",
        "/%09/evil.com",
        "/%5cevil.com",
        "/ /evil.com",
        "/x\r\nset-cookie: a=b",
        "https://foo.bar/\r\nset-cookie: a=b",
        "/x#fragment",
        "https://foo.bar:8443/",
        "https://foo.bar/closed",
        "https://foo.bar/.ztproxy/sign-in",
        "https://access.foo.bar/.ztproxy/sign-out",
        "https://access.foo.bar/.ztproxy/callback/corp",
        "https://[::1]/",
        "https://0x7f.1/",
        "https://föö.bar/",
        "/" + "a" * 10000,
        "",
    ],
)
def test_an_address_that_is_not_ours_in_every_reading_is_refused(url: str) -> None:
    assert RETURNS.read(url, BASE) is None


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("/a/b?c=d&e=//evil.corp", Return("foo.bar", "/a/b?c=d&e=//evil.corp")),
        ("https://foo.bar", Return("foo.bar", "/")),
        ("https://foo.bar:443/x", Return("foo.bar", "/x")),
        ("https://FOO.bar/X?", Return("foo.bar", "/X?")),
        ("https://access.foo.bar/.ztproxy/who", Return("access.foo.bar", "/.ztproxy/who")),
    ],
)
def test_an_address_of_ours_is_kept_to_the_letter(url: str, address: Return) -> None:
    assert RETURNS.read(url, BASE) == address
    assert RETURNS.accepts(address)


def test_a_path_needs_the_host_that_it_is_on() -> None:
    assert RETURNS.read("/a", None) is None
    assert RETURNS.read("/a", "evil.corp") is None


def test_an_address_too_long_for_a_cookie_loses_its_query_and_then_its_path() -> None:
    def asked(target: str) -> str:
        return return_to(parse_target(b"GET", target.encode(), [b"foo.bar"], (1, 1))).path

    assert asked("/a?" + "q" * 1917) == "/a?" + "q" * 1917
    assert asked("/a?" + "q" * 1918) == "/a"
    assert asked("/a?" + '"' * 959) == "/a"
    assert asked("/" + "a" * 1920) == "/"


def test_a_default_port_is_not_spelled() -> None:
    assert authority_of("foo.bar", None) == authority_of("foo.bar", 443) == "foo.bar"
    assert authority_of("foo.bar", 8443) == "foo.bar:8443"
