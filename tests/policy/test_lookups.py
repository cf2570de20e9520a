"""Where the entries of long lists are found, and that what is found decides as the whole list would."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from proxy.config.schema import Config
from proxy.identity.principal import Peer
from proxy.policy.allow import allow_mistakes, route_data
from proxy.policy.embedded import EmbeddedEngine
from proxy.policy.input import Inquiry, build_input
from proxy.policy.lookups import compile_entries
from proxy.policy.reading import new_engine
from proxy.policy.sources import default_policy
from tests.policy.inquiries import ANA, NOON, ask, config, device, workload
from tests.policy.naive import decided
from tests.policy.opa import opa

DECISION = "ztproxy/authz/decision"
OFFICE = {"days": ["sun"], "from": "08:00", "to": "18:00", "zone": "Europe/Berlin"}
CORP = {"issuers": {"corp": True}}


ANOTHER = {"users": {"emails": {}, "subjects": {"another": True}}}  # beside one entry, so that there is an index


def _filed(*entries: dict[str, Any]) -> dict[str, Any]:
    """Return where entries are found, beside another one."""
    compiled = _compiled(*entries)
    subjects = compiled["index"]["subjects"]
    assert subjects.pop("another") == [len(entries)]
    found = {"always": compiled["always"], "subjects": subjects}
    return {key: value for key, value in (compiled["index"] | found).items() if value}


def _left(*entries: dict[str, Any]) -> list[set[str]]:
    """Return what the entries still require once they are found."""
    allow = _compiled(*entries)["allow"][: len(entries)]
    direct = [{key for key in ("issuers", "methods", "groups", "paths") if entry[key]} for entry in allow]
    return [left | entry["further"].keys() for left, entry in zip(direct, allow, strict=True)]


def _compiled(*entries: dict[str, Any]) -> dict[str, Any]:
    return compile_entries([str(number) for number in range(len(entries) + 1)], [*entries, ANOTHER])


def _users(*emails: str) -> dict[str, Any]:
    return {"users": {"emails": dict.fromkeys(emails, True), "subjects": {}}}


def _groups(*groups: str) -> dict[str, Any]:
    return {"groups": dict.fromkeys(groups, True)}


def _below(*prefixes: str) -> dict[str, Any]:
    return {"workloads": {"exact": {}, "below": list(prefixes)}}


def _path(*segments: str) -> dict[str, Any]:
    return {"paths": {segments[0]: [{"segments": list(segments), "last": len(segments) - 1}]}}


API = _path("api")


@pytest.mark.parametrize(
    ("entry", "filed", "left"),
    [
        ({}, {"always": [0]}, set()),
        (CORP, {"always": [0]}, {"issuers"}),
        (API, {"first_segments": {"api": [0]}}, {"paths"}),
        (CORP | _users("a@b"), {"emails": {"a@b": [0]}}, {"issuers"}),
        (_users("a@b") | _groups("x"), {"emails": {"a@b": [0]}}, {"groups"}),
        (_groups("x", "y") | API, {"groups": {"x": [0], "y": [0]}}, {"paths"}),
        (_below("spiffe://a/b/"), {"prefixes": {"a": {"spiffe://a/b/": [0]}}}, set()),
        ({"workloads": {"exact": {"spiffe://a/b": True}, "below": []}}, {"peers": {"spiffe://a/b": [0]}}, set()),
        ({"devices": {"exact": {"mdm:7": True}, "below": []}}, {"peers": {"mdm:7": [0]}}, set()),
        ({"devices": {"exact": {}, "below": ["mdm:"]}}, {"prefixes": {"": {"mdm:": [0]}}}, set()),
        ({"claims": {"c": ["v", "w"]}}, {"far": {"claims": {"c": {"v": [0], "w": [0]}}}}, set()),
        ({"claims": {"n": [3], "c": ["v"]}}, {"far": {"claims": {"c": {"v": [0]}}}}, {"claims"}),
        ({"claims": {"n": [3, "v"]}}, {"always": [0]}, {"claims"}),
        ({"networks": ["10.0.0.0/8"]}, {"always": [0]}, {"networks"}),
    ],
)
def test_an_entry_is_filed_under_one_of_its_keys_and_keeps_the_others(
    entry: dict[str, Any], filed: dict[str, Any], left: set[str]
) -> None:
    assert _filed(entry) == filed
    assert _left(entry) == [left]


def test_of_devices_each_authority_is_a_prefix_however_many_there_are() -> None:
    names = [f"mdm{number}:" for number in range(20)]
    [*entries] = [{"devices": {"exact": {}, "below": [name]}} for name in names]
    assert _filed(*entries) == {"prefixes": {"": {name: [number] for number, name in enumerate(names)}}}


def test_a_group_of_many_entries_is_left_for_what_tells_them_apart() -> None:
    entries = [_groups("staff") | _path("x", str(number)) for number in range(5)]
    assert _filed(*entries[:4]) == {"groups": {"staff": [0, 1, 2, 3]}}
    assert _filed(*entries) == {
        "far": {"paths": {f"x/{number}": [number] for number in range(5)}, "path_steps": [[0, 1]]},
    }
    assert _left(*entries) == [{"groups", "paths"}] * 5


def test_many_prefixes_of_a_trust_domain_are_found_by_length() -> None:
    entries = [_below(f"spiffe://a/{number}/") for number in range(9)]
    assert [*_filed(*entries[:8])] == ["prefixes"]
    assert _filed(*entries, _below("spiffe://b/")) == {
        "prefixes": {"b": {"spiffe://b/": [9]}},
        "far": {"below": {f"spiffe://a/{number}": [number] for number in range(9)}, "below_depths": [4]},
    }


def test_each_different_requirement_is_asked_once_and_too_many_are_not() -> None:
    entries = [_groups("a"), _groups("a"), _groups("b"), *(_users(str(number)) for number in range(17))]
    asked = compile_entries([""] * len(entries), entries)["asked"]
    assert (asked["groups"], asked["further"]) == ([{"a": True}, {"b": True}], {})
    assert asked["many"] == ["users"]


def test_an_only_entry_is_always_looked_at_whole() -> None:
    compiled = compile_entries(["one"], [CORP | _groups("a")])
    assert (compiled["always"], "index" in compiled) == ([0], False)
    assert compiled["allow"] == [
        {"name": "one", "issuers": [{"corp": True}], "methods": [], "groups": [{"a": True}], "paths": [], "further": {}}
    ]


def test_a_list_without_entries_opens_nothing() -> None:
    assert (compile_entries([], [])["allow"], compile_entries([], [])["always"]) == ([], [])


# Long lists.


def _entries(count: int, chance: random.Random) -> Iterator[dict[str, Any]]:
    """Yield entries of every sort, with much in common and with nothing."""
    for number in range(count):
        entry: dict[str, Any] = chance.choice(
            [
                {"users": [f"user-{number}@example.org", f"id-{number}"]},
                {"users": ["ana@example.org"], "paths": [f"/u/{number}"]},
                {"groups": [f"group-{number}"]},
                {"groups": ["engineering"], "paths": [f"/g/{number}/", f"/h/{number}"]},
                {"groups": ["engineering", f"team-{number % 50}"], "claims": {"badge": [f"badge-{number}"]}},
                {"claims": {"badge": [f"badge-{number}"], "level": [number % 5]}},
                {"workloads": [f"spiffe://example.org/ns/n{number}/sa/a"]},
                {"workloads": [f"spiffe://example.org/ns/n{number}/*", f"spiffe://partner.example/build{number}"]},
                {"workloads": ["spiffe://partner.example/*"], "users": [f"id-{number}"]},
                {"devices": [f"mdm:device-{number}"]},
                {"devices": ["lab:*", f"mdm:device-{number}"], "users": [f"id-{number}"]},
                {"anyone": True, "paths": [f"/public/{number}"]},
                {"authenticated": True, "paths": [f"/staff/{number}", f"/x{number}"]},
            ]
        )
        if not entry.keys().isdisjoint(("users", "groups", "claims")):
            entry["issuers"] = chance.choice([["corp"], ["partner"], ["corp", "partner"]])
        for key, values in {
            "methods": [["GET"], ["GET", "POST"], ["DELETE"]],
            "networks": [["10.0.0.0/8"], ["2001:db8::/32"]],
            "hours": [OFFICE],
        }.items():
            if chance.random() < 0.2:
                entry[key] = chance.choice(values)
        yield entry


def _caller(identity: str) -> Peer:
    return workload(identity) if identity.startswith("spiffe://") else device(identity)


def _inquiries(count: int, entries: list[dict[str, Any]], chance: random.Random) -> Iterator[Inquiry]:
    """Yield requests that meet most of what one of the entries requires, and often all of it."""

    def met(value: Any, *others: Any) -> Any:
        return value if chance.random() < 0.85 else chance.choice(others)

    for _ in range(count):
        entry = chance.choice(entries)
        user = entry.get("users", ["user-1"])[0]
        peers = entry.get("workloads", entry.get("devices", ["spiffe://example.org/ns/ci/*"]))
        path = chance.choice(entry.get("paths", ["/"]))
        who = replace(
            ANA,
            id=met(user, "user-2"),
            email=met(user if "@" in user else "", "eve@example.org", ""),
            issuer=met(chance.choice(entry.get("issuers", ["corp"])), "corp", "partner", "example.org"),
            groups=met(("x", *entry.get("groups", ())), (), ("engineering",)),
            claims=met({name: ["x", *values] for name, values in entry.get("claims", {}).items()}, {}, {"level": 3}),
        )
        peer = met(chance.choice(peers).replace("*", "sa/a"), "spiffe://example.org/ns", "spiffe://partner.example/x")
        yield ask(
            met(chance.choice(entry.get("methods", ["HEAD"])), "GET", "DELETE"),
            met(
                path + "a" if path.endswith("/") else path, path.rstrip("/") + "/b", f"{path.rstrip('/') or '/'}b", "/"
            ),
            principal=met(who, None),
            peer=chance.choice([_caller(peer), _caller(peer), None]),
            source=met({"10.0.0.0/8": "10.1.2.3"}.get(entry.get("networks", [""])[0], "2001:db8::7"), "192.0.2.1"),
            time=met(NOON, NOON + 12 * 3600),
        )


LENGTHS = [30, 400, 10_000]


@cache
def _list(length: int) -> list[dict[str, Any]]:
    return [*_entries(length, random.Random(length))]


@cache
def _settled(length: int) -> Config:
    return config(*_list(length), issuers=("corp", "partner"))


@cache
def _data(length: int) -> dict[str, Any]:
    return route_data(_settled(length))


@cache
def _questions(length: int) -> list[Inquiry]:
    return [*_inquiries(400 if length < 1000 else 40, _list(length), random.Random(-length))]


@cache
def _answers(length: int) -> list[object]:
    engine = new_engine()
    engine.add_policy("authz.rego", default_policy().read_text(encoding="utf-8"))
    engine.add_data(_data(length))
    loaded = EmbeddedEngine(engine, "revision", 5.0)
    return [loaded.evaluate_now(DECISION, build_input(inquiry)) for inquiry in _questions(length)]


@pytest.mark.parametrize("length", LENGTHS)
def test_a_long_list_decides_as_a_naive_reading_of_it_does(length: int) -> None:
    settled = _settled(length)
    assert [mistake for mistake in allow_mistakes(settled) if mistake.severity == "error"] == []
    answers = _answers(length)
    assert answers == [decided(settled, inquiry) for inquiry in _questions(length)]
    permitted = sum(answer["allow"] for answer in answers)  # type: ignore[index]
    assert len(answers) / 5 < permitted < len(answers) * 4 / 5


@pytest.mark.parametrize("length", LENGTHS)
def test_a_long_list_decides_alike_on_both_engines(length: int, tmp_path: Path) -> None:
    cases = [build_input(inquiry) for inquiry in _questions(length)]
    (tmp_path / "cases.json").write_text(json.dumps({"cases": cases}), encoding="utf-8")
    (tmp_path / "routes.json").write_text(json.dumps(_data(length)), encoding="utf-8")
    loaded = (default_policy(), tmp_path / "cases.json", tmp_path / "routes.json")
    files = [argument for path in loaded for argument in ("-d", path)]
    query = "[answer | some case in data.cases; answer := data.ztproxy.authz.decision with input as case]"
    answered = opa("eval", *files, "--strict-builtin-errors", "--format", "raw", query).stdout
    assert json.loads(answered) == _answers(length)


def test_no_request_meets_more_than_a_few_entries_of_a_long_list() -> None:
    route = _data(10_000)["ztproxy"]["routes"]["wiki"]
    index = route["index"]
    assert max(map(len, _places(index))) <= 4
    assert {*index} >= {"emails", "subjects", "groups", "peers"}
    assert {*index["far"]} == {"claims", "below", "below_depths", "paths", "path_steps"}
    assert {*route["always"]}.union(*_places(index)) == {*range(10_000)}
    assert len(route["always"]) <= 4


def _places(index: dict[str, Any]) -> Iterator[list[int]]:
    """Yield each list of entries that are found together."""
    for key, value in index.items():
        if key in ("below_depths", "path_steps"):
            continue
        if isinstance(value, dict):
            yield from _places(value)
        else:
            yield value
