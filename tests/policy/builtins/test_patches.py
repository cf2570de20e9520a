"""JSON patches with OPA's own liberties."""

from __future__ import annotations

from tests.opa import OPAServer
from tests.policy.builtins.judged import Cases, agrees
from tests.policy.reference import FAILS

CASES: Cases = [
    ('json.patch({"a": 1}, [{"op": "add", "path": "/b", "value": 2}])', {"a": 1, "b": 2}),
    ('json.patch({"a": 1}, [{"op": "add", "path": "b", "value": 2}])', {"a": 1, "b": 2}),
    ('json.patch({"a": 1}, [{"op": "add", "path": ["b"], "value": 2}])', {"a": 1, "b": 2}),
    ('json.patch({"a": [1, 2]}, [{"op": "add", "path": "a/-", "value": 3}])', {"a": [1, 2, 3]}),
    ('json.patch({"a": [1, 2]}, [{"op": "add", "path": "a/1", "value": 3}])', {"a": [1, 3, 2]}),
    ('json.patch({"a": [1, 2]}, [{"op": "add", "path": "a/2", "value": 3}])', {"a": [1, 2, 3]}),
    ('json.patch({"a": [1, 2]}, [{"op": "add", "path": "a/3", "value": 3}])', FAILS),
    ('json.patch({"a": [1, 2]}, [{"op": "add", "path": ["a", 0], "value": 3}])', {"a": [3, 1, 2]}),
    ('json.patch({"a": [1, 2]}, [{"op": "add", "path": "a/01", "value": 3}])', FAILS),
    ('json.patch({"a": [1, 2]}, [{"op": "remove", "path": "a/0"}])', {"a": [2]}),
    ('json.patch({"a": [1, 2]}, [{"op": "remove", "path": "a/-"}])', FAILS),
    ('json.patch({"a": [1, 2]}, [{"op": "replace", "path": "a/0", "value": 9}])', {"a": [9, 2]}),
    ('json.patch({"a": [1, 2]}, [{"op": "replace", "path": "", "value": 9}])', 9),
    ('json.patch({"a": [1, 2]}, [{"op": "add", "path": "", "value": 9}])', 9),
    ('json.patch({"a": [1, 2]}, [{"op": "move", "from": "a", "path": "b"}])', {"b": [1, 2]}),
    ('json.patch({"a": {"x": 1}}, [{"op": "move", "from": "a", "path": "a/b"}])', FAILS),
    ('json.patch({"a": {"x": 1}}, [{"op": "move", "from": "a/x", "path": "a"}])', {"a": 1}),
    ('json.patch({"a": {"x": 1}}, [{"op": "copy", "from": "a", "path": "a/y"}])', {"a": {"x": 1, "y": {"x": 1}}}),
    ('json.patch({"a": {"x": 1}}, [{"op": "copy", "from": "", "path": "b"}])', {"a": {"x": 1}, "b": {"a": {"x": 1}}}),
    ('json.patch({"a": {"x": 1}}, [{"op": "test", "path": "a", "value": {"x": 1}}])', {"a": {"x": 1}}),
    ('json.patch({"a": {"x": 1}}, [{"op": "test", "path": "a", "value": {"x": true}}])', FAILS),
    ('json.patch({"a": {"x", "y"}}, [{"op": "add", "path": "a/z", "value": "z"}])', {"a": ["x", "y", "z"]}),
    ('json.patch({"a": {"x", "y"}}, [{"op": "add", "path": "a/z", "value": "q"}])', FAILS),
    ('json.patch({"a": {"x", "y"}}, [{"op": "remove", "path": "a/x"}])', {"a": ["y"]}),
    ('json.patch({"a": {"x", "y"}}, [{"op": "replace", "path": "a/x", "value": "z"}])', FAILS),
    ('json.patch({"a": {"x", "y"}}, [{"op": "remove", "path": "a/q"}])', FAILS),
    ('json.patch({"a": 1}, [{"op": "add", "path": "b/c", "value": 1}])', FAILS),
    ('json.patch({"a": 1}, [{"op": "add", "path": "a/c", "value": 1}])', FAILS),
    ('json.patch({"a": 1}, [{"op": "add", "path": "b"}])', FAILS),
    ('json.patch({"a": 1}, [{"op": "spam", "path": "b"}])', FAILS),
    ('json.patch({"a": 1}, [{"path": "b"}])', FAILS),
    ('json.patch({"a": 1}, [5])', FAILS),
    ('json.patch({"a": 1}, 5)', FAILS),
    ('json.patch({"a": 1}, [])', {"a": 1}),
    (
        'json.patch([1, 2], [{"op": "add", "path": "0", "value": [3]}, {"op": "add", "path": "0/0", "value": 4}])',
        [[4, 3], 1, 2],
    ),
    ('json.patch({"a": 1}, [{"op": "remove", "path": "a"}, {"op": "add", "path": "a", "value": 2}])', {"a": 2}),
    (
        'json.patch({"a": {"b": {"c": 1}}}, [{"op": "remove", "path": "a/b/c"}, {"op": "test", '
        '"path": "a/b", "value": {}}])',
        {"a": {"b": {}}},
    ),
    ('json.patch({"a": {"1": 1}}, [{"op": "remove", "path": "a/1"}])', {"a": {}}),
]


def test_these_calls_have_the_values_that_opa_gives_them(opa: OPAServer) -> None:
    agrees(opa, CASES)
