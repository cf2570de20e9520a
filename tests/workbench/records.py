"""Decision records as the gateway writes them, of cases that were decided at a desk."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from proxy.errors import CATALOGUE, Refused
from proxy.policy.record import Spelling, spell, told_result
from proxy.workbench.case import Case
from proxy.workbench.desk import Desk

# What the server makes of a plain no where nobody has signed in; the record has the policy's own code.
OF_POLICY = {"credentials_missing": "policy_denied"}


def record(desk: Desk, case: Case, number: int = 0) -> dict[str, Any]:
    """Return the decision record of a case."""
    outcome = desk.decide(case)
    inquiry = outcome.inquiry
    assert inquiry is not None, outcome
    failure = None
    if outcome.code is not None:
        row = CATALOGUE[OF_POLICY.get(outcome.code, outcome.code)]
        failure = Refused(row, ", ".join(outcome.reasons) or outcome.detail)
    ids = f"decision-{number}", f"request-{number}"
    line = spell(
        Spelling("test"), inquiry, *ids, inquiry.time, outcome.point, told_result(outcome.decision), 1000, failure
    )
    return dict(json.loads(line))


def write(path: Path, records: Iterable[dict[str, Any]]) -> Path:
    """Write records, one a line."""
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    return path
