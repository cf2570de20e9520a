"""Every case of the public SPIFFE ID suite is answered as it says."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.identity.spiffe import SpiffeID, parse_spiffe_id
from tests.suites import suite_json

CASES: list[dict[str, Any]] = suite_json("spiffe/spiffe-id-cases.json")


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_the_suite_and_the_parser_agree(case: dict[str, Any]) -> None:
    if case["valid"]:
        assert parse_spiffe_id(case["input"]) == SpiffeID(case["trust_domain"], case["path"])
    else:
        with pytest.raises(ValueError, match="must"):
            parse_spiffe_id(case["input"])


def test_the_suite_is_whole() -> None:
    assert len(CASES) >= 567
