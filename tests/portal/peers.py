"""Peers to sign in on."""

from __future__ import annotations

from proxy.identity.principal import CertificateFacts, Peer


def peer(name: str) -> Peer:
    """Return the peer of an ID."""
    facts = CertificateFacts(b"", "", "", "", 0, 2e9, (), name)
    return Peer(name, "example.org", name.removeprefix("spiffe://example.org"), 2e9, facts)
