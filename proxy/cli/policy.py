"""`ztproxy policy`: the policy workbench."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from proxy.cli import policy_eval, policy_input, policy_schema

if TYPE_CHECKING:
    from proxy.policy.testing import Result

FAILED: Final = 1
CANNOT_RUN: Final = 2
_RULE: Final = "-" * 80

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")


class Format(StrEnum):
    """How results are told."""

    TEXT = "text"
    JSON = "json"


@app.callback()
def policy() -> None:
    """Ask and test policies, and write what an OPA server needs.

    Example: ztproxy policy test policies/
    """


app.command("eval")(policy_eval.evaluate)
app.command("input")(policy_input.show)
app.command("schema")(policy_schema.show)


@app.command("test")
def run(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH…", help="Rego files, or folders of them and their data.")
    ],
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Name the tests that passed, too.")] = False,
    form: Annotated[Format, typer.Option("--format", help="text for people, json for programs.")] = Format.TEXT,
) -> None:
    """Run the tests of policies: every rule called test_… in files called …_test.rego.

    What is tested is what `ztproxy run` would load, on the embedded engine, and what it would refuse does not run. Exit
    status: 0 when all passed, 1 when one did not, 2 when they could not run or there is none.

    Example: ztproxy policy test -v policies/
    """
    from proxy.policy.testing import CannotRun, run_tests

    try:
        results = run_tests(paths)
    except CannotRun as reasons:
        for reason in reasons.args:
            typer.echo(reason, err=True)
        raise typer.Exit(CANNOT_RUN) from None
    if form is Format.JSON:
        typer.echo(json.dumps([_as_json(result) for result in results], indent=2))
    else:
        for line in _as_text(results, verbose=verbose):
            typer.echo(line)
    raise typer.Exit(0 if all(result.outcome == "pass" for result in results) else FAILED)


def _as_json(result: Result) -> dict[str, object]:
    """Return a result as `opa test --format json` has it."""
    test = result.test
    out: dict[str, object] = {
        "location": {"file": test.file, "row": test.line, "col": test.column},
        "package": test.package,
        "name": test.name,
        "duration": result.duration_ns,
    }
    if result.outcome == "fail":
        out["fail"] = True
    if result.outcome == "error":
        out["error"] = {"message": result.message}
    return out


def _as_text(results: list[Result], *, verbose: bool) -> Iterator[str]:
    told = [result for result in results if verbose or result.outcome != "pass"]
    for file, of_file in groupby(told, key=lambda result: result.test.file):
        yield f"{file}:"
        for result in of_file:
            yield from _lines(result)
        yield ""
    if told:
        yield _RULE
    for outcome in ("pass", "fail", "error"):
        count = sum(result.outcome == outcome for result in results)
        if count or outcome == "pass":
            yield f"{outcome.upper()}: {count}/{len(results)}"


def _lines(result: Result) -> Iterable[str]:
    test = result.test
    yield f"{test.rule}: {result.outcome.upper()} ({result.duration_ns / 1000:.0f}µs)"
    if result.outcome != "pass":
        yield f"  {test.place}"
    if result.message:
        yield f"  {result.message}"


@app.command()
def export(
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The configuration.")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; made if it is missing.")],
) -> None:
    """Write the default policy and the data of FILE's routes, for an OPA server.

    DIR gets authz.rego and data.json, which replace what has these names there. Exit status: 0, or 2 when FILE has a
    mistake or DIR cannot be written.

    Example: ztproxy policy export -c ztproxy.yaml opa/ && opa run --server opa/
    """
    from proxy.config.load import read, render
    from proxy.policy.allow import allow_mistakes, route_data
    from proxy.policy.sources import default_policy

    file = read(config)
    if file.config is not None:
        file = file.with_mistakes(allow_mistakes(file.config))
    for line in render(file.mistakes, config):
        typer.echo(line, err=True)
    if file.config is None:
        raise typer.Exit(CANNOT_RUN)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        rego, data = directory / "authz.rego", directory / "data.json"
        rego.write_text(default_policy().read_text(encoding="utf-8"), encoding="utf-8")
        data.write_text(json.dumps(route_data(file.config), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        typer.echo(f"{error.filename}: cannot be written: {(error.strerror or '').lower()}", err=True)
        raise typer.Exit(CANNOT_RUN) from None
    typer.echo(f"{rego}\n{data}")
