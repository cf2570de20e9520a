"""`ztproxy policy test` and `ztproxy policy export`, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from proxy.cli.policy import app
from tests.opa import ROOT
from tests.policy.opa import opa

POLICY = """package toy

import rego.v1

default allow := false

allow if input.method == "GET"
"""

TESTS = """package toy_test

import data.toy
import rego.v1

test_a_get_passes if toy.allow with input as {"method": "GET"}

test_a_post_does_not if not toy.allow with input as {"method": "POST"}
"""


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def _write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.rego").write_text(text, encoding="utf-8")
    return folder


def test_tests_that_pass_are_counted(tmp_path: Path) -> None:
    result = _run("test", _write(tmp_path, toy=POLICY, toy_test=TESTS))
    assert (result.exit_code, result.stdout) == (0, "PASS: 2/2\n")


def test_verbose_names_each_test_with_its_time(tmp_path: Path) -> None:
    result = _run("test", "-v", _write(tmp_path, toy=POLICY, toy_test=TESTS))
    lines = result.stdout.splitlines()
    assert lines[0] == f"{tmp_path}/toy_test.rego:"
    assert lines[1].startswith("data.toy_test.test_a_get_passes: PASS (")
    assert lines[2].startswith("data.toy_test.test_a_post_does_not: PASS (")


@pytest.mark.parametrize(
    "body",
    ["if false", "if input.x", ":= false", ":= 1", ':= "true"', ":= null"],
)
def test_a_test_that_is_not_true_fails(tmp_path: Path, body: str) -> None:
    tests = f"{TESTS}\ntest_it {body}\n"
    result = _run("test", _write(tmp_path, toy=POLICY, toy_test=tests))
    assert result.exit_code == 1
    assert "data.toy_test.test_it: FAIL (" in result.stdout
    assert f"  {tmp_path}/toy_test.rego:10:1\n" in result.stdout
    assert result.stdout.endswith("PASS: 2/3\nFAIL: 1/3\n")
    assert "test_a_get_passes" not in result.stdout


def test_a_test_whose_built_in_fails_is_an_error(tmp_path: Path) -> None:
    tests = f'{TESTS}\ntest_it if not net.cidr_contains("10.0.0.0/8", "nowhere")\n'
    result = _run("test", _write(tmp_path, toy=POLICY, toy_test=tests))
    assert result.exit_code == 1
    assert "data.toy_test.test_it: ERROR (" in result.stdout
    assert result.stdout.endswith("PASS: 2/3\nERROR: 1/3\n")
    assert "backtrace" not in result.stdout.lower()


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ('allow if http.send({"method": "GET", "url": "https://example.org"})', "does not evaluate http.send"),
        ("f(x) := f(x)", "recurs"),
        ("allow if x == y", "variable x is unsafe"),
    ],
)
def test_a_policy_that_would_not_be_served_is_not_tested(tmp_path: Path, rule: str, said: str) -> None:
    result = _run("test", _write(tmp_path, toy=f"{POLICY}\n{rule}\n", toy_test=TESTS))
    assert result.exit_code == 2
    assert f"{tmp_path}/toy.rego:9:" in result.stderr
    assert said in result.stderr


def test_a_test_is_a_rule_in_a_test_file(tmp_path: Path) -> None:
    stray = POLICY + "\ntest_in_a_policy if false\n"
    tests = TESTS + "\nhelper_test_x if false\n"
    result = _run("test", _write(tmp_path, toy=stray, toy_test=tests))
    assert (result.exit_code, result.stdout) == (0, "PASS: 2/2\n")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("test_it(x) if x", "test_it must be a plain rule"),
        ('test_it contains "x" if true', "test_it must be a plain rule"),
        ("test_it.x := true", "test_it must be a plain rule"),
        ("default test_it := true", "test_it must be a plain rule"),
        ("test_a_get_passes if false", "test_a_get_passes must be defined once"),
    ],
)
def test_a_test_that_would_not_be_run_is_told(tmp_path: Path, rule: str, said: str) -> None:
    result = _run("test", _write(tmp_path, toy=POLICY, toy_test=f"{TESTS}\n{rule}\n"))
    assert result.exit_code == 2
    assert f"{tmp_path}/toy_test.rego:10:" in result.stderr
    assert said in result.stderr


def test_a_file_that_is_named_twice_is_loaded_once(tmp_path: Path) -> None:
    _write(tmp_path, toy=POLICY, toy_test=TESTS)
    result = _run("test", tmp_path, tmp_path / "toy_test.rego", tmp_path)
    assert (result.exit_code, result.stdout) == (0, "PASS: 2/2\n")


def test_data_beside_the_policy_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text('{"owners": {"ana": true}}', encoding="utf-8")
    tests = "package owners_test\n\nimport rego.v1\n\ntest_ana_owns if data.owners.ana\n"
    assert _run("test", _write(tmp_path, toy=POLICY, owners_test=tests)).exit_code == 0


def test_a_file_of_tests_alone_runs(tmp_path: Path) -> None:
    tests = "package one_test\n\nimport rego.v1\n\ntest_one if 1 + 1 == 2\n"
    assert _run("test", _write(tmp_path, one_test=tests) / "one_test.rego").exit_code == 0


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"toy": POLICY}, "no test was found"),
        ({"toy": POLICY + "\nallow if {\n", "toy_test": TESTS}, "toy.rego:"),
        ({}, "no test was found"),
    ],
)
def test_what_cannot_run_is_told_on_stderr(tmp_path: Path, files: dict[str, str], said: str) -> None:
    result = _run("test", _write(tmp_path, **files))
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_a_test_file_that_is_no_text_cannot_run(tmp_path: Path) -> None:
    (tmp_path / "toy_test.rego").write_bytes(b"package toy_test \xff")
    result = _run("test", tmp_path)
    assert result.exit_code == 2
    assert result.stderr == f"{tmp_path}/toy_test.rego: must be utf-8\n"


def test_a_path_that_does_not_exist_cannot_run(tmp_path: Path) -> None:
    result = _run("test", tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "there is no such file or folder" in result.stderr


def test_json_is_what_opa_test_prints(tmp_path: Path) -> None:
    tests = f"{TESTS}\ntest_it if false\n"
    folder = _write(tmp_path, toy=POLICY, toy_test=tests)
    ours = _run("test", "--format", "json", folder)
    theirs = json.loads(opa("test", "--format", "json", folder, check=False).stdout)
    assert ours.exit_code == 1
    compared = ("package", "name", "fail")
    assert sorted([test.get(key) for key in compared] for test in json.loads(ours.stdout)) == sorted(
        [test.get(key) for key in compared] for test in theirs
    )
    assert all(test["location"].keys() == {"file", "row", "col"} for test in json.loads(ours.stdout))


def test_the_policies_that_ship_with_ztproxy_pass() -> None:
    result = _run("test", ROOT / "policies")
    assert result.exit_code == 0, result.stdout


# export

CONFIG = {
    "version": 1,
    "trust_domain": "example.org",
    "listeners": [{"name": "edge", "address": "127.0.0.1:8443", "plaintext": True}],
    "identity": {"issuers": {"corp": {"issuer": "https://idp.example.org", "bearer": {"audiences": ["ztproxy"]}}}},
    "upstreams": {"wiki": {"endpoints": ["http://127.0.0.1:8080"]}},
    "routes": [
        {"name": "wiki", "host": "wiki.example.org", "upstream": "wiki", "allow": [{"groups": ["engineering"]}]}
    ],
}


def _config(folder: Path, **changes: object) -> Path:
    file = folder / "ztproxy.yaml"
    file.write_text(yaml.safe_dump(CONFIG | changes), encoding="utf-8")
    return file


def test_export_writes_policy_and_data_that_an_opa_server_loads(tmp_path: Path) -> None:
    result = _run("export", "-c", _config(tmp_path), tmp_path / "out" / "opa")
    assert result.exit_code == 0, result.stderr
    folder = tmp_path / "out" / "opa"
    assert result.stdout == f"{folder}/authz.rego\n{folder}/data.json\n"
    answer = opa("eval", "-d", folder, "--format", "raw", "data.ztproxy.routes.wiki.allow[0].name")
    assert answer.stdout.strip() == "allow[0]"


def test_export_replaces_what_it_wrote_before(tmp_path: Path) -> None:
    _run("export", "-c", _config(tmp_path), tmp_path)
    route = CONFIG["routes"][0] | {"allow": [{"anyone": True}]}  # type: ignore[index]
    assert _run("export", "-c", _config(tmp_path, routes=[route]), tmp_path).exit_code == 0
    [entry] = json.loads((tmp_path / "data.json").read_text())["ztproxy"]["routes"]["wiki"]["allow"]
    assert entry["issuers"] == []


def test_export_of_a_config_with_mistakes_writes_nothing(tmp_path: Path) -> None:
    route = CONFIG["routes"][0] | {"allow": [{"methods": ["get"]}]}  # type: ignore[index]
    result = _run("export", "-c", _config(tmp_path, routes=[route]), tmp_path / "out")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "must say whom it allows" in result.stderr
    assert 'no method is called "get"' in result.stderr
    assert not (tmp_path / "out").exists()


def test_export_where_nothing_can_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    result = _run("export", "-c", _config(tmp_path), tmp_path / "taken")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
