"""Both engines asked the same about a policy: inputs, verdicts, and the smallest input of a difference."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.policy.decision import UNDEFINED
from proxy.workbench.agreement import Verdict
from proxy.workbench.parity import CannotRun, Parity, Report
from tests.opa import ROOT, opa_binary

EXAMPLES = sorted((ROOT / "policies" / "examples").iterdir())
# Fractions are binary here and decimal in OPA (docs/policy-engines.md).
FRACTIONS = 'allow if {\n\tinput.request.method == "PUT"\n\t0.1 + 0.2 == 0.3\n}\n'


def compare(policy: Path, rules: str | None = None, *, seed: int = 1, count: int = 200) -> Report:
    if rules is not None:
        policy /= "shop.rego"
        policy.write_text(f"package shop\n\nimport rego.v1\n\n{rules}")
    return Parity(None, policy).compare(Path(opa_binary()), seed, count, lambda: None)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_have_the_same_answers_and_each_rule_has_several(example: Path) -> None:
    report = compare(example, count=400)
    assert report.counted == {Verdict.SAME: 400 * len(report.rules)}
    assert report.constant == {}


def test_a_difference_is_shown_by_the_smallest_input(tmp_path: Path) -> None:
    [difference] = compare(tmp_path, FRACTIONS).differences
    assert (difference.rule.path, difference.rule.place) == ("shop/allow", f"{tmp_path}/shop.rego:5:1")
    assert (difference.ours, difference.theirs) == (UNDEFINED, True)
    assert difference.document["request"]["method"] == "PUT"
    assert difference.document["principal"]["groups"] == []
    assert "attributes" in difference.document, "what every request's input has stays"
    assert "extra" not in difference.document


def test_a_seed_finds_the_same_again(tmp_path: Path) -> None:
    first, again = (compare(tmp_path, FRACTIONS, seed=11) for _ in range(2))
    assert first.differences == again.differences
    assert first.counted == again.counted


def test_where_this_engine_alone_fails_is_counted_apart(tmp_path: Path) -> None:
    report = compare(tmp_path, 'r := {x | x := base64.decode(["/w==", "YQ=="][_])}\n')
    assert report.counted[Verdict.STRICTER] == 200
    assert "base64.decode" in report.stricter["shop/r"]


def test_every_rule_that_can_be_asked_is(tmp_path: Path) -> None:
    rules = "a := 1\n\nb contains 1\n\nc[k] := k if some k in input.principal.groups\n\nd.e if true\n\nf(x) := x\n"
    rules += "\ndefault g := 2\n"
    assert [rule.path for rule in compare(tmp_path, rules, count=1).rules] == [
        "shop/a", "shop/b", "shop/c", "shop/d/e", "shop/g",
    ]  # fmt: skip


def test_tests_and_tables_beside_a_policy_give_their_inputs(tmp_path: Path) -> None:
    (tmp_path / "shop_test.rego").write_text(
        'package shop_test\n\nimport data.shop\n\ntest_a if shop.a with input as {"secret": "swordfish"}\n'
    )
    (tmp_path / "shop.policy.yaml").write_text(
        "tests: [{name: one, given: {user: zoe}, when: GET https://any.example.org/, then: {allow: false}}]\n"
    )
    rules = 'a if input.secret == concat("", ["sword", "fish"])\n\nb if input.principal.id == concat("", ["z", "oe"])\n'
    (tmp_path / "shop.rego").write_text(f"package shop\n\nimport rego.v1\n\n{rules}")
    assert compare(tmp_path).constant == {}


def test_a_log_gives_its_inputs(tmp_path: Path) -> None:
    policy, log = tmp_path / "shop.rego", tmp_path / "log.jsonl"
    policy.write_text('package shop\n\nallow if input.principal.id == concat("", ["z", "oe"])\n')
    log.write_text('{"type": "decision", "input": {"principal": {"id": "zoe"}}}\n')
    for logs, constant in (((), {"shop/allow": UNDEFINED}), ((log,), {})):
        assert Parity(None, policy, logs).compare(Path(opa_binary()), 1, 50, lambda: None).constant == constant


@pytest.mark.parametrize(
    ("rules", "rule"),
    [
        ("allow if input.x ==\n", "shop.rego:"),
        ("f(x) := x\n", "there is no rule to ask"),
        ("allow if count(7) == 1\n", "rego_type_error"),
    ],
)
def test_what_cannot_be_compared_is_told(tmp_path: Path, rules: str, rule: str) -> None:
    with pytest.raises(CannotRun) as reasons:
        compare(tmp_path, rules)
    assert rule in "\n".join(reasons.value.args)
