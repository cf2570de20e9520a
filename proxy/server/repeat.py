"""What a connection's next request finds if it says the same as the one before it, byte for byte.

It is worked out by the first of them and holds under one snapshot: the route, the fields that the upstream gets, the
inquiry, the record's facts. Who asks is proven, and what policy says is asked, for every one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.http.message import RequestHead
from proxy.identity.principal import Principal
from proxy.policy.input import Inquiry
from proxy.server.route import Route
from proxy.server.told import Told

if TYPE_CHECKING:
    from proxy.server.snapshot import Snapshot


class Repeat:
    """One request's outcome of everything that depends on its bytes, its caller and the snapshot alone.

    Args:
        head: the first of them.
        lead, told: what the upstream gets of header fields, before the request's id and behind the span's.
        facts: as of `telemetry/access.access_facts`.
    """

    __slots__ = ("_block", "_snapshot", "_target", "facts", "inquiry", "lead", "principal", "route", "told")

    def __init__(
        self,
        snapshot: Snapshot,
        head: RequestHead,
        route: Route,
        principal: Principal,
        inquiry: Inquiry,
        lead: bytes,
        told: Told,
        facts: str,
    ) -> None:
        self._snapshot = snapshot
        self._block = head.block
        self._target = head.goes_to
        self.route = route
        self.principal = principal
        self.inquiry = inquiry
        self.lead = lead
        self.told = told
        self.facts = facts

    def fits(self, snapshot: Snapshot, head: RequestHead, now: float) -> bool:
        """Tell whether a request says the same at this moment (POSIX seconds); nothing but who asks is open then."""
        same = self._block is head.block and self._target is head.goes_to and self._snapshot is snapshot
        return same and now < self.told.until
