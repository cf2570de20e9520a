"""`ztproxy policy schema`: JSON Schemas, for editors and for OPA's type checker."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer


class Subject(StrEnum):
    """What there is a schema of."""

    TESTS = "tests"
    INPUT = "input"


def show(
    subject: Annotated[Subject, typer.Argument(metavar="tests|input", help="Of table tests, or of the input.")],
) -> None:
    """Write the JSON Schema of table tests or of the input document, for editors and for `opa check --schema`.

    Exit status: 0.

    Example: ztproxy policy schema tests > policy.schema.json

    Example: ztproxy policy schema input > input.json && opa check --schema input.json policies/
    """
    from proxy.workbench.glossary import input_schema
    from proxy.workbench.table_schema import schema_of_tests

    typer.echo(json.dumps(input_schema() if subject is Subject.INPUT else schema_of_tests(), indent=2))
