"""Where a command waits for a browser: a port of the loopback address, until one answer has come (RFC 8252).

Anything on this computer can connect to it. It takes the answer that bears the state, once, and says nothing to
anybody else; a code that somebody else gets is good for nobody without the verifier. Nothing is written to a log.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import compare_digest
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit

_PATH: Final = "/callback"
_LONGEST: Final = 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What a browser brought.

    Args:
        code: to be redeemed, or empty where the person said no.
    """

    code: str = field(repr=False)


class Loopback:
    """The port.

    Args:
        state: what the answer is known by.
        done: where the browser is sent on to.
    """

    def __init__(self, state: str, done: str) -> None:
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._server = _Server(state, done, self._answers)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def redirect_uri(self) -> str:
        """The address at which it waits."""
        return f"http://127.0.0.1:{self._server.server_port}{_PATH}"

    def wait(self, seconds: float) -> Answer | None:
        """Return the answer; None where none came in time."""
        try:
            return self._answers.get(timeout=seconds)
        except queue.Empty:
            return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # browsers hold connections open that they never use

    def __init__(self, state: str, done: str, answers: queue.SimpleQueue[Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.done = done
        self.answers = answers
        self._state = state
        self._lock = threading.Lock()
        self._answered = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a browser that has hung up."""

    def take(self, path: str) -> Answer | None:
        """Return the answer that a path brings, the first time that it is one."""
        split = urlsplit(path)
        query = parse_qs(split.query, max_num_fields=8)
        states, codes, errors = (query.get(name, []) for name in ("state", "code", "error"))
        if split.path != _PATH or len(states) != 1 or not compare_digest(states[0].encode(), self._state.encode()):
            return None
        if len(codes) + len(errors) != 1:
            return None
        with self._lock:
            first, self._answered = not self._answered, True
        return Answer(codes[0] if codes else "") if first else None


class _Handler(BaseHTTPRequestHandler):
    timeout = 10
    server_version, sys_version = "ztproxy", ""
    server: _Server

    def do_GET(self) -> None:
        try:
            taken = self.server.take(self.path) if len(self.path) <= _LONGEST else None
        except ValueError:
            taken = None
        try:
            self._send_on(taken is not None)
        finally:
            if taken is not None:  # last, for the command may be over at once
                self.server.answers.put(taken)

    def _send_on(self, taken: bool) -> None:
        self.send_response(303 if taken else 404)
        if taken:
            self.send_header("Location", self.server.done)
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing: a request line holds a code."""
