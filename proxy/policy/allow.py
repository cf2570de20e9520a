"""What a route's `allow` means: the data that it becomes for the default policy, and what is wrong with it.

It knows the config; what an entry becomes is in `requirements`, and how it is found in `lookups`. It decides nothing:
that is Rego's, so that the embedded engine and an OPA server give the same answer of the same data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from proxy.config.listening import asks_for_certificates
from proxy.config.mistake import Location, Mistake, did_you_mean
from proxy.config.routing import issuer_names
from proxy.config.schema import Allow, Config, Hours, Route
from proxy.http.h1 import METHODS
from proxy.http.target import compile_path
from proxy.identity.device import check_id
from proxy.identity.spiffe import parse_pattern
from proxy.policy.lookups import compile_entries
from proxy.policy.requirements import USER_KEYS, issuers_of, names_a_user, requirements

_METHODS = sorted(method.decode("ascii") for method in METHODS)
_DEFAULT_DECISION = "ztproxy/authz/decision"
_SUBJECT_KEYS = (*USER_KEYS, "workloads", "devices", "authenticated", "anyone")
_CERTIFICATE_KEYS = ("workloads", "devices")


def route_data(config: Config) -> dict[str, Any]:
    """Return the data of the default policy, from the root: `data.ztproxy.routes[NAME]`.

    An entry that `allow_mistakes` objects to is left out: it would open what nobody wrote.
    """
    routes = {}
    for route in config.routes:
        if route.allow is not None:
            entries = dict(_entries(route, config))
            routes[route.name] = compile_entries([*entries], [*entries.values()])
    return {"ztproxy": {"routes": routes}}


def _entries(route: Route, config: Config) -> Iterator[tuple[str, dict[str, Any]]]:
    for index, entry in enumerate(route.allow or ()):
        if not any(mistake.severity == "error" for mistake in _entry_mistakes(entry, route, config, ())):
            yield f"allow[{index}]", requirements(entry, route, config)


def asks_for_user(route: Route, config: Config) -> bool:
    """Tell whether a user could be permitted on a route, so that a request without one is asked to sign in.

    A policy of the user's own is believed to ask for users wherever there are issuers.
    """
    if not issuer_names(config) or route.authenticate.header == "none":
        return False
    if _has_own_policy(config) and not _is_exported(route, config):
        return True
    return any(names_a_user(entry) or entry.authenticated for entry in route.allow or ())


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
    if names_a_user(entry):
        yield from _user_mistakes(entry, route, config, at)
    yield from _address_mistakes(entry.users or (), (*at, "users"))
    yield from _domain_mistakes(entry, route, config, (*at, "users"))
    for key in _CERTIFICATE_KEYS:
        if getattr(entry, key) and not _could_be_shown(route, config):
            rule = "nobody is recognised by this: none of the route's listeners asks for client certificates"
            yield Mistake((*at, key), rule, "warning")
    if entry.workloads and entry.devices:
        yield Mistake((*at, "devices"), "must not stand beside workloads: a connection has one client certificate")
    yield from _workload_mistakes(entry.workloads or (), config, (*at, "workloads"))
    yield from _device_mistakes(entry.devices or (), config, (*at, "devices"))
    yield from _method_mistakes(entry.methods or (), (*at, "methods"))
    yield from _path_mistakes(entry.paths or (), route, (*at, "paths"))
    if entry.hours:
        yield from _hours_mistakes(entry.hours, (*at, "hours"))


def _user_mistakes(entry: Allow, route: Route, config: Config, at: Location) -> Iterator[Mistake]:
    key = next(key for key in USER_KEYS if getattr(entry, key))
    own, of_route = entry.issuers, route.authenticate.issuers
    if not config.identity.issuers and not (own or of_route):
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
    issuers = [config.identity.issuers.get(name) for name in issuers_of(entry, route, config)]
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


def _device_mistakes(devices: Iterable[str], config: Config, at: Location) -> Iterator[Mistake]:
    authorities = {authority.name: authority for authority in config.identity.client_certificates}
    for index, text in enumerate(devices):
        name, _, device = text.partition(":")
        if not device:
            yield Mistake((*at, index), "must be NAME:ID or NAME:*, with a name of identity.client_certificates")
        elif name not in authorities:
            rule = f'no client certificates are called "{name}"{did_you_mean(name, authorities)}'
            yield Mistake((*at, index), rule)
        elif device != "*" and "*" in device:
            yield Mistake((*at, index), f"must name one device, or be {name}:* for all of them")
        elif device != "*":
            try:
                check_id(device, authorities[name].id)
            except ValueError as error:
                yield Mistake((*at, index), str(error))


def _method_mistakes(methods: Iterable[str], at: Location) -> Iterator[Mistake]:
    for index, method in enumerate(methods):
        if method not in _METHODS:
            yield Mistake((*at, index), f'no method is called "{method}"{did_you_mean(method.upper(), _METHODS)}')


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
