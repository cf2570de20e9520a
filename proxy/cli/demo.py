"""`ztproxy demo`: the main job on this machine alone, in half a minute, with nothing to set up."""

from __future__ import annotations

from typing import Annotated

import typer


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Leave after the table; status 0 if every call went right.")
    ] = False,
) -> None:
    """Run a real gateway with small applications and a provider on this machine alone, and make 20 calls to it.

    Its table says what each should come to, and what the gateway decided and why. Then it stays, for your browser and
    your shell. Exit status: 0 if all went right.

    Example: ztproxy demo --once
    """
    from proxy.cli.demo_run import play

    raise typer.Exit(play(once=once))
