"""The real `opa`, asked on a socket of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.policy.decision import UNDEFINED
from proxy.policy.sources import Module
from proxy.policy.testing import CannotRun
from proxy.workbench.judge import Failure, Judge, Refusal, find_opa, opa
from tests.opa import opa_binary

RULES = "package shop\n\nallow if input.n > data.least\n\nlength := count(input.n)\n\ninner.open := true\n"


def test_rules_are_asked_with_policy_and_data() -> None:
    with opa(Path(opa_binary()), [Module("shop.rego", RULES)], {"least": 3}) as judge:
        assert judge.ask("shop/allow", {"n": 4}) is True
        assert judge.ask("shop/allow", {"n": 3}) is UNDEFINED
        assert isinstance(judge.ask("shop/length", {"n": 4}), Failure)
        paths = ["shop/allow", "shop/inner/open", "shop/length"]
        assert judge.ask_all(paths, {"n": "four"}) == {
            "shop/allow": True,
            "shop/inner/open": True,
            "shop/length": 4,
        }
        assert isinstance(judge.ask_all(paths, {"n": 4})["shop/length"], Failure)
        assert judge.ask_all(paths, {"n": 4})["shop/allow"] is True


def test_a_module_takes_the_place_of_the_one_before() -> None:
    with opa(Path(opa_binary())) as judge:
        assert judge.load("package t\n\nr := data.x", {"x": 1}) is None
        assert judge.ask("t/r", {}) == 1
        refusal = judge.load("package t\n\nr if x", {})
        assert refusal == Refusal("rego_unsafe_var_error", "var x is unsafe")
        assert judge.load("package t\n\nq := 1", {}) is None
        assert judge.ask("t/r", {}) is UNDEFINED


def test_what_opa_does_not_load_is_told_in_its_words() -> None:
    with pytest.raises(CannotRun) as reasons, opa(Path(opa_binary()), [Module("t.rego", "package t\n\nr if x")]):
        pass
    assert any("var x is unsafe" in line for line in reasons.value.args)


def test_nothing_listens_any_more_behind_the_context() -> None:
    with opa(Path(opa_binary())) as judge:
        again = Judge(judge.socket_path)
        assert again.connect()
        again.close()
    assert not again.connect()


def test_an_opa_that_is_not_there_is_told_of() -> None:
    with pytest.raises(CannotRun, match="/no/opa is no program"):
        find_opa(Path("/no/opa"))
