"""The policies that ship, on both engines as they are configured: the same requests get the same decisions."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from proxy.policy.allow import route_data
from proxy.policy.engine import Engine, build_engine
from proxy.policy.input import build_input
from proxy.policy.sources import default_policy
from tests.opa import opa_server
from tests.policy.inquiries import ANA, NOON, ask, config, workload

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "policies" / "examples").iterdir())
DECISION = "ztproxy/authz/decision"
ALLOW: list[dict[str, Any]] = [
    {"groups": ["engineering"], "methods": ["GET", "POST"], "paths": ["/docs", "/src/"]},
    {"users": ["ana@example.org"], "workloads": ["spiffe://example.org/device/*"], "paths": ["/admin/"]},
    {"workloads": ["spiffe://example.org/ns/ci/*", "spiffe://partner.example/build"], "methods": ["PUT"]},
    {"claims": {"department": ["finance", 7]}, "networks": ["203.0.113.0/24", "2001:db8::/32"], "methods": ["DELETE"]},
    {"authenticated": True, "paths": ["/staff"], "hours": {"days": ["sun"], "from": "08:00", "to": "12:00"}},
    {"anyone": True, "methods": ["GET"], "paths": ["/public/"]},
]
METHODS = ["GET", "HEAD", "PUT", "DELETE"]
TARGETS = ["/", "/docs", "/docs/a", "/docsx", "/src", "/src/a", "/admin/x", "/staff", "/public", "/public/a%20b"]
WHO: list[dict[str, Any]] = [
    {},
    {"principal": ANA},
    {"principal": ANA, "peer": workload("spiffe://example.org/device/7")},
    {"principal": ANA, "source": "2001:db8::7", "time": NOON + 3600},
    {"principal": ANA, "source": "::ffff:203.0.113.9"},
    {"peer": workload("spiffe://example.org/ns/ci/sa/runner")},
    {"peer": workload("spiffe://example.org/ns/ci")},
    {"peer": workload("spiffe://partner.example/build"), "source": "198.51.100.1"},
]


async def both(embedded: Engine, opa: Engine, path: str) -> int:
    """Ask both engines about every request; return to how many they said yes."""
    permitted = 0
    for method, target, who in itertools.product(METHODS, TARGETS, WHO):
        document = build_input(ask(method, target, **who))
        one, other = await embedded.evaluate(path, document), await opa.evaluate(path, document)
        assert one == other, (method, target, who)
        permitted += isinstance(one, dict) and one["allow"] is True
    return permitted


def engine(**policy: Any) -> Engine:
    settled = config(*ALLOW, policy=policy)
    made, mistakes = build_engine(settled, route_data(settled))
    assert made is not None, mistakes
    return made


async def test_the_default_policy_decides_the_same_on_both_engines(tmp_path: Path) -> None:
    data = tmp_path / "data.json"
    data.write_text(json.dumps(route_data(config(*ALLOW))))
    with opa_server(default_policy(), data) as server:
        opa = engine(engine="opa", opa={"url": server.url}, deadline="2s")
        permitted = await both(engine(), opa, DECISION)
        await opa.close()
    assert 0 < permitted < len(METHODS) * len(TARGETS) * len(WHO) / 2


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
async def test_an_example_decides_the_same_on_both_engines(example: Path) -> None:
    decision = f"examples/{example.name}/decision"
    with opa_server(example) as server:
        opa = engine(engine="opa", opa={"url": server.url}, deadline="2s", decision=decision)
        await both(engine(path=str(example), decision=decision), opa, decision)
        await opa.close()
