"""Rules about routes: names that must exist, routes that nothing reaches, and edits that are not theirs to make.

Routing is by authority (the exact host, then `*.` and one label, then `*`) and then by the longest path prefix, so a
route is out of reach exactly where another one has its host and its path on the same listener.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from proxy.config.mistake import Location, Mistake, did_you_mean
from proxy.config.schema import Config, HeaderEdit, Route
from proxy.config.staff import SERVICES

# What no static edit may touch. `tests/config` holds these against the tables of `http/headers`.
_FRAMING: Final = frozenset(
    {
        "connection", "content-length", "expect", "host", "http2-settings", "keep-alive", "proxy-authenticate",
        "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_OURS: Final = frozenset(
    {
        "client-cert", "client-cert-chain", "forwarded", "remote-email", "remote-groups", "remote-name", "remote-user",
        "traceparent", "tracestate", "x-real-ip", "x-request-id",
    }
)  # fmt: skip
_OUR_PREFIXES: Final = ("x-ztproxy-", "x-forwarded-", "x-pomerium-")
_REDIRECT_EXCLUDES: Final = ("allow", "decision", "cors", "rewrite", "headers", "timeouts")


def issuer_names(config: Config) -> Mapping[str, object]:
    """Return what may be named as an issuer: those of `identity`, and that of service tokens where there are any."""
    kept = config.sign_in is not None or "session" in config.model_fields_set
    return {**config.identity.issuers, SERVICES: None} if kept else config.identity.issuers


def routing_mistakes(config: Config) -> Iterator[Mistake]:
    """Yield the mistakes of `routes`."""
    yield from _names(config.routes)
    for index, route in enumerate(config.routes):
        at: Location = ("routes", index)
        yield from _destination(route, config, at)
        yield from _references(route, config, at)
        yield from _contradictions(route, at)
        yield from _header_sets(route, config, at)
        yield from _edits(route.headers.request, (*at, "headers", "request"))
        yield from _edits(route.headers.response, (*at, "headers", "response"))
    yield from _unreachable(config)


def _names(routes: Iterable[Route]) -> Iterator[Mistake]:
    seen: dict[str, int] = {}
    for index, route in enumerate(routes):
        first = seen.setdefault(route.name, index)
        if first != index:
            yield Mistake(("routes", index, "name"), f'"{route.name}" is the name of routes[{first}] already')


def _destination(route: Route, config: Config, at: Location) -> Iterator[Mistake]:
    if route.upstream is not None:
        yield from _named("upstream", route.upstream, config.upstreams, (*at, "upstream"))
    if route.upstream is not None and route.redirect is not None:
        yield Mistake((*at, "redirect"), "must not stand beside upstream")
    if route.upstream is None and route.redirect is None and not _is_only_asked_about(route, config):
        yield Mistake(at, "must have an upstream or a redirect")
    if route.redirect is not None and route.upstream is None:
        for key in _REDIRECT_EXCLUDES:
            if key in route.model_fields_set:
                yield Mistake((*at, key), "must not stand beside redirect: nothing is decided or forwarded")


def _is_only_asked_about(route: Route, config: Config) -> bool:
    """Whether other gateways forward the route's requests: nothing is ever sent upstream from here."""
    serves = {listener.name: listener.serves for listener in config.listeners}
    return bool(route.listeners) and all(serves.get(name) == "authorization" for name in route.listeners or ())


def _references(route: Route, config: Config, at: Location) -> Iterator[Mistake]:
    listeners = {listener.name: listener for listener in config.listeners}
    issuers = issuer_names(config)
    for index, name in enumerate(route.listeners or ()):
        yield from _named("listener", name, listeners, (*at, "listeners", index))
    named = [listeners[name] for name in route.listeners or () if name in listeners]
    if named and all(listener.serves == "https_redirect" for listener in named):
        yield Mistake((*at, "listeners"), "must name a listener that does not only redirect to https")
    for index, name in enumerate(route.authenticate.issuers or ()):
        yield from _named("issuer", name, issuers, (*at, "authenticate", "issuers", index))
    for index, entry in enumerate(route.allow or ()):
        for position, name in enumerate(entry.issuers or ()):
            yield from _named("issuer", name, issuers, (*at, "allow", index, "issuers", position))


def _named(kind: str, name: str, names: Mapping[str, object], at: Location) -> Iterator[Mistake]:
    if name not in names:
        yield Mistake(at, f'no {kind} is called "{name}"{did_you_mean(name, names)}')


def _contradictions(route: Route, at: Location) -> Iterator[Mistake]:
    rules, prefix = route.authenticate, route.rewrite.strip_prefix
    if rules.header == "none" and rules.issuers is not None:
        yield Mistake((*at, "authenticate", "issuers"), "must not stand beside header: none, which reads no token")
    if rules.header == "proxy-authorization" and rules.pass_:
        place = (*at, "authenticate", "pass")
        yield Mistake(
            place, "must not stand beside header: proxy-authorization, with which Authorization passes anyway"
        )
    if prefix is not None and _segments(route.path)[: len(_segments(prefix))] != _segments(prefix):
        yield Mistake((*at, "rewrite", "strip_prefix"), f"must be {route.path} or whole segments at its beginning")


def _header_sets(route: Route, config: Config, at: Location) -> Iterator[Mistake]:
    sets = route.headers.identity
    for index, name in enumerate(sets):
        place = (*at, "headers", "identity", index)
        if name in sets[:index]:
            yield Mistake(place, "is listed twice")
        elif name == "pomerium" and config.assertion is None:
            yield Mistake(place, "must have assertion.key_files beside it: all that this set has is signed")


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment]


def _edits(edits: HeaderEdit, at: Location) -> Iterator[Mistake]:
    seen: set[str] = set()
    for name in edits.set:
        yield from _editable(name, (*at, "set", name))
        if name.lower() in seen:
            yield Mistake((*at, "set", name), "is set twice: names are the same in every case")
        seen.add(name.lower())
    for index, name in enumerate(edits.remove):
        yield from _editable(name, (*at, "remove", index))
        if name.lower() in seen:
            yield Mistake((*at, "remove", index), f"{name} is set here: what is set replaces by itself")


def _editable(name: str, at: Location) -> Iterator[Mistake]:
    folded = re.sub(r"[^a-z0-9]", "-", name.lower())
    if folded in _FRAMING:
        yield Mistake(at, f"{name} frames or routes the message: it is not edited")
    elif folded in _OURS or folded.startswith(_OUR_PREFIXES):
        yield Mistake(at, f"{name} says who or where from: the proxy alone writes it")


def _unreachable(config: Config) -> Iterator[Mistake]:
    everywhere = tuple(listener.name for listener in config.listeners)
    owners: dict[tuple[str, str, str], int] = {}
    for index, route in enumerate(config.routes):
        places = [
            (name, host, route.path) for host in route.host for name in dict.fromkeys(route.listeners or everywhere)
        ]
        taken = {place: owners[place] for place in places if place in owners}
        if taken:
            yield _taken(config, index, taken, len(set(places)))
        for position, host in enumerate(route.host):
            if host in route.host[:position]:
                yield Mistake(("routes", index, "host", position), f'"{host}" is listed twice')
        owners.update((place, index) for place in places if place not in owners)


def _taken(config: Config, index: int, taken: dict[tuple[str, str, str], int], places: int) -> Mistake:
    (listener, host, path), first = next(iter(taken.items()))
    owner = f'routes[{first}] ("{config.routes[first].name}")'
    where = f"{host}{path} on listener {listener}"
    if len(taken) == places:
        return Mistake(("routes", index, "path"), f"nothing reaches this route: {owner} has {where} already")
    return Mistake(("routes", index, "path"), f"{owner} has {where} already")
