"""`ztproxy policy new`: a policy to begin with, and its tests."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.policy_case import stop


class Shape(StrEnum):
    """What access depends on."""

    ROLES = "roles"
    OWNER = "owner"
    DEVICE = "device"
    HOURS = "hours"


def write(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; made if it is missing.")],
    shape: Annotated[
        Shape, typer.Option("--shape", help="What access depends on: roles, an owner, a device, or the hour.")
    ] = Shape.ROLES,
) -> None:
    """Write a policy to begin with, its data, and tests of both kinds, which pass.

    Nothing that is there is replaced. Exit status: 0, or 2 when DIR has such a file already or cannot be written to.

    Example: ztproxy policy new access/ && ztproxy policy test access/

    Example: ztproxy policy new --shape device payroll/
    """
    from proxy.workbench import shapes

    try:
        files = shapes.write(shape, directory)
    except shapes.CannotRun as reasons:
        stop(*reasons.args)
    for file in files:
        typer.echo(file)
