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
from proxy.http.headers import PREFLIGHT, clean_request
from proxy.http.message import BodyKind, Headers, RequestHead, Target
from proxy.http.target import parse_target
from proxy.identity.principal import ANONYMOUS, Peer, Principal
from proxy.policy.input import Inquiry
from proxy.policy.permit import Permit
from proxy.server.answer import explained, write_answer
from proxy.server.forward import Forwarding, edited
from proxy.server.outcome import Outcome
from proxy.server.route import Route
from proxy.server.runtime import fresh_ids
from proxy.telemetry.access import access_record
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
        "_ids",
        "_principal",
        "_request_id",
        "_route",
        "_snapshot",
        "_source",
        "_started",
        "_target",
        "connection",
        "outcome",
    )

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._snapshot = connection.runtime.snapshot  # taken once, used to the end
        self._started = time.time()
        self._began = time.perf_counter()  # uvloop's clock ticks in milliseconds
        self._ids = fresh_ids()
        self._request_id = self._ids.request

        # What is learnt on the way, for the record.
        self._head: RequestHead | None = None
        self._target: Target | None = None
        self._route: Route | None = None
        self._principal: Principal | None = None
        self._headers: Headers = []
        self._forwarded: Headers = []
        self._source = connection.remote
        self._decision_id: str | None = None
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
        principal = await self._identify(head, route)
        if route.cluster is None:
            await self._write(self._redirect(route, target, head))
            return
        if route.config.cors.preflight == "upstream" and head.is_preflight:
            await self._forward_preflight(head, target, route)
            return
        permit = await self._decide(head, target, route, principal)
        await self._forward(head, target, route, principal, self.connection.standing.peer, permit)

    # --- where to

    def _enter(self, head: RequestHead) -> Target:
        connection, limits = self.connection, self._snapshot.config.limits
        if connection.runtime.in_flight > limits.in_flight:
            raise Refused(errors.OVERLOADED, f"more than {limits.in_flight} requests are in flight")
        hosts = head.values(b"host")
        target = self._target = parse_target(head.method, head.target, hosts, head.version)
        self._headers, forwarded = clean_request(head.headers)
        self._believe(forwarded)
        if head.framing.kind is BodyKind.LENGTH and head.framing.length > limits.body:
            raise Refused(errors.BODY_TOO_LARGE, f"the body may have {limits.body} bytes")
        connection.require_same_setting(target.host, self._snapshot.server_tls.get(connection.listener.name))
        if target.path == b"*":
            if not connection.standing.router.knows(target.host):
                raise Refused(errors.ROUTE_NOT_FOUND, "no route has this host")
            return target
        route = self._route = connection.standing.router.match(target.host, target.segments)
        if route is None:
            raise Refused(errors.ROUTE_NOT_FOUND, "no route has this host and path")
        if target.encoded_slash and route.config.encoded_slashes == "refuse":
            raise Refused(errors.TARGET_REFUSED, "path must not contain an encoded slash")
        return target

    def _believe(self, forwarded: Headers) -> None:
        """Take forwarding and trace fields from a trusted proxy, and from nobody else."""
        listener = self.connection.listener
        if listener.trusted_proxies is None or not self.connection.standing.trusted:
            return
        self._forwarded = forwarded
        trusted = listener.trusted_proxies
        self._source = forwarding.source_of(forwarded, trusted.header, self._source, trusted.networks)
        self._request_id = forwarding.request_id_of(forwarded) or self._request_id

    def _redirect(self, route: Route, target: Target, head: RequestHead) -> respond.Answer:
        location = str(route.config.redirect)
        if location.count("/") == 2:
            location += _text(target)
        return respond.redirect(302 if head.method in (b"GET", b"HEAD") else 307, location, self._request_id)

    # --- who

    async def _identify(self, head: RequestHead, route: Route) -> Principal:
        peer = self.connection.proven_peer(self._started)
        authenticator, rules = self._snapshot.authenticator, route.config.authenticate
        principal = authenticator.recall(head, rules, peer, self._started)
        if principal is None:
            principal = await authenticator.authenticate(head, rules, peer, self._started)
        self._principal = principal
        self._remove_credentials(route, principal)
        return principal

    def _remove_credentials(self, route: Route, principal: Principal) -> None:
        """Pass `Authorization` on only where it is not ours and the route says so."""
        rules = route.config.authenticate
        if rules.header == "proxy-authorization" or (rules.pass_ and principal.method != "bearer"):
            return
        self._headers = [field for field in self._headers if field[0] != b"authorization"]

    # --- whether

    async def _decide(self, head: RequestHead, target: Target, route: Route, principal: Principal) -> Permit:
        inquiry = self._inquiry(head, target, route, principal)
        try:
            return await self._snapshot.authorizer.authorize(inquiry, route.decision)
        except Refused as refused:
            raise explained(refused, route, principal) from refused

    def _inquiry(self, head: RequestHead, target: Target, route: Route, principal: Principal) -> Inquiry:
        connection, self._decision_id = self.connection, self._ids.decision
        return Inquiry(
            head=head,
            headers=self._headers,
            target=target,
            principal=principal,
            peer=connection.standing.peer,
            route=route.name,
            labels=route.config.labels,
            listener=connection.listener.name,
            tls_version=connection.tls_version,
            sni=connection.server_name,
            source=self._source,
            source_port=connection.remote_port if self._source == connection.remote else 0,  # another host's is unknown
            time=self._started,
            request_id=self._request_id,
            decision_id=self._ids.decision,
            scheme=connection.scheme,
        )

    # --- the upstream

    async def _forward(
        self, head: RequestHead, target: Target, route: Route, principal: Principal, peer: Peer | None, permit: Permit
    ) -> None:
        assert route.cluster is not None
        await Forwarding(
            connection=self.connection,
            head=head,
            target=target,
            route=route,
            permit=permit,
            fields=edited(self._headers, route, permit) + self._told(route, target, principal, peer),
            limits=self._snapshot.config.limits,
            outcome=self.outcome,
            ends_at=self.connection.loop.time() + route.config.timeouts.lifetime,
        ).run(route.cluster)

    async def _forward_preflight(self, head: RequestHead, target: Target, route: Route) -> None:
        """Pass a CORS preflight on as the route says: undecided, so without credentials, and in nobody's name."""
        self._headers = [field for field in self._headers if field[0] in PREFLIGHT]
        permit = await self._snapshot.authorizer.permit_preflight(self._inquiry(head, target, route, ANONYMOUS))
        await self._forward(head, target, route, ANONYMOUS, None, permit)

    def _told(self, route: Route, target: Target, principal: Principal, peer: Peer | None) -> Headers:
        """Return what the upstream is told of the way of a request and of who makes it."""
        connection, rules = self.connection, route.config.headers
        trusted = connection.listener.trusted_proxies
        fields = forwarding.forwarding_fields(
            self._forwarded,
            remote=connection.remote,
            scheme=connection.scheme,
            authority=target.authority,
            request_id=self._request_id,
            trace=(self._ids.trace, self._ids.span),
            header=trusted.header if trusted is not None else "x-forwarded-for",
        )
        if rules.identity and principal.kind != "anonymous":
            fields += forwarding.identity_fields(principal.id, principal.email, principal.groups)
        if rules.client_certificate != "none":
            certificate = peer.certificate if peer is not None else None
            fields += forwarding.client_certificate_fields(rules.client_certificate, self._forwarded, certificate)
        return fields

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
        self._snapshot.access.write(
            access_record(
                started=self._started,
                request_id=self._request_id,
                connection_id=connection.id,
                listener=connection.listener.name,
                source=self._source,
                method=method.decode("ascii"),
                host=target.host if target is not None else "",
                path=_path(head, target),
                protocol="http/1.1" if head is None or head.version == (1, 1) else "http/1.0",
                route=name or None,
                principal=self._principal or ANONYMOUS,
                peer=connection.standing.peer,
                status=outcome.status,
                code=outcome.code,
                detail=outcome.detail,
                decision_id=self._decision_id,
                upstream=route.cluster.name if route is not None and route.cluster is not None else None,
                endpoint=outcome.endpoint,
                bytes_in=outcome.bytes_in,
                bytes_out=outcome.bytes_out,
                duration=duration,
            )
        )


def _path(head: RequestHead | None, target: Target | None) -> str:
    """Return the path for the record, as it came where it was refused; never the query, which may hold secrets."""
    if target is not None:
        return target.path.decode("ascii")
    return head.target.partition(b"?")[0].decode("latin-1") if head is not None else ""


def _text(target: Target) -> str:
    return target.origin_form.decode("ascii")
