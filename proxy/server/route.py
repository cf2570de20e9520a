"""Which route a request is on: authority first, then the longest path prefix, by dictionary look-ups alone.

The most specific authority that has any route decides (exact host, then `*.` one label, then `*`); a path that it does
not know is not looked up under a weaker one, so a host cannot be opened by the rules of another.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from proxy import errors
from proxy.config import schema
from proxy.errors import Refused
from proxy.http.message import Headers, Target
from proxy.http.target import compile_path
from proxy.policy.permit import Permit
from proxy.upstream.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Route:
    """A route as the request path needs it: everything that can be prepared is.

    Args:
        name, config: as in the file.
        cluster: where permitted requests go, or None for a redirect.
        decision: the policy's entry point, such as `ztproxy/authz/decision`.
        asks_for_user: a user could be permitted here, so an anonymous request is asked to sign in.
        asks_for_certificate: a workload could be permitted here.
        lifetime, idle, upstream_host, authenticate: of `config`, for every request asks for them.
        strip: the raw path prefix that the upstream does not see, without trailing slash.
        remove_request, set_request, remove_response, set_response: static header edits.
    """

    name: str
    config: schema.Route
    cluster: Cluster | None
    decision: str
    asks_for_user: bool
    asks_for_certificate: bool
    lifetime: float
    idle: float
    upstream_host: bool
    authenticate: schema.Authenticate
    strip: bytes = b""
    remove_request: frozenset[bytes] = frozenset()
    set_request: tuple[tuple[bytes, bytes], ...] = ()
    remove_response: frozenset[bytes] = frozenset()
    set_response: tuple[tuple[bytes, bytes], ...] = ()


def compile_route(config: schema.Route, cluster: Cluster | None, decision: str, asks_for_user: bool) -> Route:
    """Prepare one route of the config."""
    edits = config.headers
    return Route(
        name=config.name,
        config=config,
        cluster=cluster,
        decision=decision,
        lifetime=config.timeouts.lifetime,
        idle=config.timeouts.idle,
        upstream_host=config.rewrite.host == "upstream",
        authenticate=config.authenticate,
        asks_for_user=asks_for_user,
        asks_for_certificate=any(entry.workloads or entry.authenticated for entry in config.allow or ()),
        strip=(config.rewrite.strip_prefix or "").rstrip("/").encode("ascii"),
        remove_request=_replaced(edits.request),
        set_request=_fields(edits.request),
        remove_response=_replaced(edits.response),
        set_response=_fields(edits.response),
    )


def edit(headers: Headers, remove: frozenset[bytes], fields: tuple[tuple[bytes, bytes], ...]) -> Headers:
    """Apply static header edits."""
    if not remove:
        return headers
    return [field for field in headers if field[0] not in remove] + list(fields)


def _fields(edits: schema.HeaderEdit) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.lower().encode("ascii"), value.encode("ascii")) for name, value in edits.set.items())


def _replaced(edits: schema.HeaderEdit) -> frozenset[bytes]:
    return frozenset(name.lower().encode("ascii") for name in (*edits.set, *edits.remove))


@dataclass(slots=True)
class _Node:
    """One segment of the paths of one host. `exact` is the route of this very path, `below` of all under it."""

    children: dict[str, _Node] = field(default_factory=dict)
    exact: Route | None = None
    below: Route | None = None
    below_only: bool = False

    def add(self, pattern: str, route: Route) -> None:
        segments, below_only = compile_path(pattern)
        node = self
        for segment in segments:
            node = node.children.setdefault(segment, _Node())
        if not below_only:
            node.exact = node.exact or route
        if node.below is None or (below_only and not node.below_only):
            node.below, node.below_only = route, below_only

    def match(self, segments: tuple[str, ...]) -> Route | None:
        node, best = self, None
        for segment in segments:
            best = node.below or best
            child = node.children.get(segment)
            if child is None:
                return best
            node = child
        return node.exact or best


class Router:
    """The routes of one listener."""

    __slots__ = ("_any", "_exact", "_wildcard")

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, _Node] = {}
        self._wildcard: dict[str, _Node] = {}
        self._any: _Node | None = None
        for route in routes:
            for host in route.config.host:
                self._node(host.lower()).add(route.config.path, route)

    def match(self, host: str, segments: tuple[str, ...]) -> Route | None:
        """Return the route of a normalised host and decoded path segments, or None."""
        node = self._exact.get(host) or self._wildcard.get(host.partition(".")[2]) or self._any
        return node.match(segments) if node is not None else None

    def knows(self, host: str) -> bool:
        """Say whether any route is on this host."""
        return host in self._exact or host.partition(".")[2] in self._wildcard or self._any is not None

    def _node(self, host: str) -> _Node:
        if host == "*":
            self._any = self._any or _Node()
            return self._any
        if host.startswith("*."):
            return self._wildcard.setdefault(host[2:], _Node())
        return self._exact.setdefault(host, _Node())


def edited(fields: Headers, route: Route, permit: Permit) -> Headers:
    """Return a request's fields as policy and the route edit them; what the proxy tells of the caller comes after."""
    decision = permit.decision
    removed = frozenset((*decision.request_headers_to_remove, *(name for name, _ in decision.headers)))
    return edit(edit(fields, removed, decision.headers), route.remove_request, route.set_request)


def stripped(target: Target, prefix: bytes) -> bytes:
    """Return the path and query that the upstream gets, without the route's prefix.

    Raises:
        Refused: TARGET_REFUSED; the prefix is spelled with percent signs.
    """
    path = target.origin_form
    if not prefix:
        return path
    if not path.startswith(prefix):
        raise Refused(errors.TARGET_REFUSED, "path must begin with the route's prefix as it is spelled there")
    path = path[len(prefix) :]
    return path if path.startswith(b"/") else b"/" + path
