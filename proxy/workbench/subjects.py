"""Whom and what a policy may be about: every name that its entries, its rules, its data, tests and logs have.

Names are guesses at what to ask the desk. One that means something else makes a question that is answered no.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from proxy.config.schema import Allow
from proxy.policy.sources import default_policy, read_sources
from proxy.policy.testing import CannotRun
from proxy.workbench.case import Who
from proxy.workbench.desk import Desk
from proxy.workbench.documents import case_of
from proxy.workbench.edits import SOMEBODY, sample
from proxy.workbench.strings import strings_below, strings_of
from proxy.workbench.suite import SUFFIX
from proxy.workbench.tables import read_table

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_MOST: Final = 200  # names of a kind that are not written for it
_LONGEST: Final = 100

Names = dict[str, None]  # in the order in which they were found


@dataclass(slots=True)
class Known:
    """What is known, by kind.

    Args:
        groups, users, workloads, devices: identities.
        claims: values by name.
        paths: that may be asked for.
        methods: likewise.
        acr, amr: of sign-ins.
        people: whole identities, of tests and logs.
    """

    groups: Names = field(default_factory=dict)
    users: Names = field(default_factory=dict)
    workloads: Names = field(default_factory=dict)
    devices: Names = field(default_factory=dict)
    claims: dict[str, dict[Any, None]] = field(default_factory=dict)
    paths: Names = field(default_factory=dict)
    methods: Names = field(default_factory=lambda: dict.fromkeys(METHODS))
    acr: Names = field(default_factory=dict)
    amr: Names = field(default_factory=dict)
    people: dict[str, Who] = field(default_factory=dict)

    def add_person(self, who: Who) -> None:
        """Add somebody of a test or a log, and the names that they have."""
        if who.user is not None:
            self.people.setdefault(str(who), replace(who, signed_in_at=None, age=0.0))
            self.users.setdefault(who.user)
        self.groups.update(dict.fromkeys(who.groups))
        if who.workload is not None:
            self.workloads.setdefault(who.workload)
        if who.device is not None:
            self.devices.setdefault(who.device)

    def add_entry(self, entry: Allow) -> None:
        """Add what an entry of `allow` names."""
        self.groups.update(dict.fromkeys(entry.groups or ()))
        self.users.update(dict.fromkeys(entry.users or ()))
        self.workloads.update(dict.fromkeys(map(_one, entry.workloads or ())))
        self.devices.update(dict.fromkeys(map(_one, entry.devices or ())))
        self.methods.update(dict.fromkeys(entry.methods or ()))
        self.paths.update(dict.fromkeys(map(sample, entry.paths or ())))
        for name, values in (entry.claims or {}).items():
            self.claims.setdefault(name, {}).update(dict.fromkeys(values))


def _one(pattern: str) -> str:
    return f"{pattern[:-1]}{SOMEBODY}" if pattern.endswith("*") else pattern


def known_of(desk: Desk, tests: Iterable[Path] = (), logs: Iterable[Path] = ()) -> Known:
    """Return what a desk's config and policy, tests and decision logs name.

    Args:
        tests: files of table tests, or folders that have some.
        logs: decision logs, `.gz` too.

    Raises:
        CannotRun: a file cannot be read.
    """
    known = Known()
    for route in desk.config.routes:
        known.paths.setdefault(sample(route.path))
        for entry in route.allow or ():
            known.add_entry(entry)
    for file in _tables(tests):
        table, mistakes = read_table(file)
        if mistakes:
            raise CannotRun(*mistakes)
        for test in table.tests:
            known.add_person(test.case.who)
    for record in records(logs):
        try:
            known.add_person(case_of(record["input"]).who)
        except ValueError:
            continue  # of another gateway, whose document has no request
    if desk.config.policy.path is not None and desk.config.policy.path != default_policy():
        _add_words(known, desk)
    return known


def _tables(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(path.rglob(f"*{SUFFIX}"))
        else:
            yield path


def records(logs: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """Yield the decision records of logs; lines of other kinds are passed over.

    Raises:
        CannotRun: a file cannot be read, or a line of it is no JSON.
    """
    for path in logs:
        try:
            with (
                gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file
            ):
                for number, line in enumerate(file, start=1):
                    record = _record(line, f"{path}:{number}:1")
                    if record is not None:
                        yield record
        except OSError as error:
            raise CannotRun(f"{path}: cannot be read: {(error.strerror or str(error)).lower()}") from None
        except UnicodeDecodeError:
            raise CannotRun(f"{path}: must be utf-8") from None


def _record(line: str, place: str) -> dict[str, Any] | None:
    if '"input"' not in line:
        return None
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise CannotRun(f"{place}: a line of a decision log must be JSON: {error.msg.lower()}") from None
    return record if isinstance(record, dict) and isinstance(record.get("input"), dict) else None


def _add_words(known: Known, desk: Desk) -> None:
    """Add the strings of a policy and its data under every kind that the policy reads."""
    words = [*dict.fromkeys(word for word in _words(desk) if word and len(word) <= _LONGEST)][:_MOST]
    points = {desk.config.policy.decision, *(route.decision for route in desk.routes)}
    reads = [read for point in points for read in desk.engine.plan(point).reads.paths]
    plain = [word for word in words if " " not in word and not word.startswith(("/", "spiffe://"))]
    if _is_read(reads, "principal", "groups"):
        known.groups.update(dict.fromkeys(plain))
    if _is_read(reads, "principal", "id") or _is_read(reads, "principal", "email"):
        known.users.update(dict.fromkeys(plain))
    for name in (read[2] for read in reads if read[:2] == ("principal", "claims") and len(read) == 3):
        known.claims.setdefault(name, {}).update(dict.fromkeys(plain))
    if _is_read(reads, "peer"):
        known.workloads.update(dict.fromkeys(_started(word) for word in words if word.startswith("spiffe://")))
        known.devices.update(dict.fromkeys(f"{word}{SOMEBODY}" for word in plain if word.endswith(":")))
        known.devices.update(dict.fromkeys(word for word in plain if ":" in word.strip(":")))
    if _is_read(reads, "principal", "authentication", "acr") or "require" in words:
        known.acr.update(dict.fromkeys(plain))
    if _is_read(reads, "principal", "authentication", "amr"):
        known.amr.update(dict.fromkeys(plain))
    if any(_is_read(reads, *path) for path in (("request", "path"), ("request", "path_segments"), ("parsed_path",))):
        known.paths.update(dict.fromkeys(word for word in words if word.startswith("/")))
        known.paths.update(dict.fromkeys(f"/{word}/x" for word in plain if "/" not in word and word.isascii()))
    known.methods.update(dict.fromkeys(word for word in plain if word.isalpha() and word.isupper()))


def _started(spiffe_id: str) -> str:
    return f"{spiffe_id}{SOMEBODY}" if spiffe_id.endswith("/") else spiffe_id


def _is_read(reads: Iterable[tuple[str, ...]], *path: str) -> bool:
    return any(read[: len(path)] == path[: len(read)] for read in reads)


def _words(desk: Desk) -> Iterator[str]:
    sources, mistakes = read_sources(desk.config.policy.path)
    if sources is None:
        raise CannotRun(*(mistake.rule for mistake in mistakes))
    yield from strings_of(sources.modules)
    yield from strings_below(sources.data)
