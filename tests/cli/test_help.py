"""`ztproxy --help` and `--version`: what somebody learns who has nothing but the program."""

from __future__ import annotations

import re
from importlib.metadata import version

import click
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from proxy.cli import app
from proxy.cli.demo_browser import VISITS
from proxy.cli.demo_calls import CALLS


def commands(command: click.Command, words: tuple[str, ...]) -> list[tuple[str, ...]]:
    below = getattr(command, "commands", {})
    return [words, *(found for name, one in below.items() for found in commands(one, (*words, name)))]


def shown(*words: str) -> str:
    result = CliRunner().invoke(app, [*words], env={"COLUMNS": "120"})
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("words", commands(get_command(app), ()), ids=" ".join)
def test_every_help_has_an_example_of_a_command_that_exists(words: tuple[str, ...]) -> None:
    examples = re.findall(r"Example: ztproxy ([^\n]+)", shown(*words, "--help"))
    assert examples
    for example in examples:
        assert example.split()[: len(words)] == list(words)
        assert any(tuple(example.split()[: len(known)]) == known for known in commands(get_command(app), ()) if known)


def test_the_demo_says_how_many_calls_it_makes() -> None:
    assert f"make {len(CALLS) + len(VISITS)} calls" in re.sub(r"\s+", " ", shown("demo", "--help"))


def test_the_version_is_that_of_the_package() -> None:
    assert shown("--version") == f"ztproxy {version('ztproxy')}\n"
