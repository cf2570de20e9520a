"""OPA's own Rego compliance suite: the embedded engine agrees, or it refuses the policy at load, or the question fails.

What it must never do is to give another answer than OPA, to answer where OPA has an error, or to panic.
"""

from __future__ import annotations

import re

import pytest

from tests.policy.rego_suite import OTHERS, cases, counts, outcomes


@pytest.mark.parametrize("category", sorted(cases()))
def test_no_case_is_answered_in_another_way_than_opa_does(category: str) -> None:
    assert [outcome for outcome in outcomes(category) if outcome.word == "wrong"] == []


@pytest.mark.parametrize("category", sorted(cases()))
def test_what_is_refused_is_told_with_its_place_and_the_way_out(category: str) -> None:
    for outcome in outcomes(category):
        if outcome.word == "refused":
            assert re.match(r"[a-z0-9]+\.rego:[0-9]+:[0-9]+: .", outcome.why), outcome


def test_so_many_cases_pass() -> None:
    everywhere, here = counts(cases()), counts(cases().keys() - OTHERS)
    assert (everywhere["cases"], here["cases"]) == (1083, 996)
    assert everywhere["wrong"] == 0
    assert here["passed"] >= 924
