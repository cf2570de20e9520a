"""What all workers of a supervisor serve: found out together, and taken into service by all or by none.

A round asks workers to build what the files say. Only where each could, and all saw the same files, are sockets bound
and the new generation adopted. A worker that takes the place of another joins the generation that serves, and where
the files have changed since, everybody is asked.

The supervisor keeps every socket that it binds, so that a worker's end closes none: what the kernel has queued there
waits for whoever serves it next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from proxy.config.address import parse_address
from proxy.server.channel import Message
from proxy.server.children import Child
from proxy.server.moves import Place, moves
from proxy.server.sockets import ListeningSocket, bind_group, unbound
from proxy.server.watch import Prints, fingerprints, prints_of


@dataclass(frozen=True, slots=True)
class Proposal:
    """What workers have built.

    Args:
        good: whether all of them could.
        lines: every mistake and warning, as a person reads it.
        files, prints: what it was built from.
        places: the listeners.
        controls: the addresses of `admin` and `health`.
        drain: its delay and its timeout, seconds.
        routes: their names.
        revision: of the policy.
    """

    good: bool
    lines: tuple[str, ...]
    files: tuple[Path, ...]
    prints: Prints
    places: tuple[Place, ...] = ()
    controls: tuple[tuple[str, str], ...] = ()
    drain: tuple[float, float] = (0.0, 0.0)
    routes: tuple[str, ...] = ()
    revision: str = ""

    @classmethod
    def of(cls, answer: Message) -> Proposal:
        """Return what a worker answered."""
        return cls(
            good=answer["good"],
            lines=tuple(answer["lines"]),
            files=tuple(map(Path, answer["files"])),
            prints={name: (time, size, inode) for name, (time, size, inode) in answer["prints"].items()},
            places=tuple(Place(name, address, tls) for name, address, tls in answer.get("places", ())),
            controls=tuple(answer.get("controls", {}).items()),
            drain=tuple(answer.get("drain", (0.0, 0.0))),
            routes=tuple(answer.get("routes", ())),
            revision=answer.get("revision", ""),
        )


class Disagreement(Exception):  # noqa: N818 - a state, not an accident
    """Files changed while workers read them: ask again."""


async def propose(children: Iterable[Child]) -> tuple[Proposal, list[Child]] | None:
    """Ask workers to build what the files say; return what they answered and who did, or None where all have ended.

    Raises:
        Disagreement: they have not seen the same files.
    """
    asked = list(children)
    answers = await asyncio.gather(*(child.ask("prepare") for child in asked))
    answered = [(child, Proposal.of(answer)) for child, answer in zip(asked, answers, strict=True) if answer]
    if not answered:
        return None
    children = [child for child, _ in answered]
    first = answered[0][1]
    if any(proposal.prints != first.prints for _, proposal in answered):
        discard(children)
        raise Disagreement
    return next((proposal for _, proposal in answered if not proposal.good), first), children


def discard(children: Iterable[Child]) -> None:
    """Let workers forget what they have built."""
    for child in children:
        child.channel.send({"do": "discard"})


class Generation:
    """The generation that serves, and its sockets.

    Args:
        count: how many workers there are to be.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._sockets: dict[str, list[ListeningSocket]] = {}
        self.now: Proposal | None = None

    @property
    def addresses(self) -> dict[str, str]:
        """What each listener is bound to."""
        return {name: sockets[0].address for name, sockets in self._sockets.items()}

    def bind(self, proposal: Proposal) -> dict[str, list[ListeningSocket]]:
        """Bind what a proposal has and we do not: for all workers, or nothing and an OSError."""
        bound: dict[str, list[ListeningSocket]] = {}
        addresses = {place.name: place.address for place in proposal.places}
        for name in moves(self._places(), proposal.places).arriving:
            try:
                bound[name] = bind_group(parse_address(addresses[name]), self._count)
            except OSError as error:
                close(bound)
                raise unbound(error, name, addresses[name]) from error
        return bound

    async def adopt(self, proposal: Proposal, bound: dict[str, list[ListeningSocket]], children: list[Child]) -> None:
        """Take a proposal into service at the workers who have built it.

        Args:
            proposal: a good one.
            bound: the sockets of the listeners that arrive, ours from here on.
            children: all workers that serve, and those that do not yet; or, where it is what serves, these alone.
        """
        change = moves(self._places(), proposal.places)
        moved = {name: self._sockets[old] for name, old in change.moving.items()}
        ending = {name: self._sockets[name] for name in change.leaving if name not in change.moving.values()}
        kept = {name: self._sockets[name] for name in change.kept}
        # Before the workers do: each takes what waits and closes, and then nothing more may come.
        close(ending)
        self._sockets = {place.name: {**kept, **moved, **bound}[place.name] for place in proposal.places}
        self.now = proposal
        for child in children:
            child.channel.send({"do": "release"})
            for name in bound if child.serving else self._sockets:
                self._hand(child, "socket", name, child.slot)
        await asyncio.gather(*(self._adopted(child) for child in children))

    def share_out(self, children: Iterable[Child]) -> None:
        """Let the workers that serve accept from the sockets of those that do not, so that no client waits for one."""
        serving = [child for child in children if child.serving]
        absent = set(range(self._count)) - {child.slot for child in serving}
        for child in serving:
            child.channel.send({"do": "release"})
            for name, sockets in self._sockets.items():
                for slot in absent:
                    if sockets[slot] is not sockets[child.slot]:
                        self._hand(child, "mind", name, slot)

    def _hand(self, child: Child, do: str, name: str, slot: int) -> None:
        child.channel.send({"do": do, "listener": name}, self._sockets[name][slot].socket.fileno())

    async def _adopted(self, child: Child) -> None:
        child.serving = await child.ask("adopt") is not None
        child.refused = False

    def close(self) -> None:
        """Close our copies of the sockets: the workers' are the last."""
        close(self._sockets)
        self._sockets = {}

    def _places(self) -> list[Place]:
        if self.now is None:
            return []
        bound = self.addresses
        return [Place(place.name, place.address, place.tls, bound[place.name]) for place in self.now.places]


class Watch:
    """The files of the generation that serves, and of what was refused last: one of them may be what is amended."""

    def __init__(self) -> None:
        self._serving: list[Path] = []
        self._refused: list[Path] = []
        self._prints: Prints = {}

    def look(self) -> Prints:
        """Return the marks of the files as they are now."""
        return fingerprints([*self._serving, *self._refused])

    @property
    def changed(self) -> bool:
        """Whether a file is another one than when it was read."""
        return self.look() != self._prints

    def adopted(self, proposal: Proposal) -> None:
        """Watch what serves now."""
        self._serving, self._refused, self._prints = list(proposal.files), [], proposal.prints

    def refused(self, proposal: Proposal, before: Prints) -> None:
        """Watch what was refused, too; `before` is how the files looked before they were read."""
        self._refused = list(proposal.files)
        found = {**prints_of(self.look(), self._serving), **proposal.prints}
        self._prints = {name: before.get(name, seen) for name, seen in found.items()}


def close(sockets: dict[str, list[ListeningSocket]]) -> None:
    """Close sockets, each once."""
    for group in sockets.values():
        for sock in group:
            sock.close()
