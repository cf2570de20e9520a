"""Two gateways in a chain: people whom the first knows are people to the second, on its connection and on no other."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from proxy.config.load import load
from proxy.identity.assertion import LIFETIME, Assertions, SigningKey, signing_key
from proxy.identity.gateways import SKEW
from proxy.identity.principal import Principal
from tests.assertions import write_key
from tests.gateway import PATIENCE, Answer, Client, Gateway, Received, Upstream, gateway, wait_for
from tests.server.fronts import blocks
from tests.world import GATEWAY, ISSUER, World, config

FIELD = "x-ztproxy-assertion"
USER = {"groups": ["engineering"], "email": "ana@example.org", "email_verified": True, "auth_time": 1, "amr": ["otp"]}
FIRST = """\
  - name: wiki
    host: [wiki.example.org, payroll.example.org, localhost]
    upstream: wiki
    allow: [{anyone: true}]
"""
SECOND = """\
version: 1
trust_domain: example.org
listeners:
  - {{name: edge, address: "127.0.0.1:0", tls: {{certificate: edge.pem, key: edge.key, client_certificates: optional}}}}
admin: {{address: "127.0.0.1:0"}}
identity:
  trust_bundles: {{example.org: ca.pem}}
  issuers:
    gateway: {issuer}
    corp: {{issuer: "{corp}", jwks_file: keys.json, bearer: {{audiences: [ztproxy]}}}}
upstreams:
  wiki: {{endpoints: ["{upstream}"]}}
routes:
  - name: wiki
    host: wiki.example.org
    upstream: wiki
    allow:
      - {{groups: [engineering], issuers: [gateway]}}
      - {{anyone: true, paths: [/public/]}}
  - {{name: payroll, host: payroll.example.org, upstream: wiki, allow: [{{groups: [engineering], issuers: [gateway]}}]}}
"""


@contextmanager
def sidecar(context: ssl.SSLContext, address: Callable[[], tuple[str, int]]) -> Iterator[str]:
    """Carry connections on to an address with a certificate; yield the URL at which they are taken."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):
            there = await asyncio.open_connection(*address(), ssl=context, server_hostname="localhost")
            await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    async def serve(loops: SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Event, str]]) -> None:
        ended = asyncio.Event()
        async with await asyncio.start_server(carry, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            loops.put((asyncio.get_running_loop(), ended, f"http://127.0.0.1:{port}"))
            await ended.wait()

    loops: SimpleQueue[tuple[asyncio.AbstractEventLoop, asyncio.Event, str]] = SimpleQueue()
    thread = threading.Thread(target=lambda: asyncio.run(serve(loops)))
    thread.start()
    loop, ended, url = loops.get()
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()


@dataclass
class Chain:
    """Both gateways, the key of the first, and the service behind them."""

    world: World
    first: Gateway
    second: Gateway
    key: SigningKey
    service: Upstream

    def get(self, *fields: str, host: str = "wiki.example.org", path: str = "/page") -> Answer:
        """Ask the first one."""
        with Client(self.first.address("plain")) as client:
            return client.get(path, host, *fields)

    def get_second(self, *fields: str, by: str | None, host: str = "wiki.example.org") -> Answer:
        """Ask the second one, past the first."""
        with Client(self.second.address("edge"), self.world.client(by), host) as client:
            return client.get("/page", host, *fields)

    def assertion(self, host: str = "wiki.example.org", now: float | None = None) -> str:
        """Return what the first gateway tells the application at a host of ana, at a moment (POSIX seconds)."""
        now = now or time.time()
        claims = {"auth_time": 1, "amr": ["otp"]}
        ana = Principal("user", "ana", "corp", ISSUER, "ana@example.org", ("engineering",), claims, "bearer", now)
        return Assertions((self.key,), "https://example.org").of(ana, None, host, now).text.decode()


@pytest.fixture(scope="module")
def chain(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    service, places = Upstream(), [world.copy_to(tmp_path_factory.mktemp(name)) for name in ("first", "second")]
    key = signing_key(write_key(places[0] / "assertion.key"))
    second: list[Gateway] = []
    with sidecar(world.client("gateway"), lambda: second[0].address("edge")) as between:
        text = config(between, routes=FIRST, extra="assertion: {key_files: [assertion.key]}")
        with gateway(places[0], text) as first:
            keys = "https://localhost:{}/.well-known/ztproxy/jwks.json".format(first.address("edge")[1])
            issuer = f'{{kind: assertion, jwks_url: "{keys}", ca: ca.pem, from: ["{GATEWAY}"], idp: corp}}'
            with gateway(places[1], SECOND.format(issuer=issuer, corp=ISSUER, upstream=service.url)) as running:
                second.append(running)
                wait_for(lambda: any(one["issuer"] == "gateway" for one in fetched(running)), "the first one's keys")
                yield Chain(world, first, running, key, service)
    service.close()


def fetched(running: Gateway) -> list[dict[str, object]]:
    return [record for record in list(running.records) if record.get("event") == "keys_fetched"]


def test_a_user_of_the_first_is_a_user_to_the_second(chain: Chain) -> None:
    answer = chain.get(chain.world.bearer(**USER))
    assert answer.status == 200
    seen = chain.service.requests[-1]
    assert seen.values("x-ztproxy-subject") == ["ana"]
    assert seen.values("x-ztproxy-email") == ["ana@example.org"]
    assert seen.values("x-ztproxy-groups") == ["engineering"]
    assert (seen.values(FIELD), seen.values("authorization")) == ([], [])
    record = wait_for(lambda: chain.second.of_type("access"), "the second one's record")[0]
    assert record["principal"] == {"kind": "user", "id": "ana", "issuer": "gateway"}
    assert record["peer"]["id"] == GATEWAY


def test_a_group_of_the_first_opens_nothing_that_it_did_not_open_there(chain: Chain) -> None:
    assert chain.get(chain.world.bearer(**{**USER, "groups": ["sales"]})).status == 403
    assert chain.get(chain.world.bearer(groups=["engineering"]), host="payroll.example.org").status == 200


def test_who_has_not_signed_in_at_the_first_is_nobody_to_the_second_whatever_it_says(chain: Chain) -> None:
    before = len(chain.service.requests)
    for fields in ((), (f"X-Ztproxy-Assertion: {chain.assertion()}",), (f"X_Ztproxy_Assertion: {chain.assertion()}",)):
        answer = chain.get(*fields)
        assert (answer.status, answer.get("www-authenticate")) == (401, "Bearer")
        assert chain.get(*fields, path="/public/x").status == 200
    assert all(request.values("x-ztproxy-subject") == [GATEWAY] for request in chain.service.requests[before:])


@pytest.mark.parametrize("by", [None, "web", "laptop"])
def test_an_application_cannot_spend_the_assertion_that_it_was_sent(chain: Chain, by: str | None) -> None:
    before = len(chain.service.requests)
    text = chain.assertion()
    assert chain.get_second(f"X-Ztproxy-Assertion: {text}", by=by).get("www-authenticate") == "Bearer"
    assert chain.get_second(f"Authorization: Bearer {text}", by=by).code == "token_invalid"
    assert len(chain.service.requests) == before


def test_the_gateway_itself_cannot_take_an_assertion_to_another_application(chain: Chain) -> None:
    text = chain.assertion()
    assert chain.get_second(f"X-Ztproxy-Assertion: {text}", by="gateway").status == 200
    answer = chain.get_second(f"X-Ztproxy-Assertion: {text}", by="gateway", host="payroll.example.org")
    assert (answer.status, answer.code) == (401, "token_invalid")
    assert chain.second.access(answer.get("x-request-id") or "")["detail"] == "audience must be ours"


def test_a_policy_sees_how_long_ago_somebody_signed_in_at_the_first(chain: Chain) -> None:
    assert chain.get(chain.world.bearer(**USER), path="/seen").status == 200

    def decided() -> dict[str, Any] | None:
        inputs = [record["input"] for record in chain.second.of_type("decision")]
        return next((one for one in inputs if one["request"]["path"] == "/seen"), None)

    authentication = wait_for(decided, "the decision")["principal"]["authentication"]
    assert (authentication["method"], authentication["amr"], authentication["time"]) == ("assertion", ["otp"], 1)


def test_a_stream_outlives_the_assertion_that_it_began_with_and_no_token(chain: Chain) -> None:
    more = threading.Event()

    def answer(request: Received, sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        more.wait(PATIENCE)
        sock.sendall(b"6\r\nsecond\r\n0\r\n\r\n")

    def begin(client: Client, field: str) -> None:
        client.send(f"GET /public/ HTTP/1.1\r\nHost: wiki.example.org\r\n{field}\r\n\r\n".encode())
        while client.reader.line() != b"first":
            pass

    now, before = time.time(), chain.service.script
    chain.service.script = answer
    asserted = f"X-Ztproxy-Assertion: {chain.assertion(now=now - LIFETIME - SKEW + 1)}"
    token = chain.world.bearer(exp=int(now) - 58)  # a minute's skew: both end in a second or two
    by, edge = chain.world.client("gateway"), chain.second.address("edge")
    with Client(edge, by) as lasting, Client(edge, chain.world.client()) as ending:
        begin(lasting, asserted)
        begin(ending, token)
        assert b"second" not in ending.reader.rest()
        more.set()
        assert [lasting.reader.line() for _ in range(3)] == [b"6", b"second", b"0"]
    chain.service.script = before


def test_the_config_of_the_page_is_good(world: World, tmp_path: Path) -> None:
    (fragment,) = (block for block in blocks("yaml fragment", "identity") if "kind: assertion" in block)
    text = config("http://127.0.0.1:9", routes=FIRST)
    identity = text[text.index("identity:") : text.index("upstreams:")]
    (world.copy_to(tmp_path) / "ztproxy.yaml").write_text(text.replace(identity, fragment), encoding="utf-8")
    read, mistakes = load(tmp_path / "ztproxy.yaml")
    assert read is not None
    assert mistakes == []
