"""A program's token as a bearer token: it makes whom the session makes, on its host alone, and is no cookie."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.config.limits import Limits
from proxy.config.schema import Authenticate, Identity
from proxy.errors import TOKEN_INVALID, Refused
from proxy.http.message import Headers, RequestHead, Target
from proxy.identity.authenticate import Authenticator
from proxy.identity.issuers import build_issuers
from proxy.identity.principal import ANONYMOUS, Principal
from proxy.identity.sessions.live import Sessions
from proxy.identity.sessions.session import HandleRecord, digest_of, host_of_program, new_program_token
from proxy.identity.sessions.sqlite import SQLiteStore
from tests.identity.sessions.made import handle, session

ROUTE = Authenticate(sign_in=True)
WIKI, GIT = (Target(host, 8443, b"/", None, ("",)) for host in ("wiki.example.org", "git.example.org"))


@dataclass
class Gateway:
    """An authenticator, with somebody signed in at the wiki who has a cookie and a program."""

    authenticator: Authenticator
    store: SQLiteStore
    session_id: str
    cookie: bytes
    token: bytes

    async def call(self, headers: Headers, target: Target = WIKI, route: Authenticate = ROUTE) -> Principal:
        """Do as the proxy does: recall, else authenticate."""
        asked = RequestHead(b"GET", b"/", (1, 1), headers), route, None, time.time(), target
        return self.authenticator.recall(*asked) or await self.authenticator.authenticate(*asked)

    async def detail(self, token: bytes, target: Target = WIKI, route: Authenticate = ROUTE) -> str:
        """Return why a token is refused."""
        with pytest.raises(Refused) as refused:
            await self.call(bearer(token), target, route)
        assert refused.value.row is TOKEN_INVALID
        assert token.decode() not in refused.value.detail
        return refused.value.detail


def bearer(token: bytes, *, scheme: bytes = b"Bearer", field: bytes = b"authorization") -> Headers:
    return [(field, scheme + b" " + token)]


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    issuers, _ = build_issuers(Identity(issuers={}), Limits(), None, lambda *_: None)
    store = SQLiteStore(tmp_path / "sessions.db")
    sessions = Sessions(store, idle=3600)
    made = session(issuer="corp", expires_at=time.time() + 3600, seen_at=time.time())
    cookie, record = handle(made, host="wiki.example.org:8443")
    assert await store.create(made, record, begun_at=0)
    token = new_program_token()
    host = host_of_program("wiki.example.org:8443")
    assert await store.add_handle(HandleRecord(digest_of(token), made.id, host, time.time()))
    yield Gateway(Authenticator(issuers, Limits(), sessions), store, made.id, cookie, token)
    await store.close()


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER"])
async def test_a_token_makes_whom_its_session_makes(gateway: Gateway, scheme: bytes) -> None:
    by_token = await gateway.call(bearer(gateway.token, scheme=scheme))
    by_cookie = await gateway.call([(b"cookie", b"__Host-ztproxy=" + gateway.cookie)])
    assert by_token is by_cookie
    assert (by_token.method, by_token.session) == ("session", gateway.session_id)


async def test_a_token_is_good_on_its_host_and_on_routes_that_people_sign_in_on(gateway: Gateway) -> None:
    assert "must be of this host" in await gateway.detail(gateway.token, GIT)
    assert "people sign in on" in await gateway.detail(gateway.token, route=Authenticate())
    assert "issuer" in await gateway.detail(gateway.token, route=Authenticate(sign_in=True, issuers=["partner"]))
    assert "must be of this host" in await gateway.detail(new_program_token())
    await gateway.store.end(gateway.session_id, "a test")
    assert "must not have ended" in await gateway.detail(gateway.token)


async def test_a_token_and_a_cookie_are_never_taken_for_each_other(gateway: Gateway) -> None:
    for text in (gateway.token, gateway.token.removeprefix(b"ztcl_")):
        assert await gateway.call([(b"cookie", b"__Host-ztproxy=" + text)]) is ANONYMOUS
    for text in (gateway.cookie, b"ztcl_" + gateway.cookie):
        await gateway.detail(text)


async def test_a_token_is_read_where_the_route_reads_tokens(gateway: Gateway) -> None:
    elsewhere = Authenticate(sign_in=True, header="proxy-authorization")
    assert (await gateway.call(bearer(gateway.token), route=elsewhere)) is ANONYMOUS
    caller = await gateway.call(bearer(gateway.token, field=b"proxy-authorization"), route=elsewhere)
    assert caller.session == gateway.session_id
    assert (await gateway.call(bearer(gateway.token, scheme=b"Basic"))) is ANONYMOUS


@pytest.mark.parametrize(
    ("scheme", "rides"), [(b"Bearer", False), (b"bearer", False), (b"Basic", True), (b"Bearers", True), (None, True)]
)
async def test_only_what_rides_on_a_cookie_can_be_another_sites(
    gateway: Gateway, scheme: bytes | None, rides: bool
) -> None:
    headers = [(b"cookie", b"__Host-ztproxy=" + gateway.cookie)]
    headers += bearer(gateway.token, scheme=scheme) if scheme is not None else []
    caller = await gateway.call(headers)
    assert caller.session == gateway.session_id
    head = RequestHead(b"POST", b"/", (1, 1), headers)
    assert gateway.authenticator.rides_on_cookie(head, ROUTE, caller) is rides
    assert not gateway.authenticator.rides_on_cookie(head, ROUTE, ANONYMOUS)


async def test_a_token_that_was_seen_is_recalled_without_waiting(gateway: Gateway) -> None:
    assert gateway.authenticator._sessions is not None
    following = asyncio.create_task(gateway.authenticator._sessions.run())
    head = RequestHead(b"GET", b"/", (1, 1), bearer(gateway.token))
    async with asyncio.timeout(10):
        while gateway.authenticator.recall(head, ROUTE, None, time.time(), WIKI) is None:
            caller = await gateway.call(bearer(gateway.token))
    assert gateway.authenticator.recall(head, ROUTE, None, time.time(), WIKI) is caller
    for target, route in ((GIT, ROUTE), (WIKI, Authenticate()), (WIKI, Authenticate(sign_in=True, issuers=["other"]))):
        assert gateway.authenticator.recall(head, route, None, time.time(), target) is None
    told = asyncio.Event()
    gateway.authenticator._sessions.following.tell_changes(lambda _: told.set())
    await gateway.store.drop_handle(digest_of(gateway.token))
    async with asyncio.timeout(10):
        await told.wait()
    assert gateway.authenticator.recall(head, ROUTE, None, time.time(), WIKI) is None
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
