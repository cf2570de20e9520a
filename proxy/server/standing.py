"""What one snapshot makes of a connection: who is at its other end, and which routes it may ask for.

It is settled once, and again under each new snapshot: after a reload an authority may be gone, or a certificate asked
for that was not shown.
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from proxy import errors
from proxy.config import schema
from proxy.errors import Refused
from proxy.http import forwarding
from proxy.http.message import Headers
from proxy.identity.device import verify_peer
from proxy.identity.principal import Peer
from proxy.identity.spiffe import SpiffeID, parse_pattern
from proxy.identity.tls import peer_of
from proxy.server.route import Router

if TYPE_CHECKING:
    from proxy.server.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Standing:
    """A connection under one snapshot.

    Args:
        snapshot: that one.
        listener: the config of the listener that accepted the connection.
        peer: the client certificate's identity, or None.
        refused: why the certificate gives no identity, or None; every request is then answered with it.
        trusted: the other end is a trusted proxy.
        router: the listener's routes.
    """

    snapshot: Any  # a Snapshot: the compiler looks the name of a type up when the class is made
    listener: schema.Listener
    peer: Peer | None
    refused: Refused | None
    trusted: bool
    router: Router

    def proven_peer(self, now: float) -> Peer | None:
        """Return the peer that the certificate proves at this moment (POSIX seconds), or None without a certificate.

        Raises:
            Refused: CERTIFICATE_REFUSED by the SVID rules, CERTIFICATE_LAPSED when its time is over.
        """
        if self.refused is not None:
            raise Refused(self.refused.row, self.refused.detail, headers=self.refused.headers)
        if self.peer is not None and now >= self.peer.expires_at:
            raise Refused(errors.CERTIFICATE_LAPSED, "the client certificate's time is over")
        return self.peer

    def believe(self, forwarded: Headers, remote: str) -> tuple[str, str | None]:
        """Return the client's address and the request's id as a trusted proxy tells them, or what is known without.

        Args:
            forwarded: the forwarding and trace fields of a request of its.
            remote: the address at the other end of the connection.

        Raises:
            Refused: REQUEST_MALFORMED.
        """
        trusted = self.listener.trusted_proxies
        if trusted is None:
            return remote, None
        source = forwarding.source_of(forwarded, trusted.header, remote, trusted.networks)
        return source, forwarding.request_id_of(forwarded)

    def require_same_setting(self, host: str, server_name: str | None) -> None:
        """Refuse a host whose client-certificate setting is another than that of the name in the handshake.

        Args:
            host: the request's.
            server_name: the handshake's, or None.

        Raises:
            Refused: MISDIRECTED (RFC 9110 section 15.5.20). Without a server name there is nothing to compare.
        """
        tls = self.snapshot.server_tls.get(self.listener.name)
        if tls is None or server_name is None:
            return
        if tls.setting_of(host) != tls.setting_of(server_name):
            raise Refused(errors.MISDIRECTED, "the host has another client-certificate setting than the server name")


def settle(
    snapshot: Snapshot,
    before: Standing | None,
    listener: schema.Listener,
    remote: str,
    tls: ssl.SSLObject | None,
    server_name: str | None,
) -> Standing:
    """Return what a snapshot makes of a connection.

    Args:
        before: what the last one made of it, or None.
        listener: the config of the listener that accepted it, of then.
        remote: the client's address.
        tls, server_name: the handshake and the name that was asked for in it, or None.
    """
    listener = snapshot.listeners.get(listener.name, listener)
    peer, refused = _peer_under(snapshot, before, tls)
    if peer is None and refused is None and before is not None and tls is not None:
        refused = _lacking(snapshot, listener, server_name)
    router = snapshot.routers.get(listener.name, Router(()))
    return Standing(snapshot, listener, peer, refused, _is_trusted(listener, remote, peer), router)


def _peer_under(
    snapshot: Snapshot, before: Standing | None, tls: ssl.SSLObject | None
) -> tuple[Peer | None, Refused | None]:
    """Verify the certificate under this snapshot's trust bundles."""
    now = time.time()
    try:
        if before is None:
            return (None, None) if tls is None else (peer_of(tls, snapshot.bundles, now), None)
        peer = before.peer
        if peer is None:
            return None, before.refused
        if before.snapshot.bundles == snapshot.bundles:
            return peer, None
        chain = (peer.certificate.der, *peer.certificate.chain)
        return verify_peer(peer.certificate.der, chain, snapshot.bundles, now), None
    except Refused as refused:
        return None, refused


def _lacking(snapshot: Snapshot, listener: schema.Listener, server_name: str | None) -> Refused | None:
    """Return why a connection without a certificate, made when none was required, is not served any more."""
    tls = snapshot.server_tls.get(listener.name)
    if tls is not None and tls.setting_of(server_name) == "required":
        return Refused(errors.CERTIFICATE_REFUSED, "a client certificate is required since the last reload")
    return None


def _is_trusted(listener: schema.Listener, remote: str, peer: Peer | None) -> bool:
    trusted = listener.trusted_proxies
    if trusted is None:
        return False
    if peer is not None and peer.kind == "workload":
        workload = SpiffeID(peer.trust_domain, peer.path)
        if any(parse_pattern(pattern).match(workload) for pattern in trusted.workloads):
            return True
    return is_within(remote, trusted.networks)


def is_within(address: str, networks: tuple[schema.Network, ...]) -> bool:
    """Say whether an IP address is in one of these networks; an address of another kind is in none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)
