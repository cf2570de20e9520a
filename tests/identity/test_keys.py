from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import TOKEN_KEYS_UNAVAILABLE, Refused
from proxy.identity import keys as keys_room
from proxy.identity.jwks import InvalidKey
from proxy.identity.keys import ASK_INTERVAL, KeySource, Origin, read_jwks_file, spread
from proxy.identity.oidc import DOCUMENT_BYTES, Document, FetchFailed
from proxy.identity.token import InvalidToken, Token, parse_token
from tests.identity.test_fetch import make_certificate
from tests.issuer import FakeIssuer, SigningKey, compact

FIRST, SECOND = SigningKey.generate("first"), SigningKey.generate("second")
BAD = SigningKey("bad", "ES256", FIRST.private, {**FIRST.jwk, "d": "AA"})


def token(key: SigningKey, **header: Any) -> Token:
    return parse_token(compact({"alg": "ES256", "kid": key.kid, **header}, {}, key))


class Issuer:
    """An issuer without a network: what it answers next, how often it was asked, and the time."""

    def __init__(self, *, refresh: float = 300.0, stale_limit: float = 3600.0) -> None:
        self.now = 1000.0
        self.fetches = self.until_fetches = 0
        self.enough = asyncio.Event()
        self.max_age: float | None = None
        self.keys = [FIRST]
        self.failure: str | None = None
        self.surprise: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.events: list[tuple[str, dict[str, Any]]] = []
        origin = Origin("https://idp.example.org", None, None, None, refresh, stale_limit)
        self.source = KeySource("corp", origin, self.load, self.observe, lambda: self.now)

    async def load(self) -> Document:
        self.fetches += 1
        if self.fetches == self.until_fetches:
            self.enough.set()
        body = json.dumps({"keys": [key.jwk for key in self.keys]}).encode()
        if self.gate is not None:
            await self.gate.wait()
        if self.surprise is not None:
            raise self.surprise
        if self.failure is not None:
            raise FetchFailed(self.failure)
        return Document(body, self.max_age)

    def observe(self, event: str, fields: dict[str, Any]) -> None:
        self.events.append((event, fields))


@asynccontextmanager
async def running(source: KeySource) -> AsyncIterator[None]:
    task = asyncio.create_task(source.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def turn() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_keys_are_fetched_and_found() -> None:
    issuer = Issuer()
    async with running(issuer.source):
        key = await issuer.source.find(token(FIRST))
    key.verify(token(FIRST))
    assert issuer.events == [("keys_fetched", {"issuer": "corp", "kids": ["first"], "dropped": []})]


async def test_a_thousand_requests_at_a_cold_start_cause_one_fetch() -> None:
    issuer = Issuer()
    issuer.gate = asyncio.Event()
    async with running(issuer.source):
        finds = [asyncio.create_task(issuer.source.find(token(FIRST))) for _ in range(1000)]
        await turn()
        issuer.gate.set()
        assert len(set(await asyncio.gather(*finds))) == 1
    assert issuer.fetches == 1


async def test_a_request_that_goes_away_while_it_waits_takes_nobody_with_it() -> None:
    issuer = Issuer()
    issuer.gate = asyncio.Event()
    async with running(issuer.source):
        gone, stays = (asyncio.create_task(issuer.source.find(token(FIRST))) for _ in range(2))
        await turn()
        gone.cancel()
        await turn()
        issuer.gate.set()
        assert (await stays).kid == "first"


async def test_keys_that_were_never_fetched_cannot_decide() -> None:
    issuer = Issuer()
    issuer.failure = "status must be 200, not 500"
    async with running(issuer.source):
        for _ in range(2):
            with pytest.raises(Refused) as refused:
                await issuer.source.find(token(FIRST))
            assert refused.value.row is TOKEN_KEYS_UNAVAILABLE
    assert issuer.fetches == 1
    assert issuer.events == [("keys_failed", {"issuer": "corp", "reason": issuer.failure, "serving_last_good": False})]


async def test_a_request_waits_for_a_first_answer_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_room, "PATIENCE", 0.02)
    issuer = Issuer()
    issuer.gate = asyncio.Event()
    async with running(issuer.source):
        with pytest.raises(Refused):
            await issuer.source.find(token(FIRST))


async def test_an_attempt_has_a_deadline_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_room, "ATTEMPT", 0.02)
    issuer = Issuer()
    issuer.gate = asyncio.Event()
    assert await issuer.source.attempt() == keys_room.RETRY_FIRST
    assert issuer.events[0][1]["reason"] == "no answer within 0.02 s"


async def test_the_last_good_keys_serve_through_failures_until_they_are_too_old() -> None:
    issuer = Issuer(stale_limit=3600.0)
    await issuer.source.attempt()
    issuer.failure = "no usable answer (ClientConnectorError)"
    issuer.now += 3599
    await issuer.source.attempt()
    assert (await issuer.source.find(token(FIRST))).kid == "first"
    assert issuer.events[-1][1]["serving_last_good"] is True
    issuer.now += 1
    assert not issuer.source.usable
    with pytest.raises(Refused) as refused:
        await issuer.source.find(token(FIRST))
    assert refused.value.row is TOKEN_KEYS_UNAVAILABLE


async def test_an_issuer_that_returns_is_believed_again_and_said_to_be_back() -> None:
    issuer = Issuer()
    await issuer.source.attempt()
    issuer.failure = "gone"
    await issuer.source.attempt()
    issuer.failure = None
    await issuer.source.attempt()
    assert [event for event, _ in issuer.events] == ["keys_fetched", "keys_failed", "keys_fetched"]


@pytest.mark.parametrize(
    "keys", [[], [SigningKey("d", "ES256", FIRST.private, {**FIRST.jwk, "d": "AA"})]], ids=["no", "bad"]
)
async def test_a_set_without_usable_keys_does_not_take_the_place_of_a_good_one(keys: list[SigningKey]) -> None:
    issuer = Issuer()
    await issuer.source.attempt()
    issuer.keys = keys
    await issuer.source.attempt()
    assert (await issuer.source.find(token(FIRST))).kid == "first"
    assert issuer.events[-1][0] == "keys_failed"
    assert issuer.events[-1][1]["reason"].startswith("no key can be used")


async def test_keys_that_were_dropped_are_told_with_their_reason() -> None:
    issuer = Issuer()
    issuer.keys = [FIRST, SigningKey("weak", "ES256", FIRST.private, {"kty": "oct", "k": "AA"})]
    await issuer.source.attempt()
    assert issuer.events[0][1]["dropped"] == ["key 1: a published key must be public"]


async def test_a_key_that_is_dropped_later_is_told_though_the_others_stay() -> None:
    issuer = Issuer()
    await issuer.source.attempt()
    before = issuer.source.keys
    issuer.keys = [FIRST, BAD]
    await issuer.source.attempt()
    assert issuer.source.keys is before
    assert [fields["dropped"] for _, fields in issuer.events] == [[], ["key 1: a published key must be public"]]


async def test_a_surprise_is_a_failed_attempt_and_does_not_end_the_loop() -> None:
    issuer = Issuer()
    issuer.surprise = RuntimeError("what nobody thought of")
    assert await issuer.source.attempt() == keys_room.RETRY_FIRST
    assert issuer.events[0][1]["reason"] == "unexpected RuntimeError"


async def test_an_unchanged_set_stays_the_same_object_and_is_no_event() -> None:
    issuer = Issuer()
    await issuer.source.attempt()
    before = issuer.source.keys
    await issuer.source.attempt()
    assert issuer.source.keys is before
    assert len(issuer.events) == 1
    issuer.keys = [SECOND]
    await issuer.source.attempt()
    assert issuer.source.keys is not before
    assert issuer.events[-1] == ("keys_fetched", {"issuer": "corp", "kids": ["second"], "dropped": []})


async def test_an_unknown_key_has_the_set_fetched_once_more() -> None:
    issuer = Issuer()
    async with running(issuer.source):
        await issuer.source.find(token(FIRST))
        issuer.keys = [FIRST, SECOND]
        assert (await issuer.source.find(token(SECOND))).kid == "second"
    assert issuer.fetches == 2


async def test_a_flood_of_unknown_keys_causes_one_fetch_every_half_minute() -> None:
    issuer = Issuer()
    async with running(issuer.source):
        await issuer.source.find(token(FIRST))
        for _ in range(2):
            issuer.fetches = 0
            for number in range(200):
                with pytest.raises(InvalidToken):
                    await issuer.source.find(token(FIRST, kid=f"unknown-{number}"))
                issuer.now += (ASK_INTERVAL - 1) / 200
            assert issuer.fetches == 1
            issuer.now += 2


async def test_requests_with_an_unknown_key_wait_for_the_fetch_that_one_of_them_caused() -> None:
    issuer = Issuer()
    async with running(issuer.source):
        await issuer.source.find(token(FIRST))
        issuer.gate = asyncio.Event()
        issuer.keys = [SECOND]
        finds = [asyncio.create_task(issuer.source.find(token(SECOND))) for _ in range(2)]
        await turn()
        finds.append(asyncio.create_task(issuer.source.find(token(SECOND))))
        await turn()
        issuer.gate.set()
        assert {key.kid for key in await asyncio.gather(*finds)} == {"second"}
    assert issuer.fetches == 2


async def test_an_unknown_key_is_not_answered_by_a_fetch_that_began_before_it_came() -> None:
    issuer = Issuer(refresh=0.0)
    await issuer.source.attempt()
    issuer.gate = asyncio.Event()
    async with running(issuer.source):
        await turn()  # a regular fetch is under way, and has seen the old set
        issuer.keys = [FIRST, SECOND]
        find = asyncio.create_task(issuer.source.find(token(SECOND)))
        await turn()
        before, issuer.gate = issuer.gate, asyncio.Event()
        before.set()
        await turn()
        assert not find.done()
        issuer.gate.set()
        assert (await find).kid == "second"


async def test_an_unknown_key_is_refused_while_the_issuer_is_gone() -> None:
    issuer = Issuer()
    async with running(issuer.source):
        await issuer.source.find(token(FIRST))
        issuer.failure = "gone"
        with pytest.raises(InvalidToken, match="issuer's"):
            await issuer.source.find(token(SECOND))
        assert (await issuer.source.find(token(FIRST))).kid == "first"


async def test_a_withdrawn_key_is_refused() -> None:
    issuer = Issuer()
    async with running(issuer.source):
        await issuer.source.find(token(FIRST))
        issuer.keys = [SECOND]
        await issuer.source.attempt()
        with pytest.raises(InvalidToken):
            await issuer.source.find(token(FIRST))


@pytest.mark.parametrize(
    ("refresh", "max_age", "expected"),
    [(300.0, None, 300.0), (300.0, 3600.0, 300.0), (300.0, 60.0, 60.0), (300.0, 0.0, 30.0), (5.0, 0.0, 5.0)],
)
async def test_keys_are_fetched_again_before_they_expire(
    refresh: float, max_age: float | None, expected: float
) -> None:
    issuer = Issuer(refresh=refresh)
    issuer.max_age = max_age
    assert await issuer.source.attempt() == expected


async def test_a_failing_issuer_is_asked_less_and_less_often() -> None:
    issuer = Issuer()
    issuer.failure = "gone"
    assert [await issuer.source.attempt() for _ in range(7)] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    issuer.failure = None
    assert await issuer.source.attempt() == 300.0


async def test_keys_are_refreshed_again_and_again() -> None:
    issuer = Issuer(refresh=0.0)
    issuer.until_fetches = 5
    async with running(issuer.source), asyncio.timeout(5):
        await issuer.enough.wait()


async def test_a_key_file_is_read_again_when_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_room, "FILE_INTERVAL", 0.0)
    file = tmp_path / "jwks.json"
    origin = Origin("https://idp.example.org", None, file, None, 300.0, 3600.0)
    events: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
    source = KeySource("corp", origin, origin.loader(), lambda *event: events.put_nowait(event))
    file.write_text(json.dumps({"keys": [FIRST.jwk]}))
    async with running(source), asyncio.timeout(5):
        assert (await events.get())[1]["kids"] == ["first"]
        (tmp_path / "next").write_text(json.dumps({"keys": [SECOND.jwk]}))
        (tmp_path / "next").rename(file)
        assert (await events.get())[1]["kids"] == ["second"]
        file.unlink()
        assert (await events.get())[1]["reason"] == "file must be readable: No such file or directory"
        assert (await source.find(token(SECOND))).kid == "second"


def test_a_key_file_that_cannot_be_read_or_is_too_large_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match="No such file"):
        read_jwks_file(tmp_path / "absent")
    with pytest.raises(FetchFailed, match="Is a directory"):
        read_jwks_file(tmp_path)
    (tmp_path / "large").write_bytes(b" " * (DOCUMENT_BYTES + 1))
    with pytest.raises(FetchFailed, match="at most"):
        read_jwks_file(tmp_path / "large")


async def test_a_document_that_is_adopted_must_have_keys() -> None:
    with pytest.raises(InvalidKey):
        Issuer().source.adopt(Document(b"{}"))


async def test_a_real_issuer_rotates_dies_and_returns() -> None:
    async with FakeIssuer() as issuer:
        origin = Origin(issuer.url, None, None, None, 300.0, 3600.0)
        source = KeySource("corp", origin, origin.loader(), lambda *_: None)
        async with running(source):
            old = parse_token(issuer.mint())
            (await source.find(old)).verify(old)
            issuer.rotate()
            new = parse_token(issuer.mint())
            (await source.find(new)).verify(new)
            with pytest.raises(InvalidToken):
                await source.find(old)
            await issuer.stop()
            await source.attempt()
            (await source.find(new)).verify(new)
            await issuer.start()
            issuer.rotate()
            await source.attempt()
            newest = parse_token(issuer.mint())
            (await source.find(newest)).verify(newest)


async def test_an_https_issuer_is_trusted_by_its_configured_authority_alone(tmp_path: Path) -> None:
    server, ca = make_certificate(tmp_path)
    _, other = make_certificate(tmp_path)
    async with FakeIssuer(tls=server) as issuer:
        for trusted, event in ((ca, "keys_fetched"), (other, "keys_failed"), (None, "keys_failed")):
            events: list[str] = []
            origin = Origin(issuer.url, None, None, trusted, 300.0, 3600.0)
            await KeySource("corp", origin, origin.loader(), lambda name, _fields: events.append(name)).attempt()  # noqa: B023
            assert events == [event]


def test_workers_that_began_together_do_not_go_on_in_step_and_never_wait_longer() -> None:
    pauses = [spread(300.0) for _ in range(200)]
    assert len(set(pauses)) > 100
    assert all(240 <= pause <= 300 for pause in pauses)
    assert max(pauses) - min(pauses) > 30
