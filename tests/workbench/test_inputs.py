"""Inputs that are made for a policy: whole, many, and such that its rules tell them apart."""

from __future__ import annotations

import gzip
import json
import random
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from proxy.policy.negation import ALWAYS_IN_INPUT
from proxy.policy.testing import CannotRun
from proxy.workbench.desk import Desk
from proxy.workbench.hints import Hints
from proxy.workbench.inputs import cases_of, completed, documents_of, make_inputs, read_log

RECORD = {"type": "decision", "input": {"principal": {"id": "ana"}}}
POLICY = 'package shop\n\nimport rego.v1\n\nallow if input.principal.groups[0] == "sales"\n'


@pytest.fixture
def base(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "shop.rego").write_text(POLICY)
    desk = Desk.open(None, tmp_path)
    return next(documents_of(desk, cases_of(desk)))


def has(document: Any, path: tuple[str, ...]) -> bool:
    for step in path:
        if step not in document:
            return False
        document = document[step]
    return True


def test_the_requests_of_a_config_are_made_by_those_whom_its_entries_name(tmp_path: Path) -> None:
    config = tmp_path / "ztproxy.yaml"
    entry = {"groups": ["sales"], "methods": ["PUT"], "paths": ["/orders"]}
    config.write_text(
        json.dumps(
            {
                "version": 1,
                "trust_domain": "example.org",
                "listeners": [
                    {"name": "edge", "address": "127.0.0.1:1", "tls": {"certificate": "c.pem", "key": "k.pem"}}
                ],
                "identity": {"issuers": {"corp": {"issuer": "https://i.example.org", "bearer": {"audiences": ["x"]}}}},
                "upstreams": {"shop": {"endpoints": ["http://127.0.0.1:2"]}},
                "routes": [{"name": "shop", "host": "shop.example.org", "upstream": "shop", "allow": [entry]}],
            }
        )
    )
    desk = Desk.open(config)
    assert [str(case) for case in cases_of(desk)] == [
        "anonymous: PUT https://shop.example.org/orders",
        "user:ana, groups sales: PUT https://shop.example.org/orders",
    ]
    assert [document["principal"]["groups"] for document in documents_of(desk, cases_of(desk))] == [[], ["sales"]]


def test_inputs_are_the_seeds_and_then_others_that_lack_nothing(base: dict[str, Any]) -> None:
    hints = Hints({("principal", "groups"): ["sales"], ("extra", "flag"): [True]}, {}, ["sales", "x"])
    made = list(make_inputs([base], hints, random.Random(1), 200))
    assert made[0] == base
    assert len({json.dumps(document) for document in made}) > 50
    assert all(has(document, path) for document in made for path in ALWAYS_IN_INPUT)
    assert {document["principal"]["groups"][:1] == ["sales"] for document in made} == {True, False}
    assert {has(document, ("extra", "flag")) for document in made} == {True, False}


def test_the_same_dice_make_the_same_inputs(base: dict[str, Any]) -> None:
    hints = Hints({("principal", "id"): ["bob"], ("principal", "claims", "x"): []}, {}, ["w"])
    first, again = (list(make_inputs([base], hints, random.Random(7), 50)) for _ in range(2))
    assert first == again


def test_part_of_an_input_is_completed_and_nothing_else_is_changed(base: dict[str, Any]) -> None:
    whole = completed({"principal": {"id": "bob"}, "mine": 1}, base)
    assert whole is not None
    assert whole["principal"]["id"] == "bob"
    assert whole["mine"] == 1
    assert all(has(whole, path) for path in ALWAYS_IN_INPUT)
    assert completed({"principal": "bob"}, base) is None


@pytest.mark.parametrize("name", ["log.jsonl", "log.jsonl.gz"])
def test_a_log_has_the_inputs_of_its_decisions(tmp_path: Path, name: str) -> None:
    log = tmp_path / name
    text = "\n".join(json.dumps(line) for line in [RECORD, {"type": "access"}, RECORD]) + "\n\n"
    log.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    assert list(read_log(log)) == [RECORD["input"], RECORD["input"]]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (json.dumps(RECORD).encode() + b"\n{", "log:2:1: must be a JSON object on a line"),
        (None, "log: no such file or directory"),
    ],
)
def test_a_log_that_cannot_be_read_is_told_of(tmp_path: Path, content: bytes | None, rule: str) -> None:
    if content is not None:
        (tmp_path / "log").write_bytes(content)
    with pytest.raises(CannotRun) as reasons:
        list(islice(read_log(tmp_path / "log"), 9))
    assert str(reasons.value).endswith(rule)
