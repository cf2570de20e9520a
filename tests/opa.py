"""The real `opa`, as a server of one's own that can be stopped, hung, killed and started again.

It is `ZTPROXY_OPA`, or what `make test` installed in the checkout, or the one on the path.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.gateway import wait_for

ROOT = Path(__file__).resolve().parents[1]
VERSION = "1.22.0"  # what the tests were written against


def opa_binary() -> str:
    """Return the path of `opa`; skip where it is absent, fail where that must not be."""
    installed = ROOT / ".tools" / "bin" / "opa"
    found = os.environ.get("ZTPROXY_OPA") or (str(installed) if installed.exists() else shutil.which("opa"))
    if found is None:
        reason = f"opa is absent: go install github.com/open-policy-agent/opa@v{VERSION}, or set ZTPROXY_OPA"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class OPAServer:
    """An OPA server on a loopback port that stays the same through restarts."""

    def __init__(self, *arguments: str | Path, scheme: str = "http") -> None:
        self._binary = opa_binary()
        self._arguments = [str(argument) for argument in arguments]
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port: int = sock.getsockname()[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return once it accepts connections."""
        address = f"127.0.0.1:{self.port}"
        self._process = subprocess.Popen(
            [self._binary, "run", "--server", "--disable-telemetry", "--addr", address, *self._arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self._accepts, "opa")

    def _accepts(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "opa ended at once"
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def hang(self) -> None:
        """Let it live and do nothing, from now on: its threads stop one after the other."""
        assert self._process is not None
        self._signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it without a word."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def request(self, method: str, path: str, body: str) -> tuple[int, Any]:
        """Return status and parsed body of a request to its API, such as `PUT policies/NAME`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        kind = "text/plain" if path.startswith("policies") else "application/json"
        try:
            connection.request(method, f"/v1/{path}", body.encode(), {"content-type": kind})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        finally:
            connection.close()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "it is not running"
        self._process.send_signal(number)


@contextmanager
def opa_server(*arguments: str | Path, scheme: str = "http") -> Iterator[OPAServer]:
    """Run an OPA server with policies, data and options; it is gone afterwards."""
    server = OPAServer(*arguments, scheme=scheme)
    server.start()
    try:
        yield server
    finally:
        server.kill()
