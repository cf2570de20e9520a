"""The inputs that tests of Rego bring: the tests are run, and what stands behind `with input as` is noted each time.

So every test has its inputs noted as they are, whatever they are made of. Whether it passes is of no matter here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from proxy.policy.mending import Mending
from proxy.policy.modules import read_module
from proxy.policy.reading import new_engine, read_policy
from proxy.policy.sources import Module
from proxy.policy.syntax import Node, Query, input_path
from proxy.policy.testing import PREFIX

CALL: Final = "internal.capture"
_MOST: Final = 5_000


def capture_inputs(modules: Sequence[Module], data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the inputs of the tests of some modules, in the order in which they come; each of them once.

    Args:
        modules: the policy and its tests, which load.
        data: the policy's.
    """
    found: dict[str, dict[str, Any]] = {}

    def note(document: object) -> bool:
        if isinstance(document, dict) and len(found) < _MOST:
            with suppress(TypeError):  # a set is no JSON
                found.setdefault(json.dumps(document, sort_keys=True), document)
        return True

    read = read_policy(tuple(modules))
    engine = new_engine()
    engine.add_extension(CALL, 1, note)
    trees = [read_module(tree) for tree in read.trees]
    for module, tree in zip(read.modules, trees, strict=True):
        mending = Mending(module.text.encode())
        for query, statement in _statements([body for rule in tree.rules for _, body in rule.bodies]):
            if any(
                input_path(modifier["refr"], tree.imports) is not None for modifier in statement.get("with_mods") or ()
            ):
                mending.before(query, statement, f"{CALL}(input)".encode())
        engine.add_policy(module.name, mending.applied())
    engine.add_data(data)
    engine.set_input({})
    for tree in trees:
        for rule in tree.rules:
            if isinstance(rule.steps[0], str) and rule.steps[0].startswith(PREFIX) and len(rule.steps) == 1:
                with suppress(RuntimeError, TypeError):
                    engine.eval_rule(".".join(("data", *tree.package, rule.steps[0])))
    return list(found.values())


def _statements(value: Any) -> Iterator[tuple[Query, Node]]:
    """Yield every statement of some queries and of the closures in them, with the query that it stands in."""
    if isinstance(value, dict):
        for statement in value.get("stmts", ()):
            yield value, statement
        for item in value.values():
            yield from _statements(item)
    elif isinstance(value, list):
        for item in value:
            yield from _statements(item)
