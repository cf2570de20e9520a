"""`ztproxy policy eval`: one decision, as the gateway would make it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli import policy_case as said
from proxy.cli.policy_case import FAILED, Format, open_desk, read_case, read_text, stop

if TYPE_CHECKING:
    from proxy.workbench.desk import Desk
    from proxy.workbench.outcome import Outcome


def evaluate(
    request: said.Request = None,
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
    form: said.Form = Format.PRETTY,
) -> None:
    """Say what the gateway would answer to a request, without one.

    The whole way of a request: what its target may be, its route, who makes it, the decision, the status. Only
    signatures and certificates are taken as good. With --input the policy alone is asked. Exit status: 0 when the
    request would go on, 1 when it would not, 2 when that cannot be said.

    Example: ztproxy policy eval -c ztproxy.yaml --as user:ana --groups engineering GET https://wiki.example.org/x

    Example: ztproxy policy eval --policy policies/examples/roles --input input.json
    """
    desk = open_desk(config, policy, decision)
    if document is not None:
        if request or curl:
            stop("a request must not stand beside --input")
        outcome, title = _of_document(desk, document), str(document)
    else:
        case = read_case(
            request, curl, who=who, groups=groups, claims=claims, issuer=issuer, email=email, device=device,
            workload=workload, age=age, amr=amr, acr=acr, headers=headers, source=source, at=at,
        )  # fmt: skip
        title = str(case)
        try:
            outcome = desk.decide(case)
        except ValueError as wrong:
            stop(wrong)
    if form is Format.JSON:
        typer.echo(json.dumps(outcome.as_json(), indent=2))
    else:
        for line in pretty(outcome, title):
            typer.echo(line)
    raise typer.Exit(0 if outcome.code is None else FAILED)


def _of_document(desk: Desk, path: Path) -> Outcome:
    from proxy.workbench.asking import read_document

    try:
        return desk.evaluate(read_document(read_text(path)))
    except ValueError as wrong:
        stop(f"{path}: {wrong}")


def pretty(outcome: Outcome, title: str) -> Iterator[str]:
    """Yield the lines that tell a person of an outcome.

    Args:
        title: what was asked.
    """
    verdict = "allowed" if outcome.allow else "answered" if outcome.code is None else "refused"
    status = f"{outcome.status} " if outcome.status else ""
    yield f"{verdict}: {status}{outcome.code or ''}".rstrip()
    rows = [
        ("asked", title),
        ("route", outcome.route),
        ("rule", outcome.point),
        ("reasons", ", ".join(outcome.reasons)),
        ("detail", outcome.detail if outcome.detail != ", ".join(outcome.reasons) else ""),
        ("told", outcome.public_reason),
        *(("header", f"{name}: {value}") for name, value in outcome.headers),
        *(("note", note) for note in outcome.notes),
        ("took", f"{outcome.milliseconds:.1f} ms"),
    ]
    for name, value in rows:
        if value:
            yield f"  {name:8} {value}"
