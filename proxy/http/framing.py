"""How a message's body ends, decided once from its head (RFC 9112 section 6), and whether the connection goes on.

A message that two readers could end at different places is refused, never repaired: request smuggling is made of
repairs. It judges heads that the parser has found well-formed, and must not read a body.
"""

from __future__ import annotations

import re

from proxy.errors import (
    EXPECTATION_FAILED,
    FRAMING_REFUSED,
    REQUEST_MALFORMED,
    UPGRADE_REFUSED,
    UPSTREAM_MALFORMED,
    Refused,
    Row,
)
from proxy.http.headers import SINGLETONS, tokens
from proxy.http.learned import Learned
from proxy.http.message import CHUNKED, NO_BODY, UNTIL_CLOSE, BodyKind, Framing, Headers, RequestHead, ResponseHead
from proxy.http.websocket import require_handshake

# Eighteen digits stay below 2**63, where readers begin to differ. A leading zero is octal to some.
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,17}", re.ASCII)
_NO_OPTIONS: frozenset[bytes] = frozenset()
_OPTIONS: Learned[frozenset[bytes]] = Learned(lambda value: frozenset(tokens([value])))
# Content of these has no meaning (RFC 9110 section 9.3.1), and a server that leaves it takes it for the next request.
_WITHOUT_CONTENT = frozenset({b"GET", b"HEAD"})
_EMPTY = (NO_BODY, Framing(BodyKind.LENGTH))
_FRAMES = frozenset({b"content-length", b"transfer-encoding"})


def request_framing(head: RequestHead) -> None:
    """Set a request head's `framing`, `keep_alive` and `expects_continue`.

    Raises:
        Refused: FRAMING_REFUSED, REQUEST_MALFORMED, UPGRADE_REFUSED, WEBSOCKET_REFUSED or EXPECTATION_FAILED.
    """
    fields = dict(head.headers)
    if len(fields) != len(head.headers):
        _refuse_duplicates(head.headers)
    head.framing = _declared(fields, head.version, FRAMING_REFUSED) or NO_BODY
    if head.method in _WITHOUT_CONTENT and head.framing not in _EMPTY:
        raise Refused(FRAMING_REFUSED, "a get or head request must not have content")
    options = _connection_options(fields, head.headers)
    head.keep_alive = _keeps_alive(options, head.version)
    if b"upgrade" in options and b"upgrade" in fields:
        if [value.lower() for value in head.values(b"upgrade")] != [b"websocket"]:
            raise Refused(UPGRADE_REFUSED, "websocket is the only upgrade that is offered")
        require_handshake(head)
        head.opens_websocket = True
    expectation = fields.get(b"expect")
    if expectation is not None:
        if expectation.lower() != b"100-continue":
            raise Refused(EXPECTATION_FAILED, "100-continue is the only expectation")
        # An expectation of HTTP/1.0 is ignored, and without content there is nothing to wait for (RFC 9110 10.1.1).
        head.expects_continue = head.version == (1, 1) and head.framing not in _EMPTY


def response_framing(head: ResponseHead, method: bytes, *, may_switch: bool = False) -> None:
    """Set a response head's `framing` and `keep_alive`.

    Args:
        method: of the request that is answered.
        may_switch: that request opens a WebSocket.

    Raises:
        Refused: UPSTREAM_MALFORMED.
    """
    fields = dict(head.headers)
    if len(fields) != len(head.headers) and sum(name in _FRAMES for name, _ in head.headers) > 1:
        raise Refused(UPSTREAM_MALFORMED, "an answer must have one body framing")
    if head.status == 101 and not may_switch:
        raise Refused(UPSTREAM_MALFORMED, "protocols must not be switched unasked")
    framing = _declared(fields, head.version, UPSTREAM_MALFORMED)
    head.keep_alive = _keeps_alive(_connection_options(fields, head.headers), head.version)
    if head.status < 200 or head.status == 204:
        # RFC 9110 section 8.6 and RFC 9112 section 6.1 forbid both fields; a length of zero is common and harmless.
        if framing is not None and framing not in _EMPTY:
            raise Refused(UPSTREAM_MALFORMED, "an answer without content must not frame any")
        head.framing = NO_BODY
    elif head.status == 304 or method == b"HEAD":
        head.framing = NO_BODY
    elif framing is None:
        head.framing = UNTIL_CLOSE
        head.keep_alive = False
    else:
        head.framing = framing


def _declared(fields: dict[bytes, bytes], version: tuple[int, int], row: Row) -> Framing | None:
    """Return the framing that fields declare, or None where they declare none."""
    length = fields.get(b"content-length")
    coding = fields.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise Refused(row, "content-length must not stand beside transfer-encoding")
        if version != (1, 1):
            raise Refused(row, "transfer-encoding must not stand in http/1.0")
        if coding.lower() != b"chunked":
            raise Refused(row, "chunked is the only transfer coding, and applied once")
        return CHUNKED
    if length is None:
        return None
    if _LENGTH.fullmatch(length) is None:
        raise Refused(row, "content-length must be a decimal number without sign or leading zero")
    return Framing(BodyKind.LENGTH, int(length))


def _connection_options(fields: dict[bytes, bytes], headers: Headers) -> frozenset[bytes]:
    if b"connection" not in fields:
        return _NO_OPTIONS
    if len(fields) == len(headers):
        return _OPTIONS[fields[b"connection"]]
    return frozenset(tokens(value for name, value in headers if name == b"connection"))


def _keeps_alive(options: frozenset[bytes], version: tuple[int, int]) -> bool:
    """Tell whether the connection persists (RFC 9112 section 9.3)."""
    return b"close" not in options and (version == (1, 1) or b"keep-alive" in options)


def _refuse_duplicates(headers: Headers) -> None:
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in seen and name in SINGLETONS:
            row = FRAMING_REFUSED if name in _FRAMES else REQUEST_MALFORMED
            raise Refused(row, f"{name.decode()} must stand once")
        seen.add(name)
