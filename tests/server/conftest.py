"""One gateway for the tests that only read, so that they are quick; a test that changes things starts its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.gateway import Gateway, RawUpstream, Upstream, gateway
from tests.server.staff import Person, Staffed, staffed_gateway
from tests.world import World, config

ROUTES = """\
  - name: wiki
    host: wiki.example.org
    upstream: wiki
    allow:
      - {anyone: true, paths: [/public/]}
      - {groups: [engineering]}
      - {users: [ana], workloads: ["spiffe://example.org/device/*"], paths: [/admin/]}
  - name: api
    host: api.example.org
    upstream: wiki
    allow: [{workloads: ["spiffe://example.org/ns/shop/*"]}]
  - {name: raw, host: raw.example.org, upstream: raw, allow: [{anyone: true}]}
  - {name: open, host: open.example.org, upstream: wiki, allow: [{anyone: true}]}
"""


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def _shared_upstream() -> Iterator[Upstream]:
    running = Upstream()
    yield running
    running.close()


@pytest.fixture
def upstream(_shared_upstream: Upstream) -> Iterator[Upstream]:
    """The shared gateway's upstream, with nothing recorded yet; a test may set its script."""
    script = _shared_upstream.script
    _shared_upstream.requests.clear()
    _shared_upstream.trouble.clear()
    yield _shared_upstream
    _shared_upstream.script = script


@pytest.fixture(scope="session")
def _shared_raw() -> Iterator[RawUpstream]:
    running = RawUpstream()
    yield running
    running.close()


@pytest.fixture
def raw(_shared_raw: RawUpstream) -> RawUpstream:
    """The shared gateway's second upstream, of which a test writes every byte."""
    _shared_raw.connections = 0
    return _shared_raw


@pytest.fixture(scope="session")
def edge(world: World, _shared_upstream: Upstream, _shared_raw: RawUpstream) -> Iterator[Gateway]:
    """The shared gateway."""
    upstreams = f'  raw: {{endpoints: ["{_shared_raw.url}"]}}'
    with gateway(world.directory, config(_shared_upstream.url, routes=ROUTES, upstreams=upstreams)) as running:
        yield running


@pytest.fixture
def place(world: World, tmp_path: Path) -> Path:
    """A directory of a test's own, with the world's files in it."""
    return world.copy_to(tmp_path)


@pytest.fixture
def service() -> Iterator[Upstream]:
    """What people open."""
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture
async def staffed(place: Path, service: Upstream, request: pytest.FixtureRequest) -> AsyncIterator[Staffed]:
    """A gateway that people sign in to, with the options of `staffed_gateway` that a test gives."""
    async with staffed_gateway(place, service.url, **getattr(request, "param", {})) as running:
        yield running


@pytest.fixture
async def ana(world: World, staffed: Staffed) -> AsyncIterator[Person]:
    """Somebody who has not signed in yet."""
    async with Person(world, staffed.port) as person:
        yield person
