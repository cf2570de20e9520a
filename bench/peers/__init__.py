"""Whoever is measured, each in a file with its configuration: what it is, how it starts, and what it claims to decide.

The rules that all enforce who decide anything:

- a token of the issuer for the audience `ztproxy` whose groups have `engineering`: GET anywhere, POST below /upload/;
- a certificate of a workload below `spiffe://example.org/ns/ci/`: GET below /api/;
- no other host than `localhost`, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.peers.aiohttp_proxy import Aiohttp
from bench.peers.envoy import Envoy
from bench.peers.nginx import Nginx
from bench.peers.peer import Peer
from bench.peers.ztproxy import Ztproxy, ZtproxyAskingOpa, with_entries, with_routes
from bench.world import World

SIZES = (10, 10_000)  # of what grows

PEERS: dict[str, Callable[[Path, World, int], Peer]] = {
    "nginx": Nginx,
    "envoy": lambda *at: Envoy(*at, kind="bare"),
    "envoy-rbac": lambda *at: Envoy(*at, kind="rbac"),
    "envoy-ext-authz": lambda *at: Envoy(*at, kind="ext-authz"),
    "aiohttp": Aiohttp,
    "ztproxy": Ztproxy,
    "ztproxy-opa": ZtproxyAskingOpa,
    **{f"ztproxy-routes-{size}": lambda *at, size=size: Ztproxy(*at, routes=with_routes(size)) for size in SIZES},
    **{f"ztproxy-allow-{size}": lambda *at, size=size: Ztproxy(*at, routes=with_entries(size)) for size in SIZES},
}
