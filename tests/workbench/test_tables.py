"""Table tests: what a file says, what is wrong with one, and what is told of a test that does not hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from proxy.workbench.case import Case, Who
from proxy.workbench.table_schema import schema_of_tests
from proxy.workbench.tables import Table, read_table, run_table_test
from tests.workbench.test_desk import write

TABLE = """\
config: ztproxy.yaml
given: {issuer: corp}
tests:
  - name: engineers read the wiki
    given: {user: ana@example.org, groups: [engineering], age: 10m}
    when: GET https://wiki.example.org/x
    then: {allow: true, status: 200, route: wiki, reasons: ["allow[0]"]}
  - name: nobody is asked to sign in
    when: {url: "https://wiki.example.org/x", headers: {Accept: text/html}}
    then:
      status: 303
      code: credentials_missing
  - name: others are refused
    given: {user: bob, time: "2026-11-24T09:30:00Z", source: "::1"}
    when: {method: PUT, url: "https://wiki.example.org/x", body: true}
    then: {allow: false, status: 403, reasons: [group-not-listed]}
"""


def read(folder: Path, text: str = TABLE) -> tuple[Table, list[str]]:
    file = folder / "wiki.policy.yaml"
    file.write_text(text, encoding="utf-8")
    return read_table(file)


def test_a_file_says_who_asks_for_what_and_what_comes_of_it(tmp_path: Path) -> None:
    write(tmp_path)
    table, mistakes = read(tmp_path)
    assert mistakes == []
    assert (table.config, table.policy) == (tmp_path / "ztproxy.yaml", None)
    first, second, third = table.tests
    ana = Who("ana@example.org", "ana@example.org", ("engineering",), issuer="corp", age=600.0)
    assert first.case == Case("GET", "https://wiki.example.org/x", ana)
    assert (first.line, first.column, first.name) == (4, 5, "engineers read the wiki")
    assert second.case.headers == (("Accept", "text/html"),)
    assert (third.case.time, third.case.source, third.case.has_body) == (1795512600.0, "::1", True)
    desk = table.open()
    assert [run_table_test(desk, test)[:2] for test in table.tests] == [("pass", [])] * 3


def test_the_schema_for_editors_takes_what_is_read(tmp_path: Path) -> None:
    schema = jsonschema.Draft202012Validator(schema_of_tests())
    schema.validate(yaml.safe_load(TABLE))
    for spoilt in ({"tests": []}, {"test": []}, {"tests": [{"name": "x", "when": "GET /x", "then": {"allow": True}}]}):
        assert not schema.is_valid({**yaml.safe_load(TABLE), **spoilt})


TEST = "tests:\n  - name: it holds\n    when: GET https://wiki.example.org/x\n    then: {allow: true}\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "1:1: the file is empty"),
        ("- x\n", "1:3: a file of table tests must be an object with tests"),
        ("config: x\n", "1:1: tests must be a list"),
        ("tests: []\n", "1:1: tests: tests must be a list of at least one test"),
        ("confg: x\n" + TEST, '1:1: confg: is no key here (did you mean "config"?)'),
        (TEST.replace("then:", "than:"), '4:5: tests[0].than: is no key here (did you mean "then"?)'),
        (TEST.replace("{allow: true}", "{}"), "4:5: tests[0].then: a test must say what is expected (then)"),
        (TEST.replace("allow: true", "alow: true"), '4:12: tests[0].then.alow: is no key here (did you mean "allow"?)'),
        (TEST.replace("allow: true", "allow: yes"), "4:12: tests[0].then.allow: must be true or false"),
        (TEST.replace("allow: true", "status: 1000"), "4:12: tests[0].then.status: must be a status"),
        (TEST.replace("allow: true", "code: no"), "4:12: tests[0].then.code: must be one of"),
        (TEST.replace("GET https://wiki.example.org", "GET "), "3:5: tests[0].when: '/x' must be a whole URL"),
        (TEST.replace("GET https://wiki.example.org/x", "{method: GET}"), "3:5: tests[0].when: must have a url"),
        (TEST.replace("    when: GET https://wiki.example.org/x\n", ""), "2:5: tests[0].when: a test must say what"),
        (TEST.replace("name: it holds", "nam: it holds"), "tests[0].name: a test must have a name"),
        (TEST + TEST.partition("\n")[2], "5:5: tests[1].name: is the name of tests[0] already"),
        (TEST + "    given: {user: 1}\n", "5:13: tests[0].given.user: must be text: put it in quotes"),
        (TEST + "    given: {groups: eng}\n", "5:13: tests[0].given.groups: must be a list"),
        (TEST + "    given: {age: 10}\n", "5:13: tests[0].given.age: must be a duration"),
        (TEST + "    given: {source: here}\n", "5:13: tests[0].given.source: must be an IP address"),
        (TEST + "    given: {time: noon}\n", "5:13: tests[0].given.time: 'noon' must be a time with its zone"),
        (TEST + "    given: {method: magic}\n", "5:13: tests[0].given.method: must be one of bearer"),
        (TEST + "    given: [x]\n", "5:5: tests[0].given: must be an object"),
        (TEST + "    todo: 1\n", "5:5: tests[0].todo: must be true or false"),
        (TEST + "    todo: true\n    todo: true\n", "is given twice"),
        ("tests:\n  - x\n", "2:5: tests[0]: a test must be an object"),
        (TEST + "\tx", "5:1: not readable as YAML"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    _, mistakes = read(tmp_path, text)
    assert any(f"{tmp_path}/wiki.policy.yaml:" in line and told in line for line in mistakes), mistakes


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    _, mistakes = read_table(tmp_path / "no.policy.yaml")
    assert mistakes == [f"{tmp_path}/no.policy.yaml: no such file or directory"]


@pytest.mark.parametrize(
    ("then", "told"),
    [
        ("allow: false", "allow must be false, and is true (200: allow[0])"),
        ("status: 403", "status must be 403, and is 200 (200: allow[0])"),
        ("code: policy_denied", "code must be policy_denied, and is not there (200: allow[0])"),
        ("route: both", "route must be both, and is wiki (200: allow[0])"),
        ('reasons: ["allow[1]"]', "reasons must have allow[1], and are ['allow[0]']"),
        ("public_reason: Ask Ana.", "public_reason must be Ask Ana., and is not there (200: allow[0])"),
        ("headers: {x-team: blue}", "header x-team must be blue, and is not there"),
    ],
)
def test_a_test_that_does_not_hold_says_what_was_otherwise(tmp_path: Path, then: str, told: str) -> None:
    write(tmp_path)
    text = f"""\
config: ztproxy.yaml
tests:
  - name: it holds
    given: {{user: ana, groups: [engineering]}}
    when: GET https://wiki.example.org/x
    then: {{{then}}}
"""
    table, mistakes = read(tmp_path, text)
    assert mistakes == []
    assert run_table_test(table.open(), table.tests[0])[:2] == ("fail", [told])


def test_a_test_about_somebody_who_cannot_be_is_an_error(tmp_path: Path) -> None:
    write(tmp_path)
    table, _ = read(tmp_path, TABLE.replace("issuer: corp", "issuer: crop"))
    outcome, lines, _ = run_table_test(table.open(), table.tests[0])
    assert (outcome, lines) == ("error", ['no issuer is called "crop" (did you mean "corp"?)'])


@pytest.mark.parametrize(("named", "decided_by"), [("", "here"), ("policy: other\n", "there")])
def test_without_a_config_the_policy_beside_the_file_decides(tmp_path: Path, named: str, decided_by: str) -> None:
    (tmp_path / "other").mkdir()
    for folder, reason in ((tmp_path, "here"), (tmp_path / "other", "there")):
        text = f'package {reason}\n\nimport rego.v1\n\ndecision := {{"allow": true, "reasons": ["{reason}"]}}\n'
        (folder / f"{reason}.rego").write_text(text, encoding="utf-8")
    decision = "decision: here/decision\n" if not named else ""
    table, mistakes = read(tmp_path, named + decision + TEST)
    assert mistakes == []
    outcome: Any = run_table_test(table.open(), table.tests[0])[2]
    assert outcome.reasons == (decided_by,)
