"""The proof before any figure: twelve requests, each with the same answer from everybody who claims to decide it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from bench.peers.peer import POLICY, TOKEN, Peer
from bench.process import wait_for
from bench.world import World

Token = Callable[[World], str]


@dataclass(frozen=True)
class Probe:
    """One request.

    Args:
        name: what it is.
        asks: what a peer must claim to decide to be held to it.
        allowed: whether the rules permit it.
        token: that it carries.
        certificate: that it shows.
    """

    name: str
    asks: str
    allowed: bool = False
    token: Token | None = None
    certificate: str | None = None
    method: str = "GET"
    path: str = "/"
    host: str = "localhost"


def _good(world: World) -> str:
    return world.token


PROBES = (
    Probe("a good token", TOKEN, allowed=True, token=_good),
    Probe("no credential", TOKEN),
    Probe("a token that has expired", TOKEN, token=lambda world: world.sign("ana", exp=1_700_000_000)),
    Probe("a token for another audience", TOKEN, token=lambda world: world.sign("ana", aud="another")),
    Probe(
        "a token that another key signed",
        TOKEN,
        token=lambda world: world.sign("ana", key=ec.generate_private_key(ec.SECP256R1())),
    ),
    Probe("another host", TOKEN, token=_good, host="elsewhere.example"),
    Probe("a token without the group", POLICY, token=lambda world: world.sign("ana", groups=["sales"])),
    Probe("a method that the group may not use", POLICY, token=_good, method="POST"),
    Probe("a good certificate", POLICY, allowed=True, certificate="ci", path="/api/builds"),
    Probe("a good certificate elsewhere", POLICY, certificate="ci", path="/admin"),
    Probe("a good certificate, and a path that leads elsewhere", POLICY, certificate="ci", path="/api/../admin"),
    Probe("a certificate of another workload", POLICY, certificate="web", path="/api/builds"),
)


def prove(peer: Peer) -> list[str]:
    """Ask a peer all twelve; return what it answered against the rules, or left out of its records."""
    mistakes = []
    for probe in PROBES:
        if probe.asks not in peer.claims if peer.claims else probe.host != "localhost":
            continue  # whoever decides nothing lets everybody through, to the hosts that it has
        allowed = probe.allowed or not peer.claims
        status = ask(peer, probe)
        if (status == 200) != allowed or status >= 500:
            mistakes.append(f"{probe.name}: {status}, which must {'' if allowed else 'not '}be 200")
    return mistakes or unrecorded(peer)


def ask(peer: Peer, probe: Probe) -> int:
    """Make one request on a connection of its own; return its status."""
    client = peer.world.client(probe.certificate)
    connection = http.client.HTTPSConnection("localhost", peer.port, context=client, timeout=10)
    headers = {"Host": probe.host}
    if probe.token is not None:
        headers["Authorization"] = f"Bearer {probe.token(peer.world)}"
    try:
        connection.request(probe.method, probe.path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def unrecorded(peer: Peer) -> list[str]:
    """Say what is wrong with the records of what is permitted: each must be a line of JSON, in a file."""
    try:
        wait_for(lambda: peer.records() >= 2, "records", seconds=5)
        for line in peer.access_log.read_text(encoding="utf-8").splitlines():
            if not isinstance(json.loads(line), dict):
                return ["an access record is no object"]
    except (TimeoutError, ValueError) as error:
        return [f"access records are not as they must be: {error}"]
    return []
