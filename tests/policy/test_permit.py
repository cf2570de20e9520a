"""A permit is made by policy alone, and there is no way to an upstream without one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from mypy import api

from proxy.policy.decision import Decision
from proxy.policy.permit import _SEAL, Permit, _issue
from tests.opa import ROOT

_OPENING = """
from proxy.policy.decision import Decision
from proxy.policy.permit import Permit
from proxy.upstream.cluster import Cluster
from proxy.upstream.pool import Pool

"""

# Each is one line of a coroutine, and what the type checker says of it; nothing for what it accepts.
_LINES = [
    ("await pool.acquire(permit)", ""),
    ("await cluster.acquire(permit)", ""),
    ("await pool.acquire()", 'Missing positional argument "permit" in call to "acquire" of "Pool"'),
    ("await pool.acquire(None)", 'Argument 1 to "acquire" of "Pool" has incompatible type "None"; expected "Permit"'),
    ("await pool.acquire(True)", 'Argument 1 to "acquire" of "Pool" has incompatible type "bool"; expected "Permit"'),
    ("await pool.acquire(decision)", 'has incompatible type "Decision"; expected "Permit"'),
    ("await cluster.acquire()", 'Missing positional argument "permit" in call to "acquire" of "Cluster"'),
    ("await cluster.acquire(decision)", 'has incompatible type "Decision"; expected "Permit"'),
    ('Permit(decision, "id", "route")', 'Missing named argument "seal" for "Permit"'),
    ('Permit(decision, "id", "route", seal=object())', 'has incompatible type "object"; expected "_Seal"'),
]


def test_no_connection_type_checks_without_a_permit(tmp_path: Path) -> None:
    lines = [
        f"async def f{number}(pool: Pool, cluster: Cluster, permit: Permit, decision: Decision) -> None: {line}"
        for number, (line, _) in enumerate(_LINES)
    ]
    snippet = tmp_path / "snippet.py"
    snippet.write_text(_OPENING + "\n".join(lines) + "\n", encoding="utf-8")
    said, trouble, _ = api.run(
        ["--config-file", str(ROOT / "pyproject.toml"), "--follow-imports=silent", "--no-error-summary", str(snippet)]
    )
    assert trouble == ""
    first = _OPENING.count("\n") + 1
    found = {int(number) - first: text for number, text in re.findall(r"snippet\.py:([0-9]+): error: (.*)", said)}
    for number, (line, expected) in enumerate(_LINES):
        assert expected in found.get(number, ""), line
        assert bool(expected) == (number in found), (line, found.get(number))


def test_a_permit_is_not_made_elsewhere() -> None:
    with pytest.raises(TypeError, match="by policy alone"):
        Permit(Decision(allow=True), "decision-1", "wiki", seal=object())  # type: ignore[arg-type]


def test_a_refusal_makes_no_permit() -> None:
    with pytest.raises(TypeError, match="of a decision that allows"):
        Permit(Decision(allow=False), "decision-1", "wiki", seal=_SEAL)


def test_policy_issues_a_permit_of_a_yes() -> None:
    permit = _issue(Decision(allow=True), "decision-1", "wiki")
    assert (permit.route, permit.decision_id) == ("wiki", "decision-1")


def test_authorize_alone_issues_permits() -> None:
    using = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "proxy").rglob("*.py")
        if re.search(r"\bPermit\(|\bimport .*\b(_issue|_SEAL)\b", path.read_text(encoding="utf-8"))
    ]
    assert sorted(using) == ["proxy/policy/authorize.py", "proxy/policy/permit.py"]
