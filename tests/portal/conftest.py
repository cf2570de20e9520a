"""A world on the real store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.identity.sessions.sqlite import SQLiteStore
from proxy.identity.sessions.store import Store
from tests.portal.world import NOW, Browser, FakeProvider, World


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store whose clock stands still; what passes the time in a test is the portal's `now`."""
    made = SQLiteStore(tmp_path / "sessions.db", clock=lambda: NOW)
    yield made
    await made.close()


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


@pytest.fixture
def two(store: Store) -> World:
    """A world of two providers."""
    partner = FakeProvider("partner", "Partner SSO", "https://partner.example")
    return World(store, FakeProvider(), partner)


@pytest.fixture
def browser(world: World) -> Browser:
    return Browser(world)
