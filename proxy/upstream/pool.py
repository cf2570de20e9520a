"""Connections to one endpoint: reused while they live, bounded, and never given out without a permit.

State changes are synchronous, so there is no lock. A place is held by a connection or by a dial under way; whoever
gives a place up hands it, or the connection in it, to the longest waiter.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from proxy import errors
from proxy.errors import Refused
from proxy.policy.permit import Permit
from proxy.transport.deadlines import Deadlines
from proxy.transport.stream import FOREVER
from proxy.upstream.connect import dial
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.endpoint import Endpoint

_PLACE = None  # what a waiter is given in place of a connection: leave to dial one


class Pool:
    """The connections of one endpoint.

    Args:
        endpoint: where they go.
        bound: connections at once, those that are idle or being dialled too.
        wait: seconds that a request waits for one.
        idle: seconds that an unused one is kept.
        connect: seconds to dial one.
    """

    __slots__ = (
        "_bound",
        "_closed",
        "_connect",
        "_connections",
        "_deadlines",
        "_dialling",
        "_idle",
        "_idle_for",
        "_wait",
        "_waiters",
        "endpoint",
    )

    def __init__(
        self, endpoint: Endpoint, deadlines: Deadlines, *, bound: int, wait: float, idle: float, connect: float
    ) -> None:
        self.endpoint = endpoint
        self._deadlines = deadlines
        self._bound = bound
        self._wait = wait
        self._idle_for = idle
        self._connect = connect

        self._connections: set[UpstreamConnection] = set()
        self._idle: list[UpstreamConnection] = []  # the youngest last, and taken first
        self._dialling = 0
        self._waiters: OrderedDict[asyncio.Future[UpstreamConnection | None], None] = OrderedDict()  # in their order
        self._closed = False

    def take(self, permit: Permit) -> UpstreamConnection | None:
        """Return an idle connection for a permitted exchange, or None where `acquire` must be asked."""
        if not permit.decision.allow:
            raise TypeError("a permit is of a decision that allows")
        return self._take(-1) if self._idle else None

    async def acquire(self, permit: Permit, *, fresh: bool = False) -> UpstreamConnection:
        """Return a connection for one exchange that policy has permitted.

        Args:
            permit: policy's proof; there is no other way in.
            fresh: dial, whatever is idle (for the second attempt after a reused connection turned out dead).

        Raises:
            Refused: POOL_EXHAUSTED after the bounded wait, or what dialling raises.
        """
        if not fresh and (idle := self.take(permit)) is not None:
            return idle
        if not permit.decision.allow:
            raise TypeError("a permit is of a decision that allows")
        if len(self._connections) + self._dialling >= self._bound:
            if self._idle:
                self._take(0).abort()  # its place goes to the longest waiter, which is us
            connection = await self._queue()
            return connection if connection is not None else await self._dial()
        self._dialling += 1
        return await self._dial()

    def release(self, connection: UpstreamConnection, *, reusable: bool) -> None:
        """Take a connection back; close it unless its last exchange ended cleanly and nothing is left in it."""
        if not reusable or self._closed or connection.eof or connection.buffer:
            connection.abort()
            return
        connection.reused = True
        connection.heard = False
        if (waiter := self._longest_waiter()) is not None:
            waiter.set_result(connection)
            return
        connection.idle = True
        connection.close_by = connection.loop.time() + self._idle_for
        self._idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """Give up the place of a connection that is lost."""
        if connection.idle:
            connection.idle = False
            self._idle.remove(connection)
        if connection in self._connections:
            self._connections.remove(connection)
            self._free_place()

    def close(self) -> None:
        """Close what is idle now, and the rest at its release."""
        self._closed = True
        for connection in list(self._idle):
            connection.abort()

    def _take(self, position: int) -> UpstreamConnection:
        connection = self._idle.pop(position)
        connection.idle = False
        connection.close_by = FOREVER
        return connection

    async def _dial(self) -> UpstreamConnection:
        """Dial in a place that is counted in `_dialling` already."""
        try:
            connection = await dial(self.endpoint, self, self._deadlines, self._connect)
        except BaseException:
            self._dialling -= 1
            self._free_place()
            raise
        self._dialling -= 1
        self._connections.add(connection)
        if connection.lost:
            self.forget(connection)
        return connection

    async def _queue(self) -> UpstreamConnection | None:
        waiter: asyncio.Future[UpstreamConnection | None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        try:
            async with asyncio.timeout(self._wait):
                return await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():
                self._hand_on(waiter.result())
            if isinstance(error, TimeoutError):
                detail = f"{self.endpoint}: no connection of {self._bound} was free within {self._wait:g} s"
                raise Refused(errors.POOL_EXHAUSTED, detail) from None
            raise
        finally:
            self._waiters.pop(waiter, None)  # while no place comes free, nobody else would take it away

    def _hand_on(self, given: UpstreamConnection | None) -> None:
        """Pass on what a waiter was given in the very moment in which it stopped waiting."""
        if given is _PLACE:
            self._dialling -= 1
            self._free_place()
        else:
            self.release(given, reusable=True)

    def _free_place(self) -> None:
        if (waiter := self._longest_waiter()) is not None:
            self._dialling += 1
            waiter.set_result(_PLACE)

    def _longest_waiter(self) -> asyncio.Future[UpstreamConnection | None] | None:
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                return waiter
        return None
