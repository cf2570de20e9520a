"""`ztproxy certs` makes, signs and shows; it overwrites nothing, and says what is wrong."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from typer.testing import CliRunner, Result

from proxy.cli import app
from proxy.identity.svid import check_leaf

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / "certificates.md"]


@pytest.fixture(autouse=True)
def _in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "certs", tmp_path / "certs")
    monkeypatch.chdir(tmp_path)


def run(line: str) -> Result:
    program, *arguments = shlex.split(line, comments=True)
    assert program == "ztproxy"
    return CliRunner().invoke(app, arguments)


def made(line: str) -> str:
    result = run(line)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


def refused(line: str) -> str:
    result = run(line)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return result.stderr


def console_blocks(page: Path) -> list[list[str]]:
    """Return each console block of a page as its lines."""
    return [block.splitlines() for block in re.findall(r"^```console\n(.*?)^```", page.read_text(), re.M | re.S)]


def commands_of(page: Path) -> list[tuple[str, list[str]]]:
    """Return each command of a page with the output that the page shows for it."""
    commands: list[tuple[str, list[str]]] = []
    for line in (line for block in console_blocks(page) for line in block):
        if line.startswith("$ "):
            commands.append((line.removeprefix("$ "), []))
        else:
            commands[-1][1].append(line)
    return commands


def pattern_of(shown: list[str]) -> str:
    """Return the pattern of an output in which `…` stands for anything."""
    return "".join(".*" if part == "…" else re.escape(part) for part in re.split("(…)", "\n".join(shown)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_the_page_does_what_the_page_shows(page: Path) -> None:
    commands = commands_of(page)
    assert len(commands) >= 5
    for command, shown in commands:
        assert re.fullmatch(pattern_of(shown), made(command).rstrip("\n"), re.S), command


def test_init_makes_the_declared_pki() -> None:
    lines = made("ztproxy certs init -f certs/dev.yaml pki").splitlines()
    assert lines[:2] == ["pki/example.org/ca.pem", "pki/example.org/ca.key"]
    assert all(Path(line).is_file() for line in lines)
    assert all(stat.S_IMODE(Path(line).stat().st_mode) == 0o600 for line in lines if line.endswith(".key"))


def test_init_overwrites_nothing_unless_it_is_forced() -> None:
    made("ztproxy certs init -f certs/dev.yaml pki")
    before = Path("pki/example.org/ca.key").read_bytes()
    assert refused("ztproxy certs init -f certs/dev.yaml pki") == (
        "pki/example.org/ca.pem: file exists; --force replaces it\n"
    )
    assert Path("pki/example.org/ca.key").read_bytes() == before
    made("ztproxy certs init -f certs/dev.yaml pki --force")
    assert Path("pki/example.org/ca.key").read_bytes() != before


def test_init_names_file_line_key_and_rule_of_every_mistake() -> None:
    Path("bad.yaml").write_text(
        "version: 1\ntrust_domains:\n  example.org:\n    svid: []\n    svids:\n"
        "      - {file: web, id: 'spiffe://partner.example/web'}\n"
    )
    first, second = refused("ztproxy certs init -f bad.yaml pki").splitlines()
    assert first == 'bad.yaml:4: trust_domains.example.org.svid: is not a key here (did you mean "svids"?)'
    assert second.startswith("bad.yaml:6: trust_domains.example.org.svids[0].id: must be a spiffe id with a path")
    assert not Path("pki").exists()


def test_init_names_a_declaration_that_is_absent() -> None:
    assert refused("ztproxy certs init -f absent.yaml pki") == "absent.yaml: no such file or directory\n"


def test_init_names_a_directory_that_cannot_be_made() -> None:
    Path("pki").write_text("a file")
    assert refused("ztproxy certs init -f certs/dev.yaml pki").startswith("pki/example.org: ")


def test_issue_signs_by_the_authority_of_the_trust_domain() -> None:
    made("ztproxy certs init -f certs/dev.yaml pki")
    made("ztproxy certs issue --ca pki spiffe://partner.example/new --out new --dns a --dns b --ip ::1")
    leaf = x509.load_pem_x509_certificate(Path("new.pem").read_bytes())
    assert str(check_leaf(leaf)) == "spiffe://partner.example/new"
    authority = x509.load_pem_x509_certificate(Path("pki/partner.example/ca.pem").read_bytes())
    leaf.verify_directly_issued_by(authority)
    assert stat.S_IMODE(Path("new.key").stat().st_mode) == 0o600


def test_issue_overwrites_nothing_unless_it_is_forced() -> None:
    made("ztproxy certs init -f certs/dev.yaml pki")
    line = "ztproxy certs issue --ca pki spiffe://example.org/new --out new"
    made(line)
    assert refused(line) == "new.pem: file exists; --force replaces it\n"
    made(f"{line} --force")


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ("spiffe://example.org", "must have a path"),
        ("spiffe://Example.org/x", "trust domain must hold only"),
        ("spiffe://unknown.example/x", "pki: must hold the authority of unknown.example"),
        ("spiffe://example.org/x --lifetime 5", "must be a duration"),
        ("spiffe://example.org/x --lifetime 0s", "must not be shorter than 1s"),
        ("spiffe://example.org/x --ip x", "does not appear to be an IPv4 or IPv6 address"),
    ],
)
def test_issue_says_what_it_does_not_sign(arguments: str, rule: str) -> None:
    made("ztproxy certs init -f certs/dev.yaml pki")
    assert rule in refused(f"ztproxy certs issue --ca pki --out new {arguments}")
    assert not Path("new.key").exists()


def test_show_tells_every_certificate_of_a_file() -> None:
    made("ztproxy certs init -f certs/dev.yaml pki")
    chain = Path("chain.pem")
    chain.write_bytes(Path("pki/example.org/web.pem").read_bytes() + Path("pki/example.org/ca.pem").read_bytes())
    leaf, root = made("ztproxy certs show chain.pem").split("\n\n")
    assert leaf.startswith("verdict    a good X.509-SVID of a workload\n")
    assert root.startswith("verdict    a good signing certificate\nspiffe id  spiffe://example.org\n")
    assert "3650 days left" in root


def test_show_tells_the_same_as_json() -> None:
    made("ztproxy certs init -f certs/dev.yaml pki")
    told: dict[str, Any] = json.loads(made("ztproxy certs show pki/example.org/runner.pem --format json"))
    assert told["file"] == "pki/example.org/runner.pem"
    [facts] = told["certificates"]
    assert facts["svid"]["spiffe_id"] == "spiffe://example.org/ns/ci/sa/runner"
    assert facts["days_left"] == 0.04


@pytest.mark.parametrize("file", ["pki/example.org/web.key", "certs/dev.yaml"])
def test_show_refuses_what_is_no_certificate(file: str) -> None:
    made("ztproxy certs init -f certs/dev.yaml pki")
    assert refused(f"ztproxy certs show {file}") == f"{file}: must hold PEM certificates\n"


def test_show_names_a_file_that_is_absent() -> None:
    assert refused("ztproxy certs show absent.pem") == "absent.pem: no such file or directory\n"
