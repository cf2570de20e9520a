"""What `ztproxy check` finds in a config and in what it names, for a person and for a program."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.cli.reach import unreachable
from proxy.config.load import File, has_errors, read, render
from proxy.policy.engine import entry_points
from proxy.policy.reads import Reads
from proxy.server.runtime import Runtime
from proxy.server.snapshot import Snapshot, at_once, compile_file


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found.

    Args:
        file: the config, with every mistake and warning.
        decisions: what each rule that decides reads; none where there is a mistake.
    """

    file: File
    decisions: list[Reads]

    @property
    def good(self) -> bool:
        """Whether `run` would serve."""
        return self.file.config is not None

    def mistakes(self) -> list[str]:
        """Return a line for each mistake and warning."""
        return render(self.file.mistakes, self.file.path)

    def verdict(self) -> Iterator[str]:
        """Say of a good file that it is, and why decisions are not remembered.

        Of a policy that somebody can change it is also said which decisions seldom are.
        """
        config = self.file.config
        if config is None:
            return
        yield f"{self.file.path}: ok"
        is_ours = config.policy.engine == "embedded" and config.policy.path is None
        for reads in self.decisions:
            yield from () if is_ours and reads.obstacle is None else reads.told()

    def report(self) -> dict[str, object]:
        """Return all of it for a program."""
        return {
            "file": str(self.file.path),
            "ok": not has_errors(self.file.mistakes),
            "mistakes": [
                {"line": line, "path": mistake.path, "rule": mistake.rule, "severity": mistake.severity}
                for line, mistake in self.file.mistakes
            ],
            "decisions": [
                {
                    "path": reads.point,
                    "reads": [".".join(("input", *path)) for path in reads.paths],
                    "remembered": reads.obstacle is None,
                    "notes": reads.told(),
                }
                for reads in self.decisions
            ],
        }


def find(path: Path) -> Findings:
    """Read a config and let every room look at its section, as `run` does; no log is opened for it."""
    snapshot, file = at_once(compile_file(read(path), None, Runtime(recording=False)))
    if file.config is not None:
        file = file.with_mistakes(asyncio.run(unreachable(file.config)))
    return Findings(file, asyncio.run(_decisions(snapshot)) if snapshot is not None else [])


async def _decisions(snapshot: Snapshot) -> list[Reads]:
    """Return what each rule that decides reads; an OPA server is asked for its policy."""
    try:
        await snapshot.engine.look()
        return [snapshot.engine.plan(path).reads for path in entry_points(snapshot.config)]
    finally:
        await snapshot.engine.close()
