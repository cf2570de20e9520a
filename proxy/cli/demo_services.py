"""What the demo runs: servers of its own on loopback, and the gateway itself as a process.

The gateway is known by its command line and its records alone, as an operator
knows it.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiohttp import web

import proxy

Record = dict[str, Any]

_START_SECONDS = 30.0
_RECORD_SECONDS = 5.0
_STOP_SECONDS = 10.0
_RECORD_BYTES = 1024 * 1024


class GatewayFailed(Exception):  # noqa: N818 - what happened, to be told to a person
    """The gateway did not start, or did not stay. The text is what it said on stderr."""


class Gateway:
    """`ztproxy run` as a process, read through the records that it writes."""

    def __init__(self, process: asyncio.subprocess.Process, errors: Path) -> None:
        self._process = process
        self._errors = errors
        self.records: list[Record] = []
        self.port = 0
        self.admin = ""

    @classmethod
    async def start(cls, config: Path) -> Gateway:
        """Start the gateway and wait until it listens and has its issuer's keys.

        Raises:
            GatewayFailed: it ended instead.
        """
        errors = config.with_suffix(".log")
        with errors.open("wb") as sink:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "proxy", "run", "-c", str(config),
                # `-m` looks in the working directory first: that must be where this very package is.
                cwd=Path(proxy.__file__).parents[1],
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=sink,
                limit=_RECORD_BYTES,
                start_new_session=True,  # Ctrl-C is for the demo, which ends the gateway in its own time
            )  # fmt: skip
        gateway = cls(process, errors)
        try:
            listening = await gateway.record(lambda record: record.get("event") == "listening", _START_SECONDS)
            await gateway.record(lambda record: record.get("event") == "keys_fetched", _START_SECONDS)
        except BaseException:
            await gateway.stop()
            raise
        gateway.port = int(listening["listeners"]["edge"].rpartition(":")[2])
        gateway.admin = listening["admin"]
        return gateway

    async def record(
        self, wanted: Callable[[Record], bool], seconds: float = _RECORD_SECONDS, *, since: int = 0
    ) -> Record:
        """Return the first record that is wanted, of those from `since` on, waiting for it if need be.

        Raises:
            GatewayFailed: the gateway ended, or it did not come in time.
        """
        try:
            async with asyncio.timeout(seconds):
                while True:
                    for record in self.records[since:]:
                        if wanted(record):
                            return record
                    since = len(self.records)
                    await self._read()
        except TimeoutError:
            raise GatewayFailed(f"a record did not come within {seconds:g} s{self._said()}") from None

    async def follow(self) -> AsyncIterator[Record]:
        """Yield every record from now on. Raise GatewayFailed when the gateway ends."""
        while True:
            yield await self._read()

    async def stop(self) -> None:
        """Drain and end the process."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _read(self) -> Record:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            status = await self._process.wait()
            raise GatewayFailed(f"the gateway ended with status {status}{self._said()}")
        record: Record = json.loads(line)
        self.records.append(record)
        return record

    def _said(self) -> str:
        text = self._errors.read_text(encoding="utf-8", errors="replace").strip()
        return f"; it said:\n{text}" if text else ""


@asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    """Serve an application on a free port of this machine; yield its URL."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def free_port() -> int:
    """Return a port of this machine that nobody has; the system gives it to nobody else for a while."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
