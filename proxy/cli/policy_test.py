"""`ztproxy policy test`: every test of a policy, in Rego and in tables."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from proxy.cli.policy_case import CANNOT_RUN, FAILED, stop

if TYPE_CHECKING:
    from proxy.policy.testing import Result
    from proxy.workbench.coverage import Coverage

_LOOK: Final = 0.2  # seconds between two looks at the files


class Format(StrEnum):
    """How results are told."""

    PRETTY = "pretty"
    JSON = "json"
    JUNIT = "junit"


class Engine(StrEnum):
    """Which engine runs the tests."""

    EMBEDDED = "embedded"
    OPA = "opa"
    BOTH = "both"


def run(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH…", help="Rego files, table tests, or folders of them and their data."),
    ],
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="What table tests are about that name no configuration."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Name the tests that passed, too.")] = False,
    form: Annotated[
        Format, typer.Option("--format", help="pretty for people, json for programs, junit for builds.")
    ] = Format.PRETTY,
    chosen: Annotated[
        str | None, typer.Option("--run", "-r", metavar="REGEX", help="Only tests in whose name this is found.")
    ] = None,
    timeout: Annotated[
        str | None, typer.Option("--timeout", "-t", metavar="TIME", help="What one test may take; 5s if left out.")
    ] = None,
    parallel: Annotated[
        int, typer.Option("--parallel", "-p", min=0, metavar="N", help="Processes at most; 0: as many as processors.")
    ] = 0,
    engine: Annotated[
        Engine, typer.Option("--engine", help="Which runs the tests; of both, a difference is a failure.")
    ] = Engine.EMBEDDED,
    opa: Annotated[
        Path | None, typer.Option("--opa", metavar="PATH", help="Where opa is, if it is not on the PATH.")
    ] = None,
    coverage: Annotated[bool, typer.Option("--coverage", help="Say which lines were not evaluated.")] = False,
    fail_under: Annotated[
        float, typer.Option("--fail-under", metavar="PERCENT", help="Fail if fewer lines were evaluated.")
    ] = 0.0,
    page: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the lines, coloured, as a page.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Run again whenever a file changes, until ^C.")] = False,
) -> None:
    """Run the tests of policies: rules called test_… in files called …_test.rego, and tables called ….policy.yaml.

    What is tested is what `ztproxy run` would load, and what it would refuse does not run. Table tests go the whole way
    of a request. Exit status: 0 when all passed, 1 when one did not, 2 when they could not run or there is none.

    Example: ztproxy policy test -v policies/

    Example: ztproxy policy test --coverage --fail-under 80 --format junit policies/ > results.xml
    """
    covers = coverage or page is not None or fail_under > 0
    if covers and engine is not Engine.EMBEDDED:
        stop("coverage is the embedded engine's: it must not stand beside --engine")
    seconds = None if timeout is None else _seconds(timeout)

    def once() -> int:
        from proxy.workbench.engines import CannotRun, run_by

        try:
            results, covered = run_by(
                str(engine), paths, config=config, chosen=chosen, processes=parallel, timeout=seconds, opa=opa,
                covers=covers,
            )  # fmt: skip
        except CannotRun as reasons:
            for reason in reasons.args:
                typer.echo(reason, err=True)
            return CANNOT_RUN
        status = _tell(results, form, verbose=verbose)
        return max(status, _tell_coverage(covered, fail_under, page)) if covers else status

    status = _watch(once, [*paths, *([config] if config else [])]) if watch else once()
    raise typer.Exit(status)


def _seconds(text: str) -> float:
    from proxy.config.units import parse_duration

    try:
        return parse_duration(text)
    except ValueError as wrong:
        stop(f"--timeout {wrong}")


def _tell(results: list[Result], form: Format, *, verbose: bool) -> int:
    """Write the results, and return the exit status that they mean."""
    from proxy.workbench.report import as_json, junit, passed, pretty

    if form is Format.JSON:
        typer.echo(json.dumps([as_json(result) for result in results], indent=2))
    elif form is Format.JUNIT:
        typer.echo(junit(results))
    else:
        for line in pretty(results, verbose=verbose):
            typer.echo(line)
    return 0 if passed(results) else FAILED


def _tell_coverage(coverage: Coverage, fail_under: float, page: Path | None) -> int:
    """Say what was covered, on stderr, for stdout has the results; return the exit status that it means."""
    from proxy.workbench import coverage as report

    files = coverage.files()
    for file in files:
        gaps = f"  not evaluated: {file.gaps}" if file.gaps else ""
        typer.echo(f"{file.percent:6.1f}%  {file.name}{gaps}", err=True)
    typer.echo(f"{coverage.percent:6.1f}%  of {len(files)} files", err=True)
    if page is not None:
        try:
            page.write_text(report.page(coverage), encoding="utf-8")
        except OSError as error:
            stop(f"{page}: cannot be written: {(error.strerror or '').lower()}")
    if coverage.percent < fail_under:
        typer.echo(f"coverage must be at least {fail_under:g}%, and is {coverage.percent:.1f}%", err=True)
        return FAILED
    return 0


def _watch(once: Callable[[], int], paths: list[Path]) -> int:
    """Run, and again whenever a file changes; return the last exit status when a person ends it."""
    status, seen = 0, None
    try:
        while True:
            now = _stamps(paths)
            if now != seen:
                seen = now
                status = once()
                typer.echo("watching …", err=True)
            time.sleep(_LOOK)
    except KeyboardInterrupt:
        return status


def _stamps(paths: list[Path]) -> dict[Path, tuple[int, int]]:
    """Return what tells that a file below the paths is another one than before."""
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
    stamps = {}
    for file in files:
        try:
            known = file.stat()
        except OSError:
            continue  # it went away in this moment, and the next look tells
        stamps[file] = known.st_mtime_ns, known.st_size
    return stamps
