"""Which engine a config makes, and what is wrong with one that it cannot make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.config.mistake import Mistake
from proxy.config.schema import Config
from proxy.policy.allow import route_data
from proxy.policy.embedded import EmbeddedEngine
from proxy.policy.engine import Engine, build_engine, entry_points
from proxy.policy.input import build_input
from tests.policy.inquiries import ask, config

ANYONE = {"anyone": True}


def built(settled: Config, previous: Engine | None = None) -> tuple[Engine | None, list[Mistake]]:
    return build_engine(settled, route_data(settled), previous)


def policy(path: Path, text: str, **more: Any) -> Config:
    path.write_text(text)
    return config(ANYONE, policy={"path": str(path), "decision": "p/decision"} | more)


async def test_the_default_policy_serves_a_config_that_names_none() -> None:
    engine, mistakes = built(config(ANYONE))
    assert mistakes == []
    assert isinstance(engine, EmbeddedEngine)
    answer = await engine.evaluate("ztproxy/authz/decision", build_input(ask()))
    assert answer == {"allow": True, "reasons": ["allow[0]"]}
    await engine.close()


async def test_the_routes_data_stands_beside_a_policy_of_ones_own(tmp_path: Path) -> None:
    settled = policy(
        tmp_path / "p.rego", "package p\n\ndecision := data.ztproxy.routes[input.route.name].allow[0].name"
    )
    engine, _ = built(settled)
    assert engine is not None
    assert await engine.evaluate("p/decision", build_input(ask())) == "allow[0]"


def test_data_of_ones_own_does_not_stand_in_the_routes_place(tmp_path: Path) -> None:
    (tmp_path / "p.rego").write_text("package p\n\ndecision := true")
    (tmp_path / "data.json").write_text('{"ztproxy": {"routes": {}}}')
    settled = config(ANYONE, policy={"path": str(tmp_path), "decision": "p/decision"})
    engine, mistakes = built(settled)
    assert engine is None
    assert mistakes == [Mistake(("policy", "path"), "data.ztproxy is ztproxy's own: it holds the routes")]


def test_rules_of_ones_own_do_not_stand_in_the_routes_place(tmp_path: Path) -> None:
    settled = policy(tmp_path / "p.rego", "package ztproxy\n\nroutes := {}", decision="ztproxy/routes")
    engine, mistakes = built(settled)
    assert engine is None
    assert "data.ztproxy.routes must not be both a rule and data" in mistakes[0].rule


def test_every_rule_that_decides_is_asked_for_at_the_place_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "p.rego").write_text("package p\n\nother := true")
    sections = {"policy": {"path": str(tmp_path), "decision": "p/decision"}, "route": {"decision": "p/none"}}
    settled = config(ANYONE, **sections)
    assert entry_points(settled) == {"p/decision": ("policy", "decision"), "p/none": ("routes", 0, "decision")}
    engine, mistakes = built(settled)
    assert engine is None
    assert mistakes == [
        Mistake(("policy", "decision"), "no rule of the policy defines p/decision"),
        Mistake(("routes", 0, "decision"), "no rule of the policy defines p/none"),
    ]


def test_a_policy_for_envoy_is_asked_by_its_own_name(tmp_path: Path) -> None:
    text = "package envoy.authz\n\ndefault allow := false\n\nallow if input.attributes.request.http.method == `GET`"
    engine, mistakes = built(policy(tmp_path / "p.rego", text, decision="envoy/authz/allow"))
    assert engine is not None, mistakes


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("package p\n\ndecision := ", "p.rego:3:13: "),
        ("package p\n\ndecision if http.send({})", "p.rego:3:13: the embedded engine does not evaluate http.send"),
        ("package p\n\ndecision := f(1)\n\nf(x) := f(x)", "p.rego:5:1: rules must not be recursive"),
        ("", "p.rego:1:1: "),
    ],
)
def test_a_policy_that_cannot_serve_is_a_mistake_with_file_line_and_column(
    tmp_path: Path, text: str, rule: str
) -> None:
    engine, mistakes = built(policy(tmp_path / "p.rego", text))
    assert engine is None
    assert mistakes[0].location == ("policy", "path")
    assert mistakes[0].rule.startswith(f"{tmp_path}/{rule}")
    assert "\n" not in mistakes[0].rule


def test_a_reload_keeps_the_engine_where_policy_and_data_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "p.rego"
    settled = policy(path, "package p\n\ndecision := true")
    engine, _ = built(settled)
    assert engine is not None
    assert built(settled, engine)[0] is engine
    slower = policy(path, "package p\n\ndecision := true", deadline="1s")
    assert built(slower, engine)[0] is not engine
    changed, _ = built(policy(path, "package p\n\ndecision := false"), engine)
    assert changed is not None
    assert changed is not engine
    assert changed.revision != engine.revision
    other_data, _ = build_engine(settled, {"ztproxy": {"routes": {}}}, engine)
    assert other_data is not None
    assert other_data.revision != engine.revision


def test_an_opa_engine_is_made_without_the_server_and_one_that_is_nowhere_is_none() -> None:
    engine, mistakes = built(config(ANYONE, policy={"engine": "opa", "opa": {"url": "http://127.0.0.1:1"}}))
    assert engine is not None, mistakes
    assert engine.revision == "opa:http://127.0.0.1:1"
    assert built(config(ANYONE, policy={"engine": "opa"})) == (None, [])  # config/check tells
