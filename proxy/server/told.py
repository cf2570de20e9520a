"""What is told of a request.

The upstream is told it beside the client's own fields: its way here, its ids, and who makes it, as bytes. The access
record is told it as text.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from proxy.http import forwarding
from proxy.http.h1 import encode_fields
from proxy.http.header_sets import ASSERTED, Words, set_fields
from proxy.http.message import Headers, RequestHead, Target
from proxy.identity.principal import Peer, Principal
from proxy.server.route import Route
from proxy.telemetry.access import access_facts

if TYPE_CHECKING:
    from proxy.server.connection import Connection
    from proxy.server.snapshot import Snapshot


class Told(NamedTuple):
    """Fields as bytes, and until when (POSIX seconds) they may be sent: a signature has its time."""

    fields: bytes
    until: float


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
        fields = _identity(principal, rules.identity)
    if rules.client_certificate != "none":
        certificate = peer.certificate if peer is not None else None
        fields += encode_fields(forwarding.client_certificate_fields(rules.client_certificate, forwarded, certificate))
    return fields


def _identity(principal: Principal, sets: tuple[str, ...]) -> bytes:
    known: dict[tuple[str, ...], bytes] = principal.derived.setdefault("fields", {})
    fields = known.get(sets)
    if fields is None:
        fields = known[sets] = encode_fields([field for name in sets for field in _set_of(principal, name)])
    return fields


def _set_of(principal: Principal, name: str) -> Headers:
    """Return a header set of a caller; sets that are not ours know people alone."""
    if principal.kind != "user" and name != "ztproxy":
        return []
    called, username = (principal.claims.get(claim) for claim in ("name", "preferred_username"))
    return set_fields(
        name,
        Words(
            principal.id,
            principal.email,
            principal.groups,
            called if isinstance(called, str) else "",
            username if isinstance(username, str) else "",
        ),
    )


def calling(
    snapshot: Snapshot,
    route: Route,
    principal: Principal,
    peer: Peer | None,
    forwarded: Headers,
    host: str,
    now: float,
) -> Told:
    """Return who makes a request, as the route tells it, signed fields among it.

    Args:
        forwarded: as of `identified`.
        host: the request's; without one there is no audience, and nothing is signed.
        now: POSIX seconds.
    """
    fields, until = identified(route, principal, peer, forwarded), math.inf
    assertions = snapshot.assertions
    if assertions is None or principal.kind != "user" or not host:
        return Told(fields, until)
    for name in route.config.headers.identity:
        if name == "ztproxy" or name == "pomerium":
            signed = assertions.of(principal, peer, host, now, name)
            fields += b"%b: %b\r\n" % (ASSERTED[name], signed.text)
            until = min(until, signed.fresh_until)
    return Told(fields, until)


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


def recorded(
    connection: Connection,
    head: RequestHead | None,
    target: Target | None,
    route: Route | None,
    principal: Principal,
    peer: Peer | None,
    source: str,
) -> str:
    """Return what an access record says of a request; of one that was refused early, what is known.

    Args:
        source: the client's address.
    """
    return access_facts(
        connection_id=connection.id,
        listener=connection.listener.name,
        source=source,
        method=head.method.decode("ascii") if head is not None else "",
        host=target.host if target is not None else "",
        path=_path(head, target),
        protocol="http/1.1" if head is None or head.version == (1, 1) else "http/1.0",
        route=route.name if route is not None else "",
        principal=principal,
        peer=peer,
    )


def _path(head: RequestHead | None, target: Target | None) -> str:
    """Return the path, as it came where it was refused; never the query, which may hold secrets."""
    if target is not None:
        return target.path.decode("ascii")
    return head.target.partition(b"?")[0].decode("latin-1") if head is not None else ""
