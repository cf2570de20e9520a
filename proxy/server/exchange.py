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
import time
from typing import TYPE_CHECKING

from proxy import errors
from proxy.errors import Refused
from proxy.http.asked import Asked
from proxy.http.crosssite import is_unsafe, require_same_site
from proxy.http.h1 import encode_fields
from proxy.http.headers import PREFLIGHT, clean_head
from proxy.http.message import BodyKind, Headers, RequestHead, Target
from proxy.http.respond import Answer
from proxy.http.target import parse_target
from proxy.identity.principal import ANONYMOUS, Peer, Principal
from proxy.policy.authorize import UNDECIDED
from proxy.policy.input import Inquiry
from proxy.policy.permit import Permit
from proxy.server.answer import explained, is_own, own_answer, redirected, write_answer
from proxy.server.authorization import permitted, question, relayed
from proxy.server.forward import Forwarding
from proxy.server.outcome import Outcome
from proxy.server.repeat import Repeat
from proxy.server.route import Route, edited
from proxy.server.tasks import tell_failure
from proxy.server.told import calling, forwarded_way, passing, recorded, traced
from proxy.server.visit import is_sign_in_host, refusal_of, visit
from proxy.telemetry.access import ACCESS_BYTES, access_line
from proxy.transport.waiting import StreamClosed, StreamTimeout

if TYPE_CHECKING:
    from proxy.server.connection import Connection


class Exchange:
    """One request on one downstream connection."""

    __slots__ = (
        "_asked",
        "_began",
        "_decision_id",
        "_forwarded",
        "_head",
        "_headers",
        "_inquiry",
        "_principal",
        "_repeat",
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

        self._head: RequestHead | None = None
        self._target: Target | None = None
        self._route: Route | None = None
        self._principal: Principal | None = None
        self._headers: Headers = []
        self._forwarded: Headers = []
        self._source = connection.remote
        self._inquiry: Inquiry | None = None
        self._repeat: Repeat | None = None  # what it repeats
        self._asked: Asked | None = None  # a gateway's question is about this one
        self.outcome = Outcome()

    async def serve(self, head: RequestHead | Refused) -> bool:
        """Answer one request; return whether the connection can carry another."""
        (runtime := self.connection.runtime).in_flight += 1
        failed: Refused | None = None
        try:
            try:
                await self._answer(head)
            except Refused as refused:
                failed = refused
            except (StreamClosed, StreamTimeout):
                self._give_up(errors.CLIENT_GONE)
            except asyncio.CancelledError:
                self._give_up(errors.CLIENT_GONE)
                raise
            except Exception as error:
                tell_failure(f"request {self._request_id}", error)
                failed = Refused(errors.INTERNAL_ERROR, type(error).__name__)
            if failed is not None:
                await self._refuse(failed)
        finally:
            failed = None  # its traceback holds what holds it
            runtime.in_flight -= 1
            self._record()
        return not self.outcome.closing

    async def _answer(self, head: RequestHead | Refused) -> None:
        if isinstance(head, Refused):
            raise head
        connection, snapshot = self.connection, self._snapshot
        self._head = head
        self.outcome.closing = not head.keep_alive
        if connection.runtime.in_flight > snapshot.in_flight:
            raise Refused(errors.OVERLOADED, f"more than {snapshot.config.limits.in_flight} requests are in flight")
        repeat = connection.repeat
        if repeat is not None and repeat.fits(snapshot, head, self._started):
            target, route = self._target, self._route = repeat.inquiry.target, repeat.route
            self._headers = repeat.inquiry.headers
        else:
            repeat = None
            target = self._enter(head)
            if self._route is None or connection.listener.serves == "https_redirect":
                await self._answer_itself(head, target)
                return
            route = self._route
        peer = connection.standing.proven_peer(self._started)
        if self._asked is not None:
            head, peer = self._asked.head, None  # the certificate is the gateway's, and opens nothing to its clients
        rules, authenticator = route.authenticate, snapshot.authenticator
        principal = authenticator.recall(head, rules, peer, self._started, target, self._source)
        if principal is None:
            await connection.become_task()
            principal = await authenticator.authenticate(head, rules, peer, self._started, target, self._source)
        self._principal = principal
        if is_unsafe(head) and snapshot.authenticator.rides_on_cookie(head, rules, principal):
            require_same_site(head, f"https://{target.authority}", route.config.origins)
        if repeat is not None and repeat.principal is principal:
            self._repeat = repeat
            inquiry = self._ask_again(repeat.inquiry, head)
        else:
            self._add_credentials(head, route, principal)
            if route.config.redirect is not None:
                await self._write(redirected(route, target, head.method, self._request_id))
                return
            if self._asked is None and route.config.cors.preflight == "upstream" and head.is_preflight:
                await self._forward_preflight(head, target, route)
                return
            inquiry = self._inquire(head, target, route, principal, peer)
        try:
            permit = snapshot.authorizer.authorize_now(inquiry, route.decision)
            if permit is None:
                await connection.become_task()
                permit = await snapshot.authorizer.authorize(inquiry, route.decision)
        except Refused as refused:
            raise explained(refused, route, principal) from refused
        if self._asked is not None:
            await self._write(permitted(snapshot, route, inquiry, permit))
            return
        await self._forward(head, target, route, principal, peer, permit)

    async def _answer_itself(self, head: RequestHead, target: Target) -> None:
        """Answer what no route takes, and the portal's pages."""
        connection, snapshot = self.connection, self._snapshot
        asked = self._source, self._request_id, self._started
        answer: Answer | None = await visit(connection, snapshot, head, target, *asked, self.outcome)
        await self._write(answer or own_answer(target, head, connection.listener, snapshot, self._request_id))

    # --- where to

    def _enter(self, head: RequestHead) -> Target:
        connection, limits = self.connection, self._snapshot.config.limits
        target = head.goes_to
        if connection.listener.serves == "authorization":
            self._asked = question(head, connection.standing, self._snapshot)
        if self._asked is not None:
            head, target = self._asked.head, self._asked.target
        elif target is None:
            target = parse_target(head.method, head.target, head.values(b"host"), head.version)
        self._target = target
        block = clean_head(head)
        assert block.passing is not None
        self._headers = block.passing
        if connection.standing.trusted:
            self._forwarded = block.forwarded
            self._source, request_id = connection.standing.believe(block.forwarded, self._source)
            self._request_id = request_id or self._request_id
        if head.framing.kind is BodyKind.LENGTH and head.framing.length > limits.body:
            raise Refused(errors.BODY_TOO_LARGE, f"the body may have {limits.body} bytes")
        connection.standing.require_same_setting(target.host, connection.server_name)
        if self._asked is None and is_own(target, connection.listener, self._snapshot):
            if not (connection.standing.router.knows(target.host) or is_sign_in_host(target, self._snapshot)):
                raise Refused(errors.ROUTE_NOT_FOUND, "no route has this host")
            return target
        route = self._route = connection.standing.router.match(target.host, target.segments)
        if route is None:
            raise Refused(errors.ROUTE_NOT_FOUND, "no route has this host and path")
        if target.encoded_slash and route.config.encoded_slashes == "refuse":
            raise Refused(errors.TARGET_REFUSED, "path must not contain an encoded slash")
        return target

    # --- who

    def _add_credentials(self, head: RequestHead, route: Route, principal: Principal) -> None:
        """Pass `Authorization` on only where it is not ours and the route says so."""
        rules = route.config.authenticate
        passes = rules.header == "proxy-authorization" or (rules.pass_ and principal.method != "bearer")
        if passes and head.block.passes_authorization:
            self._headers = self._headers + [field for field in head.headers if field[0] == b"authorization"]

    # --- whether

    def _inquire(
        self, head: RequestHead, target: Target, route: Route, principal: Principal, peer: Peer | None
    ) -> Inquiry:
        connection, asked = self.connection, self._asked
        inquiry = self._inquiry = Inquiry(
            head,
            self._headers,
            target,
            principal,
            peer,
            route.name,
            route.config.labels,
            connection.listener.name,
            connection.tls_version if asked is None else None,
            connection.server_name if asked is None else None,
            self._source,
            connection.remote_port if self._source == connection.remote else 0,  # another host's is unknown
            self._started,
            self._request_id,
            self._decision_id,
            connection.scheme if asked is None else asked.scheme,
        )
        return inquiry

    def _ask_again(self, inquiry: Inquiry, head: RequestHead) -> Inquiry:
        """Return the inquiry of a request that repeats another one."""
        inquiry.head, inquiry.time = head, self._started
        inquiry.request_id, inquiry.decision_id = self._request_id, self._decision_id
        self._inquiry = inquiry
        return inquiry

    # --- the upstream

    async def _forward(
        self, head: RequestHead, target: Target, route: Route, principal: Principal, peer: Peer | None, permit: Permit
    ) -> None:
        assert route.cluster is not None
        connection, decision, repeat = self.connection, permit.decision, self._repeat
        plain = not (decision.headers or decision.request_headers_to_remove or route.remove_request)
        if repeat is None or not plain:
            lead = passing(head, self._headers) if plain else encode_fields(edited(self._headers, route, permit))
            if not self._forwarded:
                lead += connection.way_of(target.authority)
            told = calling(self._snapshot, route, principal, peer, self._forwarded, target.host, self._started)
            # A trusted proxy sends many a client's requests, and a credential that passes on is of one alone.
            if plain and head.goes_to and self._headers is head.block.passing and not connection.standing.trusted:
                assert self._inquiry is not None
                parts = principal, self._inquiry, lead, told, self._facts()
                connection.repeat = Repeat(self._snapshot, head, route, *parts)
        else:
            lead, told = repeat.lead, repeat.told
        ids = self._request_id, self._trace, self._span
        between = traced(*ids) if not self._forwarded else forwarded_way(connection, self._forwarded, target, *ids)
        fields, limits = b"%b%b%b" % (lead, between, told.fields), self._snapshot.config.limits
        ask = None if decision is UNDECIDED else self._inquiry
        await Forwarding(connection, head, target, route, permit, fields, limits, self.outcome, ask).run(route.cluster)

    async def _forward_preflight(self, head: RequestHead, target: Target, route: Route) -> None:
        """Pass a CORS preflight on as the route says: undecided, so without credentials, and in nobody's name."""
        self._headers = [field for field in self._headers if field[0] in PREFLIGHT]
        inquiry = self._inquire(head, target, route, ANONYMOUS, self.connection.standing.peer)
        await self.connection.become_task()
        permit = await self._snapshot.authorizer.permit_preflight(inquiry)
        await self._forward(head, target, route, ANONYMOUS, None, permit)

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
        head = self._head if self._asked is None else self._asked.head
        peer = self.connection.standing.peer if head is not None and self._asked is None else None
        asked = head, self._target, self._route, self._principal, peer, self._request_id, self._started
        try:
            await self._write(relayed(self._asked, refusal_of(refused, self._snapshot, *asked)))
        except (StreamClosed, StreamTimeout):
            self._give_up(errors.CLIENT_GONE)

    async def _write(self, answer: Answer) -> None:
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
        head, route, connection, outcome = self._head, self._route, self.connection, self.outcome
        duration = time.perf_counter() - self._began
        method = head.method if head is not None else b""
        name = route.name if route is not None else ""
        connection.runtime.metrics.observe_exchange(name, method, self.outcome.status, duration)
        if self._snapshot.access is None:
            return
        facts = self._repeat.facts if self._repeat is not None else self._facts()
        values = (
            self._started,
            self._request_id,
            facts,
            outcome.status,
            outcome.code,
            outcome.detail,
            self._decision_id if self._inquiry is not None else None,
            route.cluster.name if route is not None and route.cluster is not None else "",
            outcome.endpoint,
            outcome.bytes_in,
            outcome.bytes_out,
            duration,
        )
        self._snapshot.access.write_later(access_line, values, "access", ACCESS_BYTES + len(facts))

    def _facts(self) -> str:
        """Return what the access record says of the request."""
        head = self._head if self._asked is None else self._asked.head
        peer = self.connection.standing.peer if self._asked is None else None
        who = self._principal or ANONYMOUS
        return recorded(self.connection, head, self._target, self._route, who, peer, self._source)
