"""A mistake, and what was probably meant."""

from __future__ import annotations

import pytest

from proxy.config.mistake import Mistake, did_you_mean


def test_a_location_is_written_as_a_person_writes_it() -> None:
    assert Mistake(("routes", 2, "allow", 0, "groups"), "x").path == "routes[2].allow[0].groups"
    assert Mistake((), "x").path == ""


@pytest.mark.parametrize(
    ("word", "names", "meant"),
    [
        ("wikki", ["wiki", "orders"], ' (did you mean "wiki"?)'),
        ("Client-Certificates", ["client_certificates"], ' (did you mean "client_certificates"?)'),
        ("x", ["wiki"], ""),
        ("wiki", [], ""),
        ("", ["wiki"], ""),
    ],
)
def test_the_nearest_name_is_offered_and_no_far_one(word: str, names: list[str], meant: str) -> None:
    assert did_you_mean(word, names) == meant
