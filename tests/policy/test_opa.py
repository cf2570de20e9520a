"""The OPA engine against a real OPA server: answers, faults, and coming back from them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from proxy.config.schema import OPA
from proxy.errors import POLICY_FAILED, POLICY_MALFORMED, POLICY_TOO_SLOW, POLICY_UNREACHABLE, Refused
from proxy.policy.decision import UNDEFINED
from proxy.policy.opa import OPAEngine, build_opa
from tests.opa import OPAServer, opa_server
from tests.policy.pki import Files, make_files

POLICY = """
package t

plain := {"allow": true, "reasons": ["yes"]}
nothing if input.there.is.none
null_value := null
mine := input.request.path
fails if not to_number(input.secret) == 1
clashes := 1
clashes := 2 if input.secret
endless := count([1 | some x in numbers.range(1, 20000); some y in numbers.range(1, 20000); x < y])
large := [x | some x in numbers.range(1, 300000)]
a_set contains "b"
a_set contains "a"
"""
# Who has no token may do nothing.
AUTHORIZATION = """
package system.authz

default allow := false

allow if input.identity == "s3cret-token"
"""


def engine_of(server: OPAServer | str, deadline: float = 2.0, **options: Any) -> OPAEngine:
    url = server if isinstance(server, str) else server.url
    engine, mistakes = build_opa(OPA(url=url, **options), deadline, None)
    assert engine is not None, mistakes
    return engine


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy") / "t.rego"
    path.write_text(POLICY)
    return path


@pytest.fixture(scope="module")
def shared(policy: Path) -> Iterator[OPAServer]:
    """A server that no test harms."""
    with opa_server(policy) as server:
        yield server


@pytest.fixture
def server(policy: Path) -> Iterator[OPAServer]:
    """A server to be harmed."""
    with opa_server(policy) as one:
        yield one


@pytest.fixture
async def engine(shared: OPAServer) -> AsyncIterator[OPAEngine]:
    one = engine_of(shared)
    yield one
    await one.close()


async def refusal(engine: OPAEngine, path: str = "t/plain", document: dict[str, Any] | None = None) -> Refused:
    with pytest.raises(Refused) as caught:
        await engine.evaluate(path, document or {})
    return caught.value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("t/plain", {"allow": True, "reasons": ["yes"]}),
        ("t/nothing", UNDEFINED),
        ("t/no_such_rule", UNDEFINED),
        ("t/null_value", None),
        ("t/mine", "/ä"),
        ("t/a_set", ["a", "b"]),
    ],
)
async def test_an_answer_is_the_value_of_the_rule(engine: OPAEngine, path: str, value: object) -> None:
    assert await engine.evaluate(path, {"request": {"path": "/ä"}}) == value


@pytest.mark.parametrize("path", ["t/fails", "t/clashes"])
async def test_an_error_of_the_policy_is_one_and_its_detail_does_not_quote_the_input(
    engine: OPAEngine, path: str
) -> None:
    refused = await refusal(engine, path, {"secret": "hunter2"})
    assert refused.row is POLICY_FAILED
    assert "eval_" in refused.detail
    assert "hunter2" not in refused.detail


async def test_an_evaluation_over_the_deadline_is_too_slow(shared: OPAServer) -> None:
    engine = engine_of(shared, deadline=0.2)
    began = time.monotonic()
    assert (await refusal(engine, "t/endless")).row is POLICY_TOO_SLOW
    assert time.monotonic() - began < 1
    await engine.close()


async def test_an_answer_that_is_too_large_is_malformed(engine: OPAEngine) -> None:
    assert (await refusal(engine, "t/large")).row is POLICY_MALFORMED


async def test_one_connection_serves_many_decisions(shared: OPAServer) -> None:
    async with Between(shared.port) as between:
        engine = engine_of(between.url)
        for _ in range(10):
            await engine.evaluate("t/plain", {})
        assert between.connections == 1
        await engine.close()


async def test_nobody_there_is_unreachable(server: OPAServer) -> None:
    server.kill()
    engine = engine_of(server)
    began = time.monotonic()
    assert (await refusal(engine)).row is POLICY_UNREACHABLE
    assert time.monotonic() - began < 1
    await engine.close()


async def test_a_killed_server_is_unreachable_and_a_restarted_one_decides_again(server: OPAServer) -> None:
    engine = engine_of(server)
    await asyncio.gather(*(engine.evaluate("t/plain", {}) for _ in range(20)))  # twenty connections to be left with
    server.kill()
    assert (await refusal(engine)).row is POLICY_UNREACHABLE
    server.start()
    answers = await asyncio.gather(*(engine.evaluate("t/plain", {}) for _ in range(20)))
    assert all(answer == {"allow": True, "reasons": ["yes"]} for answer in answers)
    await engine.close()


async def test_a_hung_server_is_too_slow_and_decides_again_when_it_goes_on(server: OPAServer) -> None:
    engine = engine_of(server, deadline=0.3)
    await engine.evaluate("t/plain", {})
    server.hang()
    began = time.monotonic()
    assert (await refusal(engine)).row is POLICY_TOO_SLOW
    assert time.monotonic() - began < 1
    server.resume()
    assert await engine.evaluate("t/plain", {}) == {"allow": True, "reasons": ["yes"]}
    await engine.close()


async def test_a_server_that_is_killed_under_load_lets_nothing_through_and_loses_nothing(server: OPAServer) -> None:
    engine = engine_of(server)
    outcomes: list[object] = []
    answered, refused, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def ask() -> None:
        while not stop.is_set():
            try:
                outcomes.append(await engine.evaluate("t/plain", {}))
                answered.set()
            except Refused as error:
                outcomes.append(error.row)
                refused.set()

    load = [asyncio.ensure_future(ask()) for _ in range(8)]
    await answered.wait()
    await asyncio.to_thread(server.kill)
    await refused.wait()
    answered.clear()
    await asyncio.to_thread(server.start)
    await answered.wait()
    stop.set()
    await asyncio.gather(*load)
    answer = {"allow": True, "reasons": ["yes"]}
    assert all(outcome == answer or outcome is POLICY_UNREACHABLE for outcome in outcomes)
    await engine.close()


# --- servers that are no OPA


class Server:
    """A TCP server whose connections are over when it is."""

    def __init__(self) -> None:
        self.connections = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await asyncio.gather(*self._tasks)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._tasks.append(asyncio.ensure_future(self._closing(reader, writer)))

    async def _closing(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.serve(reader, writer)
        finally:
            writer.close()
            await asyncio.wait([asyncio.ensure_future(writer.wait_closed())])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        raise NotImplementedError


class Canned(Server):
    """Answers each connection with the next of some bytes, the last one again and again, and closes it."""

    def __init__(self, *answers: bytes) -> None:
        super().__init__()
        self._answers = list(answers)
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])


class Between(Server):
    """Passes bytes on to a port and back."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        await far_writer.wait_closed()

    @staticmethod
    async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
        sink.close()


def http(status: str, body: bytes, *fields: str) -> bytes:
    head = "\r\n".join((f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *fields))
    return head.encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("answer", "row"),
    [
        (http("200 OK", b"{"), POLICY_MALFORMED),
        (http("200 OK", b"[]"), POLICY_MALFORMED),
        (http("200 OK", b"true"), POLICY_MALFORMED),
        (http("200 OK", b'{"result": NaN}'), POLICY_MALFORMED),
        (http("200 OK", b'{"result": "\xff"}'), POLICY_MALFORMED),
        (http("200 OK", b'{"result": ' + b"[" * 100_000 + b"}"), POLICY_MALFORMED),
        (http("200 OK", b""), POLICY_MALFORMED),
        (http("204 No Content", b""), POLICY_UNREACHABLE),
        (http("302 Found", b"", "location: http://127.0.0.1:1/"), POLICY_UNREACHABLE),
        (http("401 Unauthorized", b'{"code": "unauthorized"}'), POLICY_UNREACHABLE),
        (http("404 Not Found", b""), POLICY_UNREACHABLE),
        (http("500 Internal Server Error", b"oops"), POLICY_UNREACHABLE),
        (http("500 Internal Server Error", b'{"code": "internal_error"}'), POLICY_FAILED),
        (http("400 Bad Request", b'{"code": "invalid_parameter", "errors": [3]}'), POLICY_FAILED),
        (http("502 Bad Gateway", b'{"code": "internal_error"}'), POLICY_UNREACHABLE),
        (http("503 Service Unavailable", b""), POLICY_UNREACHABLE),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", POLICY_UNREACHABLE),
        (b"SSH-2.0-OpenSSH\r\n\r\n", POLICY_UNREACHABLE),
        (b"", POLICY_UNREACHABLE),
    ],
)
async def test_an_answer_that_is_none_is_a_refusal(answer: bytes, row: object) -> None:
    async with Canned(answer) as server:
        engine = engine_of(server.url)
        assert (await refusal(engine)).row is row
        await engine.close()


async def test_a_connection_that_was_closed_while_idle_costs_no_decision() -> None:
    async with Canned(b"", http("200 OK", b'{"result": true}')) as canned:
        engine = engine_of(canned.url)
        assert await engine.evaluate("t/plain", {}) is True
        assert len(canned.requests) == 2
        await engine.close()


async def test_what_is_asked_is_strict_about_built_in_errors() -> None:
    async with Canned(http("200 OK", b'{"result": true}')) as canned:
        engine = engine_of(canned.url)
        await engine.evaluate("ztproxy/authz/decision", {})
        assert canned.requests[0].startswith(
            b"POST /v1/data/ztproxy/authz/decision?strict-builtin-errors=true&provenance=true HTTP/1.1"
        )
        await engine.close()


# --- credentials


async def test_a_token_opens_a_server_that_asks_for_one(policy: Path, tmp_path: Path) -> None:
    authorization = tmp_path / "authz.rego"
    authorization.write_text(AUTHORIZATION)
    token = tmp_path / "token"
    token.write_text("s3cret-token\n")
    with opa_server(policy, authorization, "--authentication=token", "--authorization=basic") as server:
        engine = engine_of(server, token_file=str(token))
        assert await engine.evaluate("t/null_value", {}) is None
        await engine.close()
        stranger = engine_of(server)
        assert (await refusal(stranger)).row is POLICY_UNREACHABLE
        await stranger.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return make_files(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def secure(policy: Path, files: Files) -> Iterator[OPAServer]:
    """A server that asks for client certificates."""
    tls = [f"--tls-cert-file={files.certificate}", f"--tls-private-key-file={files.key}"]
    with opa_server(policy, *tls, f"--tls-ca-cert-file={files.ca}", "--authentication=tls", scheme="https") as server:
        yield server


async def test_a_client_certificate_opens_a_server_that_asks_for_one(secure: OPAServer, files: Files) -> None:
    engine = engine_of(secure, ca=files.ca, certificate=files.certificate, key=files.key)
    assert await engine.evaluate("t/null_value", {}) is None
    await engine.close()


@pytest.mark.parametrize("options", ["no certificate", "another authority", "system authorities"])
async def test_a_server_is_verified_and_verifies(secure: OPAServer, files: Files, options: str) -> None:
    engine = engine_of(
        secure,
        **{
            "no certificate": {"ca": files.ca},
            "another authority": {"ca": files.other_ca, "certificate": files.certificate, "key": files.key},
            "system authorities": {"certificate": files.certificate, "key": files.key},
        }[options],
    )
    assert (await refusal(engine)).row is POLICY_UNREACHABLE
    await engine.close()


# --- configuration


def test_a_file_that_is_none_is_a_mistake(tmp_path: Path, files: Files) -> None:
    nothing = tmp_path / "nothing"
    broken = tmp_path / "broken"
    broken.write_text("broken")
    spaced = tmp_path / "spaced"
    spaced.write_text("two words")
    for options, where in (
        ({"token_file": str(nothing)}, "token_file"),
        ({"token_file": str(spaced)}, "token_file"),
        ({"ca": nothing}, "ca"),
        ({"ca": broken}, "ca"),
        ({"certificate": broken, "key": broken}, "certificate"),
        ({"certificate": files.ca, "key": files.key}, "certificate"),
    ):
        engine, mistakes = build_opa(OPA(url="https://127.0.0.1:1", **options), 1.0, None)
        assert engine is None
        assert [mistake.location for mistake in mistakes] == [("policy", "opa", where)]


def test_a_reload_keeps_the_engine_where_nothing_of_it_has_changed(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one")
    options = OPA(url="http://127.0.0.1:8181", token_file=str(token))
    engine, _ = build_opa(options, 1.0, None)
    assert build_opa(options, 1.0, engine)[0] is engine
    assert build_opa(options, 2.0, engine)[0] is not engine
    token.write_text("two")
    assert build_opa(options, 1.0, engine)[0] is not engine
