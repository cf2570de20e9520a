"""What the upstream is told of a request beside its own fields: its way here, its ids, and who makes it; as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.http import forwarding
from proxy.http.h1 import encode_fields
from proxy.http.message import Headers, RequestHead, Target
from proxy.identity.principal import Peer, Principal
from proxy.server.route import Route

if TYPE_CHECKING:
    from proxy.server.connection import Connection


def passing(head: RequestHead, headers: Headers) -> bytes:
    """Return a client's fields that pass, unedited; spelled once for heads that share them."""
    block = head.block
    if headers is not block.passing:
        return encode_fields(headers)
    if block.wire is None:
        block.wire = encode_fields(headers)
    return block.wire


def identified(route: Route, principal: Principal, peer: Peer | None, forwarded: Headers) -> bytes:
    """Return who makes a request, as the route tells it.

    Args:
        forwarded: forwarding fields of a trusted proxy, or none.
    """
    rules, fields = route.config.headers, b""
    if rules.identity and principal.kind != "anonymous":
        fields = _identity(principal)
    if rules.client_certificate != "none":
        certificate = peer.certificate if peer is not None else None
        fields += encode_fields(forwarding.client_certificate_fields(rules.client_certificate, forwarded, certificate))
    return fields


def _identity(principal: Principal) -> bytes:
    fields: bytes | None = principal.derived.get("fields")
    if fields is None:
        fields = principal.derived["fields"] = encode_fields(
            forwarding.identity_fields(principal.id, principal.email, principal.groups)
        )
    return fields


def traced(request_id: str, trace: str, span: str) -> bytes:
    """Return the ids of a request that no trusted proxy sent."""
    return b"x-request-id: %b\r\ntraceparent: 00-%b-%b-00\r\n" % (request_id.encode(), trace.encode(), span.encode())


def forwarded_way(
    connection: Connection, forwarded: Headers, target: Target, request_id: str, trace: str, span: str
) -> bytes:
    """Return the way and the ids of a request that a trusted proxy sent."""
    trusted = connection.listener.trusted_proxies
    return encode_fields(
        forwarding.forwarding_fields(
            forwarded,
            remote=connection.remote,
            scheme=connection.scheme,
            authority=target.authority,
            request_id=request_id,
            trace=(trace, span),
            header=trusted.header if trusted is not None else "x-forwarded-for",
        )
    )
