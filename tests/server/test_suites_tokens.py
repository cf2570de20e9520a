"""The public list of attacks on tokens against the running gateway.

How each attack is made stands in `tests/identity/attacks`, where it runs against the room; here the same is sent over
sockets, to a route that asks for a user and to one that is open to anyone. What a room cannot show (issuers that fail
while requests come, what the upstream is told) is made here.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from proxy.errors import CATALOGUE, HEADERS_TOO_LARGE, TOKEN_INVALID, Refused
from tests.gateway import PATIENCE, Answer, wait_for
from tests.identity import test_suites_tokens as rooms
from tests.identity.attacks import ATTACKS
from tests.identity.attacks import world as attacks
from tests.identity.test_oidc import make_certificate
from tests.issuer import FakeIssuer, SigningKey
from tests.server.suite_world import Request, Trial, last_hop
from tests.suites import suite_json
from tests.world import World

CASES: dict[str, Any] = {case["id"]: case for case in suite_json("jwt/attacks.json")["cases"]}
in_the_issuers_loop = pytest.mark.asyncio(loop_scope="module")

ROUTES: list[dict[str, Any]] = [
    {"name": "user", "host": "user.example.org", "allow": [{"authenticated": True}]},
    {"name": "open", "host": "open.example.org", "allow": [{"anyone": True}]},
    {"name": "mail", "host": "mail.example.org", "allow": [{"users": ["admin@corp.com"], "issuers": ["corp"]}]},
    {"name": "group", "host": "group.example.org", "allow": [{"groups": ["admin"], "issuers": ["corp"]}]},
    {
        "name": "scope",
        "host": "scope.example.org",
        "allow": [{"claims": {"scope": ["admin"]}, "issuers": ["corp"]}],
    },
    {
        "name": "pass",
        "host": "pass.example.org",
        "allow": [{"anyone": True}],
        "authenticate": {"pass": True},
    },
    {
        "name": "preflight",
        "host": "preflight.example.org",
        "allow": [{"authenticated": True}],
        "cors": {"preflight": "upstream"},
    },
]
# Issuers that fail later, each in its way; the last good keys must serve on.
FAULTS: dict[str, Callable[[FakeIssuer], None]] = {
    "fault-500": lambda issuer: issuer.fail(500),
    "fault-404": lambda issuer: issuer.fail(404),
    "fault-html": lambda issuer: issuer.garbage(b"<html></html>"),
    "fault-no-keys": lambda issuer: issuer.garbage(b'{"keys":[]}'),
    "fault-no-list": lambda issuer: issuer.garbage(b"{}"),
    "fault-discovery": lambda issuer: issuer.fail(503, on="discovery"),
    "fault-redirect": lambda issuer: issuer.redirect(issuer.jwks_url),
}
# Issuers whose discovery document is about another than the configured one.
MISMATCHES: dict[str, Callable[[str], str]] = {
    "mismatch-slash": lambda url: url + "/",
    "mismatch-case": lambda url: url.upper(),
    "mismatch-scheme": lambda url: url.replace("http:", "https:"),
    "mismatch-host": lambda url: url.replace("127.0.0.1", "localhost"),
}
# Issuers of https that name a place which keys must not come from; the first is an attacker's.
PLACES = {
    "place-http": "",
    "place-far": "http://idp.example.org/jwks",
    "place-file": "file:///etc/passwd",
    "place-path": "/jwks",
}
# Issuers of https: whose address their certificate has, for how many days, and whether its authority is known.
CERTIFICATES = {
    "tls-unknown": ("127.0.0.1", 1, False),
    "tls-elsewhere": ("127.0.0.2", 1, True),
    "tls-expired": ("127.0.0.1", -1, True),
    **dict.fromkeys(PLACES, ("127.0.0.1", 1, True)),
}
# Issuers that change while their tokens come.
CHANGING = ("down", "rotating", *FAULTS)
OTHERS = (*CHANGING, "empty", "slow", *MISMATCHES, *CERTIFICATES)


def config(upstream: str, issuers: dict[str, dict[str, Any]]) -> str:
    """Return a config, which is YAML by being JSON."""
    plain = {"address": "127.0.0.1:0", "plaintext": True}
    return json.dumps(
        {
            "version": 1,
            "trust_domain": "example.org",
            "listeners": [
                {"name": "plain", **plain},
                {"name": "trusting", **plain, "trusted_proxies": {"networks": ["127.0.0.0/8"]}},
            ],
            "admin": {"address": "127.0.0.1:0"},
            "identity": {"trust_bundles": {"example.org": "ca.pem"}, "issuers": issuers},
            "upstreams": {"wiki": {"endpoints": [upstream]}},
            "routes": [{"upstream": "wiki", **route} for route in ROUTES],
        }
    )


def told(asked: Request) -> bytes:
    """Answer with the request's own ID, by which its decision is found."""
    return b"HTTP/1.1 200 OK\r\nx-asked: %b\r\ncontent-length: 0\r\n\r\n" % asked.value("x-request-id").encode()


@dataclass
class Edge(attacks.World):
    """The world of the attacks, with a running gateway in it.

    Args:
        issuer: of the tokens, called `corp`.
        attacker: whom nobody must ask anything.
        others: further issuers, by the name that they have in the config.
        extra: what the config says of an issuer beyond where it is.
    """

    issuer: FakeIssuer
    attacker: FakeIssuer
    others: dict[str, FakeIssuer]
    extra: dict[str, dict[str, Any]]
    directory: Path
    trial: Trial = field(init=False)
    slow: asyncio.Task[Answer] = field(init=False)
    _reloads: int = 0
    _changed: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.restore()
        self.attacker.keys = [attacks.ATTACKER]
        self.trial = Trial(self.directory, self._config, answer=told)

    def _config(self, upstream: str, **changed: Any) -> str:
        bearer = {"audiences": ["ztproxy"]}
        issuers = {
            name: {"issuer": issuer.url, "bearer": bearer, **self.extra.get(name, {})}
            for name, issuer in self.others.items()
        }
        bearer = {**bearer, "algorithms": [*attacks.ALGORITHMS]}
        # A limit of its own makes each reload fetch the keys anew.
        stale = f"{1000 + self._reloads}s"
        corp = {"issuer": self.issuer.url, "bearer": bearer, "keys_stale_limit": stale, **changed}
        return config(upstream, {"corp": corp, **issuers})

    # What attacks do to it.

    def configure(self, **changed: Any) -> None:
        """Have the gateway reload a config in which some keys of the issuer are changed."""
        self._changed = changed
        self._reloads += 1
        self.trial.gateway.reload(self._config(self.trial.recorder.url, **changed))
        self.trial.gateway.event("reloaded", self._reloads)

    async def refresh(self) -> None:
        """Have the gateway fetch the keys that are published now."""
        before = len(self._told("corp"))
        self.configure(**self._changed)
        await asyncio.to_thread(wait_for, lambda: len(self._told("corp")) > before, "fetch of the keys")

    async def failure(self, issuer: str) -> str:
        """Wait for a failure of an issuer's, and return why its keys could not be had."""

        def failed() -> list[str]:
            return [told["reason"] for told in self._told(issuer) if told["event"] == "keys_failed"]

        reasons: list[str] = await asyncio.to_thread(wait_for, failed, f"failure of {issuer}")
        (reason,) = set(reasons)
        return reason

    @property
    def events(self) -> list[tuple[str, dict[str, Any]]]:  # type: ignore[override]
        """What was told of the issuer's keys, up to now."""
        self._settle()
        return [(record["event"], record) for record in self._told("corp")]

    def _told(self, issuer: str) -> list[dict[str, Any]]:
        return [record for record in self.trial.gateway.of_type("event") if record.get("issuer") == issuer]

    def _settle(self) -> None:
        """Wait for a record that is written after all that there are."""
        raw = b"GET / HTTP/1.1\r\nHost: none.example.org\r\n\r\n"
        request_id = self.trial.fire(object(), raw).answer().get("x-request-id")
        assert request_id is not None
        self.trial.gateway.access(request_id)

    def restore(self) -> bool:
        """Give the issuer its keys and its config back; return whether the gateway must be told."""
        before = self.issuer.jwks(), self._changed
        self.issuer.keys = [SigningKey(key.kid, key.algorithm, key.private) for key in attacks.KEYS.values()]
        self._changed = {}
        return (self.issuer.jwks(), self._changed) != before

    # What a client gets.

    def _written(self, *fields: bytes, host: str = "user.example.org", line: bytes = b"GET /") -> bytes:
        return b"\r\n".join([line + b" HTTP/1.1", b"Host: " + host.encode(), *fields, b"", b""])

    async def ask(self, *fields: bytes, **where: Any) -> Answer:
        """Make a request with these field lines."""
        return (await asyncio.to_thread(self.trial.fire, object(), self._written(*fields, **where))).answer()

    async def received(self, *fields: bytes, listener: str = "plain", **where: Any) -> Request:
        """Return what the upstream got of a request that is permitted."""
        raw = self._written(*fields, **where)
        return await self.received_raw(raw, listener=listener)

    async def received_raw(self, raw: bytes, *, listener: str = "plain") -> Request:
        before = len(self.trial.recorder.requests)
        answer = (await asyncio.to_thread(self.trial.fire, object(), raw, listener=listener)).answer()
        assert answer.status == 200
        (request,) = self.trial.recorder.requests[before:]
        return request

    async def upstream_sees(self, name: str, *fields: bytes, **where: Any) -> list[str]:
        return (await self.received(*fields, **where)).values(name)

    async def call(self, *values: bytes) -> Any:
        """Return whom policy took the caller for. Raise Refused as the client saw it."""
        fields = [b"Authorization: " + value for value in values]
        answer = await self.ask(*fields)
        if answer.status == 200:
            return self._principal(answer)
        assert answer.code is not None
        challenge = (answer.get("www-authenticate") or "").encode()
        refused = Refused(CATALOGUE[answer.code], headers=((b"www-authenticate", challenge),))
        on_open_route = await self.ask(*fields, host="open.example.org")
        assert on_open_route.code == answer.code
        assert (on_open_route.get("www-authenticate") or "").encode() == challenge
        raise refused

    def _principal(self, answer: Answer) -> Any:
        request_id = answer.get("x-asked")
        assert request_id is not None
        decision_id = self.trial.gateway.access(request_id)["decision_id"]
        records = self.trial.gateway.of_type("decision")
        principal = next(record for record in records if record["decision_id"] == decision_id)["input"]["principal"]
        return SimpleNamespace(**{**principal, "groups": tuple(principal["groups"])})

    async def refused_field(self, value: bytes) -> None:
        """Hold that a field's value is 401 with its challenge, or too large for a head."""
        with pytest.raises(Refused) as refused:
            await self.call(value)
        if len(value) > 64 * 1024:
            assert refused.value.row is HEADERS_TOO_LARGE
        else:
            assert refused.value.row is TOKEN_INVALID
            assert b'error="invalid_token"' in refused.value.headers[0][1]

    async def becomes(self, token: bytes, status: int) -> None:
        """Wait until a token is answered with a status."""
        async with asyncio.timeout(PATIENCE):
            while (await self.ask(b"Authorization: Bearer " + token)).status != status:
                pass


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
    assert {*NAMES, *rooms.NOT_YET} == CASES.keys()
    assert rooms.ELSEWHERE.keys() <= MADE_HERE.keys()
