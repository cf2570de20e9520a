"""A permitted request on its way: a connection, the head out, the answer's head back, bodies both ways.

A request is sent again only when it cannot have been acted on: the reused connection closed before a byte of an
answer, the method is idempotent, and no body was read (RFC 9110 section 9.2.2).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from proxy import errors
from proxy.errors import Refused
from proxy.http.body import BodyReader
from proxy.http.h1 import ResponseHeadParser, encode_fields, encode_request, encode_response
from proxy.http.headers import clean_response
from proxy.http.message import BodyKind, Headers, RequestHead, ResponseHead, Target
from proxy.http.websocket import SWITCH, require_switch
from proxy.policy.input import Inquiry
from proxy.policy.permit import Permit
from proxy.server.answer import date_field, linger
from proxy.server.lasting import Lasting
from proxy.server.outcome import Outcome
from proxy.server.relay import Download, Upload
from proxy.server.route import Route, edit, stripped
from proxy.server.tasks import outlive
from proxy.server.tunnel import Tunnel
from proxy.transport.stream import FOREVER
from proxy.transport.waiting import StreamClosed, StreamTimeout
from proxy.upstream.cluster import Cluster
from proxy.upstream.connection import UpstreamConnection

if TYPE_CHECKING:
    from proxy.config.limits import Limits
    from proxy.server.connection import Connection

_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})  # RFC 9110 section 9.2.2; TRACE is refused
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_MOMENT = 0.5  # seconds that an answer may take before whoever waits for it is decided again as what lasts is
_CLOSED = "the upstream closed the connection"
_MOST_INTERIM = 16  # 1xx answers before a final one; more is a loop, not a hint


class Forwarding:
    """One permitted request.

    Args:
        fields: what the upstream gets of header fields, as bytes, Host and framing left out.
        inquiry: what policy was asked; None where it was not, and cannot be asked again.
    """

    __slots__ = (
        "_answer_by", "_connection", "_ends_at", "_fields", "_head", "_inquiry", "_lasting", "_limits", "_moment",
        "_outcome", "_permit", "_route", "_target",
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        head: RequestHead,
        target: Target,
        route: Route,
        permit: Permit,
        fields: bytes,
        limits: Limits,
        outcome: Outcome,
        inquiry: Inquiry | None,
    ) -> None:
        self._connection = connection
        self._head = head
        self._target = target
        self._route = route
        self._permit = permit
        self._fields = fields
        self._limits = limits
        self._outcome = outcome
        self._inquiry = inquiry
        self._lasting: Lasting | None = None
        self._ends_at = connection.loop.time() + route.lifetime  # `loop.time()` seconds
        self._answer_by = FOREVER  # the same, at which the head of the answer must have come
        self._moment = FOREVER  # the same, until which waiting for it is nothing that lasts

    async def run(self, cluster: Cluster) -> None:
        """Forward the request and relay its answer.

        Raises:
            Refused: what the upstream did, or what the client's body did.
            StreamClosed, StreamTimeout: the client's side.
        """
        connection = self._connection
        connection.patience = self._route.idle
        upload = None if self._head.framing.kind is BodyKind.NONE else self._open_body()
        if self._head.opens_websocket:
            self._fields += encode_fields(SWITCH)
        repeatable = upload is None and self._head.method in _IDEMPOTENT
        fresh = False
        while True:
            upstream = None if fresh else cluster.take(self._permit)
            if upstream is None:
                await connection.become_task()
                upstream = await cluster.acquire(self._permit, fresh=fresh)
            if upstream.reused and not upstream.is_quiet:
                upstream.pool.release(upstream, reusable=False)
                fresh = True  # nothing was sent: any request may go over another connection
                continue
            upstream.driver = connection
            reusable = again = False
            try:
                reusable = await self._converse(upstream, upload)
            except (Refused, StreamClosed) as error:
                if isinstance(error, StreamClosed) and connection.lost:
                    raise
                failed = error if isinstance(error, Refused) else Refused(errors.UPSTREAM_CLOSED, _CLOSED)
                unheard = upstream.reused and not upstream.heard
                if not (failed.row.retry_unanswered and unheard and repeatable and not fresh):
                    raise failed from None
                fresh = again = True
            finally:
                upstream.driver = None
                if self._lasting is not None:
                    connection.runtime.lasting.leave(self._lasting)
                    self._lasting = None
                upstream.pool.release(upstream, reusable=reusable)
            if not again:
                return

    def _last(self) -> None:
        """Be decided again, from now on, when what permits it changes: it takes longer than a moment."""
        if self._lasting is None and self._inquiry is not None:
            self._lasting = Lasting(self._connection, self._inquiry, self._route, self._outcome)
            self._connection.runtime.lasting.enter(self._lasting)

    # --- the request

    def _open_body(self) -> Upload:
        framing = self._head.framing
        chunked = framing.kind is BodyKind.CHUNKED
        declared = (b"transfer-encoding", b"chunked") if chunked else (b"content-length", b"%d" % framing.length)
        self._fields += encode_fields([declared])
        self._outcome.body = BodyReader(
            framing,
            limit=self._limits.body,
            overhead=self._limits.chunk_overhead,
            malformed=errors.FRAMING_REFUSED,
            too_large=errors.BODY_TOO_LARGE,
        )
        return Upload(
            self._connection,
            self._outcome.body,
            chunked=chunked,
            limits=self._limits,
            idle=self._route.idle,
            ends_at=self._ends_at,
            outcome=self._outcome,
        )

    def _request(self, upstream: UpstreamConnection) -> bytes:
        target = self._target
        host = upstream.pool.endpoint.authority if self._route.upstream_host else target.authority
        return encode_request(
            self._head.method, stripped(target, self._route.strip), host.encode("ascii"), self._fields
        )

    def _converse(self, upstream: UpstreamConnection, upload: Upload | None) -> Awaitable[bool]:
        """Send the request, and return what relays the answer and tells whether the upstream can be used again."""
        self._outcome.endpoint = upstream.pool.endpoint.name
        upstream.patience = self._route.idle
        if not upstream.reused and not upstream.is_quiet:  # a reused one was looked at before it was taken
            raise Refused(errors.UPSTREAM_MALFORMED, "the upstream spoke before it was asked, or closed")
        sending = self._send(upstream, upload)
        answering = self._answer(upstream)
        return answering if upload is None or sending is None else self._outlive(answering, upload, sending)

    async def _answer(self, upstream: UpstreamConnection) -> bool:
        """Relay the answer; return whether the upstream connection can be used again."""
        response = await self._response_head(upstream)
        if response.status == 101:
            await self._tunnel(upstream, response)
            return False
        if not self._relay_whole(upstream, response):
            await self._relay(upstream, response)
        elif self._connection.congested:
            await self._connection.drain(self._ends_at)
        return response.keep_alive

    async def _outlive(self, answering: Awaitable[bool], upload: Upload, sending: asyncio.Task[None]) -> bool:
        """Relay the answer while the body is sent, which ends with it: one coroutine at a time reads the client."""
        reusable = await outlive(answering, sending)
        if upload.reader.done:
            return reusable
        self._outcome.closing = True
        await linger(self._connection)
        return False

    def _send(self, upstream: UpstreamConnection, upload: Upload | None) -> asyncio.Task[None] | None:
        """Send the head and what is there of the body; return the task that sends the rest, if there is a rest."""
        self._answer_by = self._answer_due()
        if upload is None:
            if self._head.opens_websocket:
                self._last()
            upstream.write(self._request(upstream))
            return None
        if self._head.expects_continue and not self._connection.buffer:
            self._connection.write(_CONTINUE)
        upstream.write(self._request(upstream) + upload.available())
        if upload.reader.done:
            return None
        self._answer_by = self._ends_at
        self._last()
        return self._connection.tasks.spawn(self._send_rest(upstream, upload), "upload")

    async def _send_rest(self, upstream: UpstreamConnection, upload: Upload) -> None:
        """Send the rest of the body; the time for the answer's head begins when the upstream has all of it."""
        await upload.run(upstream)
        if self._answer_by != FOREVER:
            self._answer_by = self._answer_due()
            upstream.hasten(self._answer_by)

    def _answer_due(self) -> float:
        now = self._connection.loop.time()
        self._moment = now + _MOMENT
        return min(now + self._route.config.timeouts.response_head, self._ends_at)

    # --- the answer

    async def _response_head(self, upstream: UpstreamConnection) -> ResponseHead:
        parser, method = upstream.parser, self._head.method
        if parser is None:
            limits = self._limits
            parser = ResponseHeadParser(limits.upstream_response_head_bytes, limits.header_count)
            upstream.parser = parser
        may_switch = self._head.opens_websocket
        for _ in range(_MOST_INTERIM):
            while (response := parser.parse(upstream.buffer, method, may_switch) if upstream.buffer else None) is None:
                try:
                    more = await self._more(upstream)
                except StreamTimeout:
                    raise Refused(errors.UPSTREAM_TIMEOUT, "the answer's head did not come in time") from None
                if not more:
                    raise Refused(errors.UPSTREAM_CLOSED, "the upstream closed the connection without an answer")
            if response.status >= 200 or response.status == 101:
                self._answer_by = FOREVER  # it has come: an upload that ends later must not hasten what follows
                return response
            if response.status != 100 and self._head.version == (1, 1):  # Expect was answered by ourselves
                interim = clean_response(response.headers)
                self._connection.write(encode_response(response.status, response.reason, interim))
        raise Refused(errors.UPSTREAM_MALFORMED, f"more than {_MOST_INTERIM} interim answers")

    async def _more(self, upstream: UpstreamConnection) -> bool:
        """Wait for more of the answer's head; a long poll is decided again meanwhile, for its answer is access too."""
        if self._lasting is None and self._moment < self._answer_by:
            try:
                return await upstream.fill(self._moment)
            except StreamTimeout:
                self._last()
        return await upstream.fill(self._answer_by)

    async def _tunnel(self, upstream: UpstreamConnection, response: ResponseHead) -> None:
        """Let the client and the upstream speak WebSocket; neither connection carries HTTP any more."""
        connection, outcome = self._connection, self._outcome
        require_switch(self._head, response)
        await connection.become_task()
        idle = self._route.config.timeouts.idle
        tunnel = Tunnel(connection, upstream, idle=idle, ends_at=self._ends_at, outcome=outcome)
        if self._lasting is not None:
            self._lasting.become_tunnel(tunnel)
        outcome.status, outcome.answered, outcome.closing = response.status, True, True
        fields = [*self._response_fields(response, chunked=False), *SWITCH]
        connection.write(encode_response(response.status, response.reason, fields))
        await tunnel.run()

    async def _relay(self, upstream: UpstreamConnection, response: ResponseHead) -> None:
        framing, outcome, connection = response.framing, self._outcome, self._connection
        unframed = framing.kind in (BodyKind.CHUNKED, BodyKind.UNTIL_CLOSE)
        chunked = unframed and self._head.version == (1, 1)
        download = self._open_answer(upstream, response, chunked)
        first = download.available()
        if download.reader.done and upstream.buffer:
            raise Refused(errors.UPSTREAM_MALFORMED, "bytes follow the answer")
        # An HTTP/1.0 client finds the end of such a body at the end of the connection, so a cut must not look like one.
        connection.resets = unframed and not chunked
        outcome.closing = outcome.closing or connection.retiring or connection.resets
        begin = self._begin_answer(response, chunked)
        outcome.status, outcome.answered = response.status, True
        if not download.reader.done:
            self._last()
        connection.write(begin + first)
        await download.run(connection)

    def _relay_whole(self, upstream: UpstreamConnection, response: ResponseHead) -> bool:
        """Relay an answer that is here from its first byte to its last; say whether it is."""
        outcome, connection, framing = self._outcome, self._connection, response.framing
        if framing.kind is BodyKind.CHUNKED or framing.kind is BodyKind.UNTIL_CLOSE:
            return False
        if framing.length != len(upstream.buffer):
            return False
        body = bytes(upstream.buffer)
        upstream.buffer.clear()
        outcome.closing = outcome.closing or connection.retiring
        begin = self._begin_answer(response, chunked=False)
        outcome.status, outcome.answered = response.status, True
        outcome.bytes_out += len(body)
        connection.write(begin + body)
        return True

    def _begin_answer(self, response: ResponseHead, chunked: bool) -> bytes:
        """Return the answer's head for the client; one that nothing edits is spelled once."""
        outcome, edits = self._outcome, self._permit.decision.response_headers_to_add or self._route.remove_response
        plain = not edits and not chunked and not outcome.closing and self._head.version == (1, 1)
        if plain and response.wire is not None:
            return response.wire
        fields = self._response_fields(response, chunked)
        outcome.add_connection(fields, self._head)
        begin = encode_response(response.status, response.reason, fields)
        if plain and response.values(b"date"):  # ours is another each second
            response.wire = begin
        return begin

    def _open_answer(self, upstream: UpstreamConnection, response: ResponseHead, chunked: bool) -> Download:
        reader = BodyReader(
            response.framing,
            limit=None,
            overhead=self._limits.chunk_overhead,
            malformed=errors.UPSTREAM_MALFORMED,
            too_large=None,
        )
        return Download(
            upstream,
            reader,
            until_close=response.framing.kind is BodyKind.UNTIL_CLOSE,
            chunked=chunked,
            idle=self._route.idle,
            ends_at=self._ends_at,
            outcome=self._outcome,
        )

    def _response_fields(self, response: ResponseHead, chunked: bool) -> Headers:
        kind = response.framing.kind
        fields = [*clean_response(response.headers), *self._permit.decision.response_headers_to_add]
        if not response.values(b"date"):
            fields.append(date_field())
        fields = edit(fields, self._route.remove_response, self._route.set_response)
        if chunked:
            fields.append((b"transfer-encoding", b"chunked"))
        elif kind is BodyKind.LENGTH:
            fields.append((b"content-length", b"%d" % response.framing.length))
        elif kind is BodyKind.NONE and (self._head.method == b"HEAD" or response.status == 304):
            fields.extend((b"content-length", value) for value in response.values(b"content-length"))
        return fields
