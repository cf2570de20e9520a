"""Floods: whoever sends too much, too slowly or too badly gets his refusal, and everybody else gets an answer."""

from __future__ import annotations

import asyncio
import resource
import selectors
import socket
import ssl
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.gateway import PATIENCE, Client, Gateway, Upstream, gateway, wait_for
from tests.issuer import FakeIssuer, SigningKey
from tests.server.load import MIB, Ask, Peak, at_rest, descriptors, load
from tests.world import ISSUER, World, config

CROWD = 1000
# Another address than everybody else's, so that the bound of connections per address is not what protects the others.
SOURCE = ("127.0.0.2", 0)
LISTENERS = """\
  - {name: plain, address: "127.0.0.1:0", plaintext: true}
  - name: edge
    address: "127.0.0.1:0"
    tls:
      certificates:
        - {hosts: [wiki.example.org], certificate: edge.pem, key: edge.key}
        - {hosts: [other.example], certificate: other.pem, key: other.key}"""
ROUTES = """\
  - name: wiki
    host: wiki.example.org
    upstream: wiki
    allow: [{anyone: true, paths: [/public/]}, {groups: [engineering]}]
"""
LIMITS = "limits: {request_head: 3s, handshake: 2s}"


@pytest.fixture(scope="module", autouse=True)
def _many_files() -> Iterator[None]:
    """Let this process, and the gateways that it starts, hold a crowd's sockets."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * CROWD)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def service() -> Iterator[Upstream]:
    running = Upstream()
    yield running
    running.close()


@pytest.fixture(scope="module")
def front(world: World, service: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    place = world.copy_to(tmp_path_factory.mktemp("floods"))
    world.authority.issue_server(["other.example"]).write(place / "other")
    with gateway(place, config(service.url, routes=ROUTES, listeners=LISTENERS, extra=LIMITS)) as running:
        yield running


class Bystander:
    """A good client; it notes how long each of its answers took."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.waits: list[float] = []
        self.wrong: list[object] = []
        self._address = address
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set() and not self.wrong:
            with Client(self._address) as client:
                self._ask(client)

    def _ask(self, client: Client) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            try:
                answer = client.get("/public/x")
            except (OSError, EOFError) as error:
                self.wrong.append(error)
                return
            self.waits.append(time.monotonic() - began)
            if answer.body != b"/public/x":
                self.wrong.append(answer)
            if answer.get("connection") == "close":  # it has had all requests of one connection
                return

    def end(self) -> None:
        """Stop; every answer must have been right, and not long in coming, which a busy machine blurs."""
        self._over.set()
        self._thread.join(PATIENCE)
        assert self.wrong == []
        assert len(self.waits) > 50
        assert statistics.median(self.waits) < 0.5


@contextmanager
def bystander(front: Gateway) -> Iterator[Bystander]:
    good = Bystander(front.address("plain"))
    yield good
    good.end()


@contextmanager
def crowd(address: tuple[str, int], tls: ssl.SSLContext | None, number: int) -> Iterator[list[socket.socket]]:
    """Connect many clients, who close at the end of the block what is left of them."""
    with ExitStack() as held:
        sockets: list[socket.socket] = []
        for _ in range(number):
            sock = socket.create_connection(address, timeout=PATIENCE, source_address=SOURCE)
            if tls is not None:
                sock = tls.wrap_socket(sock, server_hostname="wiki.example.org")
            sockets.append(held.enter_context(sock))
        yield sockets


def is_ended(sock: socket.socket) -> bool:
    """Say that a connection ends without a byte."""
    try:
        return sock.recv(65536) == b""
    except ConnectionResetError:  # bytes that it had sent were never read
        return True


def drip(sockets: list[socket.socket], text: bytes) -> Counter[bytes]:
    """Send a byte on every connection in turn until each has been ended; return how many got which first line."""
    ends: Counter[bytes] = Counter()
    with selectors.DefaultSelector() as selector:
        for sock in sockets:
            selector.register(sock, selectors.EVENT_READ, data=[])
        sent = 0
        while selector.get_map():
            ready = {key.fd for key, _ in selector.select(0.2)}
            for key in list(selector.get_map().values()):
                sock: socket.socket = key.fileobj  # type: ignore[assignment]
                try:
                    if key.fd in ready:
                        data = sock.recv(65536)
                        key.data.append(data)
                    else:
                        sock.send(text[sent % len(text) :][:1])
                        continue
                except ssl.SSLWantReadError:
                    continue
                except OSError:
                    data = b""
                if not data:
                    ends[b"".join(key.data).partition(b"\r\n")[0]] += 1
                    selector.unregister(sock)
                    sock.close()
            sent += 1
    return ends


@pytest.mark.parametrize(("listener", "number"), [("plain", CROWD), ("edge", CROWD // 4)])
def test_a_crowd_that_drips_its_heads_is_sent_away_and_hinders_nobody(
    front: Gateway, world: World, listener: str, number: int
) -> None:
    peak, open_before = Peak(front), descriptors(front)
    tls = world.client() if listener == "edge" else None
    with bystander(front), crowd(front.address(listener), tls, number) as sockets:
        for sock in sockets:
            sock.setblocking(False)
        ends = drip(sockets, b"GET /public/x HTTP/1.1\r\nX: " + b"x" * 100)
    assert ends == {b"HTTP/1.1 408 Request Timeout": number}
    assert peak.growth() < 32 * MIB
    at_rest(front)
    assert descriptors(front) < open_before + 5


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"], ids=["silent", "half a hello"])
def test_a_crowd_that_never_ends_its_handshake_is_sent_away_and_hinders_nobody(front: Gateway, said: bytes) -> None:
    peak, open_before = Peak(front), descriptors(front)
    with bystander(front), crowd(front.address("edge"), None, CROWD) as sockets:
        for sock in sockets:
            sock.send(said)
        assert all(is_ended(sock) for sock in sockets)
    assert peak.growth() < 32 * MIB
    at_rest(front)
    assert descriptors(front) < open_before + 5


def test_a_process_out_of_descriptors_goes_on_when_it_has_some_again(front: Gateway) -> None:
    _, hard = resource.prlimit(front.process.pid, resource.RLIMIT_NOFILE)
    soft = descriptors(front) + 50
    before = resource.prlimit(front.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
    with crowd(front.address("plain"), None, 200):
        wait_for(lambda: "accept failed" in front.stderr, "end of the descriptors")
    with Client(front.address("plain")) as client:
        assert client.get("/public/after").status == 200
    assert front.stderr.count("accept failed") < 200  # it does not spin
    resource.prlimit(front.process.pid, resource.RLIMIT_NOFILE, before)
    at_rest(front)


# --- tokens


@pytest.fixture
def issuer() -> Iterator[FakeIssuer]:
    """An issuer in a thread of its own, that counts who asks for its keys."""
    running, loop = FakeIssuer(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(running.start(), loop).result(PATIENCE)
    yield running
    asyncio.run_coroutine_threadsafe(running.stop(), loop).result(PATIENCE)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(PATIENCE)
    loop.close()


@pytest.fixture
def believing(world: World, place: Path, service: Upstream, issuer: FakeIssuer) -> Iterator[Gateway]:
    """A gateway that takes this issuer's tokens."""
    keys = f'issuer: "{ISSUER}", jwks_file: keys.json'
    text = config(service.url, routes=ROUTES).replace(keys, f'issuer: "{issuer.url}"')
    with gateway(place, text) as running:
        running.event("keys_fetched")
        yield running


def bearer(token: bytes) -> str:
    return f"Authorization: Bearer {token.decode()}"


def test_a_flood_of_bad_tokens_fetches_no_keys_and_hinders_nobody(
    believing: Gateway, issuer: FakeIssuer, service: Upstream
) -> None:
    stranger = SigningKey.generate("key-1")
    bad = [
        b"garbage",
        b"a.b.c",
        issuer.mint(key=stranger),
        issuer.mint(exp=1),
        issuer.mint(aud="other"),
        issuer.mint(iss="https://other.example"),
        *(issuer.mint(key=SigningKey.generate(f"unknown-{number}")) for number in range(20)),
    ]
    flood = tuple(Ask("wiki.example.org", "/secret", (bearer(token),), refused="token_invalid") for token in bad)
    service.requests.clear()
    peak = Peak(believing)
    with load(believing, flood, clients=4) as running, bystander(believing):
        running.see("denied", 1000)
        good = bearer(issuer.mint(groups=["engineering"]))
        with Client(believing.address("plain")) as client:
            assert all(client.get("/good", "wiki.example.org", good).status == 200 for _ in range(50))
    assert issuer.requests["keys"] <= 2  # at the start, and once for all unknown keys
    assert peak.growth() < 8 * MIB
    assert {request.target for request in service.requests} == {"/public/x", "/good"}


def test_ten_thousand_tokens_take_bounded_memory(world: World, front: Gateway) -> None:
    def ask(numbers: range) -> None:
        with Client(front.address("plain")) as client:
            for start in numbers[::100]:
                tokens = [
                    world.bearer(f"user-{number}", groups=["engineering"]) for number in range(start, start + 100)
                ]
                head = "GET /x HTTP/1.1\r\nHost: wiki.example.org\r\n"
                client.send("".join(f"{head}{token}\r\n\r\n" for token in tokens).encode())
                assert all(client.answer().status == 200 for _ in tokens)

    ask(range(1000))
    peak = Peak(front)
    ask(range(1000, 10_000))
    assert peak.growth() < 40 * MIB
    peak = Peak(front)
    ask(range(10_000, 11_000))  # more than are remembered
    assert peak.growth() < 4 * MIB
