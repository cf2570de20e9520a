"""`ztproxy check`: what every room finds, at once, in the words of `ztproxy run`."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from proxy.cli import app, reach
from tests.opa import opa_server
from tests.world import World, config

WIKI = "  - {name: wiki, host: wiki.example.org, upstream: wiki, allow: [{groups: [engineering]}]}"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture
def directory(shared: World, tmp_path: Path) -> Path:
    return shared.copy_to(tmp_path)


@pytest.fixture
def listening() -> Iterator[str]:
    """The URL of a socket that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


@pytest.fixture
def closed() -> str:
    """The URL of a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


def check(directory: Path, text: str, *options: str) -> Result:
    path = directory / "ztproxy.yaml"
    path.write_text(text, encoding="utf-8")
    return CliRunner().invoke(app, ["check", "-c", str(path), *options])


def told(result: Result, directory: Path) -> list[str]:
    return [line.removeprefix(f"{directory}/ztproxy.yaml:") for line in result.stderr.splitlines()]


def test_a_good_file_is_ok(directory: Path, listening: str) -> None:
    result = check(directory, config(listening, routes=WIKI))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{directory}/ztproxy.yaml: ok\n"


def test_every_rooms_mistakes_are_told_at_once(directory: Path, shared: World, listening: str) -> None:
    (directory / "edge.key").chmod(0o644)
    (directory / "leaf.pem").write_bytes((directory / "web.pem").read_bytes())
    (directory / "policy.rego").write_text("package ztproxy.authz\n\ndecision := true {\n")
    text = config(
        listening,
        routes="""\
  - {name: wiki, host: wiki.example.org, upstream: wikki, allow: [{groups: [engineering]}]}
  - {name: api, host: wiki.example.org, upstream: wiki, allow: [{methods: [GET]}]}
  - {name: bad, hots: a.example, upstream: wiki, allow: [{authenticated: true}]}
  - {name: worse, host: b.example, upstream: wiki, allow: [{users: []}]}
""",
        listeners="""\
  - {name: edge, address: "127.0.0.1:8443", tls: {certificate: edge.pem, key: edge.key, client_certificates: optional}}
  - {name: other, address: "0.0.0.0:8443", tls: {certificate: edge.pem, key: web.key}}""",
        extra="policy: {path: policy.rego}",
    ).replace("{example.org: ca.pem}", "{example.org: ca.pem, partner.example: leaf.pem}")
    result = check(directory, text)
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = told(result, directory)
    for part in (
        "4: listeners[0].tls.key: ",  # the world can read it
        "5: listeners[1].tls.key: ",  # another certificate's
        "5: listeners[1].address: 0.0.0.0:8443 overlaps",
        "8: identity.trust_bundles.partner.example: ",  # no CA in it
        "policy.path: ",  # does not compile
        'routes[0].upstream: no upstream is called "wikki" (did you mean "wiki"?)',
        "routes[1].path: nothing reaches this route",
        "routes[1].allow[0]: must say whom it allows",
        'routes[2].hots: unknown key (did you mean "host"?)',
        "routes[2].host: is required",
        "routes[3].allow[0].users: must not be empty",
    ):
        assert any(part in line for line in lines), (part, lines)
    assert not any("wikki" in line for line in lines if "routes[0]" not in line)
    numbers = [int(match[1]) for line in lines if (match := re.match(r"([0-9]+): ", line))]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(
    "change",
    [
        ("groups: [engineering]", "methods: [GET]"),
        ("version: 1", "version: 2"),
        ("key: edge.key", "key: web.key"),
    ],
)
def test_run_says_the_same_and_opens_no_port(change: tuple[str, str], directory: Path, closed: str) -> None:
    text = config(closed, routes=WIKI).replace(*change)
    checked = check(directory, text)
    ran = subprocess.run(
        [sys.executable, "-m", "proxy", "run", "-c", str(directory / "ztproxy.yaml")],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (2, checked.stderr)
    assert "listening" not in ran.stdout
    assert checked.exit_code == 2
    assert checked.stderr


def test_an_expired_server_certificate_is_a_warning(directory: Path, shared: World, listening: str) -> None:
    past = datetime.now(UTC) - timedelta(days=1)
    issued = shared.authority.issue_server(["*.example.org"], not_before=past - timedelta(days=1), not_after=past)
    issued.write(directory / "edge", force=True)
    result = check(directory, config(listening, routes=WIKI))
    assert result.exit_code == 0
    (line,) = told(result, directory)
    assert line.startswith("4: warning: listeners[0].tls.certificate: ")
    assert "expired" in line


def test_what_cannot_be_reached_is_a_warning(
    directory: Path, listening: str, closed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "_PATIENCE", 0.2)
    more = f'  silent: {{endpoints: ["{listening.replace("http", "https")}"]}}'
    routes = f"{WIKI}\n  - {{name: silent, host: a.example, upstream: silent, allow: [{{authenticated: true}}]}}"
    text = config(closed, routes=routes, upstreams=more).replace("https://idp.example.org", closed)
    result = check(directory, text.replace(", jwks_file: keys.json", ""))
    assert result.exit_code == 0
    assert result.stdout.endswith(": ok\n")
    issuer, wiki, silent = told(result, directory)
    assert issuer.startswith("10: warning: identity.issuers.corp: issuer cannot be reached: ")
    assert wiki == "12: warning: upstreams.wiki.endpoints[0]: endpoint cannot be reached: connection refused"
    assert silent == "13: warning: upstreams.silent.endpoints[0]: endpoint cannot be reached: no answer within 0.2 s"


def test_a_network_that_is_down_is_not_looked_at_when_the_file_is_bad(directory: Path, closed: str) -> None:
    result = check(directory, config(closed, routes=WIKI.replace("upstream: wiki", "upstream: wikki")))
    assert "cannot be reached" not in result.stderr


def test_no_log_is_opened(directory: Path, listening: str) -> None:
    extra = "access_log: {to: access.jsonl}\ndecision_log: {to: decisions.jsonl}"
    result = check(directory, config(listening, routes=WIKI, extra=extra))
    assert result.exit_code == 0
    assert not list(directory.glob("*.jsonl"))


def test_json_is_for_programs(directory: Path, closed: str) -> None:
    result = check(directory, config(closed, routes=WIKI), "--format", "json")
    assert (result.exit_code, result.stderr) == (0, "")
    report = json.loads(result.stdout)
    (decision,) = report.pop("decisions")
    assert (decision["path"], decision["remembered"]) == ("ztproxy/authz/decision", True)
    assert {"input.route.name", "input.principal.groups", "input.time.minute_ns"} <= set(decision["reads"])
    assert report == {
        "file": f"{directory}/ztproxy.yaml",
        "ok": True,
        "mistakes": [
            {
                "line": 12,
                "path": "upstreams.wiki.endpoints[0]",
                "rule": "endpoint cannot be reached: connection refused",
                "severity": "warning",
            }
        ],
    }
    result = check(directory, config(closed, routes=WIKI).replace("version: 1", "version: 2"), "--format", "json")
    assert result.exit_code == 2
    report = json.loads(result.stdout)
    assert report["ok"] is False
    assert report["mistakes"] == [{"line": 1, "path": "version", "rule": "must be 1", "severity": "error"}]


OWN = """\
package own

decision := input.principal.groups[0] == "staff" if input.request.headers[_] == "a" else := slow

slow := time.now_ns() > input.time.minute_ns

quick := input.request.method == "GET"
"""


def test_what_of_ones_own_policy_is_not_remembered_is_told(directory: Path, listening: str) -> None:
    (directory / "own.rego").write_text(OWN.replace(" else := slow", ""))
    text = config(listening, routes=WIKI, extra="policy: {path: own.rego, decision: own/decision}")
    result = check(directory, text)
    place = f"{directory}/own.rego line 3"
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        f"{directory}/ztproxy.yaml: ok",
        f"own/decision reads input.request.headers whole, {place}: remembered only per header set",
    ]
    (directory / "own.rego").write_text(OWN)
    result = check(directory, text.replace("upstream: wiki", "upstream: wiki, decision: own/quick"))
    assert result.stdout.splitlines()[1:] == [
        f"own/decision calls time.now_ns, {directory}/own.rego line 5, so its decisions are not remembered",
    ]
    result = check(directory, text.replace("upstream: wiki", "upstream: wiki, decision: own/quick"), "--format", "json")
    assert [(each["path"], each["remembered"]) for each in json.loads(result.stdout)["decisions"]] == [
        ("own/decision", False),
        ("own/quick", True),
    ]


def test_an_opa_server_is_asked_what_of_its_policy_can_be_remembered(directory: Path, listening: str) -> None:
    (directory / "own").mkdir()
    (directory / "own" / "own.rego").write_text(OWN)
    (directory / "own" / ".manifest").write_text('{"revision": "r1", "roots": ["own"]}')
    with opa_server("--bundle", directory / "own") as server:
        text = config(
            listening,
            routes=WIKI.replace("upstream: wiki", "upstream: wiki, decision: own/quick"),
            extra=f"policy: {{engine: opa, opa: {{url: {server.url}}}, decision: own/decision}}",
        )
        result = check(directory, text, "--format", "json")
        decision, quick = json.loads(result.stdout)["decisions"]
        assert decision["notes"][0].startswith("own/decision calls time.now_ns, ")
        assert (quick["remembered"], quick["reads"]) == (True, ["input.request.method"])
    result = check(directory, text)
    assert result.stdout.splitlines()[1:] == [
        f"{path} is decided by an OPA server that cannot be reached, so its decisions are not remembered"
        for path in ("own/decision", "own/quick")
    ]


def test_a_file_that_is_not_there_is_told_like_any_mistake(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["check", "-c", str(tmp_path / "absent.yaml")])
    assert result.exit_code == 2
    assert result.stderr == f"{tmp_path}/absent.yaml:1: the file cannot be read: no such file or directory\n"
