"""`ztproxy policy parity`: whether a policy has the same answers on the embedded engine and on OPA."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proxy.cli import policy_case as said
from proxy.cli.policy_case import FAILED, Format, stop

if TYPE_CHECKING:
    from proxy.workbench.parity import Difference, Report

_SEEDS = 2**32


def compare(
    policy: Annotated[
        Path | None, typer.Argument(metavar="[PATH]", help="A Rego file, or a folder.", show_default=False)
    ] = None,
    config: said.Config = None,
    logs: Annotated[
        list[Path] | None, typer.Option("--log", metavar="FILE", help="A decision log, whose inputs are asked, too.")
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, metavar="N", help="How many inputs.")] = 2000,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, metavar="S", help="Of the inputs; another one each time if left out.")
    ] = None,
    opa: Annotated[
        Path | None, typer.Option("--opa", metavar="PATH", help="Where opa is, if it is not on the PATH.")
    ] = None,
    form: said.Form = Format.PRETTY,
) -> None:
    """Ask the embedded engine and a real OPA the same about a policy, and say where they differ.

    Every rule of the policy at PATH, or of the configuration's, is asked about inputs that are made of the routes, of
    tests in tables and in Rego, of decision logs, and of what the policy itself says. Of a difference the smallest
    input is shown. Exit status: 0 when all answers are the same, 1 when some differ, 2 when that cannot be found out.

    Example: ztproxy policy parity policies/examples/roles

    Example: ztproxy policy parity -c ztproxy.yaml --log decisions.jsonl --count 500 --seed 7
    """
    from proxy.workbench.judge import find_opa
    from proxy.workbench.parity import CannotRun, Parity

    rolled = random.SystemRandom().randrange(_SEEDS) if seed is None else seed
    try:
        binary = find_opa(opa)
        parity = Parity(config, policy, logs or ())
        with _progress(count) as progress:
            report = parity.compare(binary, rolled, count, progress)
    except CannotRun as reasons:
        stop(*reasons.args)
    if form is Format.JSON:
        typer.echo(json.dumps(_as_json(report, rolled), indent=2))
    else:
        for line in pretty(report, rolled):
            typer.echo(line)
    raise typer.Exit(FAILED if report.differences else 0)


@contextmanager
def _progress(count: int) -> Iterator[Callable[[], object]]:
    """Show a bar where a person looks at stderr, and yield what moves it."""
    import sys

    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("asking both engines", total=count)
        yield lambda: progress.advance(task)


def _told(answer: object) -> str:
    from proxy.policy.decision import UNDEFINED
    from proxy.workbench.judge import Failure

    if isinstance(answer, Failure):
        return f"fails: {' '.join(answer.message.split())}"
    return "undefined" if answer is UNDEFINED else json.dumps(answer, ensure_ascii=False)


def pretty(report: Report, seed: int) -> Iterator[str]:
    """Yield the lines that tell a person of a report."""
    from proxy.workbench.agreement import Verdict

    for difference in report.differences:
        yield f"{difference.rule.place}: {difference.rule.path} differs"
        yield f"  here   {_told(difference.ours)}"
        yield f"  OPA    {_told(difference.theirs)}"
        yield f"  input  {json.dumps(difference.document, ensure_ascii=False)}"
    same, asked = report.counted[Verdict.SAME], f"{len(report.rules)} rules, {report.inputs} inputs, seed {seed}"
    yield f"{same} of {report.counted.total()} answers are the same: {asked}"
    if failed := report.counted[Verdict.STRICTER]:
        yield f"{failed} times this engine fails where OPA answers, so that the request is refused:"
        yield from (f"  {rule}: {message}" for rule, message in report.stricter.items())
    if report.constant:
        yield f"always the same answer, whatever the input: {', '.join(report.constant)}"


def _as_json(report: Report, seed: int) -> dict[str, Any]:
    from proxy.workbench.agreement import Verdict

    return {
        "seed": seed,
        "inputs": report.inputs,
        "rules": [rule.path for rule in report.rules],
        "same": report.counted[Verdict.SAME],
        "stricter": report.counted[Verdict.STRICTER],
        "different": report.counted[Verdict.DIFFERENT],
        "constant": list(report.constant),
        "differences": [_difference(difference) for difference in report.differences],
    }


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        "rule": difference.rule.path,
        "place": difference.rule.place,
        "here": _told(difference.ours),
        "opa": _told(difference.theirs),
        "input": difference.document,
    }
