"""Who is decided again when a session changes, a snapshot or policy is another, or somebody lapses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.identity.principal import Principal
from proxy.server.lasting import Registry
from proxy.transport.deadlines import Deadlines


def somebody(method: Any, **facts: Any) -> Principal:
    return Principal(kind="user", id="ana", issuer="corp", method=method, **facts)


@dataclass(eq=False)
class Lasts:
    """An exchange that notes what is asked of it."""

    principal: Principal
    under: object = None
    time: float = field(default_factory=time.time)
    held: bool = True
    due: int = 0
    over: bool = False
    asked: list[int] = field(default_factory=list)
    cuts: list[str] = field(default_factory=list)

    @property
    def inquiry(self) -> Any:
        return self

    @property
    def names(self) -> tuple[str, str]:
        return self.principal.session, self.principal.id

    def lapse(self, now: float) -> str | None:
        return "over" if now >= self.principal.expires_at else None

    def holds(self, now: float) -> bool:
        return self.held

    def cut(self, why: str) -> None:
        self.cuts.append(why)

    async def decide_again(self) -> None:
        self.asked.append(self.due)
        self.due = 0


class Stage:
    """A registry, and a process whose snapshot is ours to change."""

    def __init__(self) -> None:
        self.runtime: Any = SimpleNamespace(deadlines=Deadlines(), snapshot=self.snapshot())
        self.registry = Registry(self.runtime)
        self.registry.look()

    @staticmethod
    def snapshot() -> Any:
        return SimpleNamespace(engine=SimpleNamespace(generation=object()))

    def enter(self, principal: Principal, **options: Any) -> Any:
        lasts: Any = Lasts(principal, **{"under": self.runtime.snapshot, **options})
        self.registry.enter(lasts)
        return lasts


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def test_a_session_that_is_told_of_has_what_rides_on_it_decided_again_and_nothing_else() -> None:
    async def story() -> None:
        stage = Stage()
        mine, other = stage.enter(somebody("session", session="s1")), stage.enter(somebody("session", session="s2"))
        token = stage.enter(somebody("bearer", session="s1"))
        stage.registry.recheck("s1")
        await settle()
        assert (mine.asked, other.asked, token.asked) == ([2], [], [])
        stage.registry.tell(None)
        await settle()
        assert (mine.asked, other.asked, token.asked) == ([2, 2], [2], [])

    run(story())


@pytest.mark.parametrize("what", ["snapshot", "generation"])
def test_another_snapshot_or_policy_has_everything_decided_again(what: str) -> None:
    async def story() -> None:
        stage = Stage()
        before = stage.enter(somebody("mtls"))
        gone = stage.enter(somebody("mtls"))
        stage.registry.leave(gone)
        if what == "snapshot":
            stage.runtime.snapshot = stage.snapshot()
        else:
            stage.runtime.snapshot.engine.generation = object()
        stage.runtime.deadlines.sweep(0.0)
        await settle()
        assert (before.asked, gone.asked) == ([2], [])

    run(story())


@pytest.mark.parametrize(
    ("options", "asked"),
    [({}, []), ({"under": object()}, [2]), ({"held": False}, [2])],
    ids=["nothing has changed", "decided under another snapshot", "its session is gone already"],
)
def test_what_has_changed_between_a_decision_and_the_entry_counts(options: dict[str, Any], asked: list[int]) -> None:
    async def story() -> None:
        lasts = Stage().enter(somebody("session", session="s1"), **options)
        await settle()
        assert lasts.asked == asked

    run(story())


def test_a_decision_from_before_a_change_of_policy_is_made_again_at_the_entry() -> None:
    async def story() -> None:
        stage = Stage()
        began = time.time()
        stage.runtime.snapshot.engine.generation = object()
        stage.registry.look()
        lasts = stage.enter(somebody("mtls"), time=began)
        await settle()
        assert lasts.asked == [2]

    run(story())


def test_who_has_lapsed_is_cut_and_whose_token_does_not_hold_is_asked_for_it() -> None:
    async def story() -> None:
        stage = Stage()
        lapsed = stage.enter(somebody("mtls", expires_at=time.time() - 1))
        withdrawn = stage.enter(somebody("bearer"))
        withdrawn.held = False
        stage.runtime.deadlines.sweep(1e9)
        await settle()
        assert (lapsed.cuts, withdrawn.cuts, withdrawn.asked) == (["over"], [], [1])

    run(story())
