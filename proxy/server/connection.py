"""One downstream connection: who is at its other end, and one task that serves its requests in order.

Who you are is settled here, once a connection and again whenever the snapshot changes; what you may do is decided in
`exchange`, once a request.

Most requests need no task: their head comes whole and without a body, who asks and what policy says is remembered, an
upstream connection is idle, and its answer is the one thing to wait for. Such an exchange is run by hand, from the
callback that brings the head and from the one that brings the answer, while the task rests. Where it must wait for
anything else it says `become_task`, and the task carries on the very same coroutine.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Final, Protocol

from proxy import errors
from proxy.config import schema
from proxy.errors import Refused
from proxy.http import forwarding
from proxy.http.h1 import HeadLimits, RequestHeadParser, encode_fields
from proxy.http.message import BodyKind, RequestHead
from proxy.identity.tls import requested_name
from proxy.server.exchange import Exchange
from proxy.server.repeat import Repeat
from proxy.server.runtime import Runtime
from proxy.server.standing import Standing, settle
from proxy.server.tasks import Tasks
from proxy.transport.stream import FOREVER, Stream
from proxy.transport.waiting import StreamTimeout, carry_on, fail, need_task

# What the end of a turn has for a connection.
_NOTHING: Final = 0
_HEAD: Final = 1
_ANSWER: Final = 2

Exchanging = Coroutine[bool | None, None, bool]


class Serving(Protocol):
    """One exchange of a connection."""

    def serve(self, head: RequestHead | Refused) -> Exchanging:
        """Return what answers a request, and whether the connection can carry another."""


class Connection(Stream):
    """A client's connection.

    Args:
        listener: the config of the listener that accepted it.
        remote, remote_port: the client's address, from the PROXY protocol where that is spoken.
        exchange: makes what serves one request.
    """

    __slots__ = (
        "_busy",
        "_due",
        "_exchange",
        "_idle",
        "_left",
        "_make",
        "_over",
        "_parser",
        "_rest_by",
        "_resting",
        "_served",
        "_settled",
        "_told_way",
        "_work",
        "direct",
        "id",
        "listener",
        "remote",
        "remote_port",
        "repeat",
        "retiring",
        "runtime",
        "scheme",
        "server_name",
        "standing",
        "task",
        "tasks",
        "tls_version",
    )

    def __init__(
        self,
        runtime: Runtime,
        listener: schema.Listener,
        tasks: Tasks,
        remote: tuple[str, int],
        exchange: Callable[[Connection], Serving] = Exchange,
    ) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop, runtime.deadlines)
        self.runtime = runtime
        self.listener = listener
        self.tasks = tasks
        self._make = exchange
        self.id = os.urandom(8).hex()
        self.remote, self.remote_port = remote
        self.repeat: Repeat | None = None
        self._told_way: tuple[str, bytes] | None = None
        self.task: asyncio.Task[None] | None = None

        # Requests in their order.
        limits = runtime.snapshot.config.limits
        bounds = HeadLimits(limits.header_bytes, limits.header_count, limits.target_length)
        self._parser = RequestHeadParser(bounds, runtime.snapshot.heads)
        self._left = limits.requests_per_connection
        self._idle = limits.idle
        self._resting = False  # the task waits for the first byte of a head
        self._rest_by = FOREVER  # `loop.time()` seconds until which it does
        self._exchange: Exchanging | None = None  # the one that is run by hand
        self.direct = False  # it runs, at this moment
        self._due = _NOTHING
        self._work: RequestHead | Refused | Exchanging | None = None  # for the task
        self._over = False

        # Settled when the transport is there, and again for each new snapshot.
        self.scheme = "http"
        self.server_name: str | None = None
        self.tls_version: str | None = None
        self._settled: Standing | None = None
        self.standing: Standing  # the same, once there is a request

        # How it ends.
        self.retiring = False
        self._busy = False
        self._served = False  # a request has been answered: until then a client counts on being heard

    # --- called by the event loop

    def data_received(self, data: bytes) -> None:
        """Keep what arrived; begin at once with a request that is all there, if the task rests."""
        if not self._resting or self._filler is None or self._filler.done():
            super().data_received(data)
            return
        self._resting = False
        self.buffer += data
        self._read_by = FOREVER
        self._due = _HEAD
        self.runtime.turn.add(self)

    def go_on(self) -> None:
        """Do what the turn brought."""
        due, self._due = self._due, _NOTHING
        if due == _ANSWER:
            self._run(None)
        elif due == _HEAD:
            try:
                self._take_up()
            except Exception as error:  # the task says so, and ends the connection
                self._hand_over(fail(error))

    def _take_up(self) -> None:
        """Begin with a request that is all there; leave any other to the task."""
        try:
            head = None if self.lost else self._parser.parse(self.buffer)
        except Refused as refused:
            self._hand_over(refused)
            return
        if head is None:
            self._wake()
        elif head.framing.kind is BodyKind.NONE and not self.buffer:
            self._admit()
            self._exchange = self._make(self).serve(head)
            self._run(None)
        else:
            self._hand_over(head)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the exchange under way: nobody is there to read its answer."""
        super().connection_lost(exc)
        if self._exchange is not None:
            self.throw(asyncio.CancelledError())
        elif self.task is not None and self._busy:
            self.task.cancel()

    # --- an exchange that is run by hand

    def resume(self) -> None:
        """Go on with the exchange at the end of this turn."""
        self._due = _ANSWER
        self.runtime.turn.add(self)

    def throw(self, error: BaseException) -> None:
        """Go on at once with an exception where the exchange waits."""
        self._due = _NOTHING
        self._run(error)

    def _run(self, error: BaseException | None) -> None:
        """Run the exchange until it waits for its upstream, needs the task, or ends."""
        exchange = self._exchange
        assert exchange is not None
        self.direct = True
        try:
            needs_task = exchange.send(None) if error is None else exchange.throw(error)
        except StopIteration as ended:
            self._exchange = None
            self._ended(ended.value)
        except asyncio.CancelledError:
            self._exchange = None
            self._ended(goes_on=False)
        except BaseException as failed:
            # It must not end whose callback this is, an upstream's or the sweep's, nor leave the task at rest.
            self._exchange = None
            self._hand_over(fail(failed))
        else:
            if needs_task:
                self._exchange = None
                self._hand_over(exchange)
        finally:
            self.direct = False

    def _ended(self, goes_on: bool) -> None:
        self._busy, self._served = False, True
        self._rest_by = self.loop.time() + self._idle
        if goes_on and not self.buffer and not self.eof and not self.retiring:
            self._resting = True
            self._read_by = self._rest_by
            return
        self._over = not goes_on
        self._wake()

    def _hand_over(self, work: RequestHead | Refused | Exchanging) -> None:
        self._work = work
        self._wake()

    def _wake(self) -> None:
        self._fresh = True
        self._wake_filler()

    def _wake_filler(self) -> None:
        """Wake the task, unless what comes is for it to read when the exchange has ended."""
        if self._exchange is None and self._due == _NOTHING:
            super()._wake_filler()

    async def become_task(self) -> None:
        """Go on in the connection's task: what follows may wait for anything."""
        if self.direct:
            await need_task()

    async def drain(self, ends_at: float = FOREVER) -> None:
        """Wait until the client has taken enough of what was written, as every stream does, in the task."""
        await self.become_task()
        await super().drain(ends_at)

    # --- the task

    def retire(self) -> None:
        """Close when the request under way, or the first one, has been answered."""
        self.retiring = True
        if self._may_leave:
            self.close()

    @property
    def _may_leave(self) -> bool:
        return self.retiring and self._served and not self._busy and not self.buffer

    async def serve(self) -> None:
        """Serve requests until either side ends the connection; return when it is gone.

        What the last exchange wrote may still wait in our own buffer, and a process that ended now would take it along.
        """
        self.task = asyncio.current_task()
        try:
            await self._serve_requests()
            self._busy = False
            self.close()
            await self.wait_closed()
        finally:
            self._due = _NOTHING
            if isinstance(self._work, Coroutine):  # handed over to a task that was cancelled before it looked
                self._exchange, self._work = self._work, None
            if self._exchange is not None:
                self.throw(asyncio.CancelledError())
            self._busy = False
            self.abort()

    async def _serve_requests(self) -> None:
        if (tls := self.transport.get_extra_info("ssl_object")) is not None:
            self.scheme, self.tls_version, self.server_name = "https", tls.version(), requested_name(tls)
        limits = self.runtime.snapshot.config.limits
        self.patience = self._idle
        wait = limits.request_head
        while (work := await self._next(wait, limits.request_head)) is not None:
            if isinstance(work, RequestHead | Refused):
                self._admit()
                goes_on = await self._make(self).serve(work)
            else:
                goes_on = await carry_on(work)
            if not goes_on:
                return
            self._busy, self._served = False, True
            wait = self._idle
            if self.buffer:
                await asyncio.sleep(0)  # a client that pipelines gets one request a turn of the loop

    async def _next(self, wait: float, head_wait: float) -> RequestHead | Refused | Exchanging | None:
        """Return the next request's head, the refusal that its bytes earn, or an exchange to carry on.

        None: the connection is at its end.
        """
        begun, now = bool(self.buffer), self.loop.time()
        deadline, self._rest_by = now + head_wait, now + wait  # an exchange that is run by hand moves the second
        try:
            while True:
                if (work := self._work) is not None:
                    self._work = None
                    return work
                if self._over:
                    return None
                if (head := self._parser.parse(self.buffer)) is not None:
                    return head
                if self._may_leave:
                    return None
                if not begun and self.buffer:
                    begun, deadline = True, self.loop.time() + head_wait
                self._resting = not begun
                if not await self.fill(deadline if begun else self._rest_by):
                    return None
        except StreamTimeout:
            return Refused(errors.HEAD_TIMEOUT, f"a head must come within {head_wait:g} s") if begun else None
        except Refused as refused:
            return refused
        finally:
            self._resting = False

    def _admit(self) -> None:
        """Begin with one more request."""
        self._busy = True
        self._left -= 1
        self.retiring = self.retiring or self._left <= 0
        standing, snapshot = self._settled, self.runtime.snapshot
        if standing is None or standing.snapshot is not snapshot:
            tls = self.transport.get_extra_info("ssl_object")
            standing = settle(snapshot, standing, self.listener, self.remote, tls, self.server_name)
            self._settled, self.standing, self.listener = standing, standing, standing.listener

    def way_of(self, authority: str) -> bytes:
        """Return what upstreams are told of the way here, as fields; spelled once for each authority in turn."""
        told = self._told_way
        if told is None or told[0] != authority:
            fields = encode_fields(forwarding.way_fields(self.remote, self.scheme, authority))
            told = self._told_way = authority, fields
        return told[1]
