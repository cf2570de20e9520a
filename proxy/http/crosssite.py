"""Whether a page of somebody else's makes a browser spend its session: said of requests that ride on a cookie alone.

`SameSite=Lax` keeps other sites' forms out, not those of a sibling host, and no WebSocket asks for permission to read.
So what changes something, or opens a socket, must say where it comes from (Fetch Metadata, RFC 6454).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from proxy.errors import CROSS_SITE_REFUSED, Refused
from proxy.http.message import RequestHead

SAFE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"QUERY", b"PROPFIND", b"SEARCH", b"REPORT"})
_OWN: Final = frozenset({b"same-origin", b"none"})


def is_unsafe(head: RequestHead) -> bool:
    """Tell whether a request may change something, or opens a WebSocket."""
    return head.method not in SAFE or head.opens_websocket


def require_same_site(head: RequestHead, origin: str, others: Collection[str]) -> None:
    """Refuse a request that rides on a session and may have been made by a page of another origin.

    `Sec-Fetch-Site`, which pages cannot write, settles it where it says `same-origin` or `none`; else `Origin` must be
    one that is allowed.

    Args:
        head: the request, which `is_unsafe`.
        origin: of the route, such as `https://wiki.example.org`.
        others: origins that may too.

    Raises:
        Refused: CROSS_SITE_REFUSED.
    """
    sites, origins = head.values(b"sec-fetch-site"), head.values(b"origin")
    if len(sites) == 1 and sites[0] in _OWN:
        return
    if len(origins) == 1 and len(sites) <= 1:
        asked = origins[0].decode("latin-1")
        if asked == origin or asked in others:
            return
    raise Refused(CROSS_SITE_REFUSED, "a request on a session must come from the route's origin or one of its origins")
