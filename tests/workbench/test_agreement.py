"""Whether two answers agree, and the smallest input that shows that they do not."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.policy.decision import UNDEFINED
from proxy.workbench.agreement import Verdict, smallest, verdict
from proxy.workbench.judge import Failure

FAILURE = Failure("it fails")


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        ({"a": [1, "x"]}, {"a": [1.0, "x"]}, Verdict.SAME),
        (UNDEFINED, UNDEFINED, Verdict.SAME),
        (FAILURE, Failure("in other words"), Verdict.SAME),
        (FAILURE, True, Verdict.STRICTER),
        (FAILURE, UNDEFINED, Verdict.STRICTER),
        (True, FAILURE, Verdict.DIFFERENT),
        (UNDEFINED, FAILURE, Verdict.DIFFERENT),
        (UNDEFINED, None, Verdict.DIFFERENT),
        (False, 0, Verdict.DIFFERENT),
        ({"a": 1}, {"a": True}, Verdict.DIFFERENT),
        ([1, 2], [2, 1], Verdict.DIFFERENT),
        ({"a": 1}, {"a": 1, "b": 1}, Verdict.DIFFERENT),
    ],
)
def test_two_answers_agree_or_not(ours: object, theirs: object, found: Verdict) -> None:
    assert verdict(ours, theirs) is found


def test_the_smallest_input_has_nothing_that_could_go() -> None:
    document = {"a": {"b": [1, 900, "long enough"], "c": None}, "d": "x", "e": [[]]}

    def still(smaller: dict[str, Any]) -> bool:
        return any(isinstance(value, int) and value > 3 for value in smaller.get("a", {}).get("b", ()))

    assert smallest(document, still) == {"a": {"b": [7]}}


def test_what_every_request_has_is_not_taken_away() -> None:
    document = {"request": {"method": "GET", "other": 1}, "principal": {"groups": ["a", "b"]}}
    least = {"request": {"method": "G"}, "principal": {"groups": []}}
    assert smallest(document, lambda smaller: True) == least
