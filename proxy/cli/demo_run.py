"""One run of the demo: a small world is made, a real gateway runs in it and is called in every way that matters.

The table of what came of it is what was asked for, on stdout; progress is for whoever waits, on stderr.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import signal
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from rich import box
from rich.console import Console
from rich.table import Table

from proxy.cli.demo_apps import SampleService, sample_service
from proxy.cli.demo_browser import VISITS, browser
from proxy.cli.demo_calls import CALLS, Outcome, curl, make, name_of
from proxy.cli.demo_provider import provider
from proxy.cli.demo_services import Gateway, GatewayFailed, Record, free_port
from proxy.cli.demo_world import ACCESS, APPLICATIONS, PEOPLE, World
from proxy.identity.pem import load_certificates

_WIDTH_OF_A_PIPE = 160


def play(*, once: bool) -> int:
    """Run the demo; return its exit status."""
    out, progress = Console(), Console(stderr=True)
    if not out.is_terminal:
        out = Console(width=_WIDTH_OF_A_PIPE)
    demo = Demo(out, progress)
    try:
        asyncio.run(demo.run(once=once))
    except asyncio.CancelledError:
        progress.print("ended")
    except GatewayFailed as failed:
        progress.print(f"ztproxy: {failed}", markup=False, highlight=False, soft_wrap=True)
        demo.status = 1
    return demo.status


class Demo:
    """One run of the demo.

    Args:
        out: for the table and the commands.
        progress: for what happens meanwhile.
    """

    def __init__(self, out: Console, progress: Console) -> None:
        self._out = out
        self._progress = progress
        self.status = 1

    async def run(self, *, once: bool) -> None:
        """Make the world, the calls and the table; then stay until this is cancelled, unless `once`."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        async with self._world() as (world, gateway, service):
            self._say(f"making {len(CALLS) + len(VISITS)} calls")
            outcomes = [await make(call, world, gateway, service) for call in CALLS]
            async with browser(world) as ben:
                outcomes += [await ben.visit(call, world, gateway, service) for call in VISITS]
            self._out.print(table(outcomes))
            self._conclude(outcomes)
            if not once:
                self._invite(world, gateway)
                async for record in gateway.follow():
                    self._tell(record)

    @asynccontextmanager
    async def _world(self) -> AsyncIterator[tuple[World, Gateway, SampleService]]:
        with tempfile.TemporaryDirectory(prefix="ztproxy-demo-") as name:
            world = World(Path(name), free_port())
            self._say("making three certificate authorities, a server certificate and seven SVIDs")
            world.write_certificates()
            async with sample_service(world) as (service, upstream), provider(world) as issuer:
                self._say(f"started five small applications ({upstream}) and an OIDC provider ({issuer})")
                world.write_tokens(issuer)
                world.write_config(issuer, upstream)
                gateway = await Gateway.start(world.config)
                try:
                    self._say(f"started the gateway (https://127.0.0.1:{gateway.port}, metrics on {gateway.admin})")
                    yield world, gateway, service
                finally:
                    await gateway.stop()

    def _say(self, text: str) -> None:
        self._progress.print(f"· {text}", markup=False, highlight=False, soft_wrap=True)

    def _conclude(self, outcomes: list[Outcome]) -> None:
        wrong = [outcome for outcome in outcomes if outcome.problems]
        for outcome in wrong:
            self._line(f"WRONG  {outcome.call.who}, {outcome.call.target}: {'; '.join(outcome.problems)}")
        self._line(f"{len(outcomes) - len(wrong)} of {len(outcomes)} calls were decided as they should be.")
        self.status = 1 if wrong else 0

    def _invite(self, world: World, gateway: Gateway) -> None:
        self._line(f"\nThe gateway's config, {world.config}:\n")
        self._line(world.config.read_text(encoding="utf-8"))
        self._line("Try it yourself, from another terminal:\n")
        for call in CALLS:
            if call.shown:
                self._line(f"# {call.who}: {name_of(call.status)}\n{curl(call, world.directory, gateway.port)}")
        self._line(f"# what was counted\ncurl -sS http://{gateway.admin}/metrics")
        self._invite_a_person(world)
        self._line("\nEach call shows here. Ctrl-C ends the demo and removes its files.\n")

    def _invite_a_person(self, world: World) -> None:
        key = load_certificates((world.directory / "edge.pem").read_bytes())[0].public_key()
        pin = base64.b64encode(
            hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
        )
        trusting = f'--user-data-dir="$(mktemp -d)" --ignore-certificate-errors-spki-list={pin.decode()}'
        hosts = " ".join([ACCESS, *APPLICATIONS])
        people = ", ".join(f"{person.name} ({person.role.lower()})" for person in PEOPLE.values())
        self._line(f"\nIn a browser, as one of three people, {people}:\n\n    {world.portal}\n")
        self._line(f"It warns of each host's certificate, for its authority is new: {world.directory / 'ca.pem'}.")
        self._line("Go on each time, or start a browser that trusts this one key (chrome and edge know how as well):\n")
        self._line(f"    chromium {trusting} {world.portal}\n")
        self._line(f"Where it does not find the names (Safari), /etc/hosts needs a line: 127.0.0.1 {hosts}")

    def _tell(self, record: Record) -> None:
        if record["type"] == "access":
            code = f" {record['code']}" if record["code"] else ""
            asked = f"{record['method']} {record['host']}{record['path']}"
            self._line(f"{record['status']}{code}  {asked}  {record['principal']['id'] or 'anonymous'}")
        elif record["type"] == "tls":
            self._line(f"no TLS: {record['reason']}")

    def _line(self, text: str) -> None:
        self._out.print(text, markup=False, highlight=False, soft_wrap=True)


def table(outcomes: Iterable[Outcome]) -> Table:
    """Return the table of who called what, and what came of it."""
    table = Table(
        title="What the gateway decided, and why, in its own records",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("who")
    table.add_column("call", overflow="fold", min_width=23)
    for name in ("expected", "status", "decision"):
        table.add_column(name, no_wrap=True)
    table.add_column("reason", overflow="fold", min_width=20)
    table.add_column("ms", justify="right", no_wrap=True)
    for outcome in outcomes:
        call, status = outcome.call, outcome.reply.status
        table.add_row(
            call.who,
            f"{call.host}{call.target}",
            name_of(call.status),
            name_of(status),
            outcome.decision,
            outcome.reason,
            f"{outcome.reply.milliseconds:.0f}",
            style="bold red" if outcome.problems else "green" if status == 200 else None,
        )
    return table


def _pin(world: World) -> str:
    """Return the digest by which a browser knows the key of the gateway's certificate (RFC 7469 section 2.4)."""
    certificate = load_certificates((world.directory / "edge.pem").read_bytes())[0]
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode("ascii")
