"""Pools and clusters against real listening sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from proxy import errors
from proxy.config.limits import Limits
from proxy.config.schema import Upstream
from proxy.errors import Refused
from proxy.identity.authority import Authority
from proxy.policy.decision import Decision
from proxy.policy.permit import Permit, _issue
from proxy.transport.deadlines import Deadlines
from proxy.upstream.cluster import Cluster
from proxy.upstream.endpoint import Endpoint, build_endpoints
from proxy.upstream.pool import Pool

PERMIT: Permit = _issue(Decision(allow=True), "id", "route")


class Service:
    """A server that accepts and keeps connections."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.writers: list[asyncio.StreamWriter] = []
        self._tls = tls

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = self.server.sockets[0].getsockname()[1]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)

    async def stop(self) -> None:
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        await self.server.wait_closed()


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    running = Service()
    await running.start()
    yield running
    await running.stop()


def pool(port: int, *, bound: int = 2, wait: float = 5.0) -> Pool:
    endpoint = Endpoint("127.0.0.1", port, None, "127.0.0.1", f"127.0.0.1:{port}")
    return Pool(endpoint, Deadlines(), bound=bound, wait=wait, idle=60.0, connect=5.0)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until a condition holds; no event tells of it."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_a_released_connection_is_used_again(service: Service) -> None:
    connections = pool(service.port)
    first = await connections.acquire(PERMIT)
    assert not first.reused
    connections.release(first, reusable=True)
    assert await connections.acquire(PERMIT) is first
    assert first.reused


async def test_a_connection_whose_exchange_failed_is_not_used_again(service: Service) -> None:
    connections = pool(service.port)
    first = await connections.acquire(PERMIT)
    connections.release(first, reusable=False)
    assert await connections.acquire(PERMIT) is not first


async def test_a_connection_with_bytes_left_in_it_is_not_used_again(service: Service) -> None:
    connections = pool(service.port)
    first = await connections.acquire(PERMIT)
    await until(lambda: service.writers)
    service.writers[0].write(b"HTTP/1.1 200 OK\r\n\r\n")
    await until(lambda: first.buffer)
    connections.release(first, reusable=True)
    assert await connections.acquire(PERMIT) is not first


async def test_bytes_that_nobody_asked_for_end_an_idle_connection(service: Service) -> None:
    connections = pool(service.port)
    first = await connections.acquire(PERMIT)
    connections.release(first, reusable=True)
    await until(lambda: service.writers)
    service.writers[0].write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nstale")
    await until(lambda: first.lost)
    assert await connections.acquire(PERMIT) is not first


async def test_an_idle_connection_that_the_upstream_closes_leaves_the_pool(service: Service) -> None:
    connections = pool(service.port, bound=1)
    first = await connections.acquire(PERMIT)
    connections.release(first, reusable=True)
    await until(lambda: service.writers)
    service.writers[0].close()
    await until(lambda: first.lost)
    assert await connections.acquire(PERMIT) is not first


async def test_the_bound_makes_a_request_wait_for_a_release(service: Service) -> None:
    connections = pool(service.port, bound=1)
    first = await connections.acquire(PERMIT)
    waiting = asyncio.ensure_future(connections.acquire(PERMIT))
    await asyncio.sleep(0)
    assert not waiting.done()
    connections.release(first, reusable=True)
    assert await waiting is first


async def test_a_lost_connection_gives_its_place_to_who_waits(service: Service) -> None:
    connections = pool(service.port, bound=1)
    first = await connections.acquire(PERMIT)
    waiting = asyncio.ensure_future(connections.acquire(PERMIT))
    await asyncio.sleep(0)
    connections.release(first, reusable=False)
    assert await waiting is not first


async def test_the_wait_for_a_connection_is_bounded(service: Service) -> None:
    connections = pool(service.port, bound=1, wait=0.01)
    held = await connections.acquire(PERMIT)
    with pytest.raises(Refused) as refused:
        await connections.acquire(PERMIT)
    assert refused.value.row is errors.POOL_EXHAUSTED
    connections.release(held, reusable=True)
    assert await connections.acquire(PERMIT) is held


async def test_who_gives_up_waiting_does_not_lose_the_connection_that_came_in_that_moment(service: Service) -> None:
    connections = pool(service.port, bound=1)
    first = await connections.acquire(PERMIT)
    gone = asyncio.ensure_future(connections.acquire(PERMIT))
    await asyncio.sleep(0)
    connections.release(first, reusable=True)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await connections.acquire(PERMIT) is first


async def test_who_gives_up_waiting_does_not_lose_the_place_that_came_in_that_moment(service: Service) -> None:
    connections = pool(service.port, bound=1)
    first = await connections.acquire(PERMIT)
    gone = asyncio.ensure_future(connections.acquire(PERMIT))
    await asyncio.sleep(0)
    connections.forget(first)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    async with asyncio.timeout(5):
        assert await connections.acquire(PERMIT) is not first
    first.abort()


async def test_failed_dials_give_their_places_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    connections = pool(port, bound=1, wait=0.01)
    for _ in range(3):
        with pytest.raises(Refused) as refused:
            await connections.acquire(PERMIT)
        assert refused.value.row is errors.UPSTREAM_REFUSED


async def test_a_closed_pool_keeps_no_connection(service: Service) -> None:
    connections = pool(service.port)
    idle, busy = await connections.acquire(PERMIT), await connections.acquire(PERMIT)
    connections.release(idle, reusable=True)
    connections.close()
    await until(lambda: idle.lost)
    assert not busy.lost
    connections.release(busy, reusable=True)
    await until(lambda: busy.lost)


async def test_a_permit_cannot_be_made_outside_policy() -> None:
    with pytest.raises(TypeError):
        Permit(Decision(allow=True), "id", "route", seal=object())  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        _issue(Decision(allow=False), "id", "route")


def cluster(*ports: int) -> Cluster:
    config = Upstream(endpoints=tuple(f"http://127.0.0.1:{port}" for port in ports))
    endpoints, mistakes = build_endpoints(config, ("upstreams", "wiki"))
    assert not mistakes
    return Cluster("wiki", config, Limits(), endpoints, Deadlines())


async def test_endpoints_are_taken_in_turn_and_dead_ones_are_passed_over(service: Service) -> None:
    other = Service()
    await other.start()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dead = taken.getsockname()[1]
    endpoints = cluster(service.port, dead, other.port)
    ports = [(await endpoints.acquire(PERMIT)).pool.endpoint.port for _ in range(6)]
    assert ports == [service.port, other.port, other.port] * 2
    await other.stop()


async def test_the_last_reason_is_told_when_no_endpoint_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dead = taken.getsockname()[1]
    with pytest.raises(Refused) as refused:
        await cluster(dead, dead).acquire(PERMIT)
    assert refused.value.row is errors.UPSTREAM_REFUSED


async def test_a_name_that_does_not_resolve_has_a_reason_of_its_own() -> None:
    config = Upstream(endpoints=("http://nobody.invalid:80",))
    endpoints, _ = build_endpoints(config, ())
    with pytest.raises(Refused) as refused:
        await Cluster("wiki", config, Limits(), endpoints, Deadlines()).acquire(PERMIT)
    assert refused.value.row is errors.UPSTREAM_DNS_FAILED


@pytest.mark.parametrize(
    ("server_name", "trusted", "row"),
    [(None, True, None), ("other.example", True, "refused"), (None, False, "refused")],
    ids=["right name", "another name", "untrusted authority"],
)
async def test_https_endpoints_are_verified_always(
    tmp_path: Path, server_name: str | None, trusted: bool, row: str | None
) -> None:
    authority = Authority.create("example.org")
    authority.issue_server(["127.0.0.1"]).write(tmp_path / "server")
    (tmp_path / "ca.pem").write_bytes((authority if trusted else Authority.create("other.example")).bundle_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    service = Service(context)
    await service.start()
    config = Upstream.model_validate(
        {
            "endpoints": [f"https://127.0.0.1:{service.port}"],
            "tls": {"ca": tmp_path / "ca.pem", "server_name": server_name},
        }
    )
    endpoints, mistakes = build_endpoints(config, ())
    assert not mistakes
    acquiring = Cluster("wiki", config, Limits(), endpoints, Deadlines()).acquire(PERMIT)
    if row is None:
        (await acquiring).abort()
    else:
        with pytest.raises(Refused) as refused:
            await acquiring
        assert refused.value.row is errors.UPSTREAM_TLS_FAILED
    await service.stop()


def test_a_ca_file_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    config = Upstream.model_validate({"endpoints": ["https://x.example"], "tls": {"ca": tmp_path / "absent.pem"}})
    endpoints, (mistake,) = build_endpoints(config, ("upstreams", "wiki"))
    assert not endpoints
    assert mistake.path == "upstreams.wiki.tls.ca"


async def test_who_gave_up_waiting_is_forgotten_at_once(service: Service) -> None:
    connections = pool(service.port, bound=1, wait=0.01)
    await connections.acquire(PERMIT)
    for _ in range(3):
        with pytest.raises(Refused):
            await connections.acquire(PERMIT)
    assert len(connections._waiters) == 0


async def test_a_fresh_connection_takes_the_place_of_the_idle_one_that_fills_the_pool(service: Service) -> None:
    connections = pool(service.port, bound=1, wait=1.0)
    idle = await connections.acquire(PERMIT)
    connections.release(idle, reusable=True)
    fresh = await connections.acquire(PERMIT, fresh=True)
    assert fresh is not idle
    assert not fresh.reused
    assert idle.lost
