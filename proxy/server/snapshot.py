"""Everything that a config compiles to, as one immutable value.

It is built off the request path, from the config and from the snapshot that serves now; what has not changed (keys,
pools, an engine) is carried over. A request takes the reference once, so a reload is one assignment.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from proxy.config import Mistake
from proxy.config.limits import Limits
from proxy.config.load import File
from proxy.config.schema import Config, Listener
from proxy.http.remembered import Common
from proxy.identity.assertion import Assertions, build_assertions
from proxy.identity.authenticate import Authenticator
from proxy.identity.bundle import TrustBundles, load_bundles
from proxy.identity.issuers import Issuers, build_issuers
from proxy.identity.tls import ServerTLS, build_server_tls
from proxy.policy.allow import allow_mistakes, asks_for_user, route_data
from proxy.policy.authorize import Authorizer
from proxy.policy.engine import Engine, build_engine
from proxy.policy.memo import Memo
from proxy.policy.record import DecisionLog
from proxy.portal.portal import Portal
from proxy.server.route import Route, Router, compile_route
from proxy.server.runtime import Runtime
from proxy.server.staff import Grounds, Staff, build_grounds, build_staff
from proxy.telemetry.records import Writer
from proxy.upstream.cluster import Cluster
from proxy.upstream.endpoint import build_endpoints


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One generation of the proxy. Mappings are by the name in the config and are never changed."""

    config: Config
    bundles: TrustBundles
    server_tls: Mapping[str, ServerTLS]  # by listener; a plain listener has none
    issuers: Issuers
    assertions: Assertions | None
    authenticator: Authenticator
    engine: Engine
    authorizer: Authorizer
    clusters: Mapping[str, Cluster]
    listeners: Mapping[str, Listener]
    routers: Mapping[str, Router]  # by listener
    access: Writer | None
    staff: Staff | None
    in_flight: int  # requests at once
    heads: Common = field(default_factory=Common)  # what connections under its limits have said

    @property
    def portal(self) -> Portal | None:
        """The pages of people who sign in, or None where nobody does."""
        return None if self.staff is None else self.staff.portal


# What is settled once, at the start: sockets that are opened then, and how many processes there are.
_FIXED = ("admin", "health", "workers")


T = TypeVar("T")
Steps = Generator[None, None, T]
"""Work of some milliseconds that may be laid aside wherever it yields, so that requests need not wait for all of it."""


def at_once(steps: Steps[T]) -> T:
    """Do all steps, and return what came of them."""
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]


def compile_file(file: File, previous: Snapshot | None, runtime: Runtime) -> Steps[tuple[Snapshot | None, File]]:
    """Compile a config file that was read; what `run`, `check` and a reload all do, so that they say the same.

    In the event loop's thread: an embedded engine works in the thread alone that made it.

    Returns:
        The snapshot, or None where there is an error; and the file with every mistake and warning, all at once.
    """
    if file.config is None:
        mistakes = (yield from _build_rooms(file.salvaged, previous, runtime))[1] if file.salvaged is not None else []
        return None, file.with_mistakes(mistakes)
    snapshot, mistakes = yield from build_snapshot(file.config, previous, runtime)
    if previous is not None:
        mistakes = mistakes + _fixed_mistakes(previous.config, file.config)
    file = file.with_mistakes(mistakes)
    return (snapshot if file.config is not None else None), file


def build_snapshot(
    config: Config, previous: Snapshot | None, runtime: Runtime
) -> Steps[tuple[Snapshot | None, list[Mistake]]]:
    """Compile a config, and collect every mistake of every room.

    Args:
        config: a file that has passed `config/load`.
        previous: the snapshot that serves now, whose unchanged parts are carried over, or None at the start.
        runtime: the process that will serve it.

    Returns:
        The snapshot, or None where any mistake is an error; and all mistakes, warnings too.
    """
    rooms, mistakes = yield from _build_rooms(config, previous, runtime)
    if rooms is None or any(mistake.severity == "error" for mistake in mistakes):
        return None, mistakes
    bundles, server_tls, issuers, assertions, grounds, clusters, engine = rooms
    access, wrong = _open_log("access_log", config.access_log.to, runtime)
    decisions, also_wrong = _open_log("decision_log", config.decision_log.to, runtime)
    if wrong or also_wrong:
        return None, [*mistakes, *wrong, *also_wrong]
    runtime.decisions.resize(config.limits.decision_memory)
    log = DecisionLog(decisions, required=config.decision_log.required)
    routes = [_route(config, clusters, index) for index in range(len(config.routes))]
    authorizer = Authorizer(
        engine, Memo(engine, runtime.decisions), deadline=config.policy.deadline, record=log, metrics=runtime.metrics
    )
    staff = build_staff(config, grounds, routes, authorizer, previous.staff if previous else None)
    return Snapshot(
        config=config,
        in_flight=config.limits.in_flight,
        bundles=bundles,
        server_tls=server_tls,
        issuers=issuers,
        assertions=assertions,
        authenticator=_authenticator(issuers, config.limits, staff),
        engine=engine,
        authorizer=authorizer,
        clusters=clusters,
        listeners={listener.name: listener for listener in config.listeners},
        routers=_routers(config, routes),
        access=access,
        staff=staff,
    ), mistakes


def _authenticator(issuers: Issuers, limits: Limits, staff: Staff | None) -> Authenticator:
    if staff is None:
        return Authenticator(issuers, limits)
    sessions = staff.keeping.sessions if staff.portal is not None else None
    return Authenticator(issuers, limits, sessions, staff.keeping.services, staff.notice)


_Rooms = tuple[
    TrustBundles, dict[str, ServerTLS], Issuers, Assertions | None, Grounds | None, dict[str, Cluster], Engine
]


def _build_rooms(
    config: Config, previous: Snapshot | None, runtime: Runtime
) -> Steps[tuple[_Rooms | None, list[Mistake]]]:
    bundles, mistakes = load_bundles(config.identity, config.trust_domain)
    yield
    server_tls, wrong = _server_tls(config, bundles)
    mistakes += wrong
    yield
    issuers, wrong = build_issuers(
        config.identity, config.limits, previous.issuers if previous else None, runtime.observe
    )
    mistakes += wrong + allow_mistakes(config)
    assertions, wrong = build_assertions(
        config.assertion, f"https://{config.trust_domain}", previous.assertions if previous else None, time.time()
    )
    mistakes += wrong
    grounds, wrong = build_grounds(config, issuers, previous.staff if previous else None, make=runtime.recording)
    mistakes += wrong
    clusters, wrong = _clusters(config, previous, runtime)
    mistakes += wrong
    yield
    engine, wrong = build_engine(config, route_data(config), previous.engine if previous else None)
    mistakes += wrong
    yield
    return (None if engine is None else (bundles, server_tls, issuers, assertions, grounds, clusters, engine)), mistakes


def _open_log(section: str, to: str, runtime: Runtime) -> tuple[Writer | None, list[Mistake]]:
    try:
        return runtime.open_log(to), []
    except OSError as error:
        return None, [Mistake((section, "to"), f"{to} must be writable: {(error.strerror or str(error)).lower()}")]


def _fixed_mistakes(old: Config, new: Config) -> list[Mistake]:
    return [
        Mistake((name,), f"{name} cannot change without a restart")
        for name in _FIXED
        if getattr(old, name) != getattr(new, name)
    ]


def _server_tls(config: Config, bundles: TrustBundles) -> tuple[dict[str, ServerTLS], list[Mistake]]:
    contexts: dict[str, ServerTLS] = {}
    mistakes: list[Mistake] = []
    for index, listener in enumerate(config.listeners):
        if listener.tls is not None:
            tls, wrong = build_server_tls(listener.tls, ("listeners", index, "tls"), bundles, time.time())
            mistakes += wrong
            if tls is not None:
                contexts[listener.name] = tls
    return contexts, mistakes


def _clusters(config: Config, previous: Snapshot | None, runtime: Runtime) -> tuple[dict[str, Cluster], list[Mistake]]:
    clusters: dict[str, Cluster] = {}
    mistakes: list[Mistake] = []
    for name, upstream in config.upstreams.items():
        kept = previous.clusters.get(name) if previous else None
        if kept is not None and kept.config == upstream and kept.limits == config.limits:
            clusters[name] = kept
            continue
        endpoints, wrong = build_endpoints(upstream, ("upstreams", name))
        mistakes += wrong
        if endpoints:
            clusters[name] = Cluster(name, upstream, config.limits, endpoints, runtime.deadlines)
    return clusters, mistakes


def _route(config: Config, clusters: Mapping[str, Cluster], index: int) -> Route:
    route = config.routes[index]
    cluster = clusters[route.upstream] if route.upstream is not None else None
    return compile_route(route, cluster, route.decision or config.policy.decision, asks_for_user(route, config))


def _routers(config: Config, routes: list[Route]) -> dict[str, Router]:
    return {
        listener.name: Router(
            route for route in routes if route.config.listeners is None or listener.name in route.config.listeners
        )
        for listener in config.listeners
    }
