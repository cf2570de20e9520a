"""Small changes of a case: of who asks, or of what is asked; and those by which an entry of `allow` would match.

An edit is a guess until the desk has decided the case that it makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from proxy.config.schema import Allow, Hours
from proxy.http.target import compile_path
from proxy.workbench.case import Case, Who, split_url
from proxy.workbench.entries import Entry

SOMEBODY: Final = "somebody"
_STEP: Final = timedelta(minutes=15)
_STEPS: Final = 8 * 24 * 4  # of a week and a day


@dataclass(frozen=True, slots=True)
class Edit:
    """A change.

    Args:
        kind: what it changes; two of one kind do not go together, save for groups.
        text: what would be, for a person: `the user is in group engineering`.
        apply: returns the changed case.
    """

    kind: str
    text: str
    apply: Callable[[Case], Case]


def _who(kind: str, text: str, change: Callable[[Who], Who]) -> Edit:
    return Edit(kind, text, lambda case: replace(case, who=change(case.who)))


def _user(who: Who) -> Who:
    """Return who asks, signed in."""
    return who if who.user is not None else replace(who, user=SOMEBODY)


def in_group(name: str) -> Edit:
    """Return the edit by which the user is in one more group."""
    return _who(
        "group", f"the user is in group {name}", lambda who: replace(_user(who), groups=(*_user(who).groups, name))
    )


def as_user(name: str) -> Edit:
    """Return the edit by which somebody else asks; an address is a subject and an e-mail address at once."""
    return _who(
        "user", f"the user is {name}", lambda who: replace(who, user=name, email=name if "@" in name else who.email)
    )


def of_issuer(name: str) -> Edit:
    """Return the edit by which a user asks who signs in at an issuer."""
    return _who("issuer", f"a user of {name} has signed in", lambda who: replace(_user(who), issuer=name))


def with_claim(name: str, value: Any) -> Edit:
    """Return the edit by which the issuer claims something of the user."""
    return _who(
        f"claim {name}",
        f"the user has claim {name}={value}",
        lambda who: replace(_user(who), claims={**who.claims, name: value}),
    )


def on_device(name: str) -> Edit:
    """Return the edit by which the connection is a device's."""
    return _who("peer", f"the connection has device {name}", lambda who: replace(who, device=name, workload=None))


def as_workload(spiffe_id: str) -> Edit:
    """Return the edit by which the connection is a workload's."""
    return _who("peer", f"the connection has {spiffe_id}", lambda who: replace(who, workload=spiffe_id, device=None))


def signed_in(age: float, text: str) -> Edit:
    """Return the edit by which the user signed in so many seconds ago."""
    return _who("age", text, lambda who: replace(_user(who), age=age, signed_in_at=None))


def by_acr(value: str) -> Edit:
    """Return the edit by which the sign-in has a context class."""
    return _who("acr", f"the sign-in has acr {value}", lambda who: replace(_user(who), acr=value))


def by_amr(value: str) -> Edit:
    """Return the edit by which the sign-in has one more method."""
    return _who("amr", f"the sign-in has amr {value}", lambda who: replace(_user(who), amr=(*who.amr, value)))


def with_method(name: str) -> Edit:
    """Return the edit of the method."""
    return Edit("method", f"the method is {name}", lambda case: replace(case, method=name))


def with_path(path: str) -> Edit:
    """Return the edit of the path."""
    return Edit("path", f"the path is {path}", lambda case: replace(case, url=moved(case.url, path)))


def from_address(address: str, text: str) -> Edit:
    """Return the edit of the client's address."""
    return Edit("source", text, lambda case: replace(case, source=address))


def at(moment: datetime, text: str) -> Edit:
    """Return the edit of the time."""
    return Edit("time", text, lambda case: replace(case, time=moment.timestamp()))


def moved(url: str, path: str) -> str:
    """Return a URL with another path."""
    scheme, authority, _ = split_url(url)
    return f"{scheme}://{authority}{path}"


def sample(pattern: str) -> str:
    """Return a path, encoded, that a pattern of `allow` or of a route means."""
    segments, below = compile_path(pattern)
    return "/" + "/".join(quote(segment, safe="%@:!$&'()*+,;=~") for segment in (*segments, *(["x"] if below else [])))


def for_entry(entry: Entry, now: float) -> Iterator[list[Edit]]:
    """Yield, for each key of an entry that does not hold, the edits of which one might make it hold."""
    for key in entry.missing:
        yield [*_for_key(key.name, key.wanted, entry.allow, now)]


def _for_key(name: str, wanted: str, entry: Allow, now: float) -> Iterator[Edit]:
    listed: Sequence[Any] = getattr(entry, name, None) or ()
    if name == "issuers":
        yield from map(of_issuer, wanted.split(", "))
    elif name == "authenticated":
        yield _who("user", "somebody has signed in", _user)
    elif name == "claims":
        changes = [with_claim(claim, values[0]) for claim, values in (entry.claims or {}).items()]
        yield from [joined(changes)] if changes else []
    elif name == "hours" and entry.hours is not None:
        yield from _within(entry.hours, now)
    elif name == "paths":
        yield from (with_path(sample(path)) for path in listed)
    elif name == "networks":
        yield from (from_address(str(one[min(1, one.num_addresses - 1)]), f"it comes from {one}") for one in listed)
    elif name in _OF_NAMES:
        yield from (_OF_NAMES[name](_one(value)) for value in listed)


def _one(pattern: str) -> str:
    """Return an identity that a pattern of workloads or devices means."""
    return f"{pattern[:-1]}{SOMEBODY}" if pattern.endswith((":*", "/*")) else pattern


_OF_NAMES: Final[dict[str, Callable[[str], Edit]]] = {
    "users": as_user, "groups": in_group, "workloads": as_workload, "devices": on_device, "methods": with_method,
}  # fmt: skip


def joined(edits: Sequence[Edit]) -> Edit:
    """Return several edits as one."""

    def apply(case: Case) -> Case:
        for edit in edits:
            case = edit.apply(case)
        return case

    return Edit(edits[0].kind, ", and ".join(edit.text for edit in edits), apply)


def _within(hours: Hours, now: float) -> Iterator[Edit]:
    """Yield the edit by which it is the next quarter of an hour that lies within hours."""
    zone = ZoneInfo(hours.zone)
    start = datetime.fromtimestamp(now, UTC).replace(second=0, microsecond=0)
    moment = start - timedelta(minutes=start.minute % 15)
    for _ in range(_STEPS):
        moment += _STEP
        local = moment.astimezone(zone)
        if f"{local:%a}".lower() in hours.days and hours.from_ <= f"{local:%H:%M}" < hours.to:
            yield at(moment, f"it is {local:%A %H:%M} {hours.zone}")
            return
