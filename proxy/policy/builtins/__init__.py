"""Which built-ins the embedded engine may be asked for, and why not the others: one table.

A name stands in `AGREEING` when regorus and OPA 1.22 gave the same answers over some thousand generated calls and the
edge cases of `tests/policy/builtins`, or when regorus fails where OPA does not, which is a refusal. Where they differ,
or regorus has none, `REPLACED` has a Python function that does as OPA does or raises ValueError, which fails the
evaluation. Each has a bound: what it makes of an input must not fill the memory, and its time must be short.
All else is refused at load: a wrong answer is worse than none, and `engine: opa` has them all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from proxy.policy.builtins import (
    digests,
    documents,
    encodings,
    network,
    numbers,
    patches,
    schemas,
    strings,
    texts,
    times,
    tokens,
    units,
    versions,
    walking,
)
from proxy.policy.globs import glob_match
from proxy.policy.patterns import check_regex, check_replacement, check_separator

# Name to number of arguments. A call may have one more: the variable that its value is unified with.
AGREEING: Final[dict[str, int]] = {
    "abs": 1, "round": 1, "ceil": 1, "floor": 1, "sum": 1, "product": 1, "max": 1, "min": 1, "sort": 1, "count": 1,
    "numbers.range": 2, "numbers.range_step": 3, "format_int": 2,
    "array.concat": 2, "array.reverse": 1, "union": 1, "intersection": 1,
    "object.filter": 2, "object.get": 3, "object.keys": 1, "object.remove": 2, "object.union": 2, "object.union_n": 1,
    "is_array": 1, "is_boolean": 1, "is_null": 1, "is_number": 1, "is_object": 1, "is_set": 1, "is_string": 1,
    "type_name": 1,
    "concat": 2, "contains": 2, "endswith": 2, "startswith": 2, "split": 2, "strings.reverse": 1,
    "strings.any_prefix_match": 2, "strings.any_suffix_match": 2,
    "trim": 2, "trim_left": 2, "trim_prefix": 2, "trim_right": 2, "trim_space": 1, "trim_suffix": 2,
    "base64.encode": 1, "base64url.encode": 1,
    "base64url.encode_no_pad": 1, "hex.decode": 1, "hex.encode": 1, "json.unmarshal": 1,
    "regex.match": 2, "regex.find_n": 3, "regex.find_all_string_submatch_n": 3, "regex.replace": 3, "regex.split": 2,
    "graph.reachable": 2, "net.cidr_is_valid": 1, "walk": 1,
    "time.now_ns": 0, "time.clock": 1, "time.date": 1, "time.weekday": 1, "time.parse_duration_ns": 1,
}  # fmt: skip

REPLACED: Final[dict[str, tuple[int, Callable[..., Any]]]] = {
    "array.flatten": (1, documents.array_flatten),
    "array.slice": (3, documents.array_slice),
    "base64.decode": (1, encodings.base64_decode),
    "base64.is_valid": (1, encodings.base64_is_valid),
    "base64url.decode": (1, encodings.base64url_decode),
    "bits.and": (2, numbers.bits_and),
    "bits.lsh": (2, numbers.bits_lsh),
    "bits.negate": (1, numbers.bits_negate),
    "bits.or": (2, numbers.bits_or),
    "bits.rsh": (2, numbers.bits_rsh),
    "bits.xor": (2, numbers.bits_xor),
    "crypto.hmac.equal": (2, digests.hmac_equal),
    **{name: (2, mac) for name, mac in digests.MACS.items()},
    **{name: (1, digest) for name, digest in digests.DIGESTS.items()},
    "glob.match": (3, glob_match),
    "glob.quote_meta": (1, strings.quote_meta),
    "graph.reachable_paths": (2, documents.reachable_paths),
    "indexof": (2, strings.indexof),
    "indexof_n": (2, strings.indexof_n),
    "io.jwt.decode": (1, tokens.decode),
    "io.jwt.decode_verify": (2, tokens.decode_verify),
    "io.jwt.encode_sign": (3, tokens.encode_sign),
    "io.jwt.encode_sign_raw": (3, tokens.encode_sign_raw),
    **{name: (2, verify) for name, verify in tokens.VERIFY.items()},
    "json.filter": (2, documents.json_filter),
    "json.is_valid": (1, encodings.json_is_valid),
    "json.marshal": (1, encodings.json_marshal),
    "json.marshal_with_options": (2, encodings.json_marshal_with_options),
    "json.match_schema": (2, schemas.match_schema),
    "json.patch": (2, patches.json_patch),
    "json.remove": (2, documents.json_remove),
    "json.verify_schema": (1, schemas.verify_schema),
    "lower": (1, strings.lower),
    "net.cidr_contains": (2, network.cidr_contains),
    "net.cidr_contains_matches": (2, network.cidr_contains_matches),
    "net.cidr_expand": (1, network.cidr_expand),
    "net.cidr_intersects": (2, network.cidr_intersects),
    "net.cidr_merge": (1, network.cidr_merge),
    "object.subset": (2, documents.object_subset),
    "replace": (3, strings.replace),
    "semver.compare": (2, versions.semver_compare),
    "semver.is_valid": (1, versions.semver_is_valid),
    "sprintf": (2, texts.sprintf),
    "strings.count": (2, strings.strings_count),
    "strings.render_template": (2, texts.render_template),
    "strings.replace_n": (2, strings.replace_n),
    "strings.split_n": (3, strings.split_n),
    "substring": (3, strings.substring),
    "time.add_date": (4, times.add_date),
    "time.diff": (2, times.diff),
    "time.format": (1, times.time_format),
    "time.parse_ns": (2, times.parse_ns),
    "time.parse_rfc3339_ns": (1, times.parse_rfc3339_ns),
    "to_number": (1, numbers.to_number),
    "units.parse": (1, units.parse),
    "units.parse_bytes": (1, units.parse_bytes),
    "upper": (1, strings.upper),
    "urlquery.decode": (1, encodings.urlquery_decode),
    "urlquery.decode_object": (1, encodings.urlquery_decode_object),
    "urlquery.encode": (1, encodings.urlquery_encode),
    "urlquery.encode_object": (1, encodings.urlquery_encode_object),
    "uuid.parse": (1, versions.uuid_parse),
    "yaml.is_valid": (1, encodings.yaml_is_valid),
    "yaml.unmarshal": (1, encodings.yaml_unmarshal),
}

# What string interpolation is spelled as (`proxy/policy/spelling`), and nobody calls by name.
EXTENSIONS: Final[dict[str, tuple[int, Callable[..., Any]]]] = REPLACED | {
    "internal.template_string": (1, texts.template_string),
}

# What takes the place of something else when a policy is compiled (`proxy/policy/mending`).
COMPILED: Final[dict[str, tuple[int, Callable[..., Any]]]] = {
    "internal.present": (1, walking.present),
    "internal.walk": (1, walking.walked),
}

ARITY: Final[dict[str, int]] = AGREEING | {name: arity for name, (arity, _) in EXTENSIONS.items()}

# Undefined for some arguments; every other one has a value or fails.
PARTIAL: Final = frozenset({"max", "min", "walk"})

# The arguments that must be written out in the policy, and what judges them: the two engines read patterns differently
# at the edges, and `proxy/policy/patterns` knows which of them mean the same.
WRITTEN_OUT: Final[dict[str, dict[int, Callable[[str], None]]]] = {
    "regex.match": {0: check_regex},
    "regex.find_n": {0: check_regex},
    "regex.find_all_string_submatch_n": {0: check_regex},
    "regex.replace": {1: check_regex, 2: check_replacement},
    "regex.split": {0: check_separator},
}

# Reasons for the ones that somebody will ask about, by name or by what all that begin so have in common.
REASONS: Final[dict[str, str]] = {
    "crypto.x509": "serial numbers and keys are integers beyond 64 bits, which this engine rounds",
    "http.send": "a decision must not wait for a network, and here it would be silently undefined",
    "net.lookup_ip_addr": "a decision must not wait for a network",
    "opa.runtime": "there is no OPA to tell about",
    "print": "it is for tests, and what it prints may be secret",
    "rand.intn": "a decision must not be a matter of luck",
    "regex.globs_match": "OPA is known to miss matches, and another answer is worse than none",
    "uuid.rfc4122": "a decision must not be a matter of luck",
}


def refusal_of(name: str) -> str:
    """Return why something that is called by a built-in's name is not to be had, and the way out."""
    reason = REASONS.get(name) or REASONS.get(name.rpartition(".")[0])
    if reason is not None:
        return f"the embedded engine does not evaluate {name}: {reason}; use engine: opa"
    return f"{name} is no function of the policy, and no built-in that the embedded engine evaluates; use engine: opa"
