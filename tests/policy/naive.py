"""What `allow` means, said once more and as slowly as the table of `docs/configuration.md` says it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from proxy.config.schema import Allow, Config, Hours
from proxy.identity.principal import Peer, Principal
from proxy.policy.input import Inquiry, plain_address

MOST_LOOKED_AT = 16  # different requirements of a kind; of more the kind's reason is told without looking
KINDS = {
    "paths": "path-not-allowed",
    "users": "user-not-listed",
    "groups": "group-not-listed",
    "workloads": "workload-not-listed",
    "claims": "claim-not-listed",
    "networks": "network-not-allowed",
    "hours": "outside-hours",
}


def decided(settled: Config, inquiry: Inquiry) -> dict[str, Any]:
    """Return what the default policy must answer on the first route."""
    entries = settled.routes[0].allow or ()
    unmet = {f"allow[{index}]": {*_unmet(entry, inquiry, settled)} for index, entry in enumerate(entries)}
    permitting = [name for name, reasons in unmet.items() if not reasons]
    if permitting:
        return {"allow": True, "reasons": permitting}
    return {"allow": False, "reasons": sorted({*_too_many(entries)}.union(*unmet.values()))}


def _too_many(entries: tuple[Allow, ...]) -> Iterator[str]:
    for kind, reason in KINDS.items():
        asked = [getattr(entry, kind) for entry in entries if getattr(entry, kind) is not None]
        if kind == "paths":
            asked = [paths for paths in asked if "/" not in paths]  # which is no requirement
        if len({repr(one) for one in asked}) > MOST_LOOKED_AT:
            yield reason


def _unmet(entry: Allow, inquiry: Inquiry, settled: Config) -> Iterator[str]:
    """Yield a reason for each requirement of an entry that a request does not meet."""
    yield from _subject(entry, inquiry, settled)
    method = inquiry.head.method.decode()
    if entry.methods is not None and not (method in entry.methods or (method == "HEAD" and "GET" in entry.methods)):
        yield "method-not-allowed"
    if entry.paths is not None and not any(_is_below(path, inquiry.target.segments) for path in entry.paths):
        yield "path-not-allowed"
    if entry.networks is not None and not _is_in(entry.networks, inquiry.source):
        yield "network-not-allowed"
    if entry.hours is not None and not _is_within(entry.hours, inquiry.time):
        yield "outside-hours"


def _subject(entry: Allow, inquiry: Inquiry, settled: Config) -> Iterator[str]:
    who, peer = inquiry.principal, inquiry.peer
    of_route = settled.routes[0].authenticate.issuers or tuple(settled.identity.issuers)
    if entry.users or entry.groups or entry.claims or entry.issuers:
        if who.kind != "user":
            yield "not-a-user"
        elif who.issuer not in (entry.issuers or of_route):
            yield "issuer-not-listed"
    if entry.users is not None and not any(_is_user(user, who) for user in entry.users):
        yield "user-not-listed"
    if entry.groups is not None and set(entry.groups).isdisjoint(who.groups):
        yield "group-not-listed"
    if entry.claims is not None and not all(_has(who, name, values) for name, values in entry.claims.items()):
        yield "claim-not-listed"
    if entry.workloads is not None and not any(_is_workload(pattern, peer) for pattern in entry.workloads):
        yield "workload-not-listed"
    if entry.devices is not None and not any(_is_device(pattern, peer) for pattern in entry.devices):
        yield "device-not-listed"
    ours = peer is not None and peer.trust_domain == settled.trust_domain
    if entry.authenticated and not ours and not (who.kind == "user" and who.issuer in of_route):
        yield "not-authenticated"


def _is_user(user: str, who: Principal) -> bool:
    return user == who.email if "@" in user else user == who.id


def _has(who: Principal, name: str, values: tuple[object, ...]) -> bool:
    claim = who.claims.get(name)
    claimed = claim if isinstance(claim, list) else [claim]
    return any(_same(value, one) for value in values for one in claimed)


def _same(one: object, other: object) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _is_workload(pattern: str, peer: Peer | None) -> bool:
    if peer is None or peer.kind != "workload":
        return False
    if not pattern.endswith("/*"):
        return pattern == peer.id
    above = pattern.removesuffix("/*").split("/")
    segments = peer.id.split("/")
    return segments[: len(above)] == above and len(segments) > len(above)


def _is_device(pattern: str, peer: Peer | None) -> bool:
    if peer is None or peer.kind != "device":
        return False
    name, _, identity = pattern.partition(":")
    of_name, _, of_identity = peer.id.partition(":")
    return name == of_name and identity in ("*", of_identity)


def _is_in(networks: tuple[Any, ...], source: str) -> bool:
    text = plain_address(source)
    if not text:
        return False
    address = ipaddress.ip_address(text)
    return any(address.version == network.version and address in network for network in networks)


def _is_within(hours: Hours, time: float) -> bool:
    local = datetime.fromtimestamp(time, ZoneInfo(hours.zone))
    return local.strftime("%a").lower() in hours.days and hours.from_ <= local.strftime("%H:%M") < hours.to


def _is_below(path: str, segments: tuple[str, ...]) -> bool:
    given = list(segments)
    wanted = path.split("/")[1:]
    if wanted == [""]:
        return True
    if wanted[-1] == "":
        return given[: len(wanted) - 1] == wanted[:-1] and len(given) >= len(wanted)
    return given[: len(wanted)] == wanted
