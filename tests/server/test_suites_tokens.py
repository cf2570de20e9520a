"""The public list of attacks on tokens against the running gateway.

How each attack is made stands in `tests/identity/attacks`, where it runs against the room; here the same is sent over
sockets, to a route that asks for a user and to one that is open to anyone. What a room cannot show (issuers that fail
while requests come, what the upstream is told) is made here.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.gateway import wait_for
from tests.identity import test_suites_tokens as rooms
from tests.identity.attacks import ATTACKS
from tests.identity.attacks import world as attacks
from tests.identity.test_fetch import make_certificate
from tests.issuer import FakeIssuer
from tests.server.suite_issuers import CERTIFICATES, CHANGING, FAULTS, MISMATCHES, OTHERS, PLACES, Edge
from tests.server.suite_world import last_hop
from tests.suites import suite_json
from tests.world import World

CASES: dict[str, Any] = {case["id"]: case for case in suite_json("jwt/attacks.json")["cases"]}
in_the_issuers_loop = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(world: World, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    """The running gateway and its issuers; at the end, nothing undecided has reached the upstream."""
    directory = world.copy_to(tmp_path_factory.mktemp("tokens"))
    contexts: dict[str, ssl.SSLContext] = {}
    extra: dict[str, dict[str, Any]] = {name: {"keys_refresh": "1s"} for name in CHANGING}
    extra["down"]["keys_stale_limit"] = "3s"
    for name, (address, days, known) in CERTIFICATES.items():
        folder = tmp_path_factory.mktemp(name)
        contexts[name], _ = make_certificate(folder, address, days)
        if known:
            extra[name] = {"ca": str(folder / "idp.pem")}
    others = {name: FakeIssuer(tls=contexts.get(name)) for name in OTHERS}
    corp, attacker = FakeIssuer(), FakeIssuer()
    for issuer in (corp, attacker, *others.values()):
        await issuer.start()
    others["empty"].garbage(b'{"keys":[]}')
    others["slow"].drip()
    for name, changed in MISMATCHES.items():
        others[name].issuer = changed(others[name].url)
    for name, place in PLACES.items():
        others[name].jwks_uri = place or attacker.jwks_url
    edge = Edge(corp, attacker, others, extra, directory)
    with edge.trial:
        edge.slow = asyncio.create_task(edge.ask(b"Authorization: Bearer " + others["slow"].mint()))
        yield edge
        await edge.slow
    for issuer in (corp, attacker, *others.values()):
        await issuer.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def attacked(edge: Edge) -> AsyncIterator[Edge]:
    """The gateway, and afterwards its issuer as before."""
    yield edge
    if edge.restore():
        await edge.refresh()


# --- Attacks that are made as they are made for the room

# Of these a room is not enough, or its insides are looked at.
MADE_HERE: dict[str, Callable[[Edge], Coroutine[Any, Any, None]]] = {}


def attack(*names: str) -> Callable[[Callable[[Edge], Coroutine[Any, Any, None]]], None]:
    """Register how a case is made here."""

    def register(make: Callable[[Edge], Coroutine[Any, Any, None]]) -> None:
        for name in names:
            assert name not in MADE_HERE
            MADE_HERE[name] = make

    return register


def run_here(name: str) -> Callable[[Edge], Coroutine[Any, Any, None]]:
    return MADE_HERE.get(name) or ATTACKS[name]  # type: ignore[return-value]


# --- How a credential is written into a request


@attack("ser-whitespace")
async def _(edge: Edge) -> None:
    token = edge.issuer.mint()
    # White space around a field's value is no part of it (RFC 9110 section 5.5), so these are the same request.
    for value in (b" Bearer %s", b"\tBearer %s", b"Bearer %s ", b"Bearer %s\t", b"Bearer %s \t "):
        assert (await edge.call(value % token)).id == "ana"
    for value in (b"Bearer  %s", b"Bearer\t%s", b"Bearer %s x", b"Bearer,%s", b"Bearer\xa0%s", b"Bearer %s\x85"):
        await edge.refused_field(value % token)
    for value in (b"Bearer %s\r", b"Bearer %s\rx", b"Bearer\n %s", b"Bearer %s\0", b"Bearer \x0b%s"):
        assert (await edge.ask(b"Authorization: " + value % token)).code == "request_malformed"


@attack("trn-body")
async def _(edge: Edge) -> None:
    form = b"access_token=" + edge.issuer.mint()
    head = b"POST /?%b HTTP/1.1\r\nHost: user.example.org\r\nContent-Type: application/x-www-form-urlencoded\r\n" % form
    raw = head + b"Content-Length: %d\r\n\r\n%b" % (len(form), form)
    answer = (await asyncio.to_thread(edge.trial.fire, object(), raw)).answer()
    # No credential that we know was sent, so nothing is said to be wrong with it.
    assert (answer.code, answer.get("www-authenticate")) == ("credentials_missing", "Bearer")


@attack("trn-forwarded-token")
async def _(edge: Edge) -> None:
    bearer = b"Authorization: Bearer " + edge.issuer.mint()
    basic = b"Authorization: Basic YTpi"
    assert await edge.upstream_sees("authorization", bearer, host="user.example.org") == []
    assert await edge.upstream_sees("authorization", basic, host="open.example.org") == []
    assert await edge.upstream_sees("authorization", bearer, host="pass.example.org") == []
    assert await edge.upstream_sees("authorization", basic, host="pass.example.org") == ["Basic YTpi"]


# --- What claims open


async def opens(edge: Edge, host: str, **claims: Any) -> bool:
    answer = await edge.ask(b"Authorization: Bearer " + edge.issuer.mint(**claims), host=host)
    assert answer.status == 200 or answer.code == "policy_denied"
    return answer.status == 200


@attack("clm-email-unverified")
async def _(edge: Edge) -> None:
    assert await opens(edge, "mail.example.org", email="admin@corp.com", email_verified=True)
    for verified in ({"email_verified": False}, {"email_verified": "true"}, {"email_verified": 1}, {}):
        assert not await opens(edge, "mail.example.org", email="admin@corp.com", **verified)
    assert not await opens(edge, "mail.example.org", sub="admin@corp.com")


@attack("clm-email-multi-at")
async def _(edge: Edge) -> None:
    for address in ("a@evil@corp.com", "admin@corp.com@evil", '"admin@corp.com"@evil', "admin@corp.com\n", "@corp.com"):
        assert not await opens(edge, "mail.example.org", email=address, email_verified=True)


@attack("clm-email-case")
async def _(edge: Edge) -> None:
    # What stands before the @ is compared to the letter, the domain is not: on every route, and towards the upstream.
    assert await opens(edge, "mail.example.org", email="admin@CORP.com", email_verified=True)
    assert not await opens(edge, "mail.example.org", email="ADMIN@corp.com", email_verified=True)
    bearer = b"Authorization: Bearer " + edge.issuer.mint(email="Admin@CORP.com", email_verified=True)
    assert await edge.upstream_sees("x-ztproxy-email", bearer) == ["Admin@corp.com"]


@attack("clm-groups-string")
async def _(edge: Edge) -> None:
    for groups in (["admin"], ["other", "admin"], "admin"):  # one string is one group
        assert await opens(edge, "group.example.org", groups=groups)
    for groups in (
        "a,admin",
        "other admin",
        {"admin": 1},
        [["admin"]],
        ["admin", 1],
        ["admin "],
        ["ADMIN"],
        None,
        True,
    ):
        assert not await opens(edge, "group.example.org", groups=groups)


@attack("clm-scope-string")
async def _(edge: Edge) -> None:
    # `allow` compares a claim as a whole, or as a list's element; a policy of one's own may split it.
    assert await opens(edge, "scope.example.org", scope="admin")
    assert await opens(edge, "scope.example.org", scope=["read", "admin"])
    for scope in ("read admin", "readadmin", "admin ", "", None, {"admin": "admin"}):
        assert not await opens(edge, "scope.example.org", scope=scope)


# --- Issuers that fail while requests come


@attack("jwks-rotate-remove")
async def _(edge: Edge) -> None:
    issuer = edge.others["rotating"]
    old = issuer.mint()
    await edge.becomes(old, 200)
    issuer.rotate()
    await edge.becomes(old, 401)
    await edge.refused(old)
    await edge.accepted(issuer.mint())


@attack("jwks-down-later")
async def _(edge: Edge) -> None:
    issuer = edge.others["down"]
    token = issuer.mint()
    await edge.becomes(token, 200)
    await issuer.stop()
    await edge.accepted(token)
    await edge.becomes(token, 503)
    await edge.undecided(token)
    await issuer.start()
    await edge.becomes(token, 200)


@attack("jwks-500")
async def _(edge: Edge) -> None:
    tokens = {name: edge.others[name].mint() for name in FAULTS}
    for name, token in tokens.items():
        await edge.becomes(token, 200)
        FAULTS[name](edge.others[name])
    for name, token in tokens.items():
        await edge.failure(name)
        await edge.accepted(token)
        await edge.accepted(edge.others[name].mint("ben"))
        await edge.refused(edge.others[name].mint(key=attacks.ATTACKER))
    await edge.failure("empty")
    await edge.undecided(edge.others["empty"].mint())  # no keys are not "no check"


@attack("jwks-slow")
async def _(edge: Edge) -> None:
    await edge.accepted(edge.issuer.mint())  # whoever else asks meanwhile is served
    assert (await edge.slow).code == "token_keys_unavailable"


@attack("jwks-tls-bad")
async def _(edge: Edge) -> None:
    for name in ("tls-unknown", "tls-elsewhere", "tls-expired"):
        assert (await edge.failure(name)).startswith("certificate must be trusted")
        await edge.undecided(edge.others[name].mint())
        assert not edge.others[name].requests


@attack("jwks-issuer-mismatch")
async def _(edge: Edge) -> None:
    for name in MISMATCHES:
        assert await edge.failure(name) == "discovery: issuer must be the configured one, to the letter"
        await edge.undecided(edge.others[name].mint())
        assert edge.others[name].requests["keys"] == 0


@attack("jwks-discovery-endpoints")
async def _(edge: Edge) -> None:
    for name in PLACES:
        assert (await edge.failure(name)).startswith("discovery: jwks_uri must be")
        await edge.undecided(edge.others[name].mint())


# --- What the upstream is told of who is calling

SPOOFED = [
    f"{name}: spoof"
    for ours in ("X-Ztproxy-Subject", "X-Ztproxy-Email", "X-Ztproxy-Groups", "X-Ztproxy-Assertion", "X-Forwarded-User")
    for name in (ours, ours.lower(), ours.upper(), ours.replace("-", "_"), ours.replace("-", "."), ours.swapcase())
] + [
    "Remote-User: spoof", "X_Auth_Request_User: spoof", "X-Authenticated-User: spoof", "Client-Cert: :c3Bvb2Y=:",
    "X-Forwarded-Client-Cert: URI=spoof", "X-Real-IP: spoof", "X-Original-URL: /spoof", "X-HTTP-Method-Override: spoof",
    "X-Forwarded-For: spoof", "X-Forwarded-Host: spoof", "X-Forwarded-Proto: spoof", "Forwarded: for=spoof",
    "X-Request-Id: spoof", "Traceparent: spoof", "Proxy-Authorization: spoof", "Cookie: __Host-ztproxy=spoof; a=b",
]  # fmt: skip


@attack("out-public-route")
async def _(edge: Edge) -> None:
    spoofed = [line.encode() for line in SPOOFED]
    bearer = b"Authorization: Bearer " + edge.issuer.mint(groups=["staff"])
    preflight = [b"Origin: https://a.example", b"Access-Control-Request-Method: POST"]
    for host, line, fields in (
        ("open.example.org", b"GET /", []),
        ("open.example.org", b"OPTIONS /", preflight),
        ("preflight.example.org", b"OPTIONS /", [*preflight, b"Authorization: Basic spoof"]),
        ("user.example.org", b"GET /", [bearer]),
        ("open.example.org", b"GET /", [bearer]),
    ):
        received = await edge.received(*spoofed, *fields, host=host, line=line)
        assert "spoof" not in repr(received)
        assert received.values("cookie") == ([] if host == "preflight.example.org" else ["a=b"])
        expected = [["ana"], ["staff"]] if bearer in fields else [[], []]
        assert [received.values("x-ztproxy-subject"), received.values("x-ztproxy-groups")] == expected
    assert (await edge.ask(*spoofed)).code == "credentials_missing"
    received = await edge.received_raw(
        b"POST / HTTP/1.1\r\nHost: open.example.org\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nKept: 1\r\n"
        + b"".join(line + b"\r\n" for line in spoofed)
        + b"\r\n"
    )
    assert received.trailers == [("kept", "1")]


@attack("out-encode")
async def _(edge: Edge) -> None:
    bearer = b"Authorization: Bearer " + edge.issuer.mint(
        "ana\r\nX-Evil: 1\0", groups=["a,b", "c\r\n\r\nGET /", "gr\u00fcn", "100%", "\u2028", " edge "]
    )
    received = await edge.received(bearer)
    assert received.values("x-evil") == []
    assert received.value("x-ztproxy-subject") == "ana%0D%0AX-Evil:%201%00"
    assert received.value("x-ztproxy-groups") == "a%2Cb,c%0D%0A%0D%0AGET%20/,gr%C3%BCn,100%25,%E2%80%A8,%20edge%20"


@attack("out-xff")
async def _(edge: Edge) -> None:
    sent = [b"X-Forwarded-For: 203.0.113.7, 198.51.100.9", b"Forwarded: for=203.0.113.7", b"X-Forwarded-Proto: https"]
    for listener, way, proto in (("plain", "", "http"), ("trusting", "203.0.113.7, 198.51.100.9, ", "https")):
        received = await edge.received(*sent, host="open.example.org", listener=listener)
        hop = last_hop(received)
        assert received.value("x-forwarded-for") == way + hop
        assert received.value("x-forwarded-proto") == proto
        nodes = ", ".join(f"for={address}" for address in (way + hop).split(", "))
        assert received.value("forwarded") == f'{nodes};host="open.example.org";proto=http'


NAMES = [name for name in CASES if name in MADE_HERE or name in ATTACKS]


@in_the_issuers_loop
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("jwks-concurrent", "jwks-slow")])
async def test_an_attack_on_tokens(name: str, attacked: Edge) -> None:
    await run_here(name)(attacked)


@in_the_issuers_loop
async def test_an_attack_on_tokens_that_takes_its_time(edge: Edge) -> None:
    await MADE_HERE["jwks-slow"](edge)


@in_the_issuers_loop
async def test_a_thousand_requests_at_a_cold_start_cause_one_fetch(world: World, place: Path) -> None:
    assert "jwks-concurrent" in NAMES
    async with FakeIssuer() as issuer, FakeIssuer() as nobody:
        edge = Edge(issuer, nobody, {}, {}, place)
        released = issuer.hang()
        line = b"GET / HTTP/1.1\r\nHost: user.example.org\r\nAuthorization: Bearer %b\r\n\r\n" % issuer.mint()
        with edge.trial:
            address = edge.trial.gateway.address("plain")
            connections = await asyncio.gather(*(asyncio.open_connection(*address) for _ in range(250)))
            for _, writer in connections:
                writer.write(line * 4)
            in_flight = partial(edge.trial.gateway.metric, "ztproxy_http_requests_in_flight")
            await asyncio.to_thread(wait_for, lambda: in_flight() == len(connections), "a request on each connection")
            released.set()
            for reader, writer in connections:
                for _ in range(4):
                    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
                writer.close()
            assert issuer.requests == {"discovery": 1, "keys": 1}
        assert edge.trial.undecided() == []


@in_the_issuers_loop
async def test_nobody_was_asked_for_keys_but_the_issuers(edge: Edge) -> None:
    assert not edge.attacker.requests


@in_the_issuers_loop
async def test_nothing_reached_the_upstream_but_what_was_decided_and_has_one_reading(edge: Edge) -> None:
    await asyncio.to_thread(edge.trial.end)
    assert edge.trial.undecided() == []
    assert (edge.trial.exit_status, "Traceback" in edge.trial.gateway.stderr) == (0, False)
    for case in edge.trial.cases.values():
        assert len(case.whole) == len(case.requests) == case.statuses.count(200)


def test_every_attack_of_the_list_runs_or_is_accounted_for() -> None:
    assert {*NAMES, *rooms.NOT_YET, *rooms.SIGNING_IN} == CASES.keys()
    assert rooms.ELSEWHERE.keys() <= MADE_HERE.keys()
