"""The demo, as a newcomer meets it: the table, the exit status, the lines to paste, and nothing left behind."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from proxy.cli.demo_browser import VISITS
from proxy.cli.demo_calls import CALLS, Call, Outcome, Reply, problems
from proxy.cli.demo_run import Demo, table
from proxy.cli.demo_services import Gateway, GatewayFailed
from tests.cli.demo import Standing, start

STORIES = (
    "the right workload", "the wrong workload", "a foreign trust domain", "an expired SVID", "no certificate",
    "a good token", "another audience", "an expired token", "without the group", "on a known device", "a path trick",
    "spoofing identity headers", "who signs in with a browser", "in the same browser",
)  # fmt: skip


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, str, Path]:
    """Status, stdout, stderr and temporary directory of one run of `ztproxy demo --once`."""
    directory = tmp_path_factory.mktemp("demo")
    process = start(directory, "--once")
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err, directory


def test_every_call_is_decided_as_it_should_be(once: tuple[int, str, str, Path]) -> None:
    status, out, err, _ = once
    assert status == 0, out + err
    calls = len(CALLS) + len(VISITS)
    assert f"{calls} of {calls} calls were decided as they should be." in out


def test_the_table_tells_who_called_what_and_why_it_was_decided_so(once: tuple[int, str, str, Path]) -> None:
    out = once[1]
    header = next(line for line in out.splitlines() if "who" in line)
    assert re.findall(r"\w+", header) == ["who", "call", "expected", "status", "decision", "reason", "ms"]
    for story in STORIES:
        assert story in out
    for reason in ("policy_denied", "token_invalid", "target_refused", "certificate_refused", "expired"):
        assert reason in out


def test_progress_is_for_stderr_and_the_table_for_stdout(once: tuple[int, str, str, Path]) -> None:
    _, out, err, _ = once
    assert "started the gateway" in err
    assert "started the gateway" not in out


def test_nothing_is_left_behind(once: tuple[int, str, str, Path]) -> None:
    assert list(once[3].iterdir()) == []


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    demo = Standing(tmp_path_factory.mktemp("standing"))
    yield demo
    demo.kill()


def test_the_lines_that_are_printed_work_as_pasted(standing: Standing, tmp_path: Path) -> None:
    pasted = [
        (comment, line)
        for comment, line in zip(standing.lines, standing.lines[1:], strict=False)
        if comment.startswith("# ") and line.startswith("curl ")
    ]
    assert len(pasted) == sum(call.shown for call in CALLS) + 1
    for comment, line in pasted:
        ran = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
        if comment == "# what was counted":
            assert "ztproxy_http_requests_total{" in ran.stdout
        elif comment.endswith("no TLS"):
            assert ran.returncode != 0
            assert ran.stdout == ""
        else:
            assert ran.stdout.split()[1] == comment.rpartition(" ")[2], f"{comment}\n{ran.stdout}{ran.stderr}"


def test_each_pasted_call_shows_in_the_demo(standing: Standing) -> None:
    assert standing.process.stdout is not None
    shown = [standing.process.stdout.readline() for _ in range(3)]
    assert any(re.match(r"(200|403 policy_denied)  GET stock\.example\.org/items", line) for line in shown)


def test_the_config_that_runs_is_shown(standing: Standing) -> None:
    text = "\n".join(standing.lines)
    assert "trust_domain: example.org" in text
    assert "routes:" in text


def test_ctrl_c_ends_the_gateway_and_removes_the_files(standing: Standing) -> None:
    (world,) = standing.directory.iterdir()
    assert world.stat().st_mode & 0o077 == 0
    gateways = subprocess.run(["pgrep", "-f", str(world)], capture_output=True, text=True, check=False).stdout.split()
    assert len(gateways) == 1
    assert standing.end(signal.SIGINT) == 0
    assert list(standing.directory.iterdir()) == []
    assert not Path(f"/proc/{gateways[0]}").exists()


# What would make the demo fail.

GOOD = Call("ben", "wiki.localhost", "/docs", 200, subject="ben", headers=(("X-Spoof", "1"),))
BEN = {"x-ztproxy-subject": "ben"}
DENIED = {"code": "policy_denied"}


def reply(status: int | None) -> Reply:
    return Reply(status, {}, b"", 1.0)


@pytest.mark.parametrize(
    ("call", "status", "record", "told", "found"),
    [
        (GOOD, 200, {"code": None}, [BEN], []),
        (GOOD, 403, DENIED, [], ["status 403", "code policy_denied", "not reached"]),
        (GOOD, 200, {"code": None}, [{"x-ztproxy-subject": "ana"}], ["was told of ana"]),
        (GOOD, 200, {"code": None}, [BEN | {"x-spoof": "1"}], ["caller's own X-Spoof"]),
        (GOOD, 200, {"code": None}, [BEN | {"authorization": "Bearer t"}], ["got the authorization"]),
        (GOOD, 200, {"code": None}, [BEN | {"cookie": "handle"}], ["got the cookie"]),
        (GOOD, 200, {"code": None}, [BEN, BEN], ["was reached"]),
        (replace(GOOD, status=403, code="policy_denied"), 403, DENIED, [BEN], ["was reached"]),
        (replace(GOOD, status=403, code="a"), 403, {"code": "b"}, [], ["code b instead of a"]),
        (replace(GOOD, status=None), 200, {"code": None}, [BEN], ["200 instead of no TLS", "was reached"]),
    ],
)  # fmt: skip
def test_a_call_that_goes_wrong_is_found(
    call: Call, status: int, record: dict[str, Any], told: list[dict[str, str]], found: list[str]
) -> None:
    said = problems(call, reply(status), record, told)
    assert len(said) == len(found)
    assert all(part in "; ".join(said) for part in found)


def test_one_wrong_call_fails_the_demo_by_name() -> None:
    text = StringIO()
    demo = Demo(Console(file=text, width=150), Console(file=StringIO()))
    good = Outcome(GOOD, reply(200), "allow", "", ())
    wrong = Outcome(GOOD, reply(403), "deny", "policy_denied", ("status 403 instead of 200",))
    demo._conclude([good])
    assert demo.status == 0
    demo._conclude([good, wrong])
    assert demo.status == 1
    assert "WRONG  ben, /docs: status 403 instead of 200" in text.getvalue()
    assert "1 of 2 calls" in text.getvalue()
    Console(file=text, width=150).print(table([good, wrong]))


async def test_a_gateway_that_does_not_start_is_told_in_its_own_words(tmp_path: Path) -> None:
    config = tmp_path / "ztproxy.yaml"
    config.write_text("version: 1\ntrust_domian: example.org\n")
    with pytest.raises(GatewayFailed, match=r"(?s)ended with status 2; it said:\n.*trust_domian"):
        await Gateway.start(config)
