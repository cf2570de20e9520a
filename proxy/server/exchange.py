"""One request's life, from its head to its last byte, or to its refusal. Read this file first.

    _enter         framing is decided already; target, route, limits           400, 404, 413, 421, 503
    _identify      the connection's peer, the token's user                     401, 503
    _decide        policy says yes, and gives a permit                         401, 403, 503
    _forward       `server/forward`: connection, heads, bodies both ways       502, 503, 504
    _record        always one access record

Each step returns or raises `Refused`; `_refuse` is the one place that answers for the proxy itself.
"""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
from typing import TYPE_CHECKING

from proxy import errors
from proxy.errors import Refused
from proxy.http import forwarding, respond
from proxy.http.h1 import encode_fields
from proxy.http.headers import PREFLIGHT, clean_head
from proxy.http.message import BodyKind, Headers, RequestHead, Target
from proxy.http.target import parse_target
from proxy.identity.principal import ANONYMOUS, Peer, Principal
from proxy.policy.input import Inquiry
from proxy.policy.permit import Permit
from proxy.server.answer import explained, write_answer
from proxy.server.forward import Forwarding, edited
from proxy.server.outcome import Outcome
from proxy.server.route import Route
from proxy.telemetry import access
from proxy.telemetry.access import access_line
from proxy.transport.stream import StreamClosed, StreamTimeout

if TYPE_CHECKING:
    from proxy.server.connection import Connection


class Exchange:
    """One request on one downstream connection."""

    __slots__ = (
        "_began",
        "_decision_id",
        "_forwarded",
        "_head",
        "_headers",
        "_inquiry",
        "_principal",
        "_request_id",
        "_route",
        "_snapshot",
        "_source",
        "_span",
        "_started",
        "_target",
        "_trace",
        "connection",
        "outcome",
    )

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._snapshot = connection.runtime.snapshot  # taken once, used to the end
        self._started = time.time()
        self._began = time.perf_counter()  # uvloop's clock ticks in milliseconds
        self._request_id, self._decision_id, self._trace, self._span = connection.runtime.ids.fresh()

        # What is learnt on the way, for the record.
        self._head: RequestHead | None = None
        self._target: Target | None = None
        self._route: Route | None = None
        self._principal: Principal | None = None
        self._headers: Headers = []
        self._forwarded: Headers = []
        self._source = connection.remote
        self._inquiry: Inquiry | None = None
        self.outcome = Outcome()

    async def serve(self, head: RequestHead | Refused) -> bool:
        """Answer one request; return whether the connection can carry another."""
        runtime = self.connection.runtime
        runtime.in_flight += 1
        try:
            await self._answer(head)
        except Refused as refused:
            await self._refuse(refused)
        except (StreamClosed, StreamTimeout):
            self._give_up(errors.CLIENT_GONE)
        except asyncio.CancelledError:
            self._give_up(errors.CLIENT_GONE)
            raise
        except Exception as error:
            sys.stderr.write(
                f"ztproxy: request {self._request_id} failed: {''.join(traceback.format_exception(error))}"
            )
            await self._refuse(Refused(errors.INTERNAL_ERROR, type(error).__name__))
        finally:
            runtime.in_flight -= 1
            self._record()
        return not self.outcome.closing

    async def _answer(self, head: RequestHead | Refused) -> None:
        if isinstance(head, Refused):
            raise head
        self._head = head
        self.outcome.closing = not head.keep_alive
        target = self._enter(head)
        if target.path == b"*":
            await self._write(respond.Answer(204, b"No Content", [(b"allow", b"OPTIONS, GET, HEAD, POST")], b""))
            return
        route = self._route
        assert route is not None
        if self.connection.listener.serves == "https_redirect":
            if not target.host:
                raise Refused(errors.HOST_REFUSED, "a redirect must have a host to go to")
            await self._write(respond.redirect(308, f"https://{target.host}{_text(target)}", self._request_id))
            return
        peer = self.connection.proven_peer(self._started)
        principal = self._snapshot.authenticator.recall(head, route.config.authenticate, peer, self._started)
        if principal is None:
            await self.connection.become_task()
            principal = await self._snapshot.authenticator.authenticate(
                head, route.config.authenticate, peer, self._started
            )
        self._principal = principal
        self._add_credentials(head, route, principal)
        if route.cluster is None:
            await self._write(self._redirect(route, target, head))
            return
        if head.method == b"OPTIONS" and route.config.cors.preflight == "upstream" and head.is_preflight:
            await self._forward_preflight(head, target, route)
            return
        inquiry = self._inquire(head, target, route, principal)
        try:
            permit = self._snapshot.authorizer.authorize_now(inquiry, route.decision)
            if permit is None:
                await self.connection.become_task()
                permit = await self._snapshot.authorizer.authorize(inquiry, route.decision)
        except Refused as refused:
            raise explained(refused, route, principal) from refused
        await self._forward(head, target, route, principal, peer, permit)

    # --- where to

    def _enter(self, head: RequestHead) -> Target:
        connection, limits = self.connection, self._snapshot.config.limits
        if connection.runtime.in_flight > limits.in_flight:
            raise Refused(errors.OVERLOADED, f"more than {limits.in_flight} requests are in flight")
        target = head.goes_to
        if target is None:
            target = parse_target(head.method, head.target, head.values(b"host"), head.version)
        self._target = target
        block = clean_head(head)
        assert block.passing is not None
        self._headers = block.passing
        if connection.standing.trusted:
            self._believe(block.forwarded)
        if head.framing.kind is BodyKind.LENGTH and head.framing.length > limits.body:
            raise Refused(errors.BODY_TOO_LARGE, f"the body may have {limits.body} bytes")
        connection.require_same_setting(target.host, self._snapshot.server_tls.get(connection.listener.name))
        if target.path == b"*":
            if not connection.standing.router.knows(target.host):
                raise Refused(errors.ROUTE_NOT_FOUND, "no route has this host")
            return target
        route = self._route = connection.standing.router.route_of(target)
        if route is None:
            raise Refused(errors.ROUTE_NOT_FOUND, "no route has this host and path")
        if target.encoded_slash and route.config.encoded_slashes == "refuse":
            raise Refused(errors.TARGET_REFUSED, "path must not contain an encoded slash")
        return target

    def _believe(self, forwarded: Headers) -> None:
        """Take forwarding and trace fields from a trusted proxy, and from nobody else."""
        trusted = self.connection.listener.trusted_proxies
        if trusted is None:
            return
        self._forwarded = forwarded
        self._source = forwarding.source_of(forwarded, trusted.header, self._source, trusted.networks)
        self._request_id = forwarding.request_id_of(forwarded) or self._request_id

    def _redirect(self, route: Route, target: Target, head: RequestHead) -> respond.Answer:
        location = str(route.config.redirect)
        if location.count("/") == 2:
            location += _text(target)
        return respond.redirect(302 if head.method in (b"GET", b"HEAD") else 307, location, self._request_id)

    # --- who

    def _add_credentials(self, head: RequestHead, route: Route, principal: Principal) -> None:
        """Pass `Authorization` on only where it is not ours and the route says so."""
        rules = route.config.authenticate
        passes = rules.header == "proxy-authorization" or (rules.pass_ and principal.method != "bearer")
        if passes and head.block.passes_authorization:
            self._headers = self._headers + [field for field in head.headers if field[0] == b"authorization"]

    # --- whether

    def _inquire(self, head: RequestHead, target: Target, route: Route, principal: Principal) -> Inquiry:
        connection = self.connection
        inquiry = self._inquiry = Inquiry(
            head,
            self._headers,
            target,
            principal,
            connection.standing.peer,
            route.name,
            route.config.labels,
            connection.listener.name,
            connection.tls_version,
            connection.server_name,
            self._source,
            connection.remote_port if self._source == connection.remote else 0,  # another host's is unknown
            self._started,
            self._request_id,
            self._decision_id,
            connection.scheme,
        )
        return inquiry

    # --- the upstream

    async def _forward(
        self, head: RequestHead, target: Target, route: Route, principal: Principal, peer: Peer | None, permit: Permit
    ) -> None:
        assert route.cluster is not None
        connection, decision = self.connection, permit.decision
        if decision.headers or decision.request_headers_to_remove or route.remove_request:
            fields = encode_fields(edited(self._headers, route, permit))
        else:
            fields = self._passing(head)
        fields += self._told(route, target, principal, peer)
        ends_at = connection.loop.time() + route.config.timeouts.lifetime
        limits = self._snapshot.config.limits
        await Forwarding(connection, head, target, route, permit, fields, limits, self.outcome, ends_at).run(
            route.cluster
        )

    def _passing(self, head: RequestHead) -> bytes:
        """Return the fields that pass, unedited, as bytes."""
        block = head.block
        if self._headers is not block.passing:
            return encode_fields(self._headers)
        if block.wire is None:
            block.wire = encode_fields(self._headers)
        return block.wire

    async def _forward_preflight(self, head: RequestHead, target: Target, route: Route) -> None:
        """Pass a CORS preflight on as the route says: undecided, so without credentials, and in nobody's name."""
        self._headers = [field for field in self._headers if field[0] in PREFLIGHT]
        inquiry = self._inquire(head, target, route, ANONYMOUS)
        await self.connection.become_task()
        permit = await self._snapshot.authorizer.permit_preflight(inquiry)
        await self._forward(head, target, route, ANONYMOUS, None, permit)

    def _told(self, route: Route, target: Target, principal: Principal, peer: Peer | None) -> bytes:
        """Return what the upstream is told of the way of a request and of who makes it."""
        connection, rules = self.connection, route.config.headers
        if self._forwarded:
            fields = encode_fields(self._way(target.authority))
        else:
            fields = b"%bx-request-id: %b\r\ntraceparent: 00-%b-%b-00\r\n" % (
                connection.way_of(target.authority),
                self._request_id.encode(),
                self._trace.encode(),
                self._span.encode(),
            )
        if rules.identity and principal.kind != "anonymous":
            fields += _identity(principal)
        if rules.client_certificate != "none":
            certificate = peer.certificate if peer is not None else None
            fields += encode_fields(
                forwarding.client_certificate_fields(rules.client_certificate, self._forwarded, certificate)
            )
        return fields

    def _way(self, authority: str) -> Headers:
        connection, trusted = self.connection, self.connection.listener.trusted_proxies
        return forwarding.forwarding_fields(
            self._forwarded,
            remote=connection.remote,
            scheme=connection.scheme,
            authority=authority,
            request_id=self._request_id,
            trace=(self._trace, self._span),
            header=trusted.header if trusted is not None else "x-forwarded-for",
        )

    # --- the proxy's own answers

    async def _refuse(self, refused: Refused) -> None:
        """Answer with the catalogue's row, or cut the answer short when it has begun already."""
        row, outcome = refused.row, self.outcome
        outcome.code, outcome.detail = row.code, refused.detail
        self.connection.runtime.metrics.refusals.of(row.code).inc()
        if outcome.answered or row is errors.CLIENT_GONE or self.connection.lost:
            self._give_up(row)
            return
        outcome.closing = outcome.closing or row.closes
        accept = b", ".join(self._head.values(b"accept")) if self._head else b""
        answer = respond.refusal(refused, request_id=self._request_id, accept=accept)
        try:
            await self._write(answer)
        except (StreamClosed, StreamTimeout):
            self._give_up(errors.CLIENT_GONE)

    async def _write(self, answer: respond.Answer) -> None:
        connection, limits = self.connection, self._snapshot.config.limits
        self.outcome.closing = self.outcome.closing or connection.retiring
        await write_answer(connection, answer, self._head, self.outcome, limits)

    def _give_up(self, row: errors.Row) -> None:
        """End the connection without another byte, so that a cut answer cannot be taken for a whole one."""
        outcome = self.outcome
        outcome.closing = True
        outcome.code = outcome.code or row.code
        outcome.status = outcome.status or row.status
        self.connection.abort()

    # --- the record

    def _record(self) -> None:
        head, target, route, connection, outcome = self._head, self._target, self._route, self.connection, self.outcome
        duration = time.perf_counter() - self._began
        method = head.method if head is not None else b""
        name = route.name if route is not None else ""
        connection.runtime.metrics.observe_exchange(name, method, self.outcome.status, duration)
        if self._snapshot.access is None:
            return
        way = connection.told_of if self._source == connection.remote else None
        line = access_line(
            started=self._started,
            request_id=self._request_id,
            way=way or access.way(connection.id, connection.listener.name, self._source),
            method=method.decode("ascii"),
            host=target.host if target is not None else "",
            path=_path(head, target),
            protocol="http/1.1" if head is None or head.version == (1, 1) else "http/1.0",
            route=name,
            principal=self._principal or ANONYMOUS,
            peer=connection.standing.peer,
            status=outcome.status,
            code=outcome.code,
            detail=outcome.detail,
            decision_id=self._decision_id if self._inquiry is not None else None,
            upstream=route.cluster.name if route is not None and route.cluster is not None else "",
            endpoint=outcome.endpoint,
            bytes_in=outcome.bytes_in,
            bytes_out=outcome.bytes_out,
            duration=duration,
        )
        self._snapshot.access.write_line(line, "access")


def _identity(principal: Principal) -> bytes:
    """Return the fields that tell the upstream who is calling, as bytes; spelled once for each principal."""
    fields: bytes | None = principal.derived.get("fields")
    if fields is None:
        fields = principal.derived["fields"] = encode_fields(
            forwarding.identity_fields(principal.id, principal.email, principal.groups)
        )
    return fields


def _path(head: RequestHead | None, target: Target | None) -> str:
    """Return the path for the record, as it came where it was refused; never the query, which may hold secrets."""
    if target is not None:
        return target.path.decode("ascii")
    return head.target.partition(b"?")[0].decode("latin-1") if head is not None else ""


def _text(target: Target) -> str:
    return target.origin_form.decode("ascii")
