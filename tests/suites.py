"""Where the public test data is: `ZTPROXY_SUITES`, or `shared/suites` beside the checkout; none is copied here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(os.environ.get("ZTPROXY_SUITES", Path(__file__).resolve().parents[2] / "shared" / "suites"))


def suite(name: str) -> Path:
    """Return the path of a suite's file or folder; skip where it is absent, fail where that must not be."""
    path = ROOT / name
    if not path.exists():
        reason = f"test data {name} is absent: set ZTPROXY_SUITES to the folder that holds it"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason, allow_module_level=True)
    return path


def suite_json(name: str) -> Any:
    """Return the parsed JSON of a suite's file."""
    return json.loads(suite(name).read_text(encoding="utf-8"))
