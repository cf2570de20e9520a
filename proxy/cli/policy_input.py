"""`ztproxy policy input`: what a policy would see of a request, field by field."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from proxy.cli import policy_case as said
from proxy.cli.policy_case import Format, open_desk, read_case, stop

if TYPE_CHECKING:
    from proxy.policy.reads import Reads

_WIDTH = 110
_VALUE = 60


def show(
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
    form: said.Form = Format.PRETTY,
) -> None:
    """Show the input document of a request, with what each field means.

    What the rule that decides reads is marked with *. With --format json the document alone is written, as `eval
    --input` and `opa eval --input` take it. Exit status: 0, or 2 when the request does not come to a decision.

    Example: ztproxy policy input -c ztproxy.yaml --as user:ana --groups engineering GET https://wiki.example.org/x

    Example: ztproxy policy input --policy policies/examples/roles --format json GET https://any.example.org/x
    """
    from proxy.errors import Refused

    desk = open_desk(config, policy, decision)
    case = read_case(
        request, curl, who=who, groups=groups, claims=claims, issuer=issuer, email=email, device=device,
        workload=workload, age=age, amr=amr, acr=acr, headers=headers, source=source, at=at,
    )  # fmt: skip
    try:
        outcome = desk.decide(case)
        document = outcome.input
    except (ValueError, Refused) as wrong:
        stop(wrong)
    for note in outcome.notes:
        typer.echo(f"note: {note}", err=True)
    if document is None:
        stop(f"no policy is asked about this request: {outcome.status} {outcome.code or ''} {outcome.detail}".rstrip())
    if form is Format.JSON:
        typer.echo(json.dumps(document, indent=2))
        return
    for line in _annotated(document, desk.engine.plan(outcome.point).reads if outcome.point else None):
        typer.echo(line)


def _annotated(document: dict[str, Any], reads: Reads | None) -> Iterator[str]:
    from proxy.workbench.glossary import TERMS, leaves

    if reads is not None:
        yield f"* is read by {reads.point}"
    for path, value in leaves(document):
        term = TERMS.get(path)
        mark = "*" if reads is not None and _is_read(path, reads) else " "
        yield f"{mark} {path} = {_short(value)}"
        if term is not None:
            yield from textwrap.wrap(term.text, _WIDTH, initial_indent="      ", subsequent_indent="      ")


def _is_read(path: str, reads: Reads) -> bool:
    """Tell whether a rule reads a field, a part of it, or what holds it."""
    steps = tuple(path.split("."))
    return any(read[: len(steps)] == steps[: len(read)] for read in reads.paths)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _VALUE else f"{text[: _VALUE - 2]} …"
