"""`ztproxy run` before it serves; the running gateway is in tests/server."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from proxy.cli import app


@pytest.mark.parametrize("workers", ["0", "-1", "257", "many", "1.5", "²", ""])
def test_a_number_of_workers_that_is_none_is_a_mistake_before_anything_is_read(tmp_path: Path, workers: str) -> None:
    absent = str(tmp_path / "absent.yaml")
    result = CliRunner().invoke(app, ["run", "-c", absent, f"--workers={workers}"], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert "must be auto, or a whole number from 1 to 256" in result.output
    assert "absent" not in result.output
