"""A case as the head of a request, by the bytes and the parser of the gateway: what it would refuse is refused here."""

from __future__ import annotations

from typing import Final

from proxy.config.limits import Limits
from proxy.errors import REQUEST_MALFORMED, Refused
from proxy.http.h1 import HeadLimits, RequestHeadParser
from proxy.http.message import RequestHead
from proxy.workbench.case import Case, split_url

# What a page of the application itself makes a browser say (Fetch Metadata).
_OWN_PAGE: Final = ("sec-fetch-site", "same-origin")
_SAYS_WHENCE: Final = ("sec-fetch-site", "origin")


def read_head(case: Case, limits: Limits, *, on_session: bool) -> RequestHead:
    """Return the head of a case.

    Args:
        case: the request.
        limits: the bounds of a head.
        on_session: it rides on a session's cookie, so a browser sends it, from a page of the application unless the
            case says otherwise.

    Raises:
        Refused: as the gateway refuses it.
        ValueError: no client could write it.
    """
    _, authority, target = split_url(case.url)
    fields = [] if case.says("host") else [("host", authority)]
    fields += [(name, value) for name, value in case.headers]
    if on_session and not any(map(case.says, _SAYS_WHENCE)):
        fields.append(_OWN_PAGE)
    if case.has_body and not (case.says("content-length") or case.says("transfer-encoding")):
        fields.append(("content-length", "1"))
    lines = [f"{case.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("method, URL and header fields must each be one line")
    bounds = HeadLimits(limits.header_bytes, limits.header_count, limits.target_length)
    head = RequestHeadParser(bounds).parse(bytearray("\r\n".join([*lines, "", ""]).encode("utf-8")))
    if head is None:
        raise Refused(REQUEST_MALFORMED, "a head must end at its empty line")
    return head
