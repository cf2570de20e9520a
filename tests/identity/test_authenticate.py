from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.config.limits import Limits
from proxy.config.schema import Authenticate, Identity, Issuer
from proxy.errors import (
    AUTHORIZATION_DUPLICATE,
    CATALOGUE,
    CERTIFICATE_REFUSED,
    CREDENTIALS_MISSING,
    POLICY_DENIED,
    TOKEN_INVALID,
    TOKEN_KEYS_UNAVAILABLE,
    Refused,
    Row,
)
from proxy.http.message import RequestHead, Target
from proxy.identity.authenticate import Authenticator, challenge
from proxy.identity.issuers import build_issuers
from proxy.identity.principal import ANONYMOUS, CertificateFacts, Peer, Principal, principal_of
from tests.identity.test_keys import running
from tests.issuer import FakeIssuer

FACTS = CertificateFacts(b"", "", "", "", 0.0, 9e9, (), "spiffe://example.org/ci")
PEER = Peer("spiffe://example.org/ci", "example.org", "/ci", 9e9, FACTS)
TARGET = Target("localhost", None, b"/", None, ("",))
ROUTE = Authenticate()


def head(*values: bytes, name: bytes = b"authorization") -> RequestHead:
    return RequestHead(b"GET", b"/", (1, 1), [(b"host", b"x"), *((name, value) for value in values)])


class Gateway:
    """An authenticator, its issuers, and the time."""

    def __init__(self, *issuers: FakeIssuer, limits: Limits | None = None, **changed: Any) -> None:
        bearer = {"audiences": ["ztproxy"], "algorithms": ["ES256", "RS256", "EdDSA", "PS256"]}
        configs = {
            f"idp-{number}": Issuer(**{"issuer": issuer.url, "jwks_url": issuer.jwks_url, "bearer": bearer, **changed})
            for number, issuer in enumerate(issuers)
        }
        self.issuers, mistakes = build_issuers(Identity(issuers=configs), Limits(), None, lambda *_: None)
        assert not mistakes
        self.authenticator = Authenticator(self.issuers, limits or Limits())
        self.now = time.time()

    async def call(self, request: RequestHead, route: Authenticate = ROUTE, peer: Peer | None = None) -> Principal:
        """Do as the proxy does: recall, else authenticate."""
        known = self.authenticator.recall(request, route, peer, self.now, TARGET)
        return known or await self.authenticator.authenticate(request, route, peer, self.now, TARGET)

    async def bearer(self, token: bytes, **how: Any) -> Principal:
        return await self.call(head(b"Bearer " + token), **how)

    def recalls(self, token: bytes) -> bool:
        return self.authenticator.recall(head(b"Bearer " + token), ROUTE, None, self.now, TARGET) is not None


@pytest.fixture
async def issuer() -> AsyncIterator[FakeIssuer]:
    async with FakeIssuer() as issuer:
        yield issuer


@pytest.fixture
async def gateway(issuer: FakeIssuer) -> AsyncIterator[Gateway]:
    gateway = Gateway(issuer)
    async with running(gateway.issuers.sources["idp-0"]):
        yield gateway


async def refusal(row: Row, call: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        await call
    assert refused.value.row is row
    return refused.value


# Who is calling


async def test_a_token_makes_its_user(gateway: Gateway, issuer: FakeIssuer) -> None:
    user = await gateway.bearer(issuer.mint("ana", groups=["staff"]))
    assert (user.kind, user.id, user.issuer, user.groups) == ("user", "ana", "idp-0", ("staff",))


async def test_a_user_comes_before_the_workload_that_carries_the_token(gateway: Gateway, issuer: FakeIssuer) -> None:
    assert (await gateway.bearer(issuer.mint("ana"), peer=PEER)).id == "ana"


async def test_without_a_token_the_caller_is_the_workload_or_nobody(gateway: Gateway) -> None:
    for request in (head(), head(b"Basic YTpi"), head(b"")):
        assert await gateway.call(request, peer=PEER) == principal_of(PEER)
        assert await gateway.call(request) is ANONYMOUS


async def test_a_caller_without_a_token_is_answered_without_waiting(gateway: Gateway) -> None:
    assert gateway.authenticator.recall(head(), ROUTE, None, 0.0, TARGET) is ANONYMOUS
    assert gateway.authenticator.recall(head(), ROUTE, PEER, 0.0, TARGET) == principal_of(PEER)


# What the field says


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER", b"bEaReR"])
async def test_the_scheme_has_no_case(gateway: Gateway, issuer: FakeIssuer, scheme: bytes) -> None:
    assert (await gateway.call(head(scheme + b" " + issuer.mint()))).id == "ana"


MALFORMED: dict[str, Callable[[bytes], bytes]] = {
    "nothing behind the scheme": lambda _token: b"Bearer",
    "a space behind the scheme": lambda _token: b"Bearer ",
    "two spaces": lambda token: b"Bearer  " + token,
    "a tab": lambda token: b"Bearer\t" + token,
    "a space and a tab": lambda token: b"Bearer \t" + token,
    "a space before": lambda token: b" Bearer " + token,
    "a space behind": lambda token: b"Bearer " + token + b" ",
    "a carriage return behind": lambda token: b"Bearer " + token + b"\r",
    "two tokens": lambda token: b"Bearer " + token + b" " + token,
    "two credentials": lambda token: b"Bearer " + token + b", Bearer " + token,
    "another credential behind": lambda token: b"Bearer " + token + b",Basic YTpi",
    "a parameter": lambda token: b'Bearer token="' + token + b'"',
    "quotes": lambda token: b'Bearer "' + token + b'"',
    "a colon": lambda token: b"Bearer: " + token,
    "an equals sign": lambda token: b"Bearer=" + token,
    "a comma": lambda token: b"Bearer, " + token,
    "bytes outside ASCII": lambda token: b"Bearer " + token + b"\xff",
    "NUL": lambda token: b"Bearer " + token + b"\0",
    "no scheme and no token": lambda _token: b"\x00",
    "the scheme twice": lambda token: b"Bearer Bearer " + token,
}


@pytest.mark.parametrize("make", MALFORMED.values(), ids=MALFORMED)
async def test_a_credential_is_refused_that_has(
    gateway: Gateway, issuer: FakeIssuer, make: Callable[[bytes], bytes]
) -> None:
    await gateway.bearer(issuer.mint())
    refused = await refusal(TOKEN_INVALID, gateway.call(head(make(issuer.mint())), peer=PEER))
    assert refused.detail.startswith("credential must")


@pytest.mark.parametrize(
    "value",
    [b"Basic YTpi", b"Negotiate YII=", b'Digest username="a"', b"Bearerx abc", b"Beare abc", b"DPoP abc", b"eyJ.eyJ.x"],
)
async def test_another_scheme_is_no_credential(gateway: Gateway, value: bytes) -> None:
    assert await gateway.call(head(value)) is ANONYMOUS


async def test_two_authorization_fields_are_refused_in_any_order(gateway: Gateway, issuer: FakeIssuer) -> None:
    good = b"Bearer " + issuer.mint()
    for values in ((good, good), (good, b"Bearer x"), (b"Bearer x", good), (b"", good), (b"Basic YTpi", good)):
        for where in ("authorization", "proxy-authorization", "none"):
            await refusal(AUTHORIZATION_DUPLICATE, gateway.call(head(*values), Authenticate(header=where)))


async def test_a_route_may_read_tokens_from_proxy_authorization(gateway: Gateway, issuer: FakeIssuer) -> None:
    route = Authenticate(header="proxy-authorization")
    good = b"Bearer " + issuer.mint()
    assert (await gateway.call(head(good, name=b"proxy-authorization"), route)).id == "ana"
    assert await gateway.call(head(good), route) is ANONYMOUS
    assert await gateway.call(head(good, name=b"proxy-authorization")) is ANONYMOUS
    await refusal(AUTHORIZATION_DUPLICATE, gateway.call(head(good, good, name=b"proxy-authorization"), route))
    assert await gateway.call(head(b"a", b"b", name=b"proxy-authorization")) is ANONYMOUS


async def test_a_route_may_read_no_tokens(gateway: Gateway, issuer: FakeIssuer) -> None:
    route = Authenticate(header="none")
    for name in (b"authorization", b"proxy-authorization"):
        assert await gateway.call(head(b"Bearer " + issuer.mint(), name=name), route) is ANONYMOUS
        assert await gateway.call(head(b"Bearer rubbish", name=name), route, PEER) == principal_of(PEER)


# Which tokens are good


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA", "PS256"])
async def test_a_token_of_each_default_algorithm_is_accepted(
    gateway: Gateway, issuer: FakeIssuer, algorithm: str
) -> None:
    issuer.rotate(algorithm=algorithm)
    assert (await gateway.bearer(issuer.mint())).id == "ana"


async def test_an_opaque_token_is_refused_with_a_challenge(gateway: Gateway) -> None:
    refused = await refusal(TOKEN_INVALID, gateway.bearer(b"2YotnFZFEjr1zCsicMWpAA"))
    assert refused.headers == (
        (
            b"www-authenticate",
            b'Bearer error="invalid_token", error_description="The access token is not accepted"',
        ),
    )


async def test_a_refusal_says_nothing_of_the_token(gateway: Gateway, issuer: FakeIssuer) -> None:
    secret = "s3cr3t"
    for token in (
        issuer.mint(secret, aud=secret),
        issuer.mint(header={"alg": secret}),
        issuer.mint(header={"kid": secret}),
        issuer.mint(iss=secret),
        secret.encode(),
    ):
        refused = await refusal(TOKEN_INVALID, gateway.bearer(token))
        assert refused.detail
        assert secret not in f"{refused} {refused.detail} {refused.headers!r} {refused.args}"


async def test_a_token_is_believed_of_a_configured_issuer_alone(gateway: Gateway) -> None:
    async with FakeIssuer() as stranger:
        await refusal(TOKEN_INVALID, gateway.bearer(stranger.mint()))
        assert not stranger.requests


async def test_the_issuer_chooses_the_keys(issuer: FakeIssuer) -> None:
    async with FakeIssuer() as second:
        gateway = Gateway(issuer, second)
        async with running(gateway.issuers.sources["idp-0"]), running(gateway.issuers.sources["idp-1"]):
            assert (await gateway.bearer(issuer.mint())).issuer == "idp-0"
            assert (await gateway.bearer(second.mint())).issuer == "idp-1"
            for forged in (second.mint(iss=issuer.url), issuer.mint(iss=second.url)):
                await refusal(TOKEN_INVALID, gateway.bearer(forged))


async def test_a_route_may_narrow_its_issuers(issuer: FakeIssuer) -> None:
    async with FakeIssuer() as second:
        gateway = Gateway(issuer, second)
        route = Authenticate(issuers=("idp-1",))
        async with running(gateway.issuers.sources["idp-0"]), running(gateway.issuers.sources["idp-1"]):
            token = issuer.mint()
            await gateway.bearer(token)
            assert gateway.recalls(token)
            await refusal(TOKEN_INVALID, gateway.bearer(token, route=route))
            assert (await gateway.bearer(second.mint(), route=route)).issuer == "idp-1"


async def test_an_algorithm_that_the_issuer_is_not_configured_for_is_refused(issuer: FakeIssuer) -> None:
    gateway = Gateway(issuer, bearer={"audiences": ["ztproxy"], "algorithms": ["RS256"]})
    async with running(gateway.issuers.sources["idp-0"]):
        await refusal(TOKEN_INVALID, gateway.bearer(issuer.mint()))
        key = issuer.rotate(algorithm="RS256")
        del key.jwk["alg"]
        await refusal(TOKEN_INVALID, gateway.bearer(issuer.mint(header={"alg": "RS512"})))
        assert (await gateway.bearer(issuer.mint())).id == "ana"


async def test_the_size_of_a_token_is_the_first_thing_that_counts(issuer: FakeIssuer) -> None:
    token = issuer.mint()
    gateway = Gateway(issuer, limits=Limits(token_bytes=f"{len(token)}B"))
    async with running(gateway.issuers.sources["idp-0"]):
        await gateway.bearer(token)
        refused = await refusal(TOKEN_INVALID, gateway.bearer(b"." * (len(token) + 1)))
        assert refused.detail == f"token must have at most {len(token)} bytes"


async def test_without_keys_a_token_cannot_be_decided(issuer: FakeIssuer) -> None:
    issuer.fail()
    gateway = Gateway(issuer)
    async with running(gateway.issuers.sources["idp-0"]):
        refused = await refusal(TOKEN_KEYS_UNAVAILABLE, gateway.bearer(issuer.mint(), peer=PEER))
        assert refused.detail == "keys of issuer idp-0 must have been fetched, and lately"
        assert refused.headers == ()
        await refusal(TOKEN_INVALID, gateway.bearer(issuer.mint(aud="other")))  # no key could make this one good
        assert await gateway.call(head(), peer=PEER) == principal_of(PEER)


# What is remembered


async def test_a_verified_token_is_remembered(gateway: Gateway, issuer: FakeIssuer) -> None:
    token = issuer.mint()
    assert not gateway.recalls(token)
    user = await gateway.bearer(token)
    assert await gateway.bearer(token) is user


async def test_a_bad_token_is_never_remembered(gateway: Gateway, issuer: FakeIssuer) -> None:
    good = issuer.mint()
    await gateway.bearer(good)
    bad = good[:-6] + (b"AAAAAA" if good[-6:] != b"AAAAAA" else b"BBBBBA")
    for _ in range(2):
        await refusal(TOKEN_INVALID, gateway.bearer(bad))
    assert not gateway.recalls(bad)
    assert gateway.recalls(good)


async def test_a_token_is_remembered_until_it_expires_and_taken_until_the_clocks_agree(
    gateway: Gateway, issuer: FakeIssuer
) -> None:
    token = issuer.mint(exp=int(gateway.now) + 100)
    await gateway.bearer(token)
    gateway.now = int(gateway.now) + 99.9
    assert gateway.recalls(token)
    gateway.now += 0.1
    assert not gateway.recalls(token)
    user = await gateway.bearer(token)
    assert len(gateway.authenticator._memory) == 0
    assert gateway.now < user.expires_at
    gateway.now = user.expires_at
    await refusal(TOKEN_INVALID, gateway.bearer(token))


async def test_a_token_is_forgotten_when_its_key_is_withdrawn(gateway: Gateway, issuer: FakeIssuer) -> None:
    old = issuer.mint()
    await gateway.bearer(old)
    issuer.rotate(keep=True)
    new = issuer.mint()
    await gateway.bearer(new)
    assert gateway.recalls(old)  # another key came; its own is still there
    issuer.keys.pop()
    await gateway.issuers.sources["idp-0"].attempt()
    assert not gateway.recalls(old)
    assert gateway.recalls(new)
    await refusal(TOKEN_INVALID, gateway.bearer(old))


async def test_a_remembered_token_does_not_outlive_the_belief_in_its_keys(issuer: FakeIssuer) -> None:
    gateway = Gateway(issuer, keys_refresh="1s", keys_stale_limit="1s")
    source = gateway.issuers.sources["idp-0"]
    await source.attempt()
    token = issuer.mint()
    await gateway.bearer(token)
    assert gateway.recalls(token)
    source._good_until = 0.0
    assert not gateway.recalls(token)
    await refusal(TOKEN_KEYS_UNAVAILABLE, gateway.bearer(token))


async def test_the_least_recently_used_tokens_are_forgotten_first(issuer: FakeIssuer) -> None:
    gateway = Gateway(issuer, limits=Limits(token_cache=2))
    await gateway.issuers.sources["idp-0"].attempt()
    first, second, third = (issuer.mint(name) for name in ("a", "b", "c"))
    await gateway.bearer(first)
    await gateway.bearer(second)
    await gateway.bearer(first)
    await gateway.bearer(third)
    assert [gateway.recalls(token) for token in (first, second, third)] == [True, False, True]


async def test_any_number_of_tokens_takes_no_more_room_than_their_budget(issuer: FakeIssuer) -> None:
    issuer.rotate(algorithm="EdDSA")
    gateway = Gateway(issuer, limits=Limits(token_cache=200))
    await gateway.issuers.sources["idp-0"].attempt()
    memory = gateway.authenticator._memory
    for number in range(1000):
        await gateway.bearer(issuer.mint(f"user-{number}"))
    assert len(memory) == 200
    for number in range(100):
        await gateway.bearer(issuer.mint(f"user-{number}", notes="x" * 10_000))
    assert len(memory) < 40
    assert memory._bytes == sum(verified.size for verified in memory._verified.values()) <= 200 * 2048


async def test_a_token_that_two_requests_bring_at_once_is_counted_once(issuer: FakeIssuer) -> None:
    gateway = Gateway(issuer)
    async with running(gateway.issuers.sources["idp-0"]):
        token = issuer.mint()
        users = await asyncio.gather(*(gateway.bearer(token) for _ in range(100)))
        assert {user.id for user in users} == {"ana"}
        assert issuer.requests["keys"] == 1
        memory = gateway.authenticator._memory
        assert (len(memory), memory._bytes) == (1, len(token))


async def test_a_flood_of_bad_tokens_makes_one_fetch_and_leaves_nothing_behind(
    gateway: Gateway, issuer: FakeIssuer
) -> None:
    good = issuer.mint()
    await gateway.bearer(good)
    issuer.requests.clear()
    for number in range(300):
        for bad in (
            issuer.mint(header={"kid": f"unknown-{number}"}),
            issuer.mint(f"user-{number}")[:-8] + b"AAAAAAAA",
            issuer.mint(f"user-{number}", exp=1),
        ):
            await refusal(TOKEN_INVALID, gateway.bearer(bad))
    assert issuer.requests["keys"] == 1
    assert len(gateway.authenticator._memory) == 1
    assert gateway.recalls(good)


# Challenges


def test_a_challenge_says_no_error_where_nothing_was_offered() -> None:
    assert challenge(CREDENTIALS_MISSING) == ((b"www-authenticate", b"Bearer"),)
    assert challenge(CERTIFICATE_REFUSED) == ((b"www-authenticate", b"Bearer"),)
    assert b'error="invalid_token"' in challenge(TOKEN_INVALID)[0][1]


def test_every_401_has_a_challenge_and_nothing_else_has() -> None:
    for row in CATALOGUE.values():
        assert bool(challenge(row)) is (row.status == 401)
    assert challenge(POLICY_DENIED) == ()


# docs/identity.md


def test_every_detail_that_the_page_explains_is_one_that_the_code_gives() -> None:
    root = Path(__file__).resolve().parents[2]
    table = (root / "docs/identity.md").read_text(encoding="utf-8").partition("| `detail` |")[2]
    details = [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")]
    code = "".join(file.read_text(encoding="utf-8") for file in (root / "proxy/identity").glob("*.py"))
    assert len(details) == 10
    for detail in details:
        for part in detail.split("…"):
            assert part.strip() in code, detail
