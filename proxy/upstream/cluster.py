"""A service: its endpoints, taken in turn, each with its pool."""

from __future__ import annotations

from proxy import errors
from proxy.config.limits import Limits
from proxy.config.schema import Upstream
from proxy.errors import Refused
from proxy.policy.permit import Permit
from proxy.transport.deadlines import Deadlines
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.pool import Pool

# Nothing was sent when one of these is raised, so the next endpoint may be tried.
_NEVER_CONNECTED = frozenset(
    {
        errors.UPSTREAM_DNS_FAILED,
        errors.UPSTREAM_REFUSED,
        errors.UPSTREAM_CONNECT_TIMEOUT,
        errors.UPSTREAM_TLS_FAILED,
    }
)


class Cluster:
    """One upstream of the config.

    Args:
        name: its name in the config.
        config, limits: what it was built from; an equal pair lets a reload keep the cluster and its connections.
        endpoints: at least one.
    """

    __slots__ = ("_next", "_pools", "config", "limits", "name")

    def __init__(
        self, name: str, config: Upstream, limits: Limits, endpoints: tuple[Endpoint, ...], deadlines: Deadlines
    ) -> None:
        self.name = name
        self.config = config
        self.limits = limits
        self._next = 0
        self._pools = [
            Pool(
                endpoint,
                deadlines,
                bound=limits.upstream_connections,
                wait=limits.upstream_wait,
                idle=limits.upstream_idle,
                connect=limits.upstream_connect,
            )
            for endpoint in endpoints
        ]

    def take(self, permit: Permit) -> UpstreamConnection | None:
        """Return an idle connection to the next endpoint in turn, or None where `acquire` must be asked."""
        connection = self._pools[self._next].take(permit)
        if connection is not None and len(self._pools) > 1:
            self._next = (self._next + 1) % len(self._pools)
        return connection

    async def acquire(self, permit: Permit, *, fresh: bool = False) -> UpstreamConnection:
        """Return a connection to the next endpoint in turn; pass over endpoints that cannot be connected to.

        Raises:
            Refused: the last endpoint's reason when none could be connected to, or POOL_EXHAUSTED.
        """
        count = len(self._pools)
        first = self._next
        self._next = (first + 1) % count
        for step in range(count - 1):
            try:
                return await self._pools[(first + step) % count].acquire(permit, fresh=fresh)
            except Refused as refused:
                if refused.row not in _NEVER_CONNECTED:
                    raise
        return await self._pools[(first + count - 1) % count].acquire(permit, fresh=fresh)

    def close(self) -> None:
        """Close idle connections now and the others when their exchange ends."""
        for pool in self._pools:
            pool.close()
