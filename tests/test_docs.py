"""What the documents say, held against the project."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.cli.demo_browser import VISITS
from proxy.cli.demo_calls import CALLS
from proxy.errors import TARGET_REFUSED, Refused
from proxy.http.headers import clean_request
from proxy.http.target import parse_target
from proxy.telemetry.metrics import Metrics
from tests.image import ROOT

PAGES = sorted(path for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
ZTPROXY = [sys.executable, "-m", "proxy"]


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def code(text: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", text)


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_of_the_package_that_are_named_exist(page: Path) -> None:
    rooms = "|".join(path.name for path in (ROOT / "proxy").iterdir() if path.is_dir() and path.name != "__pycache__")
    for name in re.findall(rf"`(?:proxy/)?((?:{rooms})/\w+)(?:\.py)?`", page.read_text(encoding="utf-8")):
        assert (ROOT / "proxy" / f"{name}.py").exists(), name


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached:
            continue
        reached.add(page)
        for link in re.findall(r"\]\(([^)\s#]+)", page.read_text(encoding="utf-8")):
            target = (page.parent / link).resolve()
            ahead += sorted(target.glob("*.md")) if target.is_dir() else [target] if target in PAGES else []
    assert reached >= set(PAGES)


def test_the_readme_says_what_it_is_in_three_sentences_and_names_two_commands() -> None:
    first = README.split("\n\n")[1]
    assert len(re.findall(r"[.](?:\s|$)", first)) == 3
    (commands,) = blocks(README.split("## One request's way")[0], "console")
    assert re.findall(r"^\$ (.+?)(?:  .*)?$", commands, re.MULTILINE) == ["make demo", "make test"]
    assert f"{len(CALLS) + len(VISITS)} calls" in commands


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_config_and_the_commands_of_the_readme_work_as_pasted(tmp_path: Path) -> None:
    (config,) = blocks(README, "yaml")
    assert len(config.splitlines()) == 15
    before, after = blocks(README, "sh")
    for folder in ("certs", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    curl = after.splitlines()[-1]
    refused = [re.sub(r" --cert \S+ --key \S+", "", curl), curl.replace("/decisions/", "/")]
    after = "\n".join([after, *refused])
    pasted = f"{before}cat > dev/example.org/ztproxy.yaml <<'END'\n{config}END\n{after}"
    # Ports that are free, and an issuer on this machine, for nobody outside it is asked by a test.
    for text, local in (
        ("8443", free_port()),
        ("8080", free_port()),
        ("https://idp.example.org", "http://127.0.0.1:9"),
    ):
        pasted = pasted.replace(str(text), str(local))
    commands = tmp_path / ".venv" / "bin"
    commands.mkdir(parents=True)
    (commands / "ztproxy").write_text(f'#!/bin/sh\nexec {sys.executable} -m proxy "$@"\n')
    (commands / "ztproxy").chmod(0o755)
    shell = subprocess.Popen(
        ["bash", "-e", "-c", pasted], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        status = shell.wait(timeout=60)
    finally:
        os.killpg(shell.pid, signal.SIGTERM)
    out, err = shell.communicate(timeout=60)
    assert status == 0, out + err
    assert "dev/example.org/ztproxy.yaml: ok" in out
    assert re.findall(r"HTTP/1.1 (\d+)", out) == ["200", "401", "401"], out + err


def test_every_metric_is_in_the_operations_page_with_its_labels() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    told = {
        row[1]: tuple(re.findall(r"`(\w+)`", row[2]))
        for row in re.finditer(r"^\| `(ztproxy_\w+)` \|([^|]*)\|", page, re.MULTILINE)
    }
    metrics = Metrics()
    served = {
        name: tuple(getattr(collector, "_labelnames", None) or collector.__dict__.get("labels", ()))
        for collector, names in metrics.registry._collector_to_names.items()
        for name in names
        if name in told
    }
    assert told == served
    families = {family.name + ("_total" if family.type == "counter" else "") for family in metrics.registry.collect()}
    assert families == set(told)


CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the rows of the table below a heading of the configuration page."""
    section = CONFIGURATION.partition(f"### {heading}\n")[2].partition("\n#")[0]
    return [row.strip("| ").split(" | ") for row in re.findall(r"^\|.*$", section, re.MULTILINE)][2:]


@pytest.mark.parametrize("path", [path for row in rows("Paths that are refused") for path in code(row[1])])
def test_the_paths_that_are_called_refused_are_refused(path: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_target(b"GET", path.encode(), [b"wiki.example.org"], (1, 1))
    assert refused.value.row is TARGET_REFUSED


def test_the_fields_that_are_called_removed_are_removed_in_every_spelling() -> None:
    removed = [
        name
        for row in rows("What else is refused, and what is removed")
        if row[1] == "removed"
        for name in code(row[0])
    ]
    assert len(removed) > 10
    for name in removed:
        raw = name.lower().encode()
        assert clean_request([(raw, b"x"), (raw.replace(b"-", b"_"), b"x")]) == ([], []), name


def test_decisions_are_numbered_without_a_gap() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    for number, page in enumerate(pages, 1):
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {number}. ")
        assert "## Decision" in text


def test_the_changelog_has_the_version_that_is_built_or_an_unreleased_part() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE)[0] == "Unreleased" or "0.1.0" in text
