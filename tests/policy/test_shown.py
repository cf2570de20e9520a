"""What a policy is shown is the part that it reads of the whole input, and the same part tells requests apart."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from proxy.errors import INPUT_REFUSED, Refused
from proxy.http.target import parse_target
from proxy.policy.fields import canonical
from proxy.policy.input import build_input
from proxy.policy.reads import Place, Reads
from proxy.policy.scalars import find_fault
from proxy.policy.shown import Plan, Tree, cut, tree_of
from tests.policy.inquiries import ANA, ask, workload
from tests.policy.questions import posed, turns, usual, walk

Paths = tuple[tuple[str, ...], ...]


def plan_of(*paths: tuple[str, ...]) -> Plan:
    return Plan(Reads("p/r", {path: Place("p.rego", 1) for path in paths}))


def paths_in(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of everything in a document, of the document too."""
    yield path
    if isinstance(value, dict):
        for name, below in value.items():
            yield from paths_in(below, (*path, name))


def some_paths(dice: random.Random) -> Paths:
    """Return paths that a policy might read: some are not there, some lead through what is no object."""
    document = build_input(posed(dice.choice([usual(), *walk(dice.randint(0, 99), 3)])))
    there = list(paths_in(document))
    paths = dice.sample(there[1:], dice.randint(1, 6))
    return tuple(path + (("no",) if dice.random() < 0.2 else ()) for path in paths)


EVERY_PATH = sorted({path for question in walk(3, 100) for path in paths_in(build_input(posed(question)))})


@pytest.mark.parametrize("path", EVERY_PATH, ids=".".join)
def test_each_field_alone_is_what_it_is_in_the_whole_document(path: tuple[str, ...]) -> None:
    plan = plan_of(path)
    for question in walk(5, 12):
        inquiry = posed(question)
        assert canonical(plan.build(inquiry)) == canonical(cut(build_input(inquiry), tree_of([path])))


def test_any_fields_together_are_what_they_are_in_the_whole_document() -> None:
    dice = random.Random(1)
    for seed in range(200):
        paths = some_paths(dice)
        plan = plan_of(*paths)
        for question in walk(seed, 5):
            inquiry = posed(question)
            assert canonical(plan.build(inquiry)) == canonical(cut(build_input(inquiry), tree_of(paths))), paths


def test_two_requests_are_told_the_same_if_and_only_if_what_is_read_is_the_same() -> None:
    dice = random.Random(2)
    for seed in range(300):
        plan = plan_of(*some_paths(dice))
        told: dict[Any, str] = {}
        for question in walk(seed, 20, most=1):
            inquiry = posed(question)
            part = canonical([inquiry.route, plan.build(inquiry)])
            assert told.setdefault(plan.tell(inquiry), part) == part
        assert len(set(told.values())) == len(told), plan.reads.paths


@pytest.mark.parametrize("path", EVERY_PATH[1:], ids=".".join)
def test_a_field_that_changes_tells_and_no_other_one_does(path: tuple[str, ...]) -> None:
    plan, question = plan_of(path), usual()
    told, part = plan.tell(posed(question)), canonical(plan.build(posed(question)))
    for knob, other in turns(question, random.Random(4)):
        if knob != "route":
            inquiry = posed(other)
            assert (plan.tell(inquiry) == told) == (canonical(plan.build(inquiry)) == part), knob


VALUES = [1, 1.0, True, "1", "true", None, "null", [1], ["1"], [], {}, {"1": 1}, "", 0, 0.0, -0.0, False, [[]], "[]"]


def test_a_claim_is_told_by_value_and_by_type() -> None:
    absent = [ANA.claims, {"iss": "x"}, {}]
    claims = [*({"x": value} for value in VALUES), *absent]
    plan = plan_of(("principal", "claims", "x"))
    told = [plan.tell(ask(principal=replace(ANA, claims=each))) for each in claims]
    assert len(set(told)) == len(VALUES) + 1
    assert told[-3] == told[-2] == told[-1]


def test_the_order_of_members_tells_nothing() -> None:
    plan = plan_of(("principal", "claims"), ("route", "labels"), ("request", "headers"))
    one, other = ({"a": 1, "b": {"c": 1, "d": 2}}, {"b": {"d": 2, "c": 1}, "a": 1})
    told = [
        plan.tell(ask(principal=replace(ANA, claims=claims), labels=labels, headers=headers))
        for claims, labels, headers in (
            (one, {"x": "1", "y": "2"}, [(b"e", b"1"), (b"f", b"2")]),
            (other, {"y": "2", "x": "1"}, [(b"f", b"2"), (b"e", b"1")]),
        )
    ]
    assert told[0] == told[1]


def test_what_stands_where_an_object_was_looked_for_is_shown_and_told() -> None:
    plan = plan_of(("principal", "claims", "org", "team"))
    orgs: list[Any] = [{"team": "a", "more": 1}, {}, "text", ["team"], None]
    inquiries = [ask(principal=replace(ANA, claims={"org": org})) for org in orgs]
    shown = [plan.build(inquiry)["principal"]["claims"]["org"] for inquiry in inquiries]
    assert shown == [{"team": "a"}, {}, "text", ["team"], None]
    assert len({plan.tell(inquiry) for inquiry in inquiries}) == len(orgs)


def test_without_a_peer_or_tls_that_is_what_tells() -> None:
    plan = plan_of(("peer", "id"), ("tls", "sni"))
    device = workload("spiffe://example.org/device/7")
    inquiries = [ask(peer=device), ask(), ask(sni=None), ask(sni=None, tls_version=None)]
    assert [plan.build(inquiry) for inquiry in inquiries] == [
        {"peer": {"id": device.id}, "tls": {"sni": "wiki.example.org"}},
        {"peer": None, "tls": {"sni": "wiki.example.org"}},
        {"peer": None, "tls": {"sni": None}},
        {"peer": None, "tls": None},
    ]
    assert len({plan.tell(inquiry) for inquiry in inquiries}) == 4


@pytest.mark.parametrize("paths", [(), ((),), (("request", "method"),), (("request", "headers", "accept"),)])
@pytest.mark.parametrize("wrong", [{"headers": [(b"x-a", b"\xff")]}, {"target": "/?q=\xff"}])
def test_bytes_that_are_no_text_are_refused_read_or_not(paths: Paths, wrong: dict[str, Any]) -> None:
    inquiry = ask(
        **{"headers": [(b"accept", b"*/*")]} | {key: value for key, value in wrong.items() if key == "headers"}
    )
    if "target" in wrong:
        inquiry.target = replace(inquiry.target, query=b"q=\xff")
    with pytest.raises(Refused) as caught:
        plan_of(*paths).build(inquiry)
    assert caught.value.row is INPUT_REFUSED


@pytest.mark.parametrize("claim", ["\ud800", 2**70, float("inf")])
def test_a_claim_that_no_engine_must_see_is_refused_read_or_not(claim: Any) -> None:
    for paths in ((("principal", "claims", "x"),), (("principal", "id"),), ((),)):
        with pytest.raises(Refused) as caught:
            plan_of(*paths).build(ask(principal=replace(ANA, claims={"x": claim})))
        assert caught.value.row is INPUT_REFUSED


MANY = [(b"x-%d" % number, b"") for number in range(50_001)]


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("route", "labels"), {"labels": {"tier": "\ud800"}}),
        (("route", "labels", "tier"), {"labels": {"tier": "\ud800"}}),
        (("tls", "sni"), {"sni": "\ud800"}),
        (("attributes", "tlsSession"), {"sni": "\ud800"}),
        (("request", "id"), {"request_id": "\ud800"}),
        (("attributes", "request", "http", "id"), {"request_id": "\ud800"}),
        (("request", "headers"), {"headers": MANY}),
        (("attributes", "request", "http", "headers"), {"headers": MANY}),
        ((), {"sni": "\ud800"}),
    ],
)  # fmt: skip
def test_what_no_engine_must_see_is_refused_where_it_is_read(path: tuple[str, ...], wrong: dict[str, Any]) -> None:
    plan_of(path).build(ask())
    with pytest.raises(Refused) as caught:
        plan_of(path).build(ask(**wrong))
    assert caught.value.row is INPUT_REFUSED


def test_fields_that_are_not_looked_at_again_are_fit_by_the_way_they_are_made() -> None:
    odd = ["/%F0%9F%92%A9/%ED%9F%BF", "/a?q=%ED%A0%80&q=%FF&%00=%C3%28", "/?\u00e9=\U0001f4a9"]
    for target in odd:
        inquiry = ask(headers=[(b"x-a", "\u00e9\U0001f4a9\x85".encode())], source="\ud800", source_port=2**63 - 1)
        way, _, query = target.partition("?")
        parsed = parse_target(b"GET", way.encode(), [b"wiki.example.org"], (1, 1))
        inquiry.target = replace(parsed, query=query.encode())
        for path in EVERY_PATH[1:]:
            assert find_fault(plan_of(path).build(inquiry)) is None


def test_what_is_made_of_a_caller_is_made_once() -> None:
    principal = replace(ANA)
    plan = plan_of(("principal", "groups"))
    first, second = plan.build(ask(principal=principal)), plan.build(ask(principal=principal))
    assert first["principal"] is second["principal"]
    assert plan_of(("principal", "groups")).build(ask(principal=principal))["principal"] is first["principal"]
    assert plan_of(("principal", "id")).build(ask(principal=principal)) == {"principal": {"id": "user-1"}}


def test_a_path_that_another_one_begins_is_no_path_of_its_own() -> None:
    expected: Tree = {"a": None, "b": {"c": None, "d": {"e": None}}}
    assert tree_of([("a", "x"), ("a",), ("b", "c"), ("b", "d", "e"), ("b", "c", "y", "z")]) == expected
    assert tree_of([("a",), ()]) is None
    assert tree_of([]) == {}
