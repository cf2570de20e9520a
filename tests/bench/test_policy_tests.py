"""The package whose tests are timed: it holds, by us and by OPA."""

from __future__ import annotations

from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from bench.policy_tests import write
from proxy.cli.policy import app
from tests.opa import opa_binary


def test_every_test_of_the_package_passes_on_both_engines(tmp_path: Path) -> None:
    write(tmp_path, 80)
    result: Result = CliRunner().invoke(app, ["test", "--engine", "both", "--opa", opa_binary(), str(tmp_path)])
    assert (result.exit_code, result.stdout) == (0, "PASS: 80/80\n")
    policy = (tmp_path / "authz_test.rego").read_text(encoding="utf-8")
    assert policy.count("if authz.allow") > 5
    assert policy.count("if not authz.allow") > 5
