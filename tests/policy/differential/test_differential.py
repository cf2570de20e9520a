"""Generated policies and inputs on both engines; the real `opa` is the judge.

Each run draws others, by a seed that is printed: ZTPROXY_SEED repeats one, ZTPROXY_POLICIES makes more of them. What
fails is shown as the smallest pair: hypothesis shrinks the policy, and the input is shrunk after it. A policy that our
loader refuses proves nothing, nor does one that OPA's type checker refuses, so both are counted, and bounded.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from proxy.workbench.agreement import Verdict, answer, smallest, verdict
from proxy.workbench.judge import TYPE_ERROR, Judge, opa
from tests.opa import opa_binary
from tests.policy.differential.grammar import Written, policies
from tests.policy.differential.inputs import data, document
from tests.policy.reference import compiled

POLICIES: Final = int(os.environ.get("ZTPROXY_POLICIES", "600"))
INPUTS: Final = 6  # for each policy
_SEED: Final = int(os.environ.get("ZTPROXY_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)


def compare(judge: Judge, written: Written, dice: random.Random, counted: Counter[str]) -> None:
    """Hold both engines' answers about one policy against each other, for some inputs; raise AssertionError."""
    policy, held = written.text, data(dice)
    counted["policies"] += 1
    engine = compiled(policy, held, f"t/{written.rules[0]}")
    if isinstance(engine, list):
        counted["refused by ztproxy"] += 1
        return
    refusal = judge.load(policy, held)
    if refusal is not None:
        assert refusal.code == TYPE_ERROR, f"OPA refuses what loads here: {refusal.message}\n\n{policy}"
        counted["refused by OPA's type checker"] += 1
        return

    def differ(path: str, shown: dict[str, Any]) -> bool:
        return verdict(answer(engine, path, shown), judge.ask(path, shown)) is Verdict.DIFFERENT

    for shown in [document(dice) for _ in range(INPUTS)]:
        for rule in written.rules:
            path = f"t/{rule}"
            counted["pairs"] += 1
            found = verdict(answer(engine, path, shown), judge.ask(path, shown))
            counted[found] += 1
            if found is Verdict.DIFFERENT:
                least = smallest(shown, lambda smaller, path=path: differ(path, smaller))
                pytest.fail(
                    f"{path} is {answer(engine, path, least)!r} here and {judge.ask(path, least)!r} in OPA\n"
                    f"input: {json.dumps(least)}\ndata: {json.dumps(held)}\n\n{policy}",
                    pytrace=False,
                )


def say(capsys: pytest.CaptureFixture[str], words: str) -> None:
    with capsys.disabled():
        print(f"\ndifferential: {words}", end="")  # noqa: T201 - whoever runs it must be able to repeat it


def test_generated_policies_have_the_same_answers_on_both_engines(capsys: pytest.CaptureFixture[str]) -> None:
    counted: Counter[str] = Counter()
    with opa(Path(opa_binary())) as judge:

        @seed(_SEED)
        @settings(
            max_examples=POLICIES,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
            print_blob=False,
        )
        @given(policies(), st.integers(0, 2**32))
        def run(written: Written, roll: int) -> None:
            compare(judge, written, random.Random(roll), counted)

        say(capsys, f"seed {_SEED}")
        run()
    say(capsys, ", ".join(f"{count} {what}" for what, count in counted.items()))
    judged = counted["policies"] - counted["refused by ztproxy"] - counted["refused by OPA's type checker"]
    assert judged >= counted["policies"] / 2, counted
    assert counted["stricter"] <= counted["pairs"] / 20, counted
