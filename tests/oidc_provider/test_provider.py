from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from proxy.config.limits import Limits
from proxy.config.schema import Authenticate, Identity, Issuer
from proxy.errors import TOKEN_INVALID, TOKEN_KEYS_UNAVAILABLE, Refused, Row
from proxy.http.message import RequestHead, Target
from proxy.identity.authenticate import Authenticator
from proxy.identity.issuers import Issuers, build_issuers
from proxy.identity.principal import Principal
from tests.identity.test_keys import running
from tests.oidc_provider.provider import OIDCProvider

TARGET = Target("localhost", None, b"/", None, ("",))


class Gateway:
    """An authenticator that trusts the provider, by discovery."""

    def __init__(self, provider: OIDCProvider) -> None:
        config = Issuer(issuer=provider.url, bearer={"audiences": ["ztproxy"]})
        self.events: list[str] = []
        self.issuers: Issuers
        self.issuers, mistakes = build_issuers(
            Identity(issuers={"corp": config}), Limits(), None, lambda event, _fields: self.events.append(event)
        )
        assert not mistakes
        self.source = self.issuers.sources["corp"]
        self.authenticator = Authenticator(self.issuers, Limits())

    async def user(self, token: bytes) -> Principal:
        head = RequestHead(b"GET", b"/", (1, 1), [(b"authorization", b"Bearer " + token)])
        known = self.authenticator.recall(head, Authenticate(), None, time.time(), TARGET)
        return known or await self.authenticator.authenticate(head, Authenticate(), None, time.time(), TARGET)

    async def refuses(self, token: bytes, row: Row = TOKEN_INVALID) -> None:
        with pytest.raises(Refused) as refused:
            await self.user(token)
        assert refused.value.row is row


@pytest.fixture
async def provider() -> AsyncIterator[OIDCProvider]:
    async with OIDCProvider() as provider:
        yield provider


@pytest.fixture
async def gateway(provider: OIDCProvider) -> AsyncIterator[Gateway]:
    gateway = Gateway(provider)
    async with running(gateway.source):
        yield gateway


async def test_a_token_of_a_real_provider_makes_its_user(gateway: Gateway, provider: OIDCProvider) -> None:
    for kind in ("ES256", "RS256"):
        ana = await gateway.user(await provider.token("ana", kind))
        assert (ana.id, ana.issuer, ana.groups, ana.email) == ("ana", "corp", ("engineering",), "ana@example.org")
    ben = await gateway.user(await provider.token("ben"))
    assert (ben.id, ben.groups, ben.email) == ("ben", ("sales",), "")


async def test_an_opaque_token_of_a_real_provider_is_refused(gateway: Gateway, provider: OIDCProvider) -> None:
    await gateway.refuses(await provider.token(kind="opaque"))


async def test_a_real_provider_rotates_its_keys(gateway: Gateway, provider: OIDCProvider) -> None:
    first = await provider.token()
    await gateway.user(first)
    await provider.rotate(keep=True)
    second = await provider.token()
    assert (await gateway.user(second)).id == "ana"  # an unknown key: the set is fetched once more
    assert (await gateway.user(first)).id == "ana"
    await provider.rotate()
    await gateway.source.attempt()
    for withdrawn in (first, second):
        await gateway.refuses(withdrawn)
    assert (await gateway.user(await provider.token())).id == "ana"


async def test_a_real_provider_dies_and_its_last_good_keys_serve_on(gateway: Gateway, provider: OIDCProvider) -> None:
    used, unused = await provider.token("ana"), await provider.token("ben")
    await gateway.user(used)
    await provider.kill()
    await gateway.source.attempt()
    assert gateway.events[-1] == "keys_failed"
    assert (await gateway.user(used)).id == "ana"
    assert (await gateway.user(unused)).id == "ben"
    await provider.start()
    await gateway.source.attempt()
    assert gateway.events[-1] == "keys_fetched"
    await gateway.refuses(used)
    assert (await gateway.user(await provider.token())).id == "ana"


async def test_a_real_provider_that_was_never_reached_cannot_decide(provider: OIDCProvider) -> None:
    token = await provider.token()
    await provider.kill()
    gateway = Gateway(provider)
    async with running(gateway.source):
        await gateway.refuses(token, TOKEN_KEYS_UNAVAILABLE)
        await provider.start()
        await gateway.source.attempt()
        assert (await gateway.user(await provider.token())).id == "ana"
