"""A real Redis server of a test's own, on a Unix socket."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

import pytest


class RedisServer:
    """Starts and stops; what it has written is there when it starts again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._sockets = tempfile.mkdtemp(prefix="redis-")  # a path of a socket must be short
        self._process: asyncio.subprocess.Process | None = None
        self.url = f"unix://{self._sockets}/s"

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        command = shutil.which("redis-server")
        if command is None:
            if os.environ.get("CI") == "true":
                pytest.fail("redis-server must be installed")
            pytest.skip("redis-server is not installed")
        options = ["--port", "0", "--unixsocket", f"{self._sockets}/s", "--dir", str(self._directory)]
        options += ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--loglevel", "notice"]
        self._process = await asyncio.create_subprocess_exec(
            command, *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(5):
            async for line in self._process.stdout:
                if b"eady to accept connections" in line:
                    return
        raise AssertionError("redis-server ended before it was ready")

    async def kill(self) -> None:
        """End it as a failure would."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None

    async def end(self) -> None:
        """End it, and leave nothing behind."""
        await self.kill()
        shutil.rmtree(self._sockets)
