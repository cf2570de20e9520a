"""Why an entry of a route's `allow` matches a request or does not: which of its keys hold, and what each saw.

The default policy itself is asked, once for each thing that some entry requires, as if that were the only entry of the
route. It knows entries and an input document, and no other way to judge one by the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from proxy.config.schema import Allow
from proxy.errors import Refused
from proxy.policy.embedded import EmbeddedEngine, compile_policy
from proxy.policy.lookups import compile_entries
from proxy.policy.requirements import requirements
from proxy.policy.sources import read_sources
from proxy.policy.testing import CannotRun
from proxy.server.route import Route
from proxy.workbench.desk import Desk
from proxy.workbench.opening import DEFAULT_DECISION

_PATIENCE: Final = 10.0
_FEW: Final = 4  # values that are told of a list
_KEYS: Final = (
    "issuers", "users", "groups", "claims", "workloads", "devices", "authenticated", "methods", "paths", "networks",
    "hours",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Key:
    """One key of an entry, held against a request.

    Args:
        name: such as `groups`.
        wanted: what the entry has there, for a person.
        saw: what the request had, for a person.
        holds: whether that is enough.
    """

    name: str
    wanted: str
    saw: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, held against a request.

    Args:
        index: in the route's `allow`.
        allow: the entry.
        keys: of it, in the order in which they are told.
    """

    index: int
    allow: Allow
    keys: tuple[Key, ...]

    @property
    def name(self) -> str:
        """As reasons have it, such as `allow[0]`."""
        return f"allow[{self.index}]"

    @property
    def missing(self) -> tuple[Key, ...]:
        """The keys that do not hold; none: the entry matches."""
        return tuple(key for key in self.keys if not key.holds)


def has_entries(desk: Desk, route: Route) -> bool:
    """Tell whether a route is decided by its `allow` and the policy that ships with ztproxy."""
    return desk.config.policy.path is None and route.decision == DEFAULT_DECISION


def look(desk: Desk, route: Route, document: Mapping[str, Any]) -> list[Entry]:
    """Return the entries of a route, held against a request: those that lack the least come first.

    Args:
        document: what policy sees of the request.

    Raises:
        CannotRun: the policy that ships with ztproxy is not there.
    """
    listed: Sequence[Allow] = route.config.allow or ()
    required = [requirements(entry, route.config, desk.config) for entry in listed]
    answers = _ask(required, document)
    entries = [
        Entry(index, entry, tuple(_keys(entry, wanted, answers, document)))
        for index, (entry, wanted) in enumerate(zip(listed, required, strict=True))
    ]
    return sorted(entries, key=lambda entry: (len(entry.missing), entry.index))


def _ask(required: Sequence[Mapping[str, Any]], document: Mapping[str, Any]) -> dict[str, bool]:
    """Return whether each thing that is required holds, by its spelling."""
    probes = {_spelled(key, entry[key]): {key: entry[key]} for entry in required for key in entry}
    routes = {name: compile_entries([name], [wanted]) for name, wanted in probes.items()}
    sources, mistakes = read_sources(None)
    if sources is None:
        raise CannotRun(*(mistake.rule for mistake in mistakes))
    compiled, faults, _ = compile_policy(sources.modules, {"ztproxy": {"routes": routes}}, [DEFAULT_DECISION])
    if compiled is None:
        raise CannotRun(*faults)
    engine = EmbeddedEngine(compiled, "", _PATIENCE)
    return {name: _holds(engine, {**document, "route": {"name": name, "labels": {}}}) for name in routes}


def _holds(engine: EmbeddedEngine, document: dict[str, Any]) -> bool:
    try:
        answer = engine.evaluate_now(DEFAULT_DECISION, document)
    except Refused:
        return False  # as the gateway has it: what fails permits nothing
    return isinstance(answer, dict) and answer.get("allow") is True


def _spelled(key: str, wanted: Any) -> str:
    return f"{key} {json.dumps(wanted, sort_keys=True)}"


def _keys(entry: Allow, required: Mapping[str, Any], answers: Mapping[str, bool], document: Mapping[str, Any]) -> Any:
    if entry.anyone:
        yield Key("anyone", "true", "", holds=True)
    for name in _KEYS:
        if name not in required:
            continue
        holds = answers[_spelled(name, required[name])]
        if name == "issuers" and entry.issuers is None and holds:
            continue  # it goes without saying
        yield Key(name, _wanted(name, entry, required), saw(name, entry, document), holds)


def _wanted(name: str, entry: Allow, required: Mapping[str, Any]) -> str:
    if name == "issuers":
        return few([*required["issuers"]])
    if name == "hours" and entry.hours is not None:
        hours = entry.hours
        return f"{' '.join(hours.days)} {hours.from_}-{hours.to} {hours.zone}"
    if name == "claims":
        return ", ".join(f"{claim}={few(values)}" for claim, values in (entry.claims or {}).items())
    return "true" if name == "authenticated" else few([str(value) for value in getattr(entry, name)])


def few(values: Sequence[Any]) -> str:
    """Return values for a person, the first of them where they are many."""
    told = ", ".join(value if isinstance(value, str) else json.dumps(value) for value in values[:_FEW])
    return f"{told} and {len(values) - _FEW} more" if len(values) > _FEW else told


def saw(name: str, entry: Allow, document: Mapping[str, Any]) -> str:
    """Return what a request had where an entry has a key, for a person; a document may lack parts."""
    principal, request = _part(document, "principal"), _part(document, "request")
    is_user, who = principal.get("kind") == "user", principal.get("id", "")
    nobody = f"workload {who}" if principal.get("kind") == "workload" else "nobody who has signed in"
    if name in ("users", "groups", "claims", "issuers") and not is_user:
        return nobody
    if name == "issuers":
        return str(principal.get("issuer"))
    if name == "users":
        return " ".join(filter(None, (who, principal.get("email"))))
    if name == "groups":
        return few(principal.get("groups") or ()) or "no group"
    if name == "claims":
        had = {claim: _part(principal, "claims").get(claim) for claim in entry.claims or {}}
        return ", ".join(f"no {claim}" if value is None else f"{claim}={_value(value)}" for claim, value in had.items())
    if name in ("workloads", "devices"):
        return _part(document, "peer").get("id") or "no client certificate"
    if name == "authenticated":
        return f"user {who} of {principal.get('issuer')}" if is_user else nobody
    if name in ("methods", "paths"):
        return str(request.get(name.removesuffix("s")))
    return _clock(entry, document) if name == "hours" else _part(document, "source").get("address") or "no address"


def _part(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = document.get(name)
    return value if isinstance(value, Mapping) else {}


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _clock(entry: Allow, document: Mapping[str, Any]) -> str:
    moment = _part(document, "time").get("unix_ns")
    if entry.hours is None or not isinstance(moment, int):
        return "no time"
    return f"{datetime.fromtimestamp(moment / 1e9, UTC).astimezone(ZoneInfo(entry.hours.zone)):%a %H:%M}".lower()
