"""What rides on a session says where it comes from."""

from __future__ import annotations

import pytest

from proxy.errors import Refused
from proxy.http.crosssite import require_same_site
from proxy.http.message import RequestHead

WIKI = "https://wiki.example.org"
OTHERS = ("https://editor.example.org",)


def head(*fields: tuple[bytes, bytes]) -> RequestHead:
    return RequestHead(b"POST", b"/", (1, 1), list(fields))


@pytest.mark.parametrize(
    "fields",
    [
        [(b"sec-fetch-site", b"same-origin")],
        [(b"sec-fetch-site", b"none")],
        [(b"sec-fetch-site", b"same-origin"), (b"origin", b"null")],
        [(b"origin", b"https://wiki.example.org")],
        [(b"origin", b"https://editor.example.org")],
        [(b"sec-fetch-site", b"same-site"), (b"origin", b"https://editor.example.org")],
    ],
)
def test_the_routes_own_pages_and_those_it_names_may(fields: list[tuple[bytes, bytes]]) -> None:
    require_same_site(head(*fields), WIKI, OTHERS)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b"sec-fetch-site", b"cross-site")],
        [(b"sec-fetch-site", b"same-site")],
        [(b"sec-fetch-site", b"same-site"), (b"origin", b"https://other.example.org")],
        [(b"sec-fetch-site", b"same-origin"), (b"sec-fetch-site", b"cross-site")],
        [(b"sec-fetch-site", b"Same-Origin")],
        [(b"origin", b"null")],
        [(b"origin", b"http://wiki.example.org")],
        [(b"origin", b"https://wiki.example.org:8443")],
        [(b"origin", b"https://wiki.example.org.evil.example")],
        [(b"origin", b"https://wiki.example.org"), (b"origin", b"https://evil.example")],
        [(b"referer", b"https://wiki.example.org/")],
    ],
)
def test_any_other_page_may_not(fields: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Refused) as refused:
        require_same_site(head(*fields), WIKI, OTHERS)
    assert refused.value.row.code == "cross_site_refused"
