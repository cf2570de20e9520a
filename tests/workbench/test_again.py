"""A record's input asked again: what counts as alike, what cannot be said, and what was answered."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.policy.allow import route_data
from proxy.workbench.again import Again, Answer, Asked, Undecidable, answered
from proxy.workbench.case import Case, Who
from proxy.workbench.desk import Desk
from proxy.workbench.erasure import erased_read
from proxy.workbench.likeness import Likeness, names_in
from tests.workbench.records import record
from tests.workbench.test_desk import CONFIG

# what is alike


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": 1.0}),
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": "1"}),
        ({"a": None}, {}),
        ({"a": None}, {"a": "None"}),
        ({"a": ["1"]}, {"a": [1]}),
        ({"b": {"x": None, "y": "v"}, "c": None}, {"b": None, "c": {"x": "v", "y": None}}),
        ({"b": {"x": "v"}}, {"b": "v"}),
        ({"b": []}, {"b": {}}),
    ],
)
def test_documents_that_a_rule_can_tell_apart_are_not_alike(one: Any, other: Any) -> None:
    likeness = Likeness([("a",), ("b", "x"), ("b", "y"), ("c", "x"), ("c", "y")])
    assert likeness.key(one) != likeness.key(other)


def test_what_is_not_read_makes_no_difference() -> None:
    likeness = Likeness([("a", "b")])
    assert likeness.key({"a": {"b": 1, "c": 2}, "d": 3}) == likeness.key({"a": {"b": 1}})
    assert Likeness([()]).key({"a": 1}) != Likeness([()]).key({"a": 2})


def test_names_are_those_of_keys_values_and_parts_of_paths() -> None:
    assert names_in({"a": ["b", {"c/d": 1}]}) == {"a", "b", "c", "d", "c/d"}


ENTRIES: list[dict[str, Any]] = [
    {"groups": ["engineering"], "methods": ["GET"]},
    {"groups": ["sales"], "paths": ["/orders/eu/"]},
    {"users": ["ana", "bob@example.org"], "paths": ["/admin", "/a/b/c/d"]},
    {"claims": {"department": ["finance"]}, "networks": ["10.0.0.0/8"]},
    {"devices": ["mdm:*"], "users": ["eve"], "hours": {"days": ["tue"], "from": "08:00", "to": "18:00", "zone": "UTC"}},
    {"workloads": ["spiffe://example.org/ns/ci/*"], "paths": ["/api/"]},
]


def desk_of(folder: Path, entries: list[dict[str, Any]]) -> Desk:
    routes = [{"name": "wiki", "host": "*", "upstream": "wiki", "authenticate": {"issuers": ["corp"]},
               "allow": entries}]  # fmt: skip
    file = folder / "ztproxy.yaml"
    file.write_text(yaml.safe_dump(CONFIG | {"routes": routes}), encoding="utf-8")
    return Desk.open(file)


@pytest.mark.parametrize("few", [ENTRIES, ENTRIES[:2], ENTRIES[3:4], ENTRIES[5:]])
def test_the_default_policy_says_the_same_of_documents_that_count_as_alike(
    tmp_path: Path, few: list[dict[str, Any]]
) -> None:
    desk, chance = desk_of(tmp_path, few), random.Random(7)
    asked, point = Asked(desk, "ztproxy/authz/decision"), "ztproxy/authz/decision"
    words = ["engineering", "sales", "ana", "bob@example.org", "x", "finance", "eve"]
    paths = ["/", "/orders/eu/1", "/orders/eu", "/admin", "/a/b/c/d", "/a/b/c", "/api/x", "/%C3%BC/y"]
    for number in range(600):
        user = chance.choice([None, *words, f"user-{number}"])
        who = Who(
            user=user,
            email=user if user is not None and "@" in user else "",
            groups=tuple(chance.sample([*words, f"g{number}"], 2)) if user else (),
            claims={"department": chance.choice(words), "jti": str(number)} if user else {},
            device="mdm:7" if chance.random() < 0.4 else None,
        )
        if who.device is None and chance.random() < 0.3:
            who = Who(workload=f"spiffe://example.org/ns/{chance.choice(['ci', 'shop'])}/x")
        source = chance.choice(["10.1.2.3", "192.0.2.9"])
        time = 1795512600.0 + chance.randrange(86_400 * 2)
        case = Case(chance.choice(["GET", "PUT"]), f"https://a.example{chance.choice(paths)}", who, (), source, time)
        document = desk.decide(case).input
        assert document is not None
        value = desk.engine.evaluate_now(point, document)
        assert isinstance(value, dict)
        expected = Answer(None if value["allow"] else "policy_denied", tuple(value["reasons"]))
        assert asked.ask(document) == expected, case


def test_the_default_policy_is_asked_once_about_all_who_are_alike(tmp_path: Path) -> None:
    desk = desk_of(tmp_path, ENTRIES[:3])
    records = [
        record(desk, Case("GET", f"https://a.example/{n}", Who(user=f"u{n}", claims={"jti": str(n)}), time=1e9 + n))
        for n in range(50)
    ]
    asked = Asked(desk, "ztproxy/authz/decision")
    assert {asked.ask(one["input"]).code for one in records} == {"policy_denied"}
    assert asked.evaluated == 1


# what was erased


@pytest.mark.parametrize(
    ("pointer", "reads", "said"),
    [
        ("/input/request/headers/cookie", ("request", "headers", "cookie"), "input.request.headers.cookie"),
        ("/input/request/headers/cookie", ("request", "headers"), "input.request.headers.cookie"),
        ("/input/request/headers/cookie", ("request", "headers", "accept"), None),
        ("/input/request/headers/x~1y", ("request", "headers", "x/y"), "input.request.headers.x/y"),
        ("/input/principal", ("principal", "id"), "input.principal"),
        ("/input/principal/claims/sid", (), "input.principal.claims.sid"),
        ("/input/request/query", ("parsed_query", "a"), "input.parsed_query"),
        ("/input/request/query", ("attributes", "request", "http", "path"), "input.attributes.request.http.path"),
        (
            "/input/request/headers/cookie",
            ("attributes", "request", "http", "headers", "cookie"),
            "input.attributes.request.http.headers.cookie",
        ),
        ("/result/headers/x", ("result",), None),
        ("", ("a",), None),
    ],
)
def test_what_is_read_of_what_was_erased(pointer: str, reads: tuple[str, ...], said: str | None) -> None:
    assert erased_read([pointer], [reads]) == said


OWN = """package own

import rego.v1

allow if input.request.headers.cookie == "a=b"

envoy if input.attributes.request.http.headers["x-team"] == "blue"

fresh := {"allow": true, "require": {"max_age": 60}} if input.request.method == "GET"

fails := to_number(input.request.headers["x-team"]) == 1

bad := "yes" if input.request.method == "GET"
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("own") / "own.rego"
    file.write_text(OWN, encoding="utf-8")
    return file


def asked_of(own: Path, rule: str) -> Asked:
    return Asked(Desk.open(None, own, f"own/{rule}"), f"own/{rule}")


def test_a_record_without_what_the_rule_reads_cannot_be_decided(own: Path) -> None:
    desk = Desk.open(None, own, "own/allow")
    told = record(desk, Case("GET", "https://a.example/", headers=(("Cookie", "a=b"),)))
    assert Again(desk).ask(told) == Undecidable("input.request.headers.cookie")
    assert Again(desk).ask(record(desk, Case("GET", "https://a.example/"))).code == "policy_undefined"
    masked = told | {"erased": [], "masked": ["/input/request/headers/cookie"]}
    assert Again(desk).ask(masked) == Undecidable("input.request.headers.cookie")


def test_envoys_shape_is_made_again_of_a_record_that_has_it_not(own: Path) -> None:
    desk = Desk.open(None, own, "own/envoy")
    told = record(desk, Case("GET", "https://a.example/", headers=(("X-Team", "blue"),)))
    assert "attributes" not in told["input"]
    assert Again(desk).ask(told) == Answer(None)
    assert asked_of(own, "envoy").ask({"request": {}}).code == "policy_undefined"


def test_how_old_a_sign_in_is_is_judged_of_each_record(own: Path) -> None:
    asked = asked_of(own, "fresh")
    principal = {"kind": "user", "id": "ana", "authentication": {"time": 1000}}
    answers = [
        asked.ask({"principal": principal, "request": {"method": "GET"}, "time": {"unix_ns": seconds * 10**9}}).code
        for seconds in (1030, 1090)
    ]
    assert answers == [None, "step_up_required"]


@pytest.mark.parametrize(("rule", "code"), [("fails", "policy_failed"), ("bad", "policy_malformed")])
def test_a_policy_that_fails_is_a_refusal_with_its_code(own: Path, rule: str, code: str) -> None:
    document = {"request": {"method": "GET", "headers": {"x-team": "blue"}}}
    assert asked_of(own, rule).ask(document).code == code


def test_an_engine_sees_no_document_that_could_end_it(own: Path) -> None:
    deep: Any = "GET"
    for _ in range(100):
        deep = [deep]
    assert asked_of(own, "bad").ask({"request": {"method": deep}}).code == "input_refused"
    assert asked_of(own, "bad").ask({"request": {"method": "\ud800"}}).code == "input_refused"


# what was answered


def told(**more: Any) -> dict[str, Any]:
    return {"type": "decision", "decision_id": "1", "path": "a/b", "input": {}, **more}


DENIED = {"code": "policy_denied", "message": "no"}


@pytest.mark.parametrize(
    ("one", "was"),
    [
        (told(result=True), Answer(None)),
        (told(result={"allow": True, "reasons": ["r"]}), Answer(None, ("r",))),
        (told(result={"allow": False, "reasons": ["r"]}, error=DENIED), Answer("policy_denied", ("r",))),
        (told(error={"code": "policy_undefined", "message": ""}), Answer("policy_undefined")),
        (told(error={"code": "policy_too_slow", "message": "m"}), Answer("policy_too_slow", ("m",))),
        (told(error={"code": "client_gone"}), None),
        (told(error={"code": "input_refused"}), None),
        (told(result=True, error={"code": "decision_log_unavailable"}), Answer(None)),
        (told(path="", result={"allow": True}), None),
        (told(type=None, result=True), Answer(None)),
        (told(type=None, result={"allowed": False}), Answer("policy_denied")),
        (
            told(type=None),
            Answer("policy_undefined", ("policy must be defined for the request",)),
        ),
        (told(type=None, error={"code": "eval_internal_error"}), Answer("policy_failed", ("eval_internal_error",))),
    ],
)
def test_what_a_record_says_was_answered(one: dict[str, Any], was: Answer | None) -> None:
    assert answered(one) == was


def test_data_of_routes_has_every_name_that_the_default_policy_looks_up(tmp_path: Path) -> None:
    names = names_in(route_data(desk_of(tmp_path, ENTRIES).config))
    assert {"engineering", "sales", "ana", "bob@example.org", "orders", "eu", "admin", "a", "b", "c", "d"} <= names
