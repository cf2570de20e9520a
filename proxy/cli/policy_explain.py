"""`ztproxy policy explain`: why a request is permitted or refused, and what would have to be otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli import policy_case as said
from proxy.cli.policy_case import FAILED, Format, open_desk, read_case, read_text, stop

if TYPE_CHECKING:
    from proxy.workbench.desk import Desk
    from proxy.workbench.explain import Explanation

Tests = Annotated[
    list[Path] | None,
    typer.Option("--tests", metavar="PATH", help="Table tests, or folders of them, whose people are known too."),
]
Logs = Annotated[
    list[Path] | None, typer.Option("--log", metavar="LOG", help="A decision log, whose people are known too.")
]


def explain(
    request: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[METHOD] URL", help="The request; with --decision-id a decision log.", show_default=False
        ),
    ] = None,
    config: said.Config = None,
    policy: said.Policy = None,
    decision: said.Decision = None,
    who: said.As = None,
    groups: said.Groups = None,
    claims: said.Claims = None,
    issuer: said.Issuer = None,
    email: said.Email = None,
    device: said.Device = None,
    workload: said.Workload = None,
    age: said.Age = None,
    amr: said.Amr = None,
    acr: said.Acr = None,
    headers: said.Header = None,
    source: said.Source = None,
    at: said.At = None,
    curl: said.Curl = None,
    document: Annotated[
        Path | None, typer.Option("--input", metavar="FILE", help="A JSON input document, in place of a request.")
    ] = None,
    decision_id: Annotated[
        str | None, typer.Option("--decision-id", metavar="ID", help="A decision of the log that is named.")
    ] = None,
    tests: Tests = None,
    logs: Logs = None,
    form: said.Form = Format.PRETTY,
) -> None:
    """Say why a request is permitted or refused, and the shortest change that would be permitted.

    Of entries of `allow`: what each lacks. Of a policy of your own: each rule that might have permitted, with its first
    condition that fails and what that saw. A change is told once the policy has permitted the request that it makes.
    Exit status: 0 when the request would go on, 1 when it would not, 2 when that cannot be said.

    Example: ztproxy policy explain -c ztproxy.yaml --as user:ana --groups sales GET https://wiki.example.org/x

    Example: ztproxy policy explain -c ztproxy.yaml --decision-id 5f0c1e6a decisions.jsonl
    """
    from proxy.workbench.explain import explain as explained
    from proxy.workbench.told import Places, as_json, pretty

    desk = open_desk(config, policy, decision)
    if decision_id is not None:
        told = _logged(desk, request, decision_id)
    elif document is not None:
        told = _of_document(desk, document, request, curl)
    else:
        case = read_case(
            request, curl, who=who, groups=groups, claims=claims, issuer=issuer, email=email, device=device,
            workload=workload, age=age, amr=amr, acr=acr, headers=headers, source=source, at=at,
        )  # fmt: skip
        told = _caught(lambda: explained(desk, case, tests or (), logs or ()))
    places = Places(config, desk)
    lines = [json.dumps(as_json(told, places), indent=2)] if form is Format.JSON else pretty(told, places)
    for line in lines:
        typer.echo(line)
    raise typer.Exit(0 if told.outcome.code is None else FAILED)


def _caught(work: Callable[[], Explanation]) -> Explanation:
    from proxy.workbench.desk import CannotRun

    try:
        return work()
    except ValueError as wrong:
        stop(wrong)
    except CannotRun as reasons:
        stop(*reasons.args)


def _logged(desk: Desk, request: list[str] | None, decision_id: str) -> Explanation:
    from proxy.workbench.explain import explain_record, find_record

    if not request or len(request) > 1:
        stop("beside --decision-id one decision log must be named")
    return _caught(lambda: explain_record(desk, find_record(Path(request[0]), decision_id)))


def _of_document(desk: Desk, path: Path, request: list[str] | None, curl: Path | None) -> Explanation:
    from proxy.workbench.asking import read_document
    from proxy.workbench.explain import explain_document

    if request or curl:
        stop("a request must not stand beside --input")
    return _caught(lambda: explain_document(desk, read_document(read_text(path)), str(path)))
