"""What a route's `allow` means: the data that it becomes for the default policy, and what is wrong with it.

It knows the config and the shape that `policies/authz.rego` reads. It decides nothing: that is Rego's, so that the
embedded engine and an OPA server give the same answer of the same data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from typing import Any
from zoneinfo import available_timezones

from proxy.config.listening import asks_for_certificates
from proxy.config.mistake import Location, Mistake, did_you_mean
from proxy.config.schema import Allow, Config, Hours, Network, Route
from proxy.http.h1 import METHODS
from proxy.http.target import compile_path
from proxy.identity.spiffe import parse_pattern

_DAYS = {
    "mon": "Monday", "tue": "Tuesday", "wed": "Wednesday", "thu": "Thursday",
    "fri": "Friday", "sat": "Saturday", "sun": "Sunday",
}  # fmt: skip
_USER_KEYS = ("users", "groups", "claims", "issuers")
_DEFAULT_DECISION = "ztproxy/authz/decision"
_SUBJECT_KEYS = (*_USER_KEYS, "workloads", "authenticated", "anyone")

_MAPPED_PREFIX = 96  # RFC 4291 section 2.5.5.2


def route_data(config: Config) -> dict[str, Any]:
    """Return the data of the default policy, from the root: `data.ztproxy.routes[NAME].allow`.

    An entry that `allow_mistakes` objects to is left out: it would open what nobody wrote.
    """
    routes = {}
    for route in config.routes:
        if route.allow is not None:
            routes[route.name] = {"allow": [*_entries(route, config)]}
    return {"ztproxy": {"routes": routes}}


def _entries(route: Route, config: Config) -> Iterator[dict[str, Any]]:
    for index, entry in enumerate(route.allow or ()):
        if not any(mistake.severity == "error" for mistake in _entry_mistakes(entry, route, config, ())):
            yield _compiled(f"allow[{index}]", entry, route, config)


def _compiled(name: str, entry: Allow, route: Route, config: Config) -> dict[str, Any]:
    """Return an entry's data: a key that it leaves out is an empty list, any other a list of one requirement."""
    return {
        "name": name,
        "methods": [_methods(entry.methods)] if entry.methods else [],
        "paths": [[*map(_path, entry.paths)]] if entry.paths else [],
        "issuers": [_set(_issuers(entry, route, config))] if _asks_for_user(entry) else [],
        "users": [_users(entry.users)] if entry.users else [],
        "groups": [_set(entry.groups)] if entry.groups else [],
        "further": _further(entry, route, config),
    }


def _further(entry: Allow, route: Route, config: Config) -> dict[str, Any]:
    further: dict[str, Any] = {}
    if entry.workloads:
        further["workloads"] = _workloads(entry.workloads)
    if entry.claims:
        further["claims"] = {name: [*values] for name, values in entry.claims.items()}
    if entry.authenticated:
        issuers = route.authenticate.issuers or config.identity.issuers
        further["authenticated"] = {"issuers": _set(issuers), "trust_domain": config.trust_domain}
    if entry.networks:
        further["networks"] = [str(_plain(network)) for network in entry.networks]
    if entry.hours:
        further["hours"] = _hours(entry.hours)
    return further


def _asks_for_user(entry: Allow) -> bool:
    return any(getattr(entry, key) for key in _USER_KEYS)


def _issuers(entry: Allow, route: Route, config: Config) -> Iterable[str]:
    """Return whose users an entry means: those of its own issuers, else of its route's, else of all."""
    return entry.issuers or route.authenticate.issuers or config.identity.issuers


def _set(values: Iterable[str]) -> dict[str, bool]:
    return dict.fromkeys(values, True)


def _methods(methods: Iterable[str]) -> dict[str, bool]:
    listed = _set(methods)
    if "GET" in listed:
        listed["HEAD"] = True  # RFC 9110 section 9.3.2: the same answer without its content
    return listed


def _path(pattern: str) -> dict[str, Any]:
    segments, below = compile_path(pattern)
    return {"segments": [*segments], "least": len(segments) + below}


def _users(users: Iterable[str]) -> list[dict[str, Any]]:
    """Return e-mails and subjects apart: a subject that looks like an e-mail is none that anybody vouched for."""
    emails = _set(_email(user) for user in users if "@" in user)
    subjects = _set(user for user in users if "@" not in user)
    return [{"field": "email", "values": emails}, {"field": "id", "values": subjects}]


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


def asks_for_user(route: Route, config: Config) -> bool:
    """Tell whether a user could be permitted on a route, so that a request without one is asked to sign in.

    A policy of the user's own is believed to ask for users wherever there are issuers.
    """
    if not config.identity.issuers or route.authenticate.header == "none":
        return False
    if _has_own_policy(config) and not _is_exported(route, config):
        return True
    return any(_asks_for_user(entry) or entry.authenticated for entry in route.allow or ())


def _has_own_policy(config: Config) -> bool:
    return config.policy.engine == "opa" or config.policy.path is not None


def _is_exported(route: Route, config: Config) -> bool:
    """Tell whether an OPA server decides by a route's `allow`: with the default policy, which was exported to it."""
    decision = route.decision or config.policy.decision
    return config.policy.engine == "opa" and route.allow is not None and decision == _DEFAULT_DECISION


def allow_mistakes(config: Config) -> list[Mistake]:
    """Return what is wrong with the routes' `allow`, beyond names that do not exist."""
    mistakes: list[Mistake] = []
    for index, route in enumerate(config.routes):
        at: Location = ("routes", index)
        if route.upstream is not None and route.allow is None and not _has_own_policy(config):
            mistakes.append(
                Mistake(at, "must have allow: without it and without a policy of your own nothing is permitted")
            )
        for position, entry in enumerate(route.allow or ()):
            mistakes += _entry_mistakes(entry, route, config, (*at, "allow", position))
    return mistakes


def _entry_mistakes(entry: Allow, route: Route, config: Config, at: Location) -> Iterator[Mistake]:
    subjects = [key for key in _SUBJECT_KEYS if getattr(entry, key)]
    if not subjects:
        yield Mistake(at, f"must say whom it allows: one of {', '.join(_SUBJECT_KEYS)}")
    elif entry.anyone and len(subjects) > 1:
        yield Mistake((*at, "anyone"), f"must not stand beside {subjects[0]}: it is everybody")
    if _asks_for_user(entry):
        yield from _user_mistakes(entry, route, config, at)
    yield from _address_mistakes(entry.users or (), (*at, "users"))
    yield from _domain_mistakes(entry, route, config, (*at, "users"))
    if entry.workloads and not _could_be_shown(route, config):
        rule = "nobody is recognised by this: none of the route's listeners asks for client certificates"
        yield Mistake((*at, "workloads"), rule, "warning")
    yield from _workload_mistakes(entry.workloads or (), config, (*at, "workloads"))
    yield from _method_mistakes(entry.methods or (), (*at, "methods"))
    yield from _path_mistakes(entry.paths or (), route, (*at, "paths"))
    if entry.hours:
        yield from _hours_mistakes(entry.hours, (*at, "hours"))


def _user_mistakes(entry: Allow, route: Route, config: Config, at: Location) -> Iterator[Mistake]:
    key = next(key for key in _USER_KEYS if getattr(entry, key))
    own, of_route = entry.issuers, route.authenticate.issuers
    if not config.identity.issuers:
        yield Mistake((*at, key), "asks for a user, and identity.issuers has no issuer")
    elif route.authenticate.header == "none":
        yield Mistake((*at, key), "asks for a user, and the route reads no token (authenticate.header: none)")
    elif own is None and of_route is None and len(config.identity.issuers) > 1:
        yield Mistake(
            (*at, key), "must stand beside issuers: an identity is an issuer and a subject, and there are several"
        )
    if own is not None and of_route is not None:
        for index, name in enumerate(own):
            if name not in of_route:
                yield Mistake((*at, "issuers", index), f'"{name}" is none of the route\'s authenticate.issuers')


def _address_mistakes(users: Iterable[str], at: Location) -> Iterator[Mistake]:
    for index, user in enumerate(users):
        local, at_sign, domain = user.partition("@")
        if at_sign and (not local or not domain or "@" in domain or "*" in user):
            yield Mistake((*at, index), "must be one whole e-mail address, or a subject, which has no @")


def _domain_mistakes(entry: Allow, route: Route, config: Config, at: Location) -> Iterator[Mistake]:
    issuers = [config.identity.issuers.get(name) for name in _issuers(entry, route, config)]
    domains: set[str] = set()
    for issuer in issuers:
        if issuer is None or not issuer.email_domains:
            return  # a mistake of its own, or one who vouches for any domain
        domains.update(domain.lower() for domain in issuer.email_domains)
    for index, user in enumerate(entry.users or ()):
        domain = user.rpartition("@")[2].lower()
        if issuers and "@" in user and domain not in domains:
            rule = f"nobody is recognised by this: no issuer has {domain} in its email_domains"
            yield Mistake((*at, index), rule, "warning")


def _could_be_shown(route: Route, config: Config) -> bool:
    """Tell whether a client of a route may show a certificate; a name of no listener is a mistake of its own."""
    listeners = {listener.name: listener for listener in config.listeners}
    named = route.listeners or [*listeners]
    return any(name not in listeners or asks_for_certificates(listeners[name]) for name in named)


def _workload_mistakes(patterns: Iterable[str], config: Config, at: Location) -> Iterator[Mistake]:
    for index, text in enumerate(patterns):
        try:
            trust_domain = parse_pattern(text).id.trust_domain
        except ValueError as error:
            yield Mistake((*at, index), str(error))
            continue
        if trust_domain not in config.identity.trust_bundles:
            rule = f"nobody is recognised by this: {trust_domain} has no trust bundle in identity.trust_bundles"
            yield Mistake((*at, index), rule, "warning")


def _method_mistakes(methods: Iterable[str], at: Location) -> Iterator[Mistake]:
    known = sorted(method.decode("ascii") for method in METHODS)
    for index, method in enumerate(methods):
        if method not in known:
            yield Mistake((*at, index), f'no method is called "{method}"{did_you_mean(method.upper(), known)}')


def _path_mistakes(paths: Iterable[str], route: Route, at: Location) -> Iterator[Mistake]:
    for index, pattern in enumerate(paths):
        try:
            segments, _ = compile_path(pattern)
        except ValueError as error:
            yield Mistake((*at, index), str(error))
            continue
        if not _could_meet(segments, route):
            yield Mistake((*at, index), f"no request comes here: the route has {route.path} alone", "warning")


def _could_meet(segments: tuple[str, ...], route: Route) -> bool:
    try:
        of_route, _ = compile_path(route.path)
    except ValueError:
        return True  # a mistake of its own
    return all(one == other for one, other in zip(segments, of_route, strict=False))


@cache
def _zones() -> frozenset[str]:
    """Return the time zones that mean the same everywhere; `localtime` is this machine's, `Factory` nobody's."""
    return frozenset(available_timezones() - {"Factory", "localtime"})


def _hours_mistakes(hours: Hours, at: Location) -> Iterator[Mistake]:
    if hours.zone not in _zones():
        yield Mistake((*at, "zone"), f'no time zone is called "{hours.zone}"{did_you_mean(hours.zone, _zones())}')
    if hours.from_ >= hours.to:
        yield Mistake((*at, "to"), "must be later than from: a window over midnight is two entries")
