"""What a new list of listeners does to the sockets of the old one: which stay, which move, which come and go.

Whoever binds and whoever serves compute it for themselves, and must find the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from proxy.telemetry.sink import tell


@dataclass(frozen=True, slots=True)
class Place:
    """A listener, as far as its socket goes.

    Args:
        name, address: as in the config.
        tls: whether it speaks TLS; to change that is to begin anew.
        bound: the address that it has got, where it serves already.
    """

    name: str
    address: str
    tls: bool
    bound: str = ""


@dataclass(frozen=True, slots=True)
class Moves:
    """Names of listeners.

    Args:
        kept: go on as they are.
        moving: new listeners that take over the socket of an old one, whose name is the value.
        arriving: new listeners that need a socket.
        leaving: old listeners that end, those whose socket is taken over too.
    """

    kept: frozenset[str]
    moving: dict[str, str]
    arriving: tuple[str, ...]
    leaving: tuple[str, ...]


def moves(old: Iterable[Place], new: Iterable[Place]) -> Moves:
    """Compare two lists of listeners by name, address and TLS.

    A socket moves by what it is bound to: port 0 never is the same one.
    """
    serving = {place.name: place for place in old}
    wanted = list(new)
    kept = frozenset(place.name for place in wanted if _is_same(serving.get(place.name), place))
    leaving = {place.bound: name for name, place in serving.items() if name not in kept}
    moving = {
        place.name: leaving[place.address] for place in wanted if place.name not in kept and place.address in leaving
    }
    arriving = tuple(place.name for place in wanted if place.name not in kept and place.name not in moving)
    return Moves(kept, moving, arriving, tuple(leaving.values()))


def tell_fresh(before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Tell a person of listeners that serve at an address since now; return whether there are any."""
    fresh = {name: address for name, address in now.items() if before.get(name) != address}
    for name, address in fresh.items():
        tell(f"listening on {address} ({name})")
    return bool(fresh)


def _is_same(old: Place | None, new: Place) -> bool:
    return old is not None and (old.address, old.tls) == (new.address, new.tls)
