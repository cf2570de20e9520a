"""What one entry of a route's `allow` requires of a request: plain data, in the shape that `policies/authz.rego` reads.

It knows the config's entries, and neither requests nor where an entry will be found (`lookups`).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final

from proxy.config.schema import Allow, Config, Hours, Network, Route
from proxy.http.target import compile_path
from proxy.identity.spiffe import parse_pattern

USER_KEYS: Final = ("users", "groups", "claims", "issuers")
_DAYS = {
    "mon": "Monday", "tue": "Tuesday", "wed": "Wednesday", "thu": "Thursday",
    "fri": "Friday", "sat": "Saturday", "sun": "Sunday",
}  # fmt: skip
_MAPPED_PREFIX = 96  # RFC 4291 section 2.5.5.2


def requirements(entry: Allow, route: Route, config: Config) -> dict[str, Any]:
    """Return what an entry requires, by its keys."""
    required: dict[str, Any] = {}
    if names_a_user(entry):
        required["issuers"] = _set(issuers_of(entry, route, config))
    if entry.users:
        required["users"] = _users(entry.users)
    if entry.groups:
        required["groups"] = _set(entry.groups)
    if entry.workloads:
        required["workloads"] = _workloads(entry.workloads)
    if entry.devices:
        required["devices"] = _devices(entry.devices)
    if entry.claims:
        required["claims"] = {name: [*values] for name, values in entry.claims.items()}
    if entry.authenticated:
        issuers = route.authenticate.issuers or config.identity.issuers
        required["authenticated"] = {"issuers": _set(issuers), "trust_domain": config.trust_domain}
    if entry.methods:
        required["methods"] = _methods(entry.methods)
    if entry.paths and (paths := _paths(entry.paths)):
        required["paths"] = paths
    if entry.networks:
        required["networks"] = [str(_plain(network)) for network in entry.networks]
    if entry.hours:
        required["hours"] = _hours(entry.hours)
    return required


def names_a_user(entry: Allow) -> bool:
    """Tell whether an entry asks for a user: whatever it says of one it says of its issuers' users."""
    return any(getattr(entry, key) for key in USER_KEYS)


def issuers_of(entry: Allow, route: Route, config: Config) -> Iterable[str]:
    """Return whose users an entry means: those of its own issuers, else of its route's, else of all."""
    return entry.issuers or route.authenticate.issuers or config.identity.issuers


def _set(values: Iterable[str]) -> dict[str, bool]:
    return dict.fromkeys(values, True)


def _methods(methods: Iterable[str]) -> dict[str, bool]:
    listed = _set(methods)
    if "GET" in listed:
        listed["HEAD"] = True  # RFC 9110 section 9.3.2: the same answer without its content
    return listed


def _paths(patterns: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Return path patterns by their first segment; nothing where one of them is every path.

    `last` is the last segment that must be there, one more than the pattern has where it means what is below it.
    """
    by_first: dict[str, list[dict[str, Any]]] = {}
    for segments, below in map(compile_path, patterns):
        if not segments:
            return {}
        by_first.setdefault(segments[0], []).append({"segments": [*segments], "last": len(segments) - 1 + below})
    return by_first


def _users(users: Iterable[str]) -> dict[str, Any]:
    """Return e-mails and subjects apart: a subject that looks like an e-mail is none that anybody vouched for."""
    return {
        "emails": _set(_email(user) for user in users if "@" in user),
        "subjects": _set(user for user in users if "@" not in user),
    }


def _email(address: str) -> str:
    """Return an address as the principal has it: the domain in lower case, what stands before it untouched."""
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.lower()}"


def _workloads(patterns: Iterable[str]) -> dict[str, Any]:
    parsed = [parse_pattern(pattern) for pattern in patterns]
    return {
        "exact": _set(str(pattern.id) for pattern in parsed if not pattern.below),
        "below": [f"{pattern.id}/" for pattern in parsed if pattern.below],
    }


def _devices(patterns: Iterable[str]) -> dict[str, Any]:
    """Return devices in the shape of workloads: an identity of one kind is never one of the other."""
    parsed = [(pattern, *pattern.partition(":")[::2]) for pattern in patterns]
    return {
        "exact": _set(pattern for pattern, _, device in parsed if device != "*"),
        "below": [f"{name}:" for _, name, device in parsed if device == "*"],
    }


def _plain(network: Network) -> Network:
    """Return a network of IPv4 addresses wrapped in IPv6 as one of IPv4; `input.plain_address` unwraps the address."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < _MAPPED_PREFIX:
        return network
    return IPv4Network((mapped, network.prefixlen - _MAPPED_PREFIX))


def _hours(hours: Hours) -> dict[str, Any]:
    return {
        "days": _set(_DAYS[day] for day in hours.days),
        "from": _minutes(hours.from_),
        "to": _minutes(hours.to),
        "zone": hours.zone,
    }


def _minutes(clock: str) -> int:
    hour, minute = clock.split(":")
    return int(hour) * 60 + int(minute)
