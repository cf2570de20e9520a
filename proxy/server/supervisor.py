"""The process above several workers: it owns the sockets, hears the signals, and answers on the admin address for all.

It starts as a process of its own (`ztproxy run` becomes it), so that it stays small and holds no key, token or policy:
what a config means is the workers' to find out (`generation`). A worker that ends is made again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from proxy.config.address import parse_address
from proxy.server.admin import Admin
from proxy.server.children import Child, Children
from proxy.server.generation import Disagreement, Generation, Proposal, Watch, close, discard, propose
from proxy.server.moves import tell_fresh
from proxy.server.sockets import ListeningSocket
from proxy.server.tasks import Tasks
from proxy.server.watch import WATCH_SECONDS, Prints
from proxy.telemetry import sums
from proxy.telemetry.access import event_record
from proxy.telemetry.funnel import Funnel
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.records import FLUSH_SECONDS, Writers
from proxy.telemetry.sink import tell

_MEASURE_SECONDS = 2.0  # for a worker's metrics; Prometheus waits for ten by default
_AGAIN_SECONDS = 0.1  # after files changed while they were read
_END_SECONDS = 10.0  # for a worker to write its last records and end, after its drain


class Supervisor:
    """The process.

    Args:
        path: the config file.
        count: how many workers there are to be.
        funnel: takes the records of all.
    """

    def __init__(self, path: Path, count: int, funnel: Funnel) -> None:
        self._path = path
        self._metrics = Metrics()
        self._writers = Writers(self._metrics)
        self._events = self._writers.open("stdout")
        self._generation = Generation(count)
        self._watch = Watch()
        self._children = Children(count, path, funnel, self._worker_ended)
        self._count = count
        self._ended = sums.Totals()
        self._controls: dict[str, Admin] = {}
        self._tasks = Tasks()
        self._asked = False
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Serve until a signal says otherwise, then drain; return the exit status."""
        self._listen_to_signals()
        self._children.make()
        try:
            status = await self._begin()
            if status is None:
                rounds = self._tasks.spawn(self._rounds(), "rounds")
                await self._stopping.wait()
                rounds.cancel()
                await self._drain()
        finally:
            await self._children.end()
            await self._writers.close(FLUSH_SECONDS)
        return status or 0

    def _worker_ended(self, child: Child, pause: float) -> None:
        self._generation.share_out(self._children.living)
        self._ended.add(child.told, ended=True)
        self._metrics.worker_restarts.inc()
        tell(f"worker {child.slot} ended by {child.end}, is made again" + (f" in {pause:g} s" if pause else ""))
        fields = {"worker": child.slot, "pid": child.process.pid, "reason": child.end, "restart_in": pause}
        self._observe("worker_ended", fields)

    # --- generations

    async def _begin(self) -> int | None:
        """Take the first generation into service; return an exit status where that fails."""
        while True:
            try:
                proposed = await propose(self._children.living)
            except Disagreement:
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            break
        if self._stopping.is_set():
            return 0
        if proposed is None or len(proposed[1]) < self._count:
            tell("cannot serve: a worker ended before it could")
            return 1
        proposal, children = proposed
        for line in proposal.lines:
            sys.stderr.write(line + "\n")
        if not proposal.good:
            return 2
        bound: dict[str, list[ListeningSocket]] = {}
        try:
            bound = self._generation.bind(proposal)
            await self._open_controls(proposal)
        except OSError as error:
            close(bound)
            tell(f"cannot serve: {error.strerror or error}")
            return 1
        self._children.replaced = not self._stopping.is_set()
        await self._adopt(proposal, bound, children)
        return None

    async def _rounds(self) -> None:
        """Bring every worker to the generation that the files say, for ever."""
        while True:
            self._children.fresh.clear()
            waiting = [child for child in self._children.living if not child.serving and not child.refused]
            try:
                if self._asked or self._watch.changed:
                    self._asked = False
                    await self._round(self._children.living)
                elif waiting:
                    await self._round(waiting)
                async with asyncio.timeout(WATCH_SECONDS):
                    await self._children.fresh.wait()
            except TimeoutError:
                continue
            except Exception as error:  # whatever happens, the next try will come
                tell(f"reload failed: {type(error).__name__}: {error}")
                await asyncio.sleep(WATCH_SECONDS)

    async def _round(self, children: list[Child]) -> None:
        before = self._watch.look()
        everybody = len(children) == len(self._children.living)
        try:
            proposed = await propose(children)
        except Disagreement:
            await self._again()
            return
        if proposed is None:
            return
        proposal, children = proposed
        now = self._generation.now
        assert now is not None
        alone = not any(child.serving for child in children)
        if alone and not everybody and proposal.prints != now.prints:
            discard(children)
            await self._again()
        elif not proposal.good:
            self._refuse(proposal, before, children)
        else:
            await self._accept(proposal, before, children, joins=alone and proposal.prints == now.prints)

    async def _again(self) -> None:
        self._asked = True
        await asyncio.sleep(_AGAIN_SECONDS)
        self._children.fresh.set()

    async def _accept(self, proposal: Proposal, before: Prints, children: list[Child], *, joins: bool) -> None:
        try:
            bound = self._generation.bind(proposal)
        except OSError as error:
            self._refuse(proposal, before, children, f"{self._path}: {error.strerror or error}")
            return
        if not joins:
            for line in proposal.lines:
                tell(line)
        await self._adopt(proposal, bound, children)
        if not joins:
            self._metrics.reloads.of("ok").inc()
            self._observe("reloaded", {"policy_revision": proposal.revision})

    def _refuse(self, proposal: Proposal, before: Prints, children: list[Child], *more: str) -> None:
        discard(children)
        for child in children:
            child.refused = True
        self._watch.refused(proposal, before)
        lines = [*proposal.lines, *more]
        for line in lines:
            tell(line)
        self._metrics.reloads.of("refused").inc()
        self._observe("reload_refused", {"mistakes": lines})

    async def _adopt(self, proposal: Proposal, bound: dict[str, list[ListeningSocket]], children: list[Child]) -> None:
        before = self._generation.addresses
        await self._generation.adopt(proposal, bound, children)
        self._children.served(children)
        self._generation.share_out(self._children.living)
        self._watch.adopted(proposal)
        self._ended.keep_routes(proposal.routes)
        self._writers.reopen()
        addresses = self._generation.addresses
        if tell_fresh(before, addresses):
            controls = {name: admin.address for name, admin in self._controls.items()}
            self._observe("listening", {"listeners": addresses, **controls, "workers": self._count})

    # --- what is told

    def _observe(self, event: str, fields: dict[str, Any]) -> None:
        if self._events is not None:
            self._events.write(event_record(event, **fields))

    async def _open_controls(self, proposal: Proposal) -> None:
        for name, address in proposal.controls:
            admin = Admin(self._unready, self._expose if name == "admin" else None)
            await admin.start(ListeningSocket(parse_address(address)))
            self._controls[name] = admin

    def _unready(self) -> str:
        if self._stopping.is_set():
            return "draining"
        return "" if any(child.serving for child in self._children.living) else "no worker serves"

    async def _expose(self) -> bytes:
        measured = await asyncio.gather(*(child.measure(_MEASURE_SECONDS) for child in self._children.living))
        return sums.total([sums.told(self._metrics.registry), *measured, self._ended.families()]).expose()

    # --- the end

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._children.reap)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)

    def _reload(self) -> None:
        self._asked = True
        self._children.fresh.set()

    def _stop(self) -> None:
        if self._stopping.is_set():
            tell("second signal, ending at once")
            self._children.kill()
            os._exit(1)
        self._children.replaced = False
        self._stopping.set()

    async def _drain(self) -> None:
        """Tell load balancers, let the workers drain, end."""
        now = self._generation.now
        assert now is not None
        delay, timeout = now.drain
        self._observe("draining", {"delay": delay, "timeout": timeout})
        self._generation.close()  # each worker takes what waits, closes, and then nothing more may come
        for child in self._children.living:
            child.channel.send({"do": "drain"})
        try:
            async with asyncio.timeout(delay + timeout + _END_SECONDS):
                while self._children.living:
                    self._children.fresh.clear()
                    await self._children.fresh.wait()
        except TimeoutError:
            tell("a worker did not end by itself")
        for admin in self._controls.values():
            await admin.stop()
        await self._tasks.end()
        self._observe("stopped", {})


async def _run(path: Path, count: int, funnel: Funnel) -> int:
    return await Supervisor(path, count, funnel).run()


def main() -> None:
    """Run the supervisor: its arguments are the config file and the number of workers."""
    path, count = sys.argv[1:]
    stdout = os.dup(1)
    funnel = Funnel(stdout)
    own = funnel.pipe()
    os.dup2(own, 1)  # our records, like a worker's
    os.close(own)
    status = asyncio.run(_run(Path(path), int(count), funnel))
    os.dup2(stdout, 1)
    funnel.close(FLUSH_SECONDS)
    sys.exit(status)


if __name__ == "__main__":
    main()
