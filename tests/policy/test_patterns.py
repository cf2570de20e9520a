"""Regular expressions: what the grammar lets pass means the same to both engines."""

from __future__ import annotations

import json
import random

import pytest
import regorus

from proxy.policy.patterns import PatternError, check_regex, check_replacement
from tests.opa import opa_server
from tests.policy.reference import REFUSED, compiled, ours

ACCEPTED = [
    "", "a", "é", "^a", "a$", "^$", "a|b", "(a|b)c", "(?:a)", "(?i)abc", ".", "a*", "a+?", "a??", "a{2}", "a{2,}",
    "a{2,3}", "(a{2}|b)?", "[a-z]", "[^/]+", "[a-zA-Z0-9_.-]+", "[-a]", "[a-]", "[[:alpha:]_]", "[^[:space:]]", "[é-ü]",
    "[a\\]b]", "[\\\\]", "[a.b]", "[&~]", "[!]", r"\.", r"\/", r"\-", r"\$", r"\{\}", r"\n\t", "^/users/[^/]+/?$",
    "[*+?(){}|^$]", "a{0,1000}", "()", "(|a)",
]  # fmt: skip
NOT_ACCEPTED = [
    r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", r"\b", r"\B", r"[\d]", r"\pL", r"\p{L}", r"\x41", r"\A", r"\z", r"\Z",
    r"\Qa\E", r"\<", r"\>", r"\1", r"(a)\1", r"\_", r"\é", "\\", "a**", "a++", "*a", "+", "?", "a{", "a}", "{", "a{,2}",
    "a{2,1}", "a{1001}", "(a{9}){9}", "((a{2})b)+{3}", "a{2}{3}", "]", "[a", "[]a]", "[^]a]", "[", "[[a]]", "[a&&b]",
    "[a--b]", "[a~~b]", "[b-a]", "[a-\\]]", "[[:word:]]", "[[:^alpha:]]", "(a", "a)", "(?=a)", "(?!a)", "(?<n>a)",
    "(?P<n>a)", "(?s)a", "a(?i)b", "(?i:a)", "(?-i)a", "(?U)a", "(?x) a", "a{٣}", "[a-b-c]",
]  # fmt: skip


@pytest.mark.parametrize("pattern", ACCEPTED)
def test_a_plain_pattern_is_let_pass(pattern: str) -> None:
    check_regex(pattern)


@pytest.mark.parametrize("pattern", NOT_ACCEPTED)
def test_a_pattern_that_the_engines_may_read_differently_is_not(pattern: str) -> None:
    with pytest.raises(PatternError, match="pattern must"):
        check_regex(pattern)


def generated(chance: random.Random, depth: int = 0) -> str:
    """Return a pattern of the grammar."""
    atoms = [
        "a", "b", "/", "-", "é", "😀", ".", r"\.", r"\n", "[a-c]", "[^/]", "[^a]", "[[:alpha:]]", "[a\\]]", "[é-ü_]",
    ]  # fmt: skip
    out = ""
    for _ in range(chance.randint(1, 4)):
        atom = chance.choice(atoms)
        if depth < 2 and chance.random() < 0.25:
            inside = generated(chance, depth + 1)
            atom = f"({inside}|{generated(chance, depth + 1)})" if chance.random() < 0.5 else f"(?:{inside})"
        if chance.random() < 0.3:
            quantifiers = ["*", "+", "?", "*?", "+?", "??"] + (["{2}", "{1,2}"] if "{" not in atom else [])
            atom += chance.choice(quantifiers)
        out += atom
    return out if depth else chance.choice(["", "^", "(?i)"]) + out + chance.choice(["", "", "$"])


def test_generated_patterns_mean_the_same_to_both_engines() -> None:
    chance = random.Random(20)
    patterns = [generated(chance) for _ in range(400)]
    texts = ["".join(chance.choice("ab/.é-_AÉ\n😀 c") for _ in range(chance.randint(0, 6))) for _ in range(400)]
    for pattern in patterns:
        check_regex(pattern)
    policy = """package t

m := [regex.match(p, t) | some [p, t] in input.pairs]

f := [regex.find_n(p, t, -1) | some [p, t] in input.pairs]

g := [regex.find_all_string_submatch_n(p, t, -1) | some [p, t] in input.pairs]

s := [regex.replace(t, p, "<$1>") | some [p, t] in input.pairs]
"""
    pairs = [list(pair) for pair in zip(patterns, texts, strict=True)]
    engine = regorus.Engine()
    engine.add_policy("t.rego", policy)
    engine.set_input({"pairs": pairs})
    with opa_server() as opa:
        opa.request("PUT", "policies/t", policy)
        for rule in ("m", "f", "g", "s"):
            mine = json.loads(engine.eval_rule_as_json(f"data.t.{rule}"))
            status, body = opa.request("POST", f"data/t/{rule}", json.dumps({"input": {"pairs": pairs}}))
            assert status == 200
            for pair, one, other in zip(pairs, mine, body["result"], strict=True):
                assert one == other, (rule, pair)


@pytest.mark.parametrize(
    "rules",
    [
        "r if regex.match(input.pattern, input.text)",
        "p := `^a`\n\nr if regex.match(p, input.text)",
        "r if { some p in [`^a`]; regex.match(p, input.text) }",
        "r := regex.replace(input.text, input.pattern, `x`)",
        "r if regex.match(`\\d`, input.text)",
        "r if regex.match(concat(``, [`a`]), input.text)",
        "r := regex.replace(input.text, `a`, input.with)",
    ],
)
def test_a_pattern_must_be_written_out_where_it_is_used(rules: str) -> None:
    assert ours(rules) == REFUSED


@pytest.mark.parametrize("text", ["", "x", "$1", "<$1>", "$0 $12.", "${1}0", "$$", "$$1x", "é${0}é"])
def test_a_replacement_that_both_engines_read_alike_is_let_pass(text: str) -> None:
    check_replacement(text)


@pytest.mark.parametrize(
    "text", ["$", "a$", "$01", "${01}", "${}", "${", "$1é", "$1x", "$1_", "$name", "${a}", "$$$", "$-1"]
)
def test_a_replacement_that_they_might_read_differently_is_refused(text: str) -> None:
    with pytest.raises(PatternError, match="must stand before"):
        check_replacement(text)
    assert ours(f"r := regex.replace(`ab`, `(a)`, `{text}`)") == REFUSED


def test_the_refusal_of_a_pattern_says_what_to_write() -> None:
    faults = compiled("r if regex.match(`^\\d+$`, input.text)")
    assert isinstance(faults, list)
    assert faults[0].startswith("t.rego:3:19: pattern must not have \\d")
    assert "[0-9]" in faults[0]
    assert "engine: opa" in faults[0]
