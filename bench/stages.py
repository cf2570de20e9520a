"""Where Python's share of a request goes: microseconds of each stage, beside its budget.

    python -m bench.stages

Each stage runs in this process, on the real rooms and without a socket, a few hundred times in a row; the best of many
such runs counts, so that a busy machine blurs little. `again` is a request that says what the one before it on its
connection said; `new` is one for which the stage has everything to do. For `authorize`, `decision record` and `whole`
that is a target which nobody asked for before, and so an evaluation. What `whole` has beyond the stages is the
exchange itself: its objects, its coroutines, its counters, and that a processor's caches have seen other code since.
The sockets, TLS and the event loop come on top; `make bench` sees them. The two rows of a session are the same route's,
of a browser that shows its handle instead of a token; `new` is then a cookie beside others that was not seen on the
connection before.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvloop

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench.peers.ztproxy import CONFIGURATION, ROUTES  # noqa: E402 - the checkout is on the path now
from bench.world import ISSUER, World  # noqa: E402
from proxy.config.load import read  # noqa: E402
from proxy.http.h1 import (  # noqa: E402
    HeadLimits,
    RequestHeadParser,
    ResponseHeadParser,
    encode_request,
    encode_response,
)
from proxy.http.headers import clean_head, clean_response  # noqa: E402
from proxy.http.message import Block, Proof, RequestHead, Target  # noqa: E402
from proxy.http.target import plain_target  # noqa: E402
from proxy.identity.sessions.session import (  # noqa: E402
    HandleRecord,
    Session,
    digest_of,
    new_handle,
    new_session_id,
)
from proxy.policy.input import Inquiry  # noqa: E402
from proxy.policy.record import Facts, Spelling, spell, told_result  # noqa: E402
from proxy.server.connection import Connection  # noqa: E402
from proxy.server.runtime import Runtime  # noqa: E402
from proxy.server.snapshot import Snapshot, at_once, compile_file  # noqa: E402
from proxy.server.tasks import Tasks  # noqa: E402
from proxy.server.told import identified, passing, traced  # noqa: E402
from proxy.telemetry.access import access_facts, access_line  # noqa: E402
from proxy.upstream.connection import UpstreamConnection  # noqa: E402

ANSWER = (
    b"HTTP/1.1 200 OK\r\ndate: Tue, 24 Nov 2026 12:00:00 GMT\r\ncontent-type: text/plain\r\ncontent-length: 128\r\n\r\n"
    + b"x" * 128
)
# Microseconds that a stage may take where a request says what the last one said.
BUDGETS = {
    "parse": 3.0, "target": 0.5, "route": 0.3, "authenticate": 0.5, "authorize": 3.0, "decision record": 3.0,
    "headers": 1.5, "pool": 2.0, "send": 1.0, "response head": 1.0, "relay": 1.0, "access record": 3.0, "whole": 28.0,
    "session": 5.0, "whole, session": 33.0,
}  # fmt: skip


PROVIDER = '    staff: {issuer: "https://localhost:9", login: {client_id: bench, authentication: none}}\n'
SIGN_IN = """\
state_directory: {place}
sign_in: {{host: access.localhost}}
"""


class Silent:
    """A transport that takes everything and says nothing."""

    def __init__(self) -> None:
        self._sockets = socket.socketpair()
        self.taken = 0

    def get_extra_info(self, name: str) -> Any:
        """Return a socket that nobody writes to."""
        return self._sockets[0] if name == "socket" else None

    def write(self, data: bytes) -> None:
        """Take it."""
        self.taken += 1

    def abort(self) -> None:
        """Close."""
        for each in self._sockets:
            each.close()

    def set_write_buffer_limits(self, high: int) -> None:
        """It has no buffer."""


@dataclass
class Stage:
    """What one stage took.

    Args:
        again, new: microseconds; None where a stage knows no difference.
    """

    name: str
    again: float
    new: float | None = None


def best(work: Callable[[Any], object], make: Callable[[], Any] = lambda: None, count: int = 100) -> float:
    """Return microseconds of one run of `work` on what `make` makes, which is not counted."""
    least = float("inf")
    for _ in range(200):
        things = [make() for _ in range(count)]
        began = time.perf_counter()
        for thing in things:
            work(thing)
        least = min(least, time.perf_counter() - began)
    return least / count * 1e6


class Table:
    """The stages of one world."""

    def __init__(self, world: World, runtime: Runtime, snapshot: Snapshot) -> None:
        self.world = world
        self.runtime = runtime
        self.snapshot = snapshot
        self.numbers = itertools.count()
        self.handle = ""
        self.connection = Connection(runtime, snapshot.config.listeners[0], Tasks(), ("127.0.0.1", 50123))
        self.connection.connection_made(Silent())  # type: ignore[arg-type]
        self.pool = next(iter(snapshot.clusters.values()))._pools[0]
        self.upstream = UpstreamConnection(asyncio.get_running_loop(), runtime.deadlines, self.pool)
        self.upstream.connection_made(Silent())  # type: ignore[arg-type]
        self.pool._connections.add(self.upstream)
        self.pool.release(self.upstream, reusable=True)
        limits = snapshot.config.limits
        self.limits = HeadLimits(limits.header_bytes, limits.header_count, limits.target_length)

    def head(self, path: str = "/") -> bytes:
        """Return a request's bytes."""
        return (
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n"
            f"Authorization: Bearer {self.world.token}\r\n\r\n"
        ).encode()

    def visit(self, path: str = "/", others: str = "") -> bytes:
        """Return the bytes of a browser's request, which shows a session's handle."""
        return (
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n"
            f"Cookie: {others}__Host-ztproxy={self.handle}\r\n\r\n"
        ).encode()

    async def sign_in(self) -> None:
        """Have a session that memory knows."""
        staff = self.snapshot.staff
        assert staff is not None
        now, handle = time.time(), new_handle()
        session = Session(
            id=new_session_id(), issuer="staff", issuer_url="https://localhost:9", subject="ana", authenticated_at=now,
            created_at=now, seen_at=now, expires_at=now + 3600, email="ana@example.org", groups=("engineering",),
        )  # fmt: skip
        record = HandleRecord(digest_of(handle), session.id, "localhost", now)
        sessions = staff.keeping.sessions
        await staff.keeping.store.create(session, record, begun_at=now)
        while sessions.recall(handle, "localhost", now) is None:
            await sessions.read(handle, "localhost", now)
            await asyncio.sleep(0.01)
        self.handle = handle.decode()
        sessions.following.believed_until = float("inf")  # what is measured lets nobody follow the store meanwhile

    def path(self) -> str:
        """Return a path that was not there before."""
        return f"/item-{next(self.numbers)}"

    async def measure(self) -> list[Stage]:
        """Return every stage, the whole last."""
        task = asyncio.ensure_future(self.connection.serve())
        await self.repeat(self.head())
        stages = [*self.stages(), self.whole("whole", self.head)]
        await self.sign_in()
        await self.repeat(self.visit())
        stages += [self.session(), self.whole("whole, session", self.visit)]
        task.cancel()
        await asyncio.wait([task])
        return stages

    async def repeat(self, request: bytes) -> None:
        """Send a request until the connection knows it."""
        for _ in range(3):
            await asyncio.sleep(0)
            self.connection.data_received(request)
            await asyncio.sleep(0.05)
            self.upstream.data_received(ANSWER)
            await asyncio.sleep(0.01)

    def stages(self) -> list[Stage]:
        """Return each stage by itself."""
        snapshot, connection = self.snapshot, self.connection
        repeat = connection.repeat
        assert repeat is not None
        inquiry, route, standing = repeat.inquiry, repeat.route, connection.standing
        head, principal, rules = inquiry.head, inquiry.principal, route.config.authenticate
        parser, raw = RequestHeadParser(self.limits), self.head()
        parser.parse(bytearray(raw))
        answers, begin = ResponseHeadParser(65536, 100), ANSWER[:-128]
        response = answers.parse(bytearray(begin), b"GET")
        assert response is not None
        spelling, result = Spelling(snapshot.engine.revision), told_result({"allow": True, "reasons": ["allow[0]"]})
        facts = {
            "connection_id": connection.id, "listener": "edge", "source": "127.0.0.1", "method": "GET",
            "host": "localhost", "path": "/", "protocol": "http/1.1", "route": route.name, "principal": principal,
            "peer": None,
        }  # fmt: skip
        access = (200, None, None, inquiry.decision_id, "service", "127.0.0.1:80", 0, 128, 0.001)
        ids = inquiry.request_id, "0" * 32, "0" * 16

        def anew(_: object = None) -> Inquiry:
            return replace(inquiry, target=self.target())

        def record(asked: Inquiry) -> bytes:
            own = asked.decision_id, asked.request_id, asked.time
            return spell(*Facts(spelling, asked, *own, route.decision, result, 1))

        def pool(_: object) -> None:
            self.pool._take(-1)
            assert self.upstream.is_quiet
            self.pool.release(self.upstream, reusable=True)

        return [
            Stage(
                "parse",
                best(parser.parse, lambda: bytearray(raw)),
                best(lambda buffer: RequestHeadParser(self.limits).parse(buffer), lambda: bytearray(raw)),
            ),
            Stage(
                "target",
                best(lambda _: plain_target(b"localhost", b"/")),
                best(lambda path: plain_target(b"localhost", path), lambda: self.path().encode()),
            ),
            Stage(
                "route",
                best(lambda _: standing.router.match(inquiry.target.host, inquiry.target.segments)),
            ),
            Stage(
                "authenticate",
                best(lambda _: snapshot.authenticator.recall(head, rules, None, time.time(), inquiry.target)),
                best(
                    lambda other: snapshot.authenticator.recall(other, rules, None, time.time(), inquiry.target),
                    lambda: self.other(head),
                ),
            ),
            Stage(
                "authorize",
                best(lambda _: snapshot.authorizer.authorize_now(inquiry, route.decision))
                - best(lambda _: record(inquiry)),
                best(lambda other: snapshot.authorizer.authorize_now(other, route.decision), anew) - best(record, anew),
            ),
            Stage(
                "decision record",
                best(lambda _: record(inquiry)),
                best(record, anew),
            ),
            Stage(
                "headers",
                best(lambda _: b"%b%b%b" % (repeat.lead, traced(*ids), repeat.told.fields)),
                best(lambda other: self.told(other, repeat), lambda: self.other(head)),
            ),
            Stage("pool", best(pool)),
            Stage("send", best(lambda _: encode_request(b"GET", b"/", b"localhost", repeat.lead))),
            Stage(
                "response head",
                best(lambda buffer: answers.parse(buffer, b"GET"), lambda: bytearray(begin)),
                best(lambda buffer: ResponseHeadParser(65536, 100).parse(buffer, b"GET"), lambda: bytearray(begin)),
            ),
            Stage(
                "relay",
                best(lambda _: begin + ANSWER[-128:]),
                best(lambda _: encode_response(200, b"OK", clean_response(response.headers)) + ANSWER[-128:]),
            ),
            Stage(
                "access record",
                best(lambda _: access_line(inquiry.time, inquiry.request_id, repeat.facts, *access)),
                best(lambda _: access_line(inquiry.time, inquiry.request_id, access_facts(**facts), *access)),
            ),
        ]

    def target(self) -> Target:
        """Return a target that was not there before."""
        found = plain_target(b"localhost", self.path().encode())
        assert found is not None
        return found

    @staticmethod
    def other(head: RequestHead) -> RequestHead:
        """Return a head with the same fields, of which nothing is known."""
        return replace(head, block=Block(), proof=Proof())

    def told(self, head: RequestHead, repeat: Any) -> bytes:
        """Return what an upstream is told, all of it anew."""
        block = clean_head(head)
        assert block.passing is not None
        tail = identified(repeat.route, repeat.principal, None, [])
        way = self.connection.way_of("localhost")
        return passing(head, block.passing) + way + traced("r", "t", "s") + tail

    def session(self) -> Stage:
        """Return what finds a session, in the place of `authenticate`."""
        repeat = self.connection.repeat
        assert repeat is not None
        inquiry, rules = repeat.inquiry, repeat.route.config.authenticate
        heads = (self.visit(), self.visit(others="theme=dark; csrftoken=0123456789abcdef; "))
        known, other = (RequestHeadParser(self.limits).parse(bytearray(each)) for each in heads)
        assert known is not None
        assert other is not None
        recall = self.snapshot.authenticator.recall
        assert recall(known, rules, None, time.time(), inquiry.target) is not None
        return Stage(
            "session",
            best(lambda _: recall(known, rules, None, time.time(), inquiry.target)),
            best(lambda head: recall(head, rules, None, time.time(), inquiry.target), lambda: self.other(other)),
        )

    def whole(self, name: str, request: Callable[..., bytes]) -> Stage:
        """Return an exchange from the bytes of its request to those of its answer."""

        def exchange(raw: bytes) -> None:
            self.connection.data_received(raw)
            self.runtime.turn._serve()
            self.upstream.data_received(ANSWER)
            self.runtime.turn._serve()

        self.connection._left = sys.maxsize
        return Stage(name, best(exchange, request), best(exchange, lambda: request(self.path())))


async def run(place: Path) -> list[Stage]:
    """Build a world in a directory and measure."""
    world = World(place)
    text = CONFIGURATION.format(
        port=0, admin=0, upstream=9, files=world.directory, issuer=ISSUER, place=place,
        policy=SIGN_IN.format(place=place), routes=ROUTES,
    )  # fmt: skip
    text = text.replace("  issuers:\n", f"  issuers:\n{PROVIDER}", 1)
    rules = "authenticate: {sign_in: true, issuers: [corp, staff]}"
    text = text.replace("    host: localhost\n", f"    host: localhost\n    {rules}\n", 1)
    file = place / "ztproxy.yaml"
    file.write_text(text, encoding="utf-8")
    runtime = Runtime()
    snapshot, mistakes = at_once(compile_file(read(file), None, runtime))
    assert snapshot is not None, mistakes
    runtime.snapshot = snapshot
    corp = snapshot.issuers.sources["corp"]
    keys = [asyncio.ensure_future(corp.run())]
    while not corp.usable:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)
    assert snapshot.staff is not None
    keys.append(asyncio.ensure_future(snapshot.staff.keeping.sessions.run()))
    stages = await Table(world, runtime, snapshot).measure()
    for task in keys:
        task.cancel()
    await asyncio.wait(keys)
    await snapshot.staff.keeping.close()
    await runtime.writers.close(1.0)
    return stages


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as directory:
        stages = uvloop.run(run(Path(directory)))
    print(f"| {'stage':15} | {'budget':>6} | {'again':>6} | {'new':>6} |\n|{'-' * 17}|-------:|-------:|-------:|")
    for stage in stages:
        new = f"{stage.new:6.1f}" if stage.new is not None else f"{stage.again:6.1f}"
        print(f"| {stage.name:15} | {BUDGETS[stage.name]:6.1f} | {stage.again:6.1f} | {new} |")


if __name__ == "__main__":
    main()
