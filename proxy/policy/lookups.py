"""Where the default policy finds the entries that may concern a request, so that none walks a route's `allow`.

It knows what an entry requires, in the words of `requirements`, and the shape that `policies/authz.rego` reads. An
entry is filed under each value of one key that it has: of the users, workloads, groups, claims or paths that it names.
What that look-up proves is no requirement any more; the others are asked of the few entries that are found.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

# What an entry requires, by the key of `allow`; a key that it leaves out is not there.
Requirements = Mapping[str, Any]
Place = tuple[str, ...]

# So many entries of one place are looked at; where there are more, a less crowded way is worth its price.
_FEW: Final = 4
# A prefix is compared in one microsecond; an ID is cut to lengths in five, however many prefixes there are.
_FEW_PREFIXES: Final = 8
# So many different requirements of a kind are looked at to say which of them a refused request does not meet.
_FEW_REASONS: Final = 16

_DIRECT: Final = ("issuers", "methods", "groups", "paths")
_FURTHER: Final = ("users", "workloads", "devices", "claims", "authenticated", "networks", "hours")


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to find an entry: under these places, and then what it requires is this."""

    places: tuple[Place, ...]
    left: Requirements


def compile_entries(names: Sequence[str], entries: Sequence[Requirements]) -> dict[str, Any]:
    """Return `data.ztproxy.routes[NAME]`: the entries, where they are found, and what any of them asks for.

    Args:
        names: the entries' names, for reasons.
        entries: what each requires.
    """
    asked = _asked(entries)
    if len(entries) == 1:  # which is looked at sooner than looked up
        return {"allow": [_compiled(names[0], entries[0])], "always": [0], "asked": asked}
    ways = [[*_ways(entry)] for entry in entries]
    crowds = Counter(place for options in ways for way in options for place in way.places)
    filed: dict[Place, list[int]] = {}
    compiled = []
    for number, (name, options) in enumerate(zip(names, ways, strict=True)):
        way = options[0] if len(options) == 1 else min(options, key=lambda way: _crowd(way, crowds))
        compiled.append(_compiled(name, way.left))
        for place in way.places:
            filed.setdefault(place, []).append(number)
    return {"allow": compiled, **_shelves(filed), "asked": asked}


def _crowd(way: _Way, crowds: Mapping[Place, int]) -> int:
    return max(_FEW, *(crowds[place] for place in way.places))


def _compiled(name: str, left: Requirements) -> dict[str, Any]:
    direct = {key: [left[key]] if key in left else [] for key in _DIRECT}
    return {"name": name, **direct, "further": {key: left[key] for key in _FURTHER if key in left}}


def _without(entry: Requirements, key: str) -> Requirements:
    return {name: wanted for name, wanted in entry.items() if name != key}


def _ways(entry: Requirements) -> Iterator[_Way]:
    """Yield the ways to find an entry, the cheapest look-up first."""
    who = [*_subjects(entry)]
    yield from who
    if "paths" in entry:
        patterns = (pattern for alike in entry["paths"].values() for pattern in alike)
        yield _Way(_set(("first_segments", segment) for segment in entry["paths"]), entry)
        yield _Way(_set(("paths", "/".join(pattern["segments"])) for pattern in patterns), entry)
    elif not who:
        yield _Way((("always",),), entry)


def _subjects(entry: Requirements) -> Iterator[_Way]:
    if "users" in entry:
        places = [(kind, value) for kind in ("emails", "subjects") for value in entry["users"][kind]]
        yield _Way(_set(places), _without(entry, "users"))
    for kind in ("workloads", "devices"):  # on the same shelves: all of them are looked up by the peer's identity
        if kind in entry:
            exact = [("peers", identity) for identity in entry[kind]["exact"]]
            below = [("below", prefix) for prefix in entry[kind]["below"]]
            yield _Way(_set([*exact, *below]), _without(entry, kind))
    if "groups" in entry:
        yield _Way(_set(("groups", group) for group in entry["groups"]), _without(entry, "groups"))
    for name, values in entry.get("claims", {}).items():
        if all(type(value) is str for value in values):
            others = _without(entry["claims"], name)
            left = _without(entry, "claims") if not others else {**entry, "claims": others}
            yield _Way(_set(("claims", name, value) for value in values), left)


def _set(places: Iterable[Place]) -> tuple[Place, ...]:
    return tuple(dict.fromkeys(places))


def _shelves(filed: Mapping[Place, list[int]]) -> dict[str, Any]:
    """Return where entries are found, by what each look-up costs."""
    index: dict[str, Any] = {}
    far: dict[str, Any] = {}
    prefixes = Counter(_trust_domain(place[1]) for place in filed if place[0] == "below")
    for place, numbers in filed.items():
        kind = place[0]
        if kind == "always":
            continue
        trust_domain = _trust_domain(place[1]) if kind == "below" else ""
        # Of devices there are as many as authorities, and they are no segments.
        if kind == "below" and (not trust_domain or prefixes[trust_domain] <= _FEW_PREFIXES):
            index.setdefault("prefixes", {}).setdefault(trust_domain, {})[place[1]] = numbers
        elif kind == "below":
            far.setdefault("below", {})[place[1].removesuffix("/")] = numbers
        elif kind == "claims":
            far.setdefault("claims", {}).setdefault(place[1], {})[place[2]] = numbers
        elif kind == "paths":
            far.setdefault("paths", {})[place[1]] = numbers
        else:
            index.setdefault(kind, {})[place[1]] = numbers
    if "below" in far:
        far["below_depths"] = _depths(far["below"])
    if "paths" in far:  # a stranger's path may have thousands of segments: only these are taken
        far["path_steps"] = [[*range(depth)] for depth in _depths(far["paths"])]
    if far:
        index["far"] = far
    return {"always": filed.get(("always",), []), "index": index}


def _depths(keys: Iterable[str]) -> list[int]:
    return sorted({key.count("/") + 1 for key in keys})


def _trust_domain(prefix: str) -> str:
    """Return the trust domain of a peer whose identity begins so: of a device it is empty."""
    return prefix.split("/", 3)[2] if prefix.startswith("spiffe://") else ""


def _asked(entries: Sequence[Requirements]) -> dict[str, Any]:
    """Return what the entries require, each kind's different requirements once; `many` has the kinds with too many."""
    kinds = {kind: _different(entry[kind] for entry in entries if kind in entry) for kind in (*_DIRECT, *_FURTHER)}
    many = [kind for kind in ("groups", "paths", *_FURTHER) if len(kinds[kind]) > _FEW_REASONS]
    return {
        **{kind: [] if kind in many else kinds[kind] for kind in _DIRECT},
        "further": {kind: kinds[kind] for kind in _FURTHER if kinds[kind] and kind not in many},
        "many": many,
    }


def _different(wanted: Iterable[Any]) -> list[Any]:
    """Return the different ones of some requirements."""
    return [*{json.dumps(one, sort_keys=True): one for one in wanted}.values()]
