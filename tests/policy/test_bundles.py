"""What of an OPA server's policy can be proven, and that decisions are remembered for as long as that holds."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.config.schema import OPA
from proxy.policy import opa as opa_engine
from proxy.policy.bundles import Bundle, find_reads, read_bundles, revisions_of
from proxy.policy.decision import parse_decision
from proxy.policy.memo import Memo, Memory, Remembered
from proxy.policy.opa import OPAEngine, build_opa
from proxy.policy.record import told_result
from proxy.policy.sources import Module
from proxy.telemetry.metrics import Metrics
from tests.gateway import wait_for
from tests.opa import OPAServer, opa_server
from tests.policy.inquiries import NOON, ask

POLICY = """
package app

import rego.v1

decision := {"allow": true, "reasons": [data.app.words[input.request.method]]} if data.app.words[input.request.method]

decision := {"allow": false} if not data.app.words[input.request.method]

elsewhere if data.other.open

clock if time.now_ns() > 0
"""

AUTHORIZATION = """
package system.authz

default allow := false

allow if input.path[1] == "data"
"""


def write(
    folder: Path, revision: str, *, words: dict[str, str], policy: str = POLICY, roots: tuple[str, ...] = ("app",)
) -> None:
    """Write a bundle; the manifest last, for OPA watches it."""
    (folder / "app").mkdir(parents=True, exist_ok=True)
    (folder / "app" / "policy.rego").write_text(policy)
    (folder / "app" / "data.json").write_text(json.dumps({"words": words}))
    manifest = {"roots": [*roots]} | ({"revision": revision} if revision else {})
    (folder / ".manifest").write_text(json.dumps(manifest))


class Asker:
    """An engine with its memo, asked as the authorizer asks."""

    def __init__(self, server: OPAServer | str, **options: Any) -> None:
        url = server if isinstance(server, str) else server.url
        engine, mistakes = build_opa(OPA(url=url, **options), 2.0, None)
        assert engine is not None, mistakes
        self.engine: OPAEngine = engine
        self.memo = Memo(engine, Memory(1024**2, Metrics()))

    async def decide(self, method: str = "GET", path: str = "app/decision") -> tuple[object, bool]:
        """Return the answer, and whether it was remembered."""
        inquiry = ask(method)
        key = self.memo.key(inquiry, path)
        known = self.memo.recall(key, NOON) if key is not None else None
        if known is not None and known.result is not None:
            return json.loads(known.result.text), True
        answer = await self.engine.evaluate(path, self.engine.document(inquiry, path))
        if key is not None:
            self.memo.remember(key, Remembered(parse_decision(answer), told_result(answer)), NOON + 60)
        return answer, False

    def why_not(self, path: str = "app/decision") -> str | None:
        return self.engine.plan(path).reads.obstacle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "bundle", "r1", words={"GET": "old"})
    return tmp_path / "bundle"


@pytest.fixture
def server(folder: Path) -> Iterator[OPAServer]:
    with opa_server("--bundle", folder, "--watch") as running:
        yield running


@pytest.fixture
async def asker(server: OPAServer) -> AsyncIterator[Asker]:
    one = Asker(server)
    yield one
    await one.engine.close()


OLD = {"allow": True, "reasons": ["old"]}
NEW = {"allow": True, "reasons": ["new"]}


async def test_a_decision_of_a_bundle_with_a_revision_is_remembered_once_the_server_was_looked_at(asker: Asker) -> None:
    assert "has not been asked about its policy" in str(asker.why_not())
    assert [await asker.decide(), await asker.decide()] == [(OLD, False), (OLD, False)]
    await asker.engine.look()
    assert asker.why_not() is None
    assert [await asker.decide(), await asker.decide()] == [(OLD, False), (OLD, True)]
    assert await asker.decide("PUT") == ({"allow": False}, False)
    assert await asker.decide("PUT") == ({"allow": False}, True)


async def renewed(asker: Asker, folder: Path, server: OPAServer, **changes: Any) -> None:
    """Give the bundle a new revision, and wait until the server has it."""
    write(folder, "r2", **({"words": {"GET": "new"}} | changes))
    path = "data/system/bundles?pretty=false"
    wait_for(lambda: "r2" in json.dumps(server.request("GET", path, "")[1]), "the new revision")


async def test_a_look_that_finds_another_revision_forgets_everything(
    asker: Asker, folder: Path, server: OPAServer
) -> None:
    await asker.engine.look()
    assert [await asker.decide(), await asker.decide()] == [(OLD, False), (OLD, True)]
    await renewed(asker, folder, server)
    await asker.engine.look()
    assert asker.why_not() is None
    assert [await asker.decide(), await asker.decide()] == [(NEW, False), (NEW, True)]


async def test_an_answer_of_another_revision_forgets_everything_and_is_not_remembered(
    asker: Asker, folder: Path, server: OPAServer
) -> None:
    await asker.engine.look()
    await asker.decide()
    await renewed(asker, folder, server)
    assert await asker.decide() == (OLD, True), "nobody has told yet"
    assert await asker.decide("PUT") == ({"allow": False}, False)
    assert "changed a moment ago" in str(asker.why_not())
    assert [await asker.decide(), await asker.decide()] == [(NEW, False), (NEW, False)]
    await asker.engine.look()
    assert [await asker.decide(), await asker.decide()] == [(NEW, False), (NEW, True)]


async def test_a_revision_that_comes_back_is_another_time(asker: Asker, folder: Path, server: OPAServer) -> None:
    await asker.engine.look()
    await asker.decide()
    first = asker.engine.generation
    await renewed(asker, folder, server)
    await asker.engine.look()
    write(folder, "r1", words={"GET": "old"})
    wait_for(lambda: "r1" in json.dumps(server.request("GET", "data/system/bundles", "")[1]), "the old revision")
    await asker.engine.look()
    assert asker.engine.generation is not first
    assert [await asker.decide(), await asker.decide()] == [(OLD, False), (OLD, True)]


async def test_a_policy_that_gains_a_read_tells_requests_apart_by_it(
    asker: Asker, folder: Path, server: OPAServer
) -> None:
    await asker.engine.look()
    assert list(asker.engine.plan("app/decision").reads.paths) == [("request", "method")]
    await renewed(
        asker,
        folder,
        server,
        policy=POLICY.replace("data.other.open", "true") + "\ndecision := x if { x := input.peer; false }\n",
    )
    await asker.engine.look()
    assert list(asker.engine.plan("app/decision").reads.paths) == [("peer",), ("request", "method")]


async def test_a_look_that_finds_the_same_leaves_everything(asker: Asker) -> None:
    await asker.engine.look()
    generation = asker.engine.generation
    await asker.decide()
    await asker.engine.look()
    assert asker.engine.generation is generation
    assert (await asker.decide())[1]


async def test_what_is_outside_the_bundles_roots_is_not_remembered(asker: Asker) -> None:
    await asker.engine.look()
    assert asker.why_not("app/elsewhere") == "names data.other.open, which is not in a bundle that has a revision"
    assert "calls time.now_ns" in str(asker.why_not("app/clock"))
    assert "data.elsewhere.rule" in str(asker.why_not("elsewhere/rule"))


async def test_a_server_without_bundles_is_not_remembered(tmp_path: Path) -> None:
    (tmp_path / "policy.rego").write_text(POLICY)
    with opa_server(tmp_path / "policy.rego") as running:
        asker = Asker(running)
        await asker.engine.look()
        assert asker.why_not() == "is decided by an OPA server that serves no bundle with a revision"
        await asker.engine.close()


async def test_a_bundle_without_a_revision_is_not_remembered(folder: Path) -> None:
    write(folder, "", words={})
    with opa_server("--bundle", folder) as running:
        asker = Asker(running)
        await asker.engine.look()
        assert asker.why_not() == "is decided by an OPA server that serves no bundle with a revision"
        await asker.engine.close()


async def test_a_policy_whose_syntax_is_not_known_is_not_remembered(folder: Path) -> None:
    write(folder, "r1", words={}, policy=POLICY + "\nnext := 2e308\n")
    with opa_server("--bundle", folder) as running:
        asker = Asker(running)
        await asker.engine.look()
        assert "of which nothing is known" in str(asker.why_not())
        await asker.engine.close()


async def test_a_server_that_shows_no_policy_or_is_gone_is_not_remembered(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "system").mkdir()
    (tmp_path / "system" / "authz.rego").write_text(AUTHORIZATION)
    (tmp_path / "system" / ".manifest").write_text('{"roots": ["system/authz"]}')
    with opa_server("--bundle", folder, tmp_path / "system", "--authorization=basic") as running:
        asker = Asker(running)
        await asker.engine.look()
        assert asker.why_not() == "is decided by an OPA server that does not show its policy (status 401)"
        assert await asker.decide() == (OLD, False)
        running.kill()
        await asker.engine.look()
        assert asker.why_not() == "is decided by an OPA server that cannot be reached"
        await asker.engine.close()


async def test_a_server_that_has_not_been_heard_for_a_while_is_doubted(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asker.engine.look()
    await asker.decide()
    monkeypatch.setattr(opa_engine, "_DOUBTED_AFTER", -1.0)
    assert await asker.decide() == (OLD, False)
    assert "has not been heard lately" in str(asker.why_not())


async def test_nobody_can_write_by_the_api_what_a_bundle_owns(server: OPAServer) -> None:
    """This is what the proof rests on."""
    assert server.request("PUT", "policies/mine", "package app.more\n\nx := 1")[0] == 400
    assert server.request("PUT", "data/app/words", "{}")[0] == 400
    assert server.request("PUT", "data/other", "{}")[0] == 204


@pytest.mark.parametrize(
    "stored",
    [
        [],
        {"b": 1},
        {"b": {}},
        {"b": {"manifest": {}}},
        {"b": {"manifest": {"revision": 1, "roots": []}}},
        {"b": {"manifest": {"revision": "r", "roots": "app"}}},
        {"b": {"manifest": {"revision": "r", "roots": [1]}}},
    ],
)
def test_bundles_of_another_shape_prove_nothing(stored: object) -> None:
    with pytest.raises(ValueError, match="must"):
        read_bundles(stored)


def test_bundles_are_read() -> None:
    stored = {
        "a": {"manifest": {"revision": "r", "roots": ["app/x", "b"]}, "etag": "e"},
        "b": {"manifest": {"revision": "", "roots": [""]}},
    }
    assert read_bundles(stored) == {"a": Bundle("r", (("app", "x"), ("b",))), "b": Bundle("", ((),))}
    assert read_bundles({}) == {}


def test_revisions_of_an_answer_are_read() -> None:
    assert revisions_of({"bundles": {"a": {"revision": "r"}}}) == {"a": "r"}
    assert revisions_of({"bundles": {}}) == {}
    for other in (None, {}, {"revision": "r"}, {"bundles": []}):
        assert revisions_of(other) is None


@pytest.mark.parametrize(
    ("rule", "roots", "stray"),
    [
        ("r := data.app.x.y", [("app",)], None),
        ("r := data.app.x.y", [("app", "x"), ("p",)], None),
        ("r := data.app.x", [("app", "x", "y"), ("p",)], "data.app.x"),
        ("r := data.app[input.x]", [("app",)], None),
        ("r := data.app[input.x]", [("app", "x"), ("p",)], "data.app"),
        ("r := data[input.x]", [()], "data"),
        ("r := data", [()], "data"),
        ("r := data.x", [()], None),
        ("r := data.system.bundles", [()], "data.system.bundles"),
        ("r := 1", [("app",)], "data.p.r"),
    ],
)
def test_all_that_a_rule_names_must_be_a_bundles(rule: str, roots: list[tuple[str, ...]], stray: str | None) -> None:
    owned = [*roots, ("p",)] if stray is None else roots
    bundles = {"b": Bundle("r1", tuple(owned)), "without": Bundle("", ((),))}
    found = find_reads([Module("p.rego", f"package p\n\n{rule}")], bundles)("p/r")
    assert found.obstacle == (f"names {stray}, which is not in a bundle that has a revision" if stray else None)
