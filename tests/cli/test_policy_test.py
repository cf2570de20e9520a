"""`ztproxy policy test`, as a person types it: tables, options, formats, engines and coverage."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import Result
from typer.testing import CliRunner

from proxy.cli.policy import app
from tests.gateway import wait_for
from tests.opa import ROOT, opa_binary
from tests.workbench.test_desk import write

POLICY = """package toy

import rego.v1

default allow := false

allow if input.request.method == "GET"

allow if {
	input.principal.id == "ana"
	input.request.method == "PUT"
}
"""
TESTS = """package toy_test

import data.toy
import rego.v1

test_a_get_passes if toy.allow with input as {"request": {"method": "GET"}}

test_a_post_does_not if {
	print("asked", toy.allow)
	not toy.allow with input as {"request": {"method": "POST"}}
}

todo_test_later if false
"""
TABLE = """\
tests:
  - name: everybody reads
    when: https://toy.example.org/x
    then: {allow: true}
  - name: ana writes
    given: {user: ana}
    when: PUT https://toy.example.org/x
    then: {allow: true, status: 200}
  - name: not yet
    todo: true
    when: GET https://toy.example.org/y
    then: {allow: false}
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["test", *map(str, arguments)])


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    for name, text in (("toy.rego", POLICY), ("toy_test.rego", TESTS), ("toy.policy.yaml", TABLE)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_rules_and_tables_are_run_together(toy: Path) -> None:
    result = run(toy)
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("PASS: 4/6\nSKIPPED: 2/6\n")
    assert "data.toy_test.todo_test_later: SKIPPED\n" in result.stdout
    assert f"not yet: SKIPPED\n  {toy}/toy.policy.yaml:9:5\n" in result.stdout


def test_a_table_that_does_not_hold_is_told_with_its_place(toy: Path) -> None:
    table = toy / "toy.policy.yaml"
    table.write_text(TABLE.replace("{user: ana}", "{user: bob}"), encoding="utf-8")
    result = run(table)
    assert result.exit_code == 1
    assert "ana writes: FAIL (" in result.stdout
    assert f"  {table}:5:5\n  allow must be true, and is false (403 policy_denied)\n" in result.stdout
    assert result.stdout.endswith("PASS: 1/3\nFAIL: 1/3\nSKIPPED: 1/3\n")


def test_a_table_with_a_mistake_is_not_run(toy: Path) -> None:
    (toy / "toy.policy.yaml").write_text(TABLE.replace("then: {allow: false}", "then: {alow: false}"), encoding="utf-8")
    result = run(toy)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f'{toy}/toy.policy.yaml:12:12: tests[2].then.alow: is no key here (did you mean "allow"?)' in result.stderr


def test_a_table_about_a_config_that_does_not_load_is_not_run(tmp_path: Path) -> None:
    write(tmp_path, version=2)
    table = tmp_path / "x.policy.yaml"
    table.write_text(f"config: ztproxy.yaml\n{TABLE}", encoding="utf-8")
    result = run(table)
    assert result.exit_code == 2
    assert f"{table}: cannot be run:\n{tmp_path}/ztproxy.yaml:" in result.stderr


def test_a_table_without_a_config_is_about_the_one_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    table = tmp_path / "tables" / "x.policy.yaml"
    text = "tests:\n  - name: signing in\n    when: https://wiki.example.org/\n    then: {code: credentials_missing}\n"
    table.write_text(text, encoding="utf-8")
    assert run("-c", write(tmp_path), table).exit_code == 0
    assert run(table).exit_code == 2


def test_a_table_in_a_folder_of_its_own_is_about_the_policy_above(toy: Path) -> None:
    (toy / "tables").mkdir()
    (toy / "toy.policy.yaml").rename(toy / "tables" / "toy.policy.yaml")
    assert run(toy).stdout.endswith("PASS: 4/6\nSKIPPED: 2/6\n")


def test_tables_are_no_data_of_the_policy_that_they_stand_beside(toy: Path) -> None:
    (toy / "again.policy.yaml").write_text(TABLE, encoding="utf-8")
    (toy / "data_test.rego").write_text("package d_test\n\nimport rego.v1\n\ntest_no_data if not data.tests\n", "utf-8")
    assert run(toy).stdout.endswith("PASS: 7/10\nSKIPPED: 3/10\n")


# options


@pytest.mark.parametrize(
    ("pattern", "sum_of"), [("get_passes", "1/1"), ("toy_test", "2/3"), ("^ana ", "1/1"), ("test_a_(get|post)", "2/2")]
)
def test_those_tests_are_run_whose_name_is_chosen(toy: Path, pattern: str, sum_of: str) -> None:
    result = run("--run", pattern, toy)
    assert result.exit_code == 0
    assert f"PASS: {sum_of}\n" in result.stdout


def test_a_choice_that_finds_nothing_is_told(toy: Path) -> None:
    assert "no test was found whose name has nothing" in run("--run", "nothing", toy).stderr
    assert "no regular expression" in run("--run", "(", toy).stderr


def test_what_a_test_prints_is_told_where_it_fails_or_with_verbose(toy: Path) -> None:
    said = f"  {toy}/toy_test.rego:9: asked false\n"
    assert said not in run(toy).stdout
    assert said in run("-v", toy).stdout
    (toy / "toy_test.rego").write_text(TESTS.replace('"POST"', '"GET"'), encoding="utf-8")
    assert said in run(toy).stdout


def test_a_policy_that_prints_is_not_tested_for_it_would_not_be_served(toy: Path) -> None:
    (toy / "toy.rego").write_text(POLICY.replace("allow if {\n", "allow if {\n\tprint(1)\n"), encoding="utf-8")
    result = run(toy)
    assert result.exit_code == 2
    assert f"{toy}/toy.rego:10:" in result.stderr
    assert "the embedded engine does not evaluate print" in result.stderr


SLOW = """
digits := [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]

test_slow if {
	count([1 | digits[_]; digits[_]; digits[_]; digits[_]; digits[_]; digits[_]; digits[_]]) == 0
}
"""


def test_a_test_that_takes_too_long_is_an_error_and_the_others_are_run(toy: Path) -> None:
    (toy / "toy_test.rego").write_text(TESTS + SLOW, encoding="utf-8")
    result = run("--timeout", "500ms", toy)
    assert result.exit_code == 1
    assert "data.toy_test.test_slow: ERROR" in result.stdout
    assert "  the test took longer than 0.5s\n" in result.stdout
    assert result.stdout.endswith("PASS: 4/7\nERROR: 1/7\nSKIPPED: 2/7\n")


def test_several_processes_say_what_one_says(toy: Path) -> None:
    alone, together = run("-v", "--parallel", "1", toy), run("-v", "--parallel", "3", toy)
    assert [line.partition(" (")[0] for line in alone.stdout.splitlines()] == [
        line.partition(" (")[0] for line in together.stdout.splitlines()
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--timeout", "5"], "--timeout must be a duration"),
        (["--coverage", "--engine", "opa"], "must not stand beside --engine"),
        (["--engine", "opa", "--opa", "no-such-opa"], "no-such-opa is no program"),
    ],
)
def test_options_that_cannot_be_are_told(toy: Path, words: list[str], said: str) -> None:
    result = run(*words, toy)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


# formats


def test_junit_is_for_what_runs_builds(toy: Path) -> None:
    (toy / "toy_test.rego").write_text(TESTS + '\ntest_bad if not to_number("x")\n', encoding="utf-8")
    (toy / "toy.policy.yaml").write_text(TABLE.replace("{user: ana}", "{user: bob}"), encoding="utf-8")
    result = run("--format", "junit", toy)
    assert result.exit_code == 1
    suites = {suite.get("name"): suite for suite in ElementTree.fromstring(result.stdout)}
    rego, table = suites[f"{toy}/toy_test.rego"], suites[f"{toy}/toy.policy.yaml"]
    assert [rego.get(key) for key in ("tests", "failures", "errors", "skipped")] == ["4", "0", "1", "1"]
    assert [table.get(key) for key in ("tests", "failures", "errors", "skipped")] == ["3", "1", "0", "1"]
    failure = table.find(".//failure")
    assert failure is not None
    assert failure.text is not None
    told = failure.text.splitlines()
    assert told[0] == f"{toy}/toy.policy.yaml:5:5: allow must be true, and is false (403 policy_denied)"


def test_json_names_what_was_skipped_as_opa_does(toy: Path) -> None:
    told = {one["name"]: one for one in json.loads(run("--format", "json", toy).stdout)}
    assert told["todo_test_later"]["skip"] is True
    assert told["not yet"]["location"] == {"file": f"{toy}/toy.policy.yaml", "row": 9, "col": 5}


# coverage


def test_coverage_says_which_lines_no_test_has_evaluated(toy: Path) -> None:
    whole, rules = run("--coverage", toy), run("--coverage", "--run", "test_a", toy)
    assert f"100.0%  {toy}/toy.rego\n" in whole.stderr
    assert f"{toy}/toy.rego  not evaluated: 11\n" in rules.stderr
    assert "of 1 files" in rules.stderr


def test_coverage_that_is_too_low_fails(toy: Path) -> None:
    assert run("--fail-under", "100", toy).exit_code == 0
    result = run("--fail-under", "100", "--run", "test_a", toy)
    assert result.exit_code == 1
    assert "coverage must be at least 100%, and is " in result.stderr


def test_the_page_marks_lines_by_colour_and_by_sign(toy: Path) -> None:
    page = toy / "out.html"
    assert run("--html", page, "--run", "test_a", toy).exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert '<span class="gap"><b>   11 ! </b>\tinput.request.method == &quot;PUT&quot;</span>' in text
    assert '<span class="done"><b>    7 + </b>allow if input.request.method == &quot;GET&quot;</span>' in text
    assert "toy_test.rego" not in text
    assert run("--html", toy / "no" / "out.html", toy).exit_code == 2


def test_every_line_of_the_policies_that_ship_is_evaluated_by_a_test() -> None:
    result = run("--fail-under", "100", ROOT / "policies")
    assert result.exit_code == 0, result.stderr


# engines


def test_both_engines_say_the_same_of_every_test(toy: Path) -> None:
    for engine in ("opa", "both"):
        result = run("--engine", engine, "--opa", opa_binary(), toy)
        assert result.exit_code == 0, result.output
        assert result.stdout.endswith("PASS: 4/6\nSKIPPED: 2/6\n")


def test_a_difference_between_the_engines_is_a_failure(toy: Path) -> None:
    different = "\ntest_fractions if 0.1 + 0.2 == 0.3\n"
    (toy / "toy_test.rego").write_text(TESTS + different, encoding="utf-8")
    result = run("--engine", "both", "--opa", opa_binary(), toy)
    assert result.exit_code == 1
    assert "data.toy_test.test_fractions: FAIL" in result.stdout
    assert "the engines differ: embedded says fail, opa says pass" in result.stdout


def test_a_difference_in_a_decision_is_a_failure_of_the_table_test(tmp_path: Path) -> None:
    (tmp_path / "p.rego").write_text("package p\n\nimport rego.v1\n\nallow if 0.1 + 0.2 == 0.3\n", encoding="utf-8")
    text = "tests:\n  - {name: sums, when: https://a.example/, then: {allow: true}}\n"
    (tmp_path / "p.policy.yaml").write_text(text, encoding="utf-8")
    assert run("--engine", "opa", "--opa", opa_binary(), tmp_path).exit_code == 0
    result = run("--engine", "both", "--opa", opa_binary(), tmp_path)
    assert result.exit_code == 1
    assert "the engines differ: embedded says fail, opa says pass" in result.stdout


def test_a_built_in_that_fails_is_told_apart(toy: Path) -> None:
    (toy / "toy_test.rego").write_text(TESTS + '\ntest_bad if not to_number("x")\n', encoding="utf-8")
    result = run("--engine", "both", "--opa", opa_binary(), toy)
    assert result.exit_code == 1
    assert (
        "a built-in that fails is an error to the gateway, and undefined to opa test, which says pass" in result.stdout
    )


def test_opa_and_we_say_the_same_of_every_policy_that_ships(tmp_path: Path) -> None:
    result = run("--engine", "both", "--opa", opa_binary(), ROOT / "policies")
    assert result.exit_code == 0, result.output


# a process of its own


def test_a_watched_folder_is_tested_again_when_a_file_changes(toy: Path) -> None:
    command = [sys.executable, "-m", "proxy", "policy", "test", "--watch", "--run", "test_a", str(toy)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    said: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: said.extend(iter(process.stdout.readline, "")), daemon=True)  # type: ignore[union-attr]
    reader.start()
    try:
        wait_for(lambda: said.count("watching …\n") == 1, "the first run")
        assert "PASS: 2/2\n" in said
        (toy / "toy.rego").write_text(POLICY.replace('"GET"', '"HEAD"'), encoding="utf-8")
        wait_for(lambda: said.count("watching …\n") == 2, "the second run")
        assert "FAIL: 1/2\n" in said
        (toy / "toy.rego").write_text("package toy\n\nallow if {\n", encoding="utf-8")
        wait_for(lambda: said.count("watching …\n") == 3, "the third run")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 2
    finally:
        process.kill()
        process.wait()
        reader.join(20)
        process.stdout.close()


def test_a_checkout_is_enough(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "policies" / "examples" / "roles", tmp_path / "roles")
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "policy", "test", "roles"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
