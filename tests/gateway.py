"""The running gateway, as a client, an upstream and an operator see it: a real process, real sockets, raw bytes.

`Gateway` starts `ztproxy run` and collects its records. `Upstream` is a strict HTTP/1.1 server in a thread that keeps
the exact bytes of every request. `Client` writes raw bytes and reads one answer at a time.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE = 20.0  # seconds that a test waits for what must happen; a bound, never a pause


def wait_for(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Return the first truthy value of a condition; fail when it does not come in time."""
    ends = time.monotonic() + seconds
    turn = threading.Event()
    while time.monotonic() < ends:
        if value := condition():
            return value
        turn.wait(0.01)
    raise AssertionError(f"{what} did not happen within {seconds:g} s")


class Gateway:
    """One `ztproxy run` process.

    Args:
        directory: where its config and its output go.
        config: the text of the config file.
        arguments: of `run`, further ones.
    """

    def __init__(
        self,
        directory: Path,
        config: str,
        *arguments: str,
        environment: dict[str, str] | None = None,
        stdout: Any = None,
    ):
        self.directory = directory
        self.path = directory / "ztproxy.yaml"
        self.path.write_text(config, encoding="utf-8")
        self.records: list[dict[str, Any]] = []
        self._errors = (directory / "stderr.txt").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "proxy", "run", "-c", str(self.path), *arguments],
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1]), **(environment or {})},
        )
        if stdout is None:
            self._reader = threading.Thread(target=self._collect, daemon=True)
            self._reader.start()

    @property
    def stderr(self) -> str:
        return (self.directory / "stderr.txt").read_text(encoding="utf-8")

    def wait_until_listening(self) -> dict[str, Any]:
        def listening() -> dict[str, Any] | None:
            if self.process.poll() is not None:
                raise AssertionError(f"gateway ended with {self.process.returncode}: {self.stderr}")
            return next((record for record in self.records if record.get("event") == "listening"), None)

        return wait_for(listening, "listening")

    def address(self, listener: str) -> tuple[str, int]:
        event = [record for record in self.records if record.get("event") == "listening"][-1]
        host, _, port = event["listeners"][listener].rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def admin(self) -> str:
        return "http://" + self.wait_until_listening()["admin"]

    def metrics(self) -> str:
        with urllib.request.urlopen(f"{self.admin}/metrics", timeout=PATIENCE) as answer:
            return answer.read().decode()

    def metric(self, line: str) -> float:
        for text in self.metrics().splitlines():
            if text.startswith(line + " "):
                return float(text.rpartition(" ")[2])
        return 0.0

    def status_of(self, path: str) -> int:
        host, _, port = self.wait_until_listening()["admin"].rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in list(self.records) if record.get("type") == kind]

    def event(self, name: str, number: int = 1) -> dict[str, Any]:
        def seen() -> dict[str, Any] | None:
            events = [record for record in list(self.records) if record.get("event") == name]
            return events[number - 1] if len(events) >= number else None

        return wait_for(seen, f"event {name}")

    def access(self, request_id: str) -> dict[str, Any]:
        def seen() -> dict[str, Any] | None:
            return next((r for r in self.of_type("access") if r["request_id"] == request_id), None)

        return wait_for(seen, f"access record of {request_id}")

    def workers(self) -> list[int]:
        """Return the process ids of its workers; none where it serves by itself."""
        return [
            int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]

    def memory(self) -> int:
        """Return the resident bytes of the process."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def reload(self, config: str | None = None) -> None:
        if config is not None:
            self.path.write_text(config, encoding="utf-8")
        self.process.send_signal(signal.SIGHUP)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        if self.process.stdout is not None:
            self._reader.join(PATIENCE)
            self.process.stdout.close()
        self._errors.close()
        return status

    def _collect(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.records.append(json.loads(line))


@contextmanager
def gateway(directory: Path, config: str, *arguments: str, **options: Any) -> Iterator[Gateway]:
    """Run a gateway until the block ends; it must then end by itself."""
    directory.mkdir(parents=True, exist_ok=True)
    running = Gateway(directory, config, *arguments, **options)
    try:
        running.wait_until_listening()
        yield running
    finally:
        running.stop()


@dataclass
class Received:
    """One request as the upstream got it: exact bytes, and what they say."""

    raw: bytes
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


def ok(body: bytes = b"hello", **fields: str) -> bytes:
    """Return the bytes of a 200 answer."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    head = "\r\n".join(["HTTP/1.1 200 OK", f"content-length: {len(body)}", *lines])
    return head.encode() + b"\r\n\r\n" + body


Script = Callable[[Received, socket.socket], bytes | None]


class Upstream:
    """A strict HTTP/1.1 server that records requests.

    Args:
        script: gives the bytes of an answer; None closes the connection. It may write to the socket itself.
    """

    def __init__(self, script: Script | None = None) -> None:
        self.requests: list[Received] = []
        self.trouble: list[str] = []
        self.script: Script = script or (lambda request, sock: ok(request.target.encode()))
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening and drop every connection."""
        self._socket.close()
        for sock in list(self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        self._open.add(sock)
        reader = Reader(sock)
        try:
            while (received := read_request(reader)) is not None:
                self.requests.append(received)
                answer = self.script(received, sock)
                if answer is None:
                    return
                sock.sendall(answer)
        except (ValueError, EOFError) as error:
            self.trouble.append(f"{error}: {bytes(reader.seen)!r}")
        except OSError:
            pass
        finally:
            self._open.discard(sock)
            sock.close()


class RawUpstream:
    """A listening socket whose every connection is handed to a script, which then closes it."""

    def __init__(self, script: Callable[[socket.socket], None] = lambda sock: None) -> None:
        self.script = script
        self.connections = 0
        self.open = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            sock.settimeout(PATIENCE)
            threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _run(self, sock: socket.socket) -> None:
        self.open += 1
        with sock, suppress(OSError):
            self.script(sock)
        self.open -= 1


class Reader:
    """Bytes of a socket, taken by line or by count; `seen` are those since the last `mark`."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray()
        self.seen = bytearray()

    def line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._more()
        return self._take(end + 2)[:-2]

    def exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        return self._take(count)

    def rest(self) -> bytes:
        try:
            while True:
                self._more()
        except EOFError:
            return self._take(len(self._buffer))

    def at_end(self) -> bool:
        if self._buffer:
            return False
        try:
            self._more()
        except EOFError:
            return True
        return False

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        self.seen += taken
        return taken

    def _more(self) -> None:
        try:
            data = self._sock.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError):
            data = b""
        if not data:
            raise EOFError("connection ended")
        self._buffer += data


def read_fields(reader: Reader) -> list[tuple[str, str]]:
    fields = []
    while line := reader.line():
        name, colon, value = line.decode("latin-1").partition(": ")
        if not colon or name != name.strip() or "\r" in value or "\n" in value:
            raise ValueError(f"bad field line {line!r}")
        fields.append((name, value))
    return fields


def read_request(reader: Reader) -> Received | None:
    """Read one request strictly; None at the end. Raise ValueError for anything that has two readings."""
    if reader.at_end():
        return None
    reader.seen.clear()
    method, target, version = reader.line().decode("latin-1").split(" ")
    if version != "HTTP/1.1":
        raise ValueError(f"bad version {version}")
    fields = read_fields(reader)
    names = [name.lower() for name, _ in fields]
    if names.count("host") != 1 or names.count("content-length") + names.count("transfer-encoding") > 1:
        raise ValueError("ambiguous head")
    body = b""
    for name, value in fields:
        if name.lower() == "content-length":
            body = reader.exactly(int(value))
        elif name.lower() == "transfer-encoding":
            if value != "chunked":
                raise ValueError("bad transfer-encoding")
            body = read_chunks(reader)
    return Received(bytes(reader.seen), method, target, fields, body)


def read_chunks(reader: Reader) -> bytes:
    body = b""
    while (size := int(reader.line(), 16)) > 0:
        body += reader.exactly(size)
        if reader.exactly(2) != b"\r\n":
            raise ValueError("chunk must end with CRLF")
    read_fields(reader)
    return body


@dataclass
class Answer:
    """One answer as the client got it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    interim: list[int] = field(default_factory=list)

    def get(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def problem(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The catalogue's code, where the proxy answered for itself."""
        if self.get("content-type") != "application/problem+json":
            return None
        return str(self.problem["code"])


class Client:
    """A raw client on one connection.

    Args:
        address: of the listener.
        tls: a client context, or None for a plain listener.
        server_name: the name in the handshake.
    """

    def __init__(
        self, address: tuple[str, int], tls: ssl.SSLContext | None = None, server_name: str | None = "wiki.example.org"
    ) -> None:
        self.socket: socket.socket = socket.create_connection(address, timeout=PATIENCE)
        if tls is not None:
            try:
                self.socket = tls.wrap_socket(self.socket, server_hostname=server_name)
            except BaseException:
                self.socket.close()
                raise
        self.reader = Reader(self.socket)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, method: str = "GET") -> Answer:
        """Read one final answer."""
        interim = []
        while True:
            version, status, *_ = self.reader.line().decode("latin-1").split(" ", 2)
            assert version == "HTTP/1.1"
            fields = read_fields(self.reader)
            if int(status) >= 200:
                break
            interim.append(int(status))
        return Answer(int(status), fields, self._body(method, int(status), fields), interim)

    def _body(self, method: str, status: int, fields: list[tuple[str, str]]) -> bytes:
        if method == "HEAD" or status in (204, 304):
            return b""
        framing = {name.lower(): value for name, value in fields}
        if framing.get("transfer-encoding") == "chunked":
            return read_chunks(self.reader)
        if "content-length" in framing:
            return self.reader.exactly(int(framing["content-length"]))
        return self.reader.rest()

    def get(
        self, target: str, host: str = "wiki.example.org", *fields: str, method: str = "GET", body: bytes = b""
    ) -> Answer:
        """Make one plain request."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        return self.answer(method)

    def closed(self) -> bool:
        """Wait for the end of the connection; say whether it came without another byte."""
        return self.reader.at_end()
