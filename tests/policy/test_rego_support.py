"""The page about what of Rego each engine has is what a run says."""

from __future__ import annotations

from tests.policy.rego_support import PAGE, page


def test_the_page_is_what_a_run_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.policy.rego_support"
