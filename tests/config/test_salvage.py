"""What of a bad file can still be looked at."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from proxy.config import document
from proxy.config.mistake import Mistake
from proxy.config.salvage import Salvage, salvage
from proxy.config.schema import Config
from tests.config.test_check import GOOD


def salvaged(*changes: tuple[str, str]) -> Salvage:
    text = GOOD
    for goes, comes in changes:
        assert goes in text
        text = text.replace(goes, comes, 1)
    value = document.parse(text.encode()).value
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(value)
    return salvage(value, caught.value, {})


def test_a_bad_value_with_a_default_is_left_out() -> None:
    rest = salvaged(("identity:", "limits: {body: 5, header_count: 7}\nidentity:"))
    assert rest.config is not None
    assert rest.config.limits.body == 4 * 1024**3
    assert rest.config.limits.header_count == 7
    assert rest.touched == {("limits", "body")}


def test_a_bad_section_keeps_its_name() -> None:
    rest = salvaged(('["http://10.0.0.5:8080"]', "[]"), (", bearer: {audiences: [ztproxy]}", ""))
    assert rest.config is not None
    assert rest.config.upstreams.keys() == {"wiki"}
    assert rest.config.identity.issuers.keys() == {"corp"}


def test_what_is_incomplete_after_a_removal_is_removed_in_turn() -> None:
    rest = salvaged(("identity:", "policy: {engine: opa, opa: {url: 5, tokn: x}}\nidentity:"))
    assert rest.config is not None
    assert rest.config.policy.opa is None
    assert not rest.believes(Mistake(("policy", "opa"), "is required with engine: opa"))


@pytest.mark.parametrize(
    "change", [("identity:", "identity: 5\nold:"), ("upstreams:", "upstreams: 5\nold:"), ("wiki: {", "a b: {")]
)
def test_where_names_would_be_lost_nothing_is_salvaged(change: tuple[str, str]) -> None:
    assert salvaged(change).config is None


def test_a_mistake_is_believed_unless_it_lies_on_or_around_what_was_touched() -> None:
    rest = Salvage(None, frozenset({("routes", 0, "path")}))
    believed: dict[tuple[Any, ...], bool] = {
        ("routes", 0, "path"): False,
        ("routes", 0): False,
        ("routes", 0, "path", "x"): False,
        ("routes", 0, "upstream"): True,
        ("routes", 1): True,
        ("limits",): True,
    }
    assert {place: rest.believes(Mistake(place, "x")) for place in believed} == believed


def test_a_file_with_thousands_of_mistakes_is_not_worth_the_time() -> None:
    rest = salvaged(("routes:", "routes:\n" + "  - {}\n" * 1_000))
    assert rest.config is None
