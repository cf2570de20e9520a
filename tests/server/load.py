"""Clients that keep a gateway busy and judge every answer: the right one, an excused refusal, or wrong."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.gateway import PATIENCE, Client, Gateway, wait_for

MIB = 1024 * 1024
HALT_SECONDS = 0.3


@dataclass(frozen=True)
class Ask:
    """A request that is made again and again.

    Args:
        host, path, fields: what is asked; a query that differs each time is added to the path.
        refused: the code with which policy says no, or None: it is permitted, and answered with its own target.
    """

    host: str
    path: str
    fields: tuple[str, ...] = ()
    refused: str | None = None


class Load:
    """Keep-alive clients, a thread each, that ask in turn until told to stop.

    Args:
        gateway: who is asked, on its plain listener.
        asks: what is asked.
        excused: codes of refusals that a fault may cause in the place of a right answer.
        cut: an answer may end early, with its connection.
        clients: how many.
    """

    def __init__(
        self,
        gateway: Gateway,
        asks: tuple[Ask, ...],
        *,
        excused: frozenset[str] = frozenset(),
        cut: bool = False,
        clients: int = 6,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._address = gateway.address("plain")
        self._asks = asks
        self._excused = excused
        self._cut = cut
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def see(self, outcome: str, more: int) -> None:
        """Wait until an outcome (`good`, `denied`, `cut`, or an excused code) has come this many times from now on."""
        wanted = self.counts[outcome] + more
        wait_for(lambda: self.wrong or self.counts[outcome] >= wanted, f"{more} more of {outcome}: {self.counts}")
        assert not self.wrong, self.wrong[:3]

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _run(self, number: int) -> None:
        turns = enumerate(itertools.cycle(self._asks))
        while not self._stopping.is_set():
            try:
                with Client(self._address) as client:
                    self._talk(client, number, turns)
            except OSError:
                self._note("unconnected")

    def _talk(self, client: Client, number: int, turns: Iterator[tuple[int, Ask]]) -> None:
        for turn, ask in turns:
            if self._stopping.is_set():
                return
            target = f"{ask.path}?{number}.{turn}"
            try:
                answer = client.get(target, ask.host, *ask.fields)
            except EOFError:
                self._note("cut" if self._cut and ask.refused is None else f"{target} was cut", self._cut)
                return
            if ask.refused is None and answer.status == 200 and answer.body == target.encode():
                self._note("good")
            elif answer.code is not None and answer.code == ask.refused:
                self._note("denied")
            else:
                self._note(answer.code or f"{answer.status} {answer.body!r} for {target}", answer.code in self._excused)
            if answer.get("connection") == "close":
                return

    def _note(self, outcome: str, right: bool = True) -> None:
        with self._lock:
            self.counts[outcome] += 1
            if not right:
                self.wrong.append(outcome)


@contextmanager
def load(gateway: Gateway, asks: tuple[Ask, ...], **options: object) -> Iterator[Load]:
    """Keep a gateway busy until the block ends; then no answer was wrong and nothing is left in flight."""
    running = Load(gateway, asks, **options)  # type: ignore[arg-type]
    try:
        yield running
    finally:
        running.stop()
    assert not running.wrong, running.wrong[:3]
    at_rest(gateway)


def at_rest(gateway: Gateway) -> None:
    """Wait until a gateway serves nobody any more, and is alive."""
    assert gateway.process.poll() is None, gateway.stderr
    wait_for(lambda: gateway.metric("ztproxy_http_requests_in_flight") == 0, "end of the requests")
    wait_for(lambda: gateway.metric('ztproxy_connections{listener="plain"}') == 0, "end of the connections")


def settled(value: Callable[[], Any]) -> Any:
    """Return a value that has stayed as it is for a moment: no event tells that something has come to a halt."""
    last, since = value(), time.monotonic()

    def stays() -> bool:
        nonlocal last, since
        if (now := value()) != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since > HALT_SECONDS

    wait_for(stays, "halt")
    return last


def descriptors(gateway: Gateway) -> int:
    """Return how many files and sockets the process has open."""
    return sum(1 for _ in Path(f"/proc/{gateway.process.pid}/fd").iterdir())


class Peak:
    """How far the resident memory of a gateway rises above where it was."""

    def __init__(self, gateway: Gateway) -> None:
        self._status = Path(f"/proc/{gateway.process.pid}/status")
        Path(f"/proc/{gateway.process.pid}/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
        self._before = gateway.memory()

    def growth(self) -> int:
        """Return the bytes between then and the highest since."""
        for line in self._status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 - self._before
        raise AssertionError("no VmHWM")
