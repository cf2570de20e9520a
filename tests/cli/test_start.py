"""What a command loads before it works: help is answered by what draws it, and a gateway by what it serves with."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LOADED = """
import json, sys
from proxy.cli import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
DRAWING = {"annotated_doc", "attr", "colorama", "markdown_it", "mdurl", "pygments", "rich", "shellingham", "typer"}
READING = {
    "annotated_types",
    "pydantic",
    "pydantic_core",
    "typing_extensions",
    "typing_inspection",
}  # by typer, of options


def loaded(*words: str) -> set[str]:
    """Return the modules that a command of a fresh interpreter has loaded when it ends."""
    done = subprocess.run([sys.executable, "-c", LOADED, *words], check=True, capture_output=True, text=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


def packages(modules: set[str]) -> set[str]:
    """Return those that are not Python's own."""
    tops = {module.partition(".")[0] for module in modules}
    return {top for top in tops if not top.startswith("_")} - sys.stdlib_module_names


def rooms(modules: set[str]) -> set[str]:
    """Return the rooms of the gateway that modules are of."""
    return {module.split(".")[1] for module in modules if module.startswith("proxy.")}


def test_the_help_loads_nothing_but_what_draws_it() -> None:
    modules = loaded("--help")
    assert packages(modules) - DRAWING == {"proxy"}
    assert {"asyncio", "importlib.metadata", "ssl"}.isdisjoint(modules)


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["check", "--help"],
        ["demo", "--help"],
        ["config", "schema", "--help"],
        ["certs", "issue", "--help"],
        ["policy", "test", "--help"],
    ],
    ids=" ".join,
)
def test_help_loads_no_room_but_that_of_the_commands(words: list[str]) -> None:
    modules = loaded(*words)
    assert packages(modules) - DRAWING - READING == {"proxy"}
    assert rooms(modules) == {"cli"}


def test_the_schema_loads_the_config_and_none_of_the_rooms_that_serve() -> None:
    assert rooms(loaded("config", "schema")) == {"cli", "config"}


def test_a_worker_loads_nothing_that_only_the_admin_address_or_an_issuer_on_the_network_needs() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import json, sys, proxy.server.member; print(json.dumps(sorted(sys.modules)))"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert {"aiohttp", "opa_client", "requests", "rich", "typer"}.isdisjoint(packages(set(json.loads(done.stdout))))
