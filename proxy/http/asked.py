"""The request that another gateway asks about: read out of the gateway's own request, one dialect per endpoint.

    /api/authz/auth-request   nginx `auth_request`: X-Original-Method and X-Original-URL
    /api/authz/forward-auth   Traefik and Caddy: X-Forwarded-Method, -Proto, -Host and -Uri
    /api/authz/ext-authz/…    Envoy `ext_authz` over HTTP: its own method, Host and path behind the prefix

Each dialect reads its own fields and no other's: a field that the gateway does not write comes from its client
(GHSA-7x63-xv5r-3p2x). It knows no trust; the caller has made sure that a trusted gateway asks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from proxy.errors import REQUEST_MALFORMED, ROUTE_NOT_FOUND, Refused
from proxy.http.h1 import METHODS
from proxy.http.message import BodyKind, Framing, RequestHead, Target
from proxy.http.target import parse_target

ENDPOINTS: Final = b"/api/authz/"
AUTH_REQUEST: Final = b"/api/authz/auth-request"
FORWARD_AUTH: Final = b"/api/authz/forward-auth"
EXT_AUTHZ: Final = b"/api/authz/ext-authz"

_URL: Final = re.compile(rb"(https?)://([^/?#]+)(/[^#]*|\?[^#]*)?", re.ASCII)
_EMPTY: Final = Framing(BodyKind.LENGTH, 0)  # Envoy says it of every question
_SCHEMES: Final = {b"http": "http", b"https": "https"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is asked about.

    Args:
        head: with its own method and target, and the fields of the question, which are the client's and the gateway's.
        target: where it goes.
        scheme: `http` or `https`, which the client spoke to the gateway.
        relays: the gateway passes every refusal on to its client; nginx passes 401 and 403, and not all of these.
    """

    head: RequestHead
    target: Target
    scheme: str
    relays: bool


def parse_question(head: RequestHead) -> Asked:
    """Return the request that a gateway asks about.

    Args:
        head: the gateway's request.

    Raises:
        Refused: ROUTE_NOT_FOUND, its path is no endpoint; REQUEST_MALFORMED, what the endpoint reads is missing, there
            twice or no such thing; and what `parse_target` says of the target.
    """
    if head.framing.kind is not BodyKind.NONE and head.framing != _EMPTY:
        raise Refused(REQUEST_MALFORMED, "a question must have no body")
    path, question, query = head.target.partition(b"?")
    read = _DIALECTS.get(path)
    if read is not None:
        method, scheme, host, target = read(head)
    elif path.startswith(EXT_AUTHZ + b"/"):
        method, scheme, host = head.method, _scheme(_one(head, b"x-forwarded-proto")), _one(head, b"host")
        target = path[len(EXT_AUTHZ) :] + question + query
    else:
        raise Refused(ROUTE_NOT_FOUND, "a question must be put to an endpoint of its gateway")
    if method not in METHODS or method == b"CONNECT":
        raise Refused(REQUEST_MALFORMED, "the method that is asked about must be a known one")
    if not target.startswith(b"/") or b"#" in target:
        raise Refused(REQUEST_MALFORMED, "the target that is asked about must be a path, and perhaps a query")
    asked = RequestHead(method, target, head.version, head.headers, opens_websocket=_opens_websocket(head))
    return Asked(asked, parse_target(method, target, [host], head.version), scheme, path != AUTH_REQUEST)


def _opens_websocket(head: RequestHead) -> bool:
    """Tell whether a client wants a WebSocket: `Upgrade` is of one hop, and seldom in the question."""
    asks = head.values(b"sec-websocket-key") or head.values(b"upgrade")
    return bool(asks) or b"websocket" in head.values(b"sec-fetch-mode")


def _read_auth_request(head: RequestHead) -> tuple[bytes, str, bytes, bytes]:
    match = _URL.fullmatch(_one(head, b"x-original-url"))
    if match is None:
        raise Refused(REQUEST_MALFORMED, "x-original-url must be an http or https url without fragment")
    scheme, host, target = match.groups(default=b"")
    if not target.startswith(b"/"):
        target = b"/" + target
    return _one(head, b"x-original-method"), _SCHEMES[scheme], host, target


def _read_forward_auth(head: RequestHead) -> tuple[bytes, str, bytes, bytes]:
    return (
        _one(head, b"x-forwarded-method"),
        _scheme(_one(head, b"x-forwarded-proto")),
        _one(head, b"x-forwarded-host"),
        _one(head, b"x-forwarded-uri"),
    )


_DIALECTS: Final[dict[bytes, Callable[[RequestHead], tuple[bytes, str, bytes, bytes]]]] = {
    AUTH_REQUEST: _read_auth_request,
    FORWARD_AUTH: _read_forward_auth,
}


def _one(head: RequestHead, name: bytes) -> bytes:
    values = head.values(name)
    if len(values) != 1 or not values[0]:
        raise Refused(REQUEST_MALFORMED, f"a question must have one {name.decode()}")
    return values[0]


def _scheme(value: bytes) -> str:
    scheme = _SCHEMES.get(value)
    if scheme is None:
        raise Refused(REQUEST_MALFORMED, "x-forwarded-proto must be http or https")
    return scheme
