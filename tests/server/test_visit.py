"""Who is led to sign in, and who is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.errors import CREDENTIALS_MISSING, STEP_UP_REQUIRED, Refused
from proxy.http.message import Headers, RequestHead
from proxy.identity.principal import Principal
from proxy.identity.sessions.session import principal_of_session
from proxy.identity.sessions.sqlite import SQLiteStore
from proxy.policy.authorize import Denied
from proxy.policy.decision import Decision, StepUp
from proxy.server.visit import lead_to_sign_in
from tests.identity.sessions.made import session
from tests.portal.world import NOW, WIKI, World, target

PAGE: Headers = [(b"accept", b"text/html")]
COOKIE = (b"cookie", b"__Host-ztproxy=" + b"a" * 43)
TOKEN = (b"authorization", b"Bearer ztcl_" + b"a" * 43)
STEP_UP = Denied(Refused(STEP_UP_REQUIRED), Decision(False, require=StepUp(max_age=60, acr=())))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = SQLiteStore(tmp_path / "sessions.db", clock=lambda: NOW)
    yield World(store)
    await store.close()


@pytest.mark.parametrize(
    ("refused", "headers", "principal", "led"),
    [
        (Refused(CREDENTIALS_MISSING), PAGE, None, True),
        (Refused(CREDENTIALS_MISSING), [], None, False),
        (STEP_UP, [*PAGE, COOKIE], principal_of_session(session()), True),
        (STEP_UP, [COOKIE], principal_of_session(session()), False),
        (STEP_UP, [*PAGE, TOKEN], principal_of_session(session()), False),  # of a program, which is no browser
        (STEP_UP, [*PAGE, COOKIE], None, False),
    ],
)
async def test_a_browser_is_led_to_sign_in_and_anything_else_is_told(
    world: World, refused: Refused, headers: Headers, principal: Principal | None, led: bool
) -> None:
    head = RequestHead(b"GET", b"/", (1, 1), headers)
    answer = lead_to_sign_in(world.portal, refused, head, target(f"https://{WIKI}/"), principal, NOW, "r")
    assert (answer is not None) is led
