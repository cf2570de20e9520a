"""Why: what entries and rules saw, and the change that would be permitted, each proven by the desk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.workbench.case import Case, Who
from proxy.workbench.desk import CannotRun, Desk
from proxy.workbench.explain import Explanation, explain, explain_document, explain_record, find_record
from proxy.workbench.told import Places, as_json, pretty
from proxy.workbench.trace import Step
from tests.opa import ROOT
from tests.workbench.test_desk import CONFIG, ENGINEER, NOON, WIKI, write

EXAMPLES = ROOT / "policies" / "examples"
ANA = Who(user="ana", issuer="corp", groups=("everybody",))
HOURS = {"days": ["mon"], "from": "08:00", "to": "18:00", "zone": "Europe/Berlin"}
# An entry, who asks, the key that fails, what it saw, and the change that would be permitted.
ENTRIES: list[tuple[dict[str, Any], Case, str, str, str]] = [
    ({"groups": ["engineering"]}, Case("GET", f"{WIKI}/", ANA), "groups", "everybody",
     "the user is in group engineering"),
    ({"groups": ["engineering"]}, Case("GET", f"{WIKI}/"), "issuers", "nobody who has signed in",
     "a user of corp has signed in, the user is in group engineering"),
    ({"users": ["bob"]}, Case("GET", f"{WIKI}/", ANA), "users", "ana", "the user is bob"),
    ({"users": ["bob@example.org"]}, Case("GET", f"{WIKI}/", replace(ANA, email="ana@example.org")), "users",
     "ana ana@example.org", "the user is bob@example.org"),
    ({"claims": {"department": ["finance"]}}, Case("GET", f"{WIKI}/", ANA), "claims", "no department",
     "the user has claim department=finance"),
    ({"workloads": ["spiffe://example.org/batch/*"]}, Case("GET", f"{WIKI}/"), "workloads", "no client certificate",
     "the connection has spiffe://example.org/batch/somebody"),
    ({"devices": ["mdm:7"]}, Case("GET", f"{WIKI}/", Who(device="mdm:8")), "devices", "mdm:8",
     "the connection has device mdm:7"),
    ({"authenticated": True}, Case("GET", f"{WIKI}/"), "authenticated", "nobody who has signed in",
     "somebody has signed in"),
    ({"anyone": True, "methods": ["POST"]}, Case("GET", f"{WIKI}/"), "methods", "GET", "the method is POST"),
    ({"anyone": True, "paths": ["/a b/"]}, Case("GET", f"{WIKI}/c"), "paths", "/c", "the path is /a%20b/x"),
    ({"anyone": True, "networks": ["10.1.0.0/16"]}, Case("GET", f"{WIKI}/"), "networks", "192.0.2.1",
     "it comes from 10.1.0.0/16"),
    ({"anyone": True, "hours": HOURS}, Case("GET", f"{WIKI}/", time=NOON), "hours", "sun 12:19",
     "it is Monday 08:00 Europe/Berlin"),
]  # fmt: skip


def opened(folder: Path, entries: list[dict[str, Any]]) -> Desk:
    return Desk.open(write(folder, routes=[CONFIG["routes"][0] | {"allow": entries}]))


def own(folder: Path, rules: str, decision: str = "decision") -> Desk:
    (folder / "own.rego").write_text(f"package own\n\nimport rego.v1\n\n{rules}\n", encoding="utf-8")
    return Desk.open(None, folder, f"own/{decision}")


def asked(desk: Desk, case: Case = Case("GET", "https://any.example.org/a/b", ANA)) -> Explanation:  # noqa: B008 - frozen
    return explain(desk, case)


def lines(steps: list[Step], depth: int = 0) -> list[str]:
    out = []
    for step in steps:
        out.append(f"{'  ' * depth}{step.state} {step.text}")
        out += [f"{'  ' * depth}  {name} = {value}" for name, value in step.saw]
        out += lines(step.below, depth + 1)
    return out


# entries of allow


@pytest.mark.parametrize(("entry", "case", "key", "saw", "change"), ENTRIES, ids=lambda value: str(value)[:40])
def test_an_entry_that_does_not_match_says_which_key_fails_what_it_saw_and_what_would_do(
    tmp_path: Path, entry: dict[str, Any], case: Case, key: str, saw: str, change: str
) -> None:
    told = explain(opened(tmp_path, [entry]), case)
    [missing] = [one for one in told.entries[0].missing if one.name == key]
    assert missing.saw == saw
    assert told.search is not None
    assert ", ".join(told.search.changes[0].texts) == change
    assert told.search.changes[0].outcome.allow


def test_a_permitted_request_names_the_entry_that_matches_and_no_other(tmp_path: Path) -> None:
    told = explain(opened(tmp_path, CONFIG["routes"][0]["allow"]), Case("GET", f"{WIKI}/", ENGINEER))
    assert [entry.name for entry in told.entries] == ["allow[0]"]
    assert (told.search, told.outcome.reasons) == (None, ("allow[0]",))


def test_entries_that_lack_the_least_come_first_and_the_rest_is_counted(tmp_path: Path) -> None:
    entries = [{"groups": [f"g{number}"], "methods": ["PUT"]} for number in range(20)] + [{"groups": ["near"]}]
    told = explain(opened(tmp_path, entries), Case("GET", f"{WIKI}/", ANA))
    assert told.entries[0].name == "allow[20]"
    assert (len(told.entries), told.more) == (8, 13)


def test_each_key_is_judged_by_the_default_policy_beside_all_the_others(tmp_path: Path) -> None:
    entry = {"groups": ["engineering"], "methods": ["GET"], "paths": ["/a"], "networks": ["10.0.0.0/8"]}
    told = explain(opened(tmp_path, [entry]), Case("HEAD", f"{WIKI}/a/b", ENGINEER))
    assert {key.name: key.holds for key in told.entries[0].keys} == {
        "groups": True, "methods": True, "paths": True, "networks": False
    }  # fmt: skip


def test_what_no_policy_is_asked_about_has_no_why(tmp_path: Path) -> None:
    told = explain(opened(tmp_path, [{"anyone": True}]), Case("GET", f"{WIKI}/a/../b"))
    assert (told.outcome.code, told.entries, told.tree, told.search) == ("target_refused", [], [], None)


# rules of one's own


def test_of_each_rule_that_might_have_permitted_the_first_condition_that_fails_is_told() -> None:
    desk = Desk.open(None, EXAMPLES / "owner_only")
    told = explain(desk, Case("POST", "https://any.example.org/users/bob", ANA))
    assert lines(told.tree) == [
        'held decision refuses ["not-the-owner"]',
        'failed decision allows ["owner"]',
        "  failed is_owner",
        "    failed input.request.path_segments[1] == input.principal.id",
        '      input.request.path_segments[1] = "bob"',
        '      input.principal.id = "ana"',
        'failed decision allows ["support"]',
        "  failed is_support",
        '    failed "support" in input.principal.groups',
        '      input.principal.groups = ["everybody"]',
    ]
    assert told.search is not None
    assert told.search.changes[0].texts == ("the user is bob",)


def test_a_comprehension_that_finds_nothing_is_followed_inside() -> None:
    desk = Desk.open(None, EXAMPLES / "roles")
    told = explain(desk, Case("POST", "https://any.example.org/articles/x", ANA))
    assert lines(told.tree)[2:] == [
        "  failed granted != []",
        "    granted = []",
        "    failed permits(role)",
        '      role = "reader"',
        '      failed permits("reader")',
        "        failed input.request.method in permission.methods",
        '          input.request.method = "POST"',
        '          permission.methods = {"GET", "HEAD"}',
    ]
    assert told.search is not None
    assert [change.texts for change in told.search.changes] == [
        ("the user is in group editors",), ("the method is GET",), ("the path is /drafts/x",)
    ] or told.search.changes[0].texts == ("the user is in group editors",)  # fmt: skip


def test_a_rule_that_came_first_is_followed_to_what_it_saw() -> None:
    told = explain(Desk.open(None, EXAMPLES / "staff"), Case("GET", "https://any.example.org/x", ANA))
    text = "\n".join(lines(told.tree))
    assert 'refusing = {"not-staff"}' in text
    assert 'held not is_member("employees")' in text
    assert 'group = "employees"' in text
    assert [step.state for step in told.tree] == ["held", "failed", "late"]
    assert told.search is not None
    assert told.search.changes[0].texts == ("the user is in group employees",)


def test_a_sign_in_that_is_too_old_could_be_renewed() -> None:
    who = replace(ANA, groups=("employees",), age=7200.0)
    told = explain(Desk.open(None, EXAMPLES / "staff"), Case("PUT", "https://any.example.org/x", who))
    assert told.outcome.code == "step_up_required"
    assert told.search is not None
    assert told.search.changes[0].texts == ("the user has just signed in",)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("allow if every s in input.request.path_segments { s == \"a\" }", "not for [\"b\"]"),
        ("allow if {\n\tx > 3\n\tx = count(input.request.path_segments)\n}", "x = 2"),
        ("allow if input.request.method == `POST`", "input.request.method = \"GET\""),
        ("allow if \"x\" in input.principal.groups", "input.principal.groups = [\"everybody\"]"),
        ("allow if is_x(\"q\", input.principal.id)\n\nis_x(\"p\", name) if name == \"ana\"\n\n"
         "is_x(\"q\", name) if name == \"bob\"", "name = \"ana\""),
        ("allow if input.peer.id == \"mdm:1\"", "input.peer.id = undefined"),
        ("allow if limits.large\n\nlimits := {\"small\": 1}", "limits.large"),
        ("allow if { some g in input.principal.groups; g in data.own.staff }\n\nstaff contains \"x\" if input.peer",
         "g = \"everybody\""),
        ("allow if { not open }\n\nopen if input.request.method == \"GET\"", "input.request.method = \"GET\""),
        ("decision := {\"allow\": good}\n\ndefault good := false\n\ngood if input.principal.id == \"bob\"",
         "input.principal.id = \"ana\""),
        ("allow if to_number(input.principal.id) == 1", "to_number"),
        ("allow if count([1 | input.principal.id == \"b\"]) > 0 with input.principal.id as \"c\"", "count("),
    ],
)  # fmt: skip
def test_every_kind_of_condition_says_what_it_saw(tmp_path: Path, rules: str, said: str) -> None:
    told = asked(own(tmp_path, rules, "decision" if rules.startswith("decision") else "allow"))
    text = "\n".join(pretty(told, Places(None, Desk.open(None, tmp_path, told.outcome.point))))
    assert said in text
    assert f"{tmp_path}/own.rego:" in text or "own.rego:" in text


def test_a_built_in_that_fails_is_no_condition_that_fails(tmp_path: Path) -> None:
    told = asked(own(tmp_path, "decision := true if to_number(input.principal.id) == 1"))
    assert told.outcome.code == "policy_failed"
    [step] = told.tree[0].below
    assert (step.state, "to_number" in step.note) == ("error", True)


def test_a_change_is_told_only_where_the_desk_permits_it(tmp_path: Path) -> None:
    told = asked(own(tmp_path, 'decision := {"allow": false, "reasons": ["never"]}'))
    assert told.search is not None
    assert (told.search.changes, told.search.whole) == ((), True)
    assert "no change that is known would permit it" in "\n".join(pretty(told, Places(None, Desk.open(None, tmp_path))))


# documents and logs


def test_a_document_is_explained_and_its_request_changed() -> None:
    desk = Desk.open(None, EXAMPLES / "roles")
    document = desk.decide(Case("POST", "https://any.example.org/articles/x", ANA)).input
    assert document is not None
    told = explain_document(desk, document, "input.json")
    assert told.search is not None
    assert told.search.changes[0].texts == ("the user is in group editors",)


def test_a_document_that_lacks_parts_is_explained_as_far_as_it_goes(tmp_path: Path) -> None:
    keys = {"networks": ["10.0.0.0/8"], "hours": HOURS, "methods": ["GET"], "paths": ["/a"]}
    desk = opened(tmp_path, [keys | {"groups": ["x"], "devices": ["mdm:*"]}, keys | {"claims": {"a": ["b"]}}])
    told = explain_record(desk, {"input": {"route": {"name": "wiki"}}, "error": {}})
    assert {key.saw for entry in told.entries for key in entry.keys} >= {"no time", "no address", "None"}
    assert told.search is None


def test_a_logged_decision_is_found_by_its_id_and_what_has_changed_since_is_told(tmp_path: Path) -> None:
    desk = Desk.open(None, EXAMPLES / "roles")
    document = desk.decide(Case("POST", "https://any.example.org/articles/x", ANA)).input
    log = tmp_path / "decisions.jsonl"
    record = {"type": "decision", "decision_id": "d-1", "input": document, "result": {"allow": True}, "erased": ["/x"]}
    log.write_text('{"type":"access"}\n' + json.dumps(record) + "\n", encoding="utf-8")
    told = explain_record(desk, find_record(log, "d-1"))
    assert told.notes == ["it was permitted then", "the record lacks what was erased: /x"]
    assert told.title == "user ana: POST any.example.org/articles/x"
    with pytest.raises(CannotRun, match="no decision has the id d-2"):
        find_record(log, "d-2")
    log.write_text('{"input": \n', encoding="utf-8")
    with pytest.raises(CannotRun, match=r"decisions.jsonl:1:1: a line of a decision log must be JSON"):
        find_record(log, "d-1")


def test_a_program_gets_all_of_it(tmp_path: Path) -> None:
    desk = opened(tmp_path, [{"groups": ["engineering"]}])
    told = as_json(explain(desk, Case("GET", f"{WIKI}/", ANA)), Places(tmp_path / "ztproxy.yaml", desk))
    assert told["entries"][0]["keys"] == [
        {"key": "groups", "wanted": "engineering", "saw": "everybody", "holds": False}
    ]
    assert told["entries"][0]["place"].startswith(f"{tmp_path}/ztproxy.yaml:")
    assert told["permitted_if"][0]["if"] == ["the user is in group engineering"]
