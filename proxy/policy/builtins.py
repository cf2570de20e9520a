"""Which built-ins the embedded engine may be asked for, and why not the others: one table.

A name stands in `AGREEING` when regorus and OPA 1.22 gave the same answers over some thousand generated calls and the
edge cases of `tests/policy/test_builtins.py`, or when regorus fails where OPA does not, which is a refusal. Where they
differ and policies need it, `REPLACED` has a Python function that does as OPA does (`replacements`, `globs`).
All else is refused at load: a wrong answer is worse than none, and `engine: opa` has them all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from proxy.policy import replacements as python
from proxy.policy.globs import glob_match
from proxy.policy.patterns import check_regex, check_replacement

# Name to number of arguments. A call may have one more: the variable that its value is unified with.
AGREEING: Final[dict[str, int]] = {
    "abs": 1, "round": 1, "ceil": 1, "floor": 1, "sum": 1, "product": 1, "max": 1, "min": 1, "sort": 1, "count": 1,
    "numbers.range": 2, "numbers.range_step": 3, "format_int": 2,
    "array.concat": 2, "array.reverse": 1, "union": 1, "intersection": 1,
    "object.filter": 2, "object.get": 3, "object.keys": 1, "object.remove": 2, "object.union": 2, "object.union_n": 1,
    "is_array": 1, "is_boolean": 1, "is_null": 1, "is_number": 1, "is_object": 1, "is_set": 1, "is_string": 1,
    "type_name": 1,
    "concat": 2, "contains": 2, "endswith": 2, "startswith": 2, "replace": 3, "split": 2, "strings.reverse": 1,
    "strings.any_prefix_match": 2, "strings.any_suffix_match": 2,
    "trim": 2, "trim_left": 2, "trim_prefix": 2, "trim_right": 2, "trim_space": 1, "trim_suffix": 2,
    "base64.encode": 1, "base64url.encode": 1,
    "base64url.encode_no_pad": 1, "hex.decode": 1, "hex.encode": 1, "json.unmarshal": 1,
    "regex.match": 2, "regex.find_n": 3, "regex.find_all_string_submatch_n": 3, "regex.replace": 3,
    "graph.reachable": 2, "net.cidr_is_valid": 1, "walk": 1,
    "time.now_ns": 0, "time.clock": 1, "time.date": 1, "time.weekday": 1, "time.parse_duration_ns": 1,
}  # fmt: skip

REPLACED: Final[dict[str, tuple[int, Callable[..., Any]]]] = {
    "array.slice": (3, python.array_slice),
    "base64.decode": (1, python.base64_decode),
    "base64url.decode": (1, python.base64url_decode),
    "glob.match": (3, glob_match),
    "indexof": (2, python.indexof),
    "lower": (1, python.lower),
    "net.cidr_contains": (2, python.cidr_contains),
    "sprintf": (2, python.sprintf),
    "strings.count": (2, python.strings_count),
    "substring": (3, python.substring),
    "time.parse_rfc3339_ns": (1, python.parse_rfc3339_ns),
    "to_number": (1, python.to_number),
    "upper": (1, python.upper),
}

ARITY: Final[dict[str, int]] = AGREEING | {name: arity for name, (arity, _) in REPLACED.items()}

# Undefined for some arguments; every other one has a value or fails.
PARTIAL: Final = frozenset({"max", "min", "walk"})

# The arguments that must be written out in the policy, and what judges them: the two engines read patterns differently
# at the edges, and `proxy/policy/patterns` knows which of them mean the same.
WRITTEN_OUT: Final[dict[str, dict[int, Callable[[str], None]]]] = {
    "regex.match": {0: check_regex},
    "regex.find_n": {0: check_regex},
    "regex.find_all_string_submatch_n": {0: check_regex},
    "regex.replace": {1: check_regex, 2: check_replacement},
}

# Reasons for the ones that somebody will ask about.
REASONS: Final[dict[str, str]] = {
    "http.send": "a decision must not wait for a network, and here it would be silently undefined",
    "net.lookup_ip_addr": "a decision must not wait for a network",
    "opa.runtime": "there is no OPA to tell about",
    "print": "it is for tests, and what it prints may be secret",
    "rand.intn": "a decision must not be a matter of luck",
    "uuid.rfc4122": "a decision must not be a matter of luck",
    "net.cidr_expand": "a short network is millions of addresses",
    "bits.lsh": "a large shift fills the memory",
    "json.match_schema": "it answers in another form than OPA",
    "json.verify_schema": "it answers in another form than OPA",
    "json.patch": "it is undefined where OPA fails",
    "units.parse": "it is undefined where OPA fails",
    "units.parse_bytes": "it is undefined where OPA fails",
    "object.subset": "it answers where OPA fails, and panics on an empty array",
}


def refusal_of(name: str) -> str:
    """Return why something that is called by a built-in's name is not to be had, and the way out."""
    reason = REASONS.get(name)
    if reason is not None:
        return f"the embedded engine does not evaluate {name}: {reason}; use engine: opa"
    return f"{name} is no function of the policy, and no built-in that the embedded engine evaluates; use engine: opa"
