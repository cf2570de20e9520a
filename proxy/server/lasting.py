"""Late rejection: what lasts longer than a moment is decided again when what it was permitted by has changed.

Tunnels and answers that did not come whole, requests that wait long for their answer, and uploads under way enter here
for as long as they last. They are decided again when another snapshot serves, policy or its data are others, their
session has changed, or their token does not hold any more; and end when whoever asked has lapsed. Whoever enters after
a change that its own decision may not have seen is decided again at once, so that nothing slips through between a
decision and the entry. What their clients send is use of their session, as a request is.

A request that is soon answered whole never comes here. Nothing here has a timer: the sweep of `transport/deadlines`
calls.
"""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from proxy.errors import ACCESS_ENDED, INTERNAL_ERROR, Refused
from proxy.identity.principal import Principal
from proxy.policy.input import Inquiry
from proxy.server.outcome import Outcome
from proxy.server.route import Route
from proxy.server.standing import settle
from proxy.server.tasks import Tasks

if TYPE_CHECKING:
    from proxy.server.connection import Connection
    from proxy.server.runtime import Runtime
    from proxy.server.tunnel import Tunnel

# What is to be asked again: nothing, whether its token still makes it its caller, or that and policy.
_SETTLED, _WHO, _ALL = range(3)
_LOOK_SECONDS = 0.5
_AT_ONCE = 64  # decided again at the same time, where an engine is waited for
_KEPT_HERE = ("session", "service_token")
_LONGEST_UNNOTED = 15.0  # seconds that lie between two notes of a session's use, at most
_SLACK = 1.0  # seconds that a clock may have been set back by between a decision and an entry


class Lasting:
    """One exchange that lasts.

    Args:
        connection: the client's, whose only exchange it is.
        inquiry: what was asked of policy about it.
        route: where it goes.
        outcome: of the exchange.
    """

    __slots__ = (
        "_connection",
        "_heard",
        "_outcome",
        "_route",
        "cut_by",
        "due",
        "go_away_by",
        "inquiry",
        "noted_at",
        "over",
        "under",
    )

    def __init__(self, connection: Connection, inquiry: Inquiry, route: Route, outcome: Outcome) -> None:
        self._connection = connection
        self._route = route
        self._outcome = outcome
        self.inquiry = inquiry
        self.cut_by: Callable[[], None] = connection.abort  # so that a cut answer cannot be taken for a whole one
        self.go_away_by: Callable[[], None] | None = None  # where it would not end by itself
        self._heard = outcome.bytes_in  # of the client, when that was last asked
        self.noted_at = connection.loop.time()  # when that was use of its session
        self.under: object = connection.standing.snapshot  # it was decided under this one
        self.due = _SETTLED
        self.over = False

    @property
    def names(self) -> tuple[str, str]:
        """What a change of its session or service token is told by."""
        return self.inquiry.principal.session, self.inquiry.principal.id

    def lapse(self, now: float) -> str | None:
        """Return why its caller is nobody any more at this moment (POSIX seconds), or None."""
        principal, peer = self.inquiry.principal, self.inquiry.peer
        if peer is not None and now >= peer.expires_at:
            return "the client certificate's time is over"
        if principal.method == "assertion":
            return None  # that ends in minutes; the gateway that vouches holds the other end, and cuts it when it must
        return "the caller's time is over" if now >= principal.expires_at else None

    def become_tunnel(self, tunnel: Tunnel) -> None:
        """Be a WebSocket from now on: it has words for why it ends, and lasts for as long as both sides like."""
        self.cut_by, self.go_away_by = tunnel.cut, tunnel.go_away
        if self._connection.runtime.lasting.going_away:
            tunnel.go_away()

    def hears(self) -> bool:
        """Tell whether its client has sent something since this was last asked."""
        before, self._heard = self._heard, self._outcome.bytes_in
        return self._heard != before

    def holds(self, now: float) -> bool:
        """Tell whether memory still says that its token or session is whose it was; that is use of a session."""
        inquiry, snapshot = self.inquiry, self._connection.runtime.snapshot
        rules = self._route.config.authenticate
        try:
            found = snapshot.authenticator.recall(inquiry.head, rules, inquiry.peer, now, inquiry.target)
        except Refused:
            return False
        return found is inquiry.principal

    async def decide_again(self) -> None:
        """Ask what is due, as of now, and cut it where the answer is no or nobody can tell."""
        due, self.due = self.due, _SETTLED
        try:
            await self._decide(due)
        except Exception as error:  # whatever it is, nobody has said yes
            if not isinstance(error, Refused):
                sys.stderr.write(f"ztproxy: a late decision failed: {''.join(traceback.format_exception(error))}")
            refused = error if isinstance(error, Refused) else Refused(INTERNAL_ERROR, type(error).__name__)
            self.cut(f"{refused.row.code}: {refused.detail}" if refused.detail else refused.row.code)

    async def _decide(self, due: int) -> None:
        connection, before = self._connection, self.inquiry
        snapshot, now, old = connection.runtime.snapshot, time.time(), connection.standing
        tls = connection.transport.get_extra_info("ssl_object")
        standing = settle(snapshot, old, old.listener, connection.remote, tls, connection.server_name)
        peer = standing.proven_peer(now)
        route = standing.router.match(before.target.host, before.target.segments)
        if route is None or route.name != before.route:
            raise Refused(ACCESS_ENDED, "its route is gone")
        rules, authenticator = route.config.authenticate, snapshot.authenticator
        principal = authenticator.recall(before.head, rules, peer, now, before.target)
        if principal is None:
            principal = await authenticator.authenticate(before.head, rules, peer, now, before.target)
        if not _is_same(principal, before.principal):
            raise Refused(ACCESS_ENDED, "whoever asked is not signed in any more")
        if due == _WHO:
            return
        inquiry = replace(
            before,
            principal=principal,
            peer=peer,
            labels=route.config.labels,
            time=now,
            decision_id=connection.runtime.ids.fresh()[1],
        )
        if snapshot.authorizer.authorize_now(inquiry, route.decision) is None:
            await snapshot.authorizer.authorize(inquiry, route.decision)
        self.inquiry, self._route, self.under = inquiry, route, snapshot

    def cut(self, why: str) -> None:
        """End it."""
        if self.over:
            return
        self.over = True
        self._outcome.code, self._outcome.detail = ACCESS_ENDED.code, why
        self._connection.runtime.metrics.refusals.of(ACCESS_ENDED.code).inc()
        self.cut_by()


class Registry:
    """All exchanges of a process that last.

    Args:
        runtime: whose snapshot they are decided by.
    """

    __slots__ = (
        "_changed_at",
        "_generation",
        "_lasting",
        "_look_at",
        "_runtime",
        "_snapshot",
        "_tasks",
        "_working",
        "going_away",
    )

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lasting: set[Lasting] = set()
        self._snapshot: object = None
        self._generation: object = None
        self._changed_at = float("-inf")  # POSIX seconds
        self._look_at = 0.0  # `loop.time()` seconds
        self._tasks = Tasks()
        self._working = False
        self.going_away = False

    def __len__(self) -> int:
        return len(self._lasting)

    def enter(self, lasting: Lasting) -> None:
        """Watch an exchange from now on; decide again where its decision may be older than what it was made by."""
        self.look()
        self._lasting.add(lasting)
        fresh = lasting.under is self._snapshot and lasting.inquiry.time > self._changed_at + _SLACK
        if not (fresh and lasting.holds(time.time())):
            self._ask_again((lasting,))

    def leave(self, lasting: Lasting) -> None:
        """Watch it no more."""
        lasting.over = True
        self._lasting.discard(lasting)

    def recheck(self, session: str) -> None:
        """Decide again what rides on a session (its public id) that has ended or changed."""
        self.tell(frozenset((session,)))

    def tell(self, ids: frozenset[str] | None) -> None:
        """Decide again what rides on sessions or service tokens that have changed; None: each of them may have."""
        riding = [each for each in self._lasting if each.inquiry.principal.method in _KEPT_HERE]
        self._ask_again([each for each in riding if ids is None or not ids.isdisjoint(each.names)])

    def look(self) -> None:
        """Decide everything again if another snapshot serves, or policy or its data are others."""
        snapshot = self._runtime.snapshot
        generation = snapshot.engine.generation
        if snapshot is self._snapshot and generation is self._generation:
            return
        first = self._snapshot is None
        self._snapshot, self._generation = snapshot, generation
        if first:
            self._runtime.deadlines.add(self)
        else:
            self._changed_at = time.time()
            self._ask_again(self._lasting)

    def expire(self, now: float) -> None:
        """Look for what has changed or lapsed (`loop.time()` seconds)."""
        self.look()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_SECONDS
        wall = time.time()
        idle = self._runtime.snapshot.config.session.idle
        unnoted = min(idle / 4, _LONGEST_UNNOTED)
        for each in list(self._lasting):
            method = each.inquiry.principal.method
            if (why := each.lapse(wall)) is not None:
                each.cut(why)
            elif method == "bearer":
                if not each.holds(wall):
                    self._ask_again((each,), _WHO)
            elif method in _KEPT_HERE and now >= each.noted_at + unnoted and each.hears():
                each.noted_at = now
                if not each.holds(wall):
                    self._ask_again((each,), _WHO)

    def go_away(self) -> None:
        """End what would not end by itself, now and from now on: the process is about to."""
        self.going_away = True
        for each in list(self._lasting):
            if each.go_away_by is not None:
                each.go_away_by()

    async def end(self) -> None:
        """Stop deciding."""
        await self._tasks.end()

    def _ask_again(self, which: Collection[Lasting], what: int = _ALL) -> None:
        for each in which:
            each.due = max(each.due, what)
        if which and not self._working:
            self._working = True
            self._tasks.spawn(self._work(), "late decisions")

    async def _work(self) -> None:
        """Ask again whatever is due, some at a time, until nothing is."""
        try:
            while due := list(islice((each for each in self._lasting if each.due), _AT_ONCE)):
                await asyncio.gather(*(each.decide_again() for each in due))
                await asyncio.sleep(0)  # requests go on meanwhile
        finally:
            self._working = False


def _is_same(one: Principal, other: Principal) -> bool:
    return (one.kind, one.issuer, one.id) == (other.kind, other.issuer, other.id)
