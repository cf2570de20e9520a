"""The real npm `oidc-provider` as a fixture: node runs it on a free loopback port, and a test rotates and kills it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

HERE = Path(__file__).resolve().parent
HOW = "run `npm ci --omit=dev` in tests/oidc_provider, or set ZTPROXY_OIDC_PROVIDER to a folder where that was done"


def installation() -> tuple[str, Path]:
    """Return node and the folder that holds `node_modules`; skip where either is absent, fail where it must not be."""
    node = shutil.which("node")
    folder = Path(os.environ.get("ZTPROXY_OIDC_PROVIDER", HERE))
    present = (folder / "node_modules" / "oidc-provider" / "package.json").exists()
    if node is not None and present:
        return node, folder
    reason = f"the real oidc-provider is absent: {'install Node.js, then ' if node is None else ''}{HOW}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class OIDCProvider:
    """A running provider; `async with` starts it, and ends it.

    Its clients are `ana` (group `engineering`, a verified e-mail) and `ben` (group `sales`, one that is not); they act
    for themselves, so their names are the subjects of their tokens. With redirect URIs people of the same names sign in
    for the client `ztproxy`, whose secret is `ztproxy-secret`, with any password.

    Args:
        redirect_uris: of that client.
        client: further metadata of it; with `jwks` it has no secret.
        ca: PEM of who vouches for those whom the provider calls.
    """

    def __init__(self, *redirect_uris: str, client: dict[str, Any] | None = None, ca: Path | None = None) -> None:
        self._settings = json.dumps({"redirect_uris": redirect_uris, "client": client or {}})
        self._environment = {**os.environ, **({} if ca is None else {"NODE_EXTRA_CA_CERTS": str(ca)})}
        self._node, self._folder = installation()
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        """Listen on a free port, or on the one that it had; its keys are new."""
        self._process = await asyncio.create_subprocess_exec(
            self._node,
            str(HERE / "server.mjs"),
            str(self._folder),
            self.url.rpartition(":")[2] or "0",
            self._settings,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            self.url = (await self._said("url"))["url"]
        except BaseException:
            await self.kill()
            raise

    async def kill(self) -> None:
        """Die without a word."""
        if (process := self._process) is not None:
            self._process = None
            process.kill()
            await process.communicate()

    async def rotate(self, *, keep: bool = False) -> str:
        """Sign with new keys; return the new key id. The old keys are withdrawn unless they are kept."""
        return str((await self._do("rotate", "keep" if keep else ""))["kid"])

    async def hold(self, path: str) -> None:
        """Hold the answers of an endpoint from now on, when all that they say has been done."""
        await self._do("hold", path)

    async def break_down(self, path: str) -> None:
        """Answer what asks an endpoint with 503 from now on."""
        await self._do("break", path)

    async def struck(self) -> None:
        """Wait until an answer is held, or was 503."""
        await self._said("struck")

    async def mend(self) -> None:
        """Answer again, what is held first."""
        await self._do("mend")

    async def set_clock(self, ahead: float) -> None:
        """Let the clock be ahead of everybody's by so many seconds."""
        await self._do("clock", str(ahead))

    async def move(self, name: str, group: str) -> None:
        """Let somebody be in one group from now on, and in no other one."""
        await self._do("group", f"{name} {group}")

    async def issued(self) -> list[dict[str, Any]]:
        """Return what the token endpoint has given so far, and the forms that its clients were sent."""
        given: list[dict[str, Any]] = (await self._do("issued"))["issued"]
        return given

    async def refresh(self, refresh_token: str) -> int:
        """Use a refresh token of the client `ztproxy`, as whoever stole it and the secret; return the status."""
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        basic = base64.b64encode(b"ztproxy:ztproxy-secret").decode()
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Basic {basic}"}) as session,
            session.post(f"{self.url}/token", data=form) as response,
        ):
            return response.status

    async def token(self, client: str = "ana", kind: str = "ES256") -> bytes:
        """Return an access token for the audience `ztproxy`, of an algorithm (`ES256`, `RS256`), or `opaque`."""
        form = {"grant_type": "client_credentials", "resource": f"https://ztproxy.example.org/{kind}"}
        basic = base64.b64encode(f"{client}:{client}-secret".encode()).decode()
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Basic {basic}"}, raise_for_status=True) as session,
            session.post(f"{self.url}/token", data=form) as response,
        ):
            return str((await response.json())["access_token"]).encode()

    async def _do(self, command: str, argument: str = "") -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command} {argument}".strip().encode() + b"\n")
        await self._process.stdin.drain()
        done: dict[str, Any] = (await self._said(command))[command]
        return done

    async def _said(self, member: str) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            while line := await self._process.stdout.readline():
                if line.startswith(b'{"%s":' % member.encode()):
                    said: dict[str, Any] = json.loads(line)
                    return said
        _, complaint = await self._process.communicate()
        raise AssertionError(f"the provider ended before it answered: {complaint.decode()[-500:]}")
