"""The policies of `policies/`, on the embedded engine and under the real `opa`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from proxy.config.schema import Config
from proxy.http.message import CHUNKED, RequestHead
from proxy.policy.allow import allow_mistakes, route_data
from proxy.policy.decision import UNDEFINED, parse_decision
from proxy.policy.engine import Engine, build_engine
from proxy.policy.input import build_input, envoy_shape
from proxy.policy.sources import default_policy
from proxy.policy.testing import run_tests
from tests.opa import ROOT
from tests.policy.inquiries import ANA, NOON, ask, config, workload
from tests.policy.opa import opa

POLICIES = ROOT / "policies"
EXAMPLES = sorted(path for path in (POLICIES / "examples").iterdir() if path.is_dir())
DECISION = "ztproxy/authz/decision"


def _engine(settled: Config) -> Engine:
    engine, mistakes = build_engine(settled, route_data(settled))
    assert mistakes == []
    assert engine is not None
    return engine


def test_every_policy_test_passes_under_opa() -> None:
    results = json.loads(opa("test", "--format", "json", POLICIES, check=False).stdout)
    failing = [
        f"{result['package']}.{result['name']}" for result in results if result.get("fail") or result.get("error")
    ]
    assert failing == []
    assert len(results) == len(run_tests([POLICIES]))


def test_every_policy_test_passes_on_the_embedded_engine() -> None:
    assert [result for result in run_tests([POLICIES]) if result.outcome != "pass"] == []


def test_policies_are_formatted_and_pass_opas_strict_check() -> None:
    assert opa("fmt", "--list", POLICIES).stdout == ""
    opa("check", "--strict", POLICIES)


def test_there_are_six_examples_each_in_a_package_of_its_own() -> None:
    assert [path.name for path in EXAMPLES] == [
        "break_glass",
        "owner_only",
        "roles",
        "staff",
        "user_on_device",
        "working_hours",
    ]
    for path in EXAMPLES:
        assert f"package examples.{path.name}\n" in (path / f"{path.name}.rego").read_text(encoding="utf-8")
        assert f"package examples.{path.name}_test\n" in (path / f"{path.name}_test.rego").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
@pytest.mark.parametrize("principal", [None, ANA], ids=["nobody", "ana"])
async def test_an_example_serves_as_its_first_lines_say(path: Path, principal: Any) -> None:
    engine = _engine(config(policy={"path": str(path), "decision": f"examples/{path.name}/decision"}))
    answer = await engine.evaluate(f"examples/{path.name}/decision", build_input(ask(principal=principal)))
    assert isinstance(answer, dict)
    assert answer["allow"] is False
    assert answer["reasons"]


OFFICE = {"days": ["sun", "mon"], "from": "08:00", "to": "12:30", "zone": "Europe/Berlin"}
ENTRIES: list[dict[str, Any]] = [
    {"groups": ["engineering"], "issuers": ["corp"], "methods": ["GET", "POST"]},
    {"workloads": ["spiffe://example.org/ns/ci/*"], "paths": ["/api/"]},
    {"users": ["ana@example.org", "user-2"], "issuers": ["corp"], "workloads": ["spiffe://example.org/device/*"]},
    {"anyone": True, "methods": ["GET"], "paths": ["/public", "/a b/"]},
    {"authenticated": True, "methods": ["PUT"], "networks": ["10.0.0.0/8", "2001:db8::/32"]},
    {"claims": {"level": [3, "three"], "staff": [True]}, "issuers": ["corp", "partner"], "paths": ["/level"]},
    {"anyone": True, "hours": OFFICE, "paths": ["/office"]},
]
LEVELS: list[Any] = [3, 3.0, "3", "three", 4, True, None, [3], ["x", "three"], [], {"x": 3}]
PRINCIPALS = [
    None,
    ANA,
    replace(ANA, id="ana@example.org", email="", groups=()),
    replace(ANA, issuer="partner"),
    replace(ANA, issuer="stranger"),
]
PEERS = [
    None,
    workload("spiffe://example.org/ns/ci/sa/runner"),
    workload("spiffe://example.org/ns/ci"),
    workload("spiffe://example.org/device/1"),
    workload("spiffe://partner.example/ns/ci/sa/runner"),
]
TARGETS = ["/", "/api/", "/api", "/apix", "/public/x", "/a%20b/c", "/a%2Fb"]


def _cases() -> list[dict[str, Any]]:
    asked = [
        ask(method, target, principal=principal, peer=peer, source=source)
        for method, target, principal, peer, source in product(
            ["GET", "HEAD", "PUT"], TARGETS, PRINCIPALS, PEERS, ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1", ""]
        )
    ]
    asked += [
        ask(target="/level", principal=replace(ANA, groups=(), claims={"level": level, "staff": staff}))
        for level, staff in product(LEVELS, [True, 1, "true"])
    ]
    asked += [ask("POST", "/office", time=NOON + hours * 3600) for hours in range(0, 24 * 8, 3)]
    asked.append(ask(route="other"))
    return [build_input(inquiry) for inquiry in asked]


async def test_the_default_policy_decides_alike_on_both_engines(tmp_path: Path) -> None:
    settled = config(*ENTRIES, issuers=("corp", "partner"))
    assert allow_mistakes(settled) == []
    cases = _cases()
    engine = _engine(settled)
    ours = [await engine.evaluate(DECISION, case) for case in cases]
    (tmp_path / "cases.json").write_text(json.dumps({"cases": cases}), encoding="utf-8")
    (tmp_path / "routes.json").write_text(json.dumps(route_data(settled)), encoding="utf-8")
    loaded = (default_policy(), tmp_path / "cases.json", tmp_path / "routes.json")
    files = [argument for path in loaded for argument in ("-d", path)]
    query = "[answer | some case in data.cases; answer := data.ztproxy.authz.decision with input as case]"
    theirs = json.loads(opa("eval", *files, "--strict-builtin-errors", "--format", "raw", query).stdout)
    assert len(theirs) == len(cases)
    differing = [(case, our, their) for case, our, their in zip(cases, ours, theirs, strict=True) if our != their]
    assert differing == []
    permitted = sum(answer["allow"] for answer in theirs)
    assert 100 < permitted < len(cases) - 100


ENVOY = """package envoy.authz

import rego.v1

default allow := {"allowed": false, "http_status": 403}

allow := {"allowed": true, "headers": {"x-caller": input.source_principal}} if {
	input.attributes.request.http.method == "GET"
	input.parsed_path == ["people", "ana"]
	input.parsed_query.lang[_] == "en"
	input.attributes.request.http.headers[":path"] == "/people/ana?lang=en"
	startswith(input.source_principal, "spiffe://example.org/")
	input.attributes.source.principal == input.source_principal
	input.version.ext_authz == "v3"
}
"""


async def test_a_policy_written_for_opa_envoy_plugin_runs(tmp_path: Path) -> None:
    (tmp_path / "policy.rego").write_text(ENVOY, encoding="utf-8")
    engine = _engine(config(policy={"path": str(tmp_path), "decision": "envoy/authz/allow"}))
    caller = workload("spiffe://example.org/ns/shop/sa/web")
    document = build_input(ask("GET", "/people/ana?lang=en", peer=caller))
    assert await engine.evaluate("envoy/authz/allow", document) == {"allowed": True, "headers": {"x-caller": caller.id}}
    document = build_input(ask("GET", "/people/ana?lang=en"))
    assert await engine.evaluate("envoy/authz/allow", document) == {"allowed": False, "http_status": 403}


async def test_the_default_policy_has_no_other_answer_than_yes_and_no() -> None:
    engine = _engine(config({"anyone": True}))
    for answer in (await engine.evaluate(DECISION, {}), await engine.evaluate(DECISION, {"route": {"name": "wiki"}})):
        assert answer is not UNDEFINED
    assert await engine.evaluate(DECISION, {}) == {"allow": False, "reasons": ["route-not-open"]}


# docs/policy.md

PAGE = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
DOCUMENT, ANSWER = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
[DOCUMENTED_POLICY] = re.findall(r"```rego\n(.*?)```", PAGE, re.DOTALL)


def _documented_request() -> dict[str, Any]:
    target = "/users/user-1/photo?size=large"
    return build_input(
        ask(
            "PUT",
            target,
            principal=replace(ANA, claims=ANA.claims | {"auth_time": NOON - 60, "amr": ["pwd", "otp"], "acr": "phr"}),
            peer=workload("spiffe://example.org/device/4711"),
            headers=[(b"accept", b"*/*"), (b"content-type", b"image/png"), (b"user-agent", b"curl/8.9.1")],
            head=RequestHead(b"PUT", target.encode(), (1, 1), [], framing=CHUNKED),
        )
    )


def test_the_documented_input_is_what_policy_sees() -> None:
    assert _documented_request() == DOCUMENT


async def test_the_documented_policy_answers_as_documented_on_both_engines(tmp_path: Path) -> None:
    policy, document = tmp_path / "policy.rego", tmp_path / "input"
    policy.write_text(DOCUMENTED_POLICY, encoding="utf-8")
    document.write_text(json.dumps(DOCUMENT), encoding="utf-8")
    engine = _engine(config(policy={"path": str(tmp_path), "decision": "people/authz/decision"}))
    assert await engine.evaluate("people/authz/decision", DOCUMENT) == ANSWER
    query = ("--input", document, "--data", policy, "--format", "raw", "data.people.authz.decision")
    assert json.loads(opa("eval", *query).stdout) == ANSWER
    assert parse_decision(ANSWER).allow


def test_every_field_of_the_input_is_documented_and_no_other() -> None:
    rows = set(re.findall(r"^\| `([a-z0-9_.]+)` \|", PAGE.split("## The input")[1].split("### Envoy")[0], re.MULTILINE))
    own = {key: value for key, value in DOCUMENT.items() if key not in envoy_shape(DOCUMENT)}
    assert rows == set(_fields(own, ""))


def _fields(value: dict[str, Any], above: str) -> Iterator[str]:
    for key, item in value.items():
        yield above + key
        if isinstance(item, dict) and above + key not in ("principal.claims", "request.headers", "route.labels"):
            yield from _fields(item, f"{above}{key}.")


def test_the_documented_count_of_policy_tests_is_true() -> None:
    count = len(run_tests([POLICIES]))
    assert f"PASS: {count}/{count}\n" in PAGE


def test_every_reason_of_the_default_policy_is_documented() -> None:
    section = PAGE.split("## The default policy")[1].split("## Your own")[0]
    documented = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", section))
    assert documented == set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', default_policy().read_text(encoding="utf-8")))
