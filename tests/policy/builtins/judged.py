"""Calls of built-ins with what OPA says to them, and ours beside it."""

from __future__ import annotations

import json

from tests.opa import OPAServer
from tests.policy.reference import FAILS, opas, ours

# A call, and `;;` before an input where it needs one; and the value that OPA has for it.
Cases = list[tuple[str, object]]


def agrees(opa: OPAServer, cases: Cases) -> None:
    """Assert that both engines give each call this value."""
    values = {case: (value, value) for case, value in cases}
    assert {case: _both(opa, case) for case in values} == values


def is_stricter(opa: OPAServer, cases: Cases) -> None:
    """Assert that each call fails on ours, and has this value on OPA."""
    values = {case: (FAILS, value) for case, value in cases}
    assert {case: _both(opa, case) for case in values} == values


def _both(opa: OPAServer, case: str) -> tuple[object, object]:
    call, _, document = case.partition(" ;; ")
    given = json.loads(document) if document else {}
    return ours(f"r := {call}", given), opas(opa, f"r := {call}", given)
