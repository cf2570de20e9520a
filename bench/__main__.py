"""Measure the proxy beside others, and say which bars it meets.

    python -m bench [--cases small,bulk] [--rounds 3] [--peers 'ztproxy*,envoy-rbac']

Results go to bench/results/: latest.json, latest.md, latest.svg. `--publish` measures nothing: it puts the last results
into docs/performance.md and docs/performance.svg.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

from bench import report, rounds
from bench.cases import CASES, Case
from bench.fleet import Fleet
from bench.process import LOAD_CORE, PROXY_CORE, allow_many_files
from bench.progress import Progress
from bench.tools import absent, machine, versions


def main() -> int:
    """Return 0 when every bar that was measured is met, 1 when one is not, 2 when something is absent."""
    arguments = parse()
    if arguments.publish:
        report.read().publish()
        return 0
    cases = chosen(arguments.cases.split(","), arguments.peers.split(","))
    missing = absent(sorted({program for case in cases for run in case.runs for program in run.programs}))
    if missing or not cases:
        print(
            "\n".join(missing or [f"no such case; there are {', '.join(case.name for case in CASES)}"]), file=sys.stderr
        )
        return 2
    if LOAD_CORE == PROXY_CORE:
        print("there is one core: load and proxy share it, and the figures say little", file=sys.stderr)
    done = measured(cases, arguments)
    done.write(arguments.results)
    print(done.markdown())
    return 0 if all(verdict.good for verdict in done.verdicts) else 1


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", default="*", help="names, or the part before a dash; with commas between")
    parser.add_argument("--peers", default="*", help="whom to measure, with commas between; * stands for anything")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="that each load lasts")
    parser.add_argument(
        "--soak-minutes", type=float, default=10, help="that the load lasts under which memory is watched"
    )
    parser.add_argument("--results", type=Path, default=report.RESULTS, help="the directory for the results")
    parser.add_argument("--publish", action="store_true", help="put the last results into docs/")
    return parser.parse_args()


def chosen(names: Sequence[str], peers: Sequence[str]) -> list[Case]:
    """Return the cases of these names, with the runs of these peers alone."""
    cases = [
        case for case in CASES if any(fnmatch(case.name, name) or case.name.startswith(f"{name}-") for name in names)
    ]
    kept = [replace(case, runs=tuple(run for run in case.runs if _among(run.peer, peers))) for case in cases]
    return [case for case in kept if case.runs]


def measured(cases: Sequence[Case], arguments: argparse.Namespace) -> report.Report:
    """Measure, and return the results."""
    allow_many_files()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
    signal.signal(signal.SIGTERM, stopped)
    os.sched_setaffinity(0, {LOAD_CORE})
    settings = {"rounds": f"{arguments.rounds}", "seconds each": f"{arguments.seconds:g}"}
    date = datetime.now(UTC).isoformat(timespec="seconds")
    with (
        tempfile.TemporaryDirectory(prefix="ztproxy-bench-") as place,
        Fleet(Path(place), seconds=arguments.seconds, soak_seconds=arguments.soak_minutes * 60) as fleet,
        Progress(rounds.steps(cases, arguments.rounds)) as progress,
    ):
        figures = rounds.run(cases, arguments.rounds, fleet, progress)
    return report.Report(date, machine(), versions(), settings, figures)


def stopped(number: int, frame: object) -> None:
    """Leave, so that everybody who was started is ended; once, for make and a terminal may both say so."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(1)


def _among(peer: str, names: Sequence[str]) -> bool:
    return any(fnmatch(peer, name) for name in names)


if __name__ == "__main__":
    sys.exit(main())
