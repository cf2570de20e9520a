"""One downstream connection: who is at its other end, and one coroutine that serves its requests in order.

Who you are is settled here, once a connection and again whenever the snapshot changes; what you may do is decided in
`exchange`, once a request.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from ipaddress import ip_address

from proxy import errors
from proxy.config import schema
from proxy.errors import Refused
from proxy.http.h1 import HeadLimits, RequestHeadParser
from proxy.http.message import RequestHead
from proxy.identity.principal import Peer
from proxy.identity.spiffe import SpiffeID, parse_pattern
from proxy.identity.svid import verify_svid
from proxy.identity.tls import ServerTLS, peer_of, requested_name
from proxy.server.exchange import Exchange
from proxy.server.route import Router
from proxy.server.runtime import Runtime
from proxy.server.snapshot import Snapshot
from proxy.server.tasks import Tasks
from proxy.transport.stream import Stream, StreamTimeout


@dataclass(frozen=True, slots=True)
class Standing:
    """What one snapshot makes of a connection.

    Args:
        peer: the client certificate's identity, or None.
        refused: why the certificate gives no identity, or None; every request is then answered with it.
        trusted: the other end is a trusted proxy.
        router: the listener's routes.
    """

    peer: Peer | None
    refused: Refused | None
    trusted: bool
    router: Router


class Connection(Stream):
    """A client's connection.

    Args:
        listener: the config of the listener that accepted it.
        remote, remote_port: the client's address, from the PROXY protocol where that is spoken.
    """

    __slots__ = (
        "_busy",
        "_served",
        "_settled_for",
        "id",
        "listener",
        "loop",
        "remote",
        "remote_port",
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
    ) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop, runtime.deadlines)
        self.runtime = runtime
        self.listener = listener
        self.tasks = tasks
        self.loop = loop
        self.id = os.urandom(8).hex()
        self.remote, self.remote_port = remote
        self.task: asyncio.Task[None] | None = None

        # Settled when the transport is there, and again for each new snapshot.
        self.scheme = "http"
        self.server_name: str | None = None
        self.tls_version: str | None = None
        self.standing: Standing
        self._settled_for: Snapshot | None = None

        # How it ends.
        self.retiring = False
        self._busy = False
        self._served = False  # a request has been answered: until then a client counts on being heard

    def connection_lost(self, exc: Exception | None) -> None:
        """End the exchange under way: nobody is there to read its answer."""
        super().connection_lost(exc)
        if self.task is not None and self._busy:
            self.task.cancel()

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
            self._busy = False
            self.abort()

    async def _serve_requests(self) -> None:
        if (tls := self.transport.get_extra_info("ssl_object")) is not None:
            self.scheme, self.tls_version, self.server_name = "https", tls.version(), requested_name(tls)
        limits = self.runtime.snapshot.config.limits
        self.patience = limits.idle
        parser = RequestHeadParser(HeadLimits(limits.header_bytes, limits.header_count, limits.target_length))
        wait = limits.request_head
        for remaining in range(limits.requests_per_connection, 0, -1):
            head = await self._next_head(parser, wait, limits.request_head)
            if head is None:
                return
            self._busy = True
            self.retiring = self.retiring or remaining == 1
            self._settle(self.runtime.snapshot)
            if not await Exchange(self).serve(head):
                return
            self._busy, self._served = False, True
            wait = limits.idle
            if self.buffer:
                await asyncio.sleep(0)  # a client that pipelines gets one request a turn of the loop

    async def _next_head(
        self, parser: RequestHeadParser, wait: float, head_wait: float
    ) -> RequestHead | Refused | None:
        """Return the next request's head, the refusal that its bytes earn, or None at the end of the connection."""
        deadline = self.loop.time() + (head_wait if self.buffer else wait)
        begun = bool(self.buffer)
        try:
            while (head := parser.parse(self.buffer)) is None:
                if self._may_leave:
                    return None
                if not await self.fill(deadline):
                    return None
                if not begun and self.buffer:
                    begun, deadline = True, self.loop.time() + head_wait
        except StreamTimeout:
            return Refused(errors.HEAD_TIMEOUT, f"a head must come within {head_wait:g} s") if begun else None
        except Refused as refused:
            return refused
        return head

    # --- who is at the other end

    def proven_peer(self, now: float) -> Peer | None:
        """Return the peer that the certificate proves at this moment (POSIX seconds), or None without a certificate.

        Raises:
            Refused: CERTIFICATE_REFUSED by the SVID rules, CERTIFICATE_LAPSED when its time is over.
        """
        standing = self.standing
        if standing.refused is not None:
            raise Refused(standing.refused.row, standing.refused.detail, headers=standing.refused.headers)
        if standing.peer is not None and now >= standing.peer.expires_at:
            raise Refused(errors.CERTIFICATE_LAPSED, "the client certificate's time is over")
        return standing.peer

    def require_same_setting(self, host: str, tls: ServerTLS | None) -> None:
        """Refuse a host whose client-certificate setting is another than that of the name in the handshake.

        Args:
            host: the request's.
            tls: the listener's certificates.

        Raises:
            Refused: MISDIRECTED (RFC 9110 section 15.5.20). Without a server name there is nothing to compare.
        """
        if tls is None or self.server_name is None:
            return
        if tls.setting_of(host) != tls.setting_of(self.server_name):
            raise Refused(errors.MISDIRECTED, "the host has another client-certificate setting than the server name")

    def _settle(self, snapshot: Snapshot) -> None:
        if snapshot is self._settled_for:
            return
        self.listener = snapshot.listeners.get(self.listener.name, self.listener)
        peer, refused = self._peer_under(snapshot)
        self.standing = Standing(
            peer, refused, self._is_trusted(peer), snapshot.routers.get(self.listener.name, Router(()))
        )
        self._settled_for = snapshot

    def _peer_under(self, snapshot: Snapshot) -> tuple[Peer | None, Refused | None]:
        """Verify the certificate under this snapshot's trust bundles; after a reload its authority may be gone."""
        now = time.time()
        before = self._settled_for
        try:
            if before is None:
                tls = self.transport.get_extra_info("ssl_object")
                return (None, None) if tls is None else (peer_of(tls, snapshot.bundles, now), None)
            peer = self.standing.peer
            if peer is None:
                return None, self.standing.refused or self._lacking(snapshot)
            if before.bundles == snapshot.bundles:
                return peer, None
            chain = (peer.certificate.der, *peer.certificate.chain)
            return verify_svid(peer.certificate.der, chain, snapshot.bundles, now), None
        except Refused as refused:
            return None, refused

    def _lacking(self, snapshot: Snapshot) -> Refused | None:
        """Return why a connection without a certificate, made when none was required, is not served any more."""
        tls = snapshot.server_tls.get(self.listener.name)
        if self.scheme == "https" and tls is not None and tls.setting_of(self.server_name) == "required":
            return Refused(errors.CERTIFICATE_REFUSED, "a client certificate is required since the last reload")
        return None

    def _is_trusted(self, peer: Peer | None) -> bool:
        trusted = self.listener.trusted_proxies
        if trusted is None:
            return False
        if peer is not None:
            workload = SpiffeID(peer.trust_domain, peer.path)
            if any(parse_pattern(pattern).match(workload) for pattern in trusted.workloads):
                return True
        return is_within(self.remote, trusted.networks)


def is_within(address: str, networks: tuple[schema.Network, ...]) -> bool:
    """Say whether an IP address is in one of these networks; an address of another kind is in none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)
