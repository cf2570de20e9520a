"""The real `opa`, asked what the embedded engine is asked: a server on a socket in a folder of its own.

It knows modules, data and inputs, and nothing of what the embedded engine answers. It listens on no port, loads nothing
but what it is given, and ends with the context that it was started in.
"""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from proxy.policy.decision import UNDEFINED
from proxy.policy.sources import Module
from proxy.policy.testing import CannotRun

_PATIENCE: Final = 30.0  # seconds for opa to start, and for one answer
_STEP: Final = 0.005
TYPE_ERROR: Final = "rego_type_error"


@dataclass(frozen=True, slots=True)
class Failure:
    """An engine had no answer: a built-in failed, or two rules clash.

    Args:
        message: what it says.
    """

    message: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """OPA does not load a policy.

    Args:
        code: OPA's, such as `rego_type_error`.
        message: the first thing that it says.
    """

    code: str
    message: str


class Judge:
    """An OPA server that runs.

    Args:
        socket_path: where it listens.
    """

    def __init__(self, socket_path: Path) -> None:
        self.socket_path = socket_path
        self._connection = _Connection(socket_path)

    def load(self, text: str, data: Mapping[str, Any]) -> Refusal | None:
        """Have it forget the module and the data that it was given so before, for these; say why it would not."""
        self._request("PUT", "data", json.dumps(data))
        status, answer = self._request("PUT", "policies/judged", text, "text/plain")
        if status == http.client.OK:
            return None
        self._request("DELETE", "policies/judged", "")
        first = answer.get("errors", [answer])[0]
        return Refusal(str(first.get("code")), str(first.get("message")))

    def ask(self, path: str, document: object) -> object:
        """Return what is at a path below data for an input: a value, `UNDEFINED`, or a `Failure`.

        Args:
            path: such as `shop/authz/decision`.
            document: the input.
        """
        question = json.dumps({"input": document})
        status, answer = self._request("POST", f"data/{path}?strict-builtin-errors=true", question)
        if status == http.client.OK:
            return answer.get("result", UNDEFINED)
        errors = answer.get("errors") or [answer]
        return Failure(str(errors[0].get("message")))

    def ask_all(self, paths: list[str], document: object) -> dict[str, object]:
        """Return what is at each of some rules' paths for an input, in as few questions as it takes."""
        answers: dict[str, object] = {}
        for package, asked in groupby(sorted(paths, key=_package), _package):
            whole = self.ask(package, document)
            for path in asked:
                name = path.rpartition("/")[2]
                if isinstance(whole, dict):
                    answers[path] = whole.get(name, UNDEFINED)
                else:
                    answers[path] = self.ask(path, document)  # one of them fails, and takes the others with it
        return answers

    def _request(self, method: str, path: str, body: str, kind: str = "application/json") -> tuple[int, dict[str, Any]]:
        self._connection.request(method, f"/v1/{path}", body.encode(), {"content-type": kind})
        response = self._connection.getresponse()
        content = response.read()
        return response.status, json.loads(content or b"{}")

    def connect(self) -> bool:
        """Connect to it; tell whether it listens."""
        try:
            self._connection.connect()
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Let the connection go."""
        self._connection.close()


def _package(path: str) -> str:
    return path.rpartition("/")[0]


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(str(self._path))
        except OSError:
            self.close()
            raise


def find_opa(named: Path | None) -> Path:
    """Return the `opa` that was named, or else the one on the PATH. Raise CannotRun where there is none."""
    found = shutil.which(str(named or "opa"))
    if found is None:
        where = f"{named} is no program" if named else "opa is not on the PATH"
        raise CannotRun(f"{where}: install it (openpolicyagent.org) or name it (--opa PATH)")
    return Path(found)


@contextmanager
def opa(binary: Path, modules: Iterable[Module] = (), data: Mapping[str, Any] | None = None) -> Iterator[Judge]:
    """Start `opa` with a policy and its data; it ends with the context.

    Raises:
        CannotRun: it does not start, or does not load the policy.
    """
    with tempfile.TemporaryDirectory(prefix="ztproxy-opa-") as name:
        folder = Path(name)
        files = _written(folder, modules, data or {})
        said = folder / "said"
        path = folder / "socket"
        arguments = ["run", "--server", "--disable-telemetry", "--log-level", "error", "--addr", f"unix://{path}"]
        with said.open("wb") as output:
            process = subprocess.Popen([binary, *arguments, *files], stdout=output, stderr=output)  # noqa: S603 - named by the user, no shell
        try:
            judge = Judge(path)
            _wait(judge, process, said)
            try:
                yield judge
            finally:
                judge.close()
        finally:
            process.kill()
            process.wait()


def _written(folder: Path, modules: Iterable[Module], data: Mapping[str, Any]) -> list[Path]:
    files: list[Path] = []
    for number, module in enumerate(modules):
        files.append(folder / f"{number}.rego")
        files[-1].write_text(module.text, encoding="utf-8")
    if data:
        files.append(folder / "data.json")
        files[-1].write_text(json.dumps(data), encoding="utf-8")
    return files


def _wait(judge: Judge, process: subprocess.Popen[bytes], said: Path) -> None:
    """Return once the server accepts connections."""
    deadline = time.monotonic() + _PATIENCE
    while not judge.connect():
        if process.poll() is not None or time.monotonic() > deadline:
            lines = said.read_text(encoding="utf-8", errors="replace").splitlines()
            raise CannotRun("opa does not start, or does not load the policy:", *lines)
        time.sleep(_STEP)
