"""Who is decided again when a session changes, a snapshot or policy is another, or somebody lapses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.config.limits import Limits
from proxy.config.schema import Authenticate
from proxy.http.message import RequestHead
from proxy.http.target import parse_target
from proxy.identity.authenticate import Authenticator
from proxy.identity.issuers import Issuers
from proxy.identity.principal import Principal
from proxy.identity.sessions.live import Sessions
from proxy.identity.sessions.sqlite import SQLiteStore
from proxy.server.lasting import Lasting, Registry
from proxy.server.outcome import Outcome
from proxy.transport.deadlines import Deadlines
from tests.identity.sessions.made import HOST, handle, session


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
    noted_at: float = 0.0
    heard: bool = False
    go_away_by: Any = None
    asked: list[int] = field(default_factory=list)
    cuts: list[str] = field(default_factory=list)
    used: int = 0

    @property
    def inquiry(self) -> Any:
        return self

    @property
    def names(self) -> tuple[str, str]:
        return self.principal.session, self.principal.id

    def lapse(self, now: float) -> str | None:
        return "over" if now >= self.principal.expires_at else None

    def hears(self) -> bool:
        before, self.heard = self.heard, False
        return before

    def holds(self, now: float) -> bool:
        self.used += 1
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
        config = SimpleNamespace(session=SimpleNamespace(idle=60.0))
        return SimpleNamespace(engine=SimpleNamespace(generation=object()), config=config)

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


@pytest.mark.parametrize("method", ["session", "service_token"])
def test_what_a_client_sends_is_use_of_its_session_now_and_then(method: str) -> None:
    async def story() -> None:
        stage = Stage()
        lasts = stage.enter(somebody(method))
        entered, uses = lasts.used, []
        for now, heard in (
            (10.0, True),
            (16.0, False),
            (17.0, True),
            (18.0, True),
            (31.0, False),
            (40.0, True),
            (46.0, False),
        ):
            lasts.heard = lasts.heard or heard
            stage.runtime.deadlines.sweep(now)
            uses.append(lasts.used - entered)
        assert uses == [0, 1, 1, 1, 2, 2, 3]

    run(story())


def test_a_session_that_ended_unseen_is_found_out_by_its_use() -> None:
    async def story() -> None:
        stage = Stage()
        lasts = stage.enter(somebody("session"))
        lasts.held, lasts.heard = False, True
        stage.runtime.deadlines.sweep(20.0)
        await settle()
        assert lasts.asked == [1]

    run(story())


def test_use_is_written_down_with_the_session(tmp_path: Path) -> None:
    async def story() -> None:
        now = time.time()
        store = SQLiteStore(tmp_path / "sessions.db")
        kept = session(seen_at=now - 50)
        text, record = handle(kept)
        await store.create(kept, record, begun_at=0)
        sessions = Sessions(store, idle=60.0)
        await sessions.following.step()
        authenticator = Authenticator(Issuers({}), Limits(), sessions)
        head = RequestHead(b"GET", b"/", (1, 1), [(b"cookie", b"__Host-ztproxy=" + text)])
        target = parse_target(b"GET", b"/", [HOST.encode()], (1, 1))
        rules = Authenticate(sign_in=True)
        principal = await authenticator.authenticate(head, rules, None, now - 50, target)

        config = SimpleNamespace(session=SimpleNamespace(idle=60.0))
        snapshot = SimpleNamespace(
            engine=SimpleNamespace(generation=object()), config=config, authenticator=authenticator
        )
        runtime: Any = SimpleNamespace(deadlines=Deadlines(), snapshot=snapshot)
        runtime.lasting = Registry(runtime)
        loop = SimpleNamespace(time=lambda: 0.0)
        connection: Any = SimpleNamespace(
            runtime=runtime, abort=None, loop=loop, standing=SimpleNamespace(snapshot=snapshot)
        )
        inquiry: Any = SimpleNamespace(head=head, target=target, principal=principal, peer=None, time=now - 50)
        route: Any = SimpleNamespace(config=SimpleNamespace(authenticate=rules))
        outcome = Outcome()
        runtime.lasting.look()
        lasting = Lasting(connection, inquiry, route, outcome)
        runtime.lasting._lasting.add(lasting)

        runtime.deadlines.sweep(20.0)
        await sessions.flush()
        assert (await store.get(kept.id)).seen_at == kept.seen_at
        outcome.bytes_in += 1
        runtime.deadlines.sweep(21.0)
        await sessions.flush()
        assert (await store.get(kept.id)).seen_at >= now
        await store.close()

    run(story())


def test_who_would_not_end_by_itself_goes_away_with_the_process() -> None:
    async def story() -> None:
        stage, gone = Stage(), []
        stage.enter(somebody("none"))
        stage.enter(somebody("none"), go_away_by=lambda: gone.append("a tunnel"))
        stage.registry.go_away()
        assert gone == ["a tunnel"]
        assert stage.registry.going_away

    run(story())
