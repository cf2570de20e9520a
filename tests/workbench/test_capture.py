"""The inputs that tests of Rego bring are noted while the tests run, whatever they are made of."""

from __future__ import annotations

from proxy.policy.sources import Module
from proxy.workbench.capture import capture_inputs

POLICY = Module("shop.rego", "package shop\n\nimport rego.v1\n\nallow if input.user == data.chief\n")
TESTS = """package shop_test

import data.shop
import rego.v1

base := {"user": "ana", "n": 1}

ask(who) := answer if answer := shop.allow with input as object.union(base, {"user": who})

test_one if ask("bob")

test_two if {
	every who in ["ana", "eve"] {
		not shop.allow with input as {"user": who} with data.chief as "x"
	}
}

test_three if shop.allow with input.user as "zoe"

test_four if [1 | shop.allow with input as {"user": {1}}] == []

helper if ask("nobody")
"""


def test_what_tests_bring_is_noted_once_and_in_order() -> None:
    found = capture_inputs([POLICY, Module("shop_test.rego", TESTS)], {"chief": "bob"})
    assert found == [{"user": "bob", "n": 1}, {"user": "ana"}, {"user": "eve"}, {"user": "zoe"}]
