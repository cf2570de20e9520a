"""What is measured: each case, who takes part in it, and how it is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from bench import memory, moments
from bench.fleet import Fleet
from bench.loads import Load, Outcome, measure
from bench.peers import SIZES
from bench.peers.peer import Peer
from bench.peers.ztproxy import Ztproxy
from bench.tools import BOMBARDIER, ENVOY, NGINX, OPA, VEGETA, WRK
from bench.upstream import LARGE

Take = Callable[[Fleet], Outcome]

PROGRAMS = {
    "nginx": {NGINX},
    "envoy": {ENVOY},
    "envoy-rbac": {ENVOY},
    "envoy-ext-authz": {ENVOY, NGINX},
    "ztproxy-opa": {OPA},
}


@dataclass(frozen=True)
class Run:
    """One series of a case.

    Args:
        series: its name in the results.
        peer: who is measured.
        take: measures once.
        program: that loads it; empty when none does.
    """

    series: str
    peer: str
    take: Take
    program: str = ""

    @property
    def programs(self) -> set[str]:
        """What must be installed."""
        return PROGRAMS.get(self.peer, set()) | ({self.program} if self.program else set())


@dataclass(frozen=True)
class Case:
    """Runs that are compared in one figure.

    Args:
        name: as `CASES` has it; the part before a dash stands for all that begin with it.
        title: what is measured.
        metric: of the outcome's values, with its unit.
        less: less of it is better.
        once: measured in the last round alone.
    """

    name: str
    title: str
    metric: str
    unit: str
    runs: tuple[Run, ...]
    less: bool = False
    once: bool = False


def loaded(peer: str, load: Load, *, series: str = "", warm: int = 0) -> Run:
    """Return a run of a load; before it counts it is put on for a second, or until so many routes or users were met."""

    def take(fleet: Fleet) -> Outcome:
        running = fleet.peer(peer)
        if (peer, load) not in fleet.warm:
            meet(warm, load, running)
            fleet.warm.add((peer, load))
        return measure(load, running, fleet.seconds)

    return Run(series or peer, peer, take, BOMBARDIER if load.certificate else WRK)


def meet(number: int, load: Load, peer: Peer) -> None:
    """Put a load on, in order where there is a number to be met, until that is done."""
    met = 0
    while not met or met < number:
        ordered = replace(load, arguments=(*load.arguments, str(met))) if number else load
        outcome = ordered.run(peer, load.settle + 1)
        if not outcome.requests:
            raise RuntimeError(f"it gave no answer while it was warmed: {outcome.void}")
        met += outcome.requests


def paced(peer: str) -> Run:
    """Return a run at a fixed rate."""
    return Run(peer, peer, lambda fleet: moments.of_answers(fleet.peer(peer), fleet.seconds), VEGETA)


def idle(peer: str) -> Run:
    """Return a run that counts the memory of idle connections, of a process that has done nothing before."""

    def take(fleet: Fleet) -> Outcome:
        with fleet.fresh(peer) as running:
            return memory.of_idle_connections(running)

    return Run(peer, peer, take, BOMBARDIER)


def soaked(fleet: Fleet) -> Outcome:
    """Watch a fresh process's memory under load."""
    with fleet.fresh("ztproxy") as running:
        return memory.under_load(running, fleet.soak_seconds)


def reloaded(fleet: Fleet) -> Outcome:
    """Load the policy anew while requests come."""
    running = fleet.peer("ztproxy")
    assert isinstance(running, Ztproxy)
    return moments.of_a_reload(running, fleet.seconds + 3)


def started(fleet: Fleet) -> Outcome:
    """Start a process with a hundred routes."""
    return moments.of_the_start(fleet.place / "started", fleet.world, fleet.upstream)


def varied(routes: int, users: int, *, distinct: bool) -> Load:
    """Return a load over so many routes (0: the path is /) and users."""
    arguments = (str(routes), str(users), "{tokens}", "distinct" if distinct else "same")
    return Load(script="requests.lua", arguments=arguments, distinct=distinct)


def grown(what: str) -> tuple[Run, ...]:
    """Return the runs of a scaling case: small and large, remembered and distinct."""
    runs = []
    for distinct in (False, True):
        for size in SIZES:
            peer = "ztproxy" if what == "users" else f"ztproxy-{what}-{size}"
            load = varied(size if what == "routes" else 0, size if what == "users" else 1, distinct=distinct)
            if what == "users" and size == min(SIZES):
                load = varied(0, 1, distinct=distinct)
            series = f"{'distinct' if distinct else 'remembered'}, {'few' if size == min(SIZES) else 'many'}"
            runs.append(loaded(peer, load, series=series, warm=0 if what == "allow" else size))
    return tuple(runs)


SMALL = Load()
MTLS = Load(path="/api/builds", certificate="ci")
DISTINCT = varied(0, 1, distinct=True)
DOWN = Load(path="/large/file", connections=4)
UP = Load(script="upload.lua", arguments=("{token}",), connections=4, sends=LARGE)
NEW = Load(path="/api/builds", certificate="ci", close=True)

DECIDING = ("envoy-rbac", "envoy-ext-authz")
EVERYBODY = ("nginx", "envoy", *DECIDING, "aiohttp", "ztproxy")

CASES = (
    Case(
        "small",
        "128 bytes over TLS with a bearer token, 32 connections; ztproxy remembers its decision",
        "rate",
        "requests/s",
        (
            *(loaded(peer, SMALL) for peer in EVERYBODY),
            loaded("ztproxy", Load(path="/open/"), series="ztproxy, a route for anyone"),
        ),
    ),
    Case(
        "mtls",
        "the same over mTLS with a client certificate instead of a token",
        "rate",
        "requests/s",
        tuple(loaded(peer, MTLS) for peer in ("nginx", "envoy", "envoy-rbac", "ztproxy")),
    ),
    Case(
        "distinct",
        "a token, and a path that no request had before: nothing can be remembered",
        "rate",
        "requests/s",
        tuple(loaded(peer, DISTINCT) for peer in (*DECIDING, "ztproxy")),
    ),
    Case(
        "connections",
        "small, over 512 connections, once all are made",
        "rate",
        "requests/s",
        (
            *(loaded(peer, Load(connections=512, settle=3)) for peer in ("nginx", "envoy-rbac", "ztproxy")),
            loaded("ztproxy", Load(settle=3), series="ztproxy, 32 connections"),
        ),
    ),
    Case(
        "bulk-down",
        "10 MiB down, 4 connections",
        "bytes",
        "MB/s",
        tuple(loaded(peer, DOWN) for peer in ("nginx", "envoy", "ztproxy")),
    ),
    Case(
        "bulk-up",
        "10 MiB up, 4 connections",
        "bytes",
        "MB/s",
        tuple(loaded(peer, UP) for peer in ("nginx", "envoy", "ztproxy")),
    ),
    Case(
        "latency",
        "1,000 requests/s whatever comes back, each from when it was due: p99",
        "p99",
        "ms",
        tuple(paced(peer) for peer in ("nginx", "envoy", *DECIDING, "ztproxy")),
        less=True,
    ),
    Case(
        "handshakes",
        "new mTLS 1.3 connections with full handshakes and a request on each",
        "rate",
        "connections/s",
        tuple(loaded(peer, NEW) for peer in ("nginx", "envoy", "ztproxy")),
    ),
    Case("scale-routes", "10 routes and 10,000, all of them asked for", "rate", "requests/s", grown("routes")),
    Case(
        "scale-allow",
        "10 entries in `allow` and 10,000, the last of which permits",
        "rate",
        "requests/s",
        grown("allow"),
    ),
    Case("scale-users", "1 user's token and 10,000 users'", "rate", "requests/s", grown("users")),
    Case(
        "opa",
        "an OPA server as the engine, on the same core",
        "rate",
        "requests/s",
        (
            loaded("envoy-ext-authz", SMALL),
            loaded("ztproxy", SMALL),
            loaded("ztproxy-opa", SMALL, series="ztproxy asking OPA, remembered"),
            loaded("ztproxy-opa", DISTINCT, series="ztproxy asking OPA, distinct"),
        ),
    ),
    Case(
        "start",
        "from the start to an answer",
        "seconds",
        "s",
        (
            Run("/readyz with 100 routes", "ztproxy", started),
            Run("ztproxy --help", "ztproxy", lambda fleet: moments.of_the_help()),
        ),
        less=True,
    ),
    Case(
        "reload",
        "policy loaded anew at 1,000 requests/s: p99 of that second to that of the others",
        "times",
        "times",
        (Run("ztproxy", "ztproxy", reloaded, VEGETA),),
        less=True,
    ),
    Case(
        "memory",
        "an idle mTLS connection, of 2,000",
        "kilobytes",
        "kB",
        tuple(idle(peer) for peer in ("nginx", "envoy", "ztproxy")),
        less=True,
        once=True,
    ),
    Case(
        "soak",
        "memory after 10 minutes of 70 % load, to that after the first",
        "growth",
        "more",
        (Run("ztproxy", "ztproxy", soaked, BOMBARDIER),),
        less=True,
        once=True,
    ),
)
