"""What the loader accepts, the rooms that use it must accept too: they would fail in the middle of a request."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from proxy.config import values
from proxy.config.routing import _editable
from proxy.http.headers import FORWARDING, HOP_BY_HOP
from proxy.http.target import compile_path, parse_host
from proxy.identity.spiffe import parse_pattern, parse_trust_domain


def accepted(kind: Any, value: object) -> Any:
    """Return what the loader makes of a value, or None where it refuses it."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return None


_IDS = st.from_regex(r"spiffe://[a-z0-9._-]{1,8}(/[A-Za-z0-9._*-]{0,4}){0,4}", fullmatch=True)


@given(st.one_of(_IDS, _IDS.map(lambda text: text + "/*"), st.text().map(lambda text: "spiffe://" + text)))
def test_a_workload_pattern_is_one_to_the_identity_room(text: str) -> None:
    if (pattern := accepted(values.WorkloadPattern, text)) is not None:
        assert str(parse_pattern(pattern)) == text


def test_a_workload_pattern_is_as_long_as_an_id_may_be() -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(values.WorkloadPattern).validate_python("spiffe://example.org/" + "a" * 2048)


@given(st.from_regex(r"[A-Za-z0-9._-]{1,300}", fullmatch=True))
def test_a_trust_domain_is_one_to_the_identity_room(text: str) -> None:
    if (name := accepted(values.TrustDomain, text)) is not None:
        assert parse_trust_domain(name) == text


@given(st.text(alphabet="/ab.%2Fé*?;~ \\").map(lambda text: "/" + text))
def test_a_route_path_compiles(text: str) -> None:
    if (path := accepted(values.PathPattern, text)) is not None:
        segments, below = compile_path(path)
        assert "/" + "/".join(segments) + ("/" if below else "") == text


_LABELS = st.from_regex(r"[A-Za-z0-9_-]{1,5}(\.[A-Za-z0-9_-]{1,5}){0,3}", fullmatch=True)


@given(st.one_of(_LABELS, st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(lambda address: f"[{address}]")))
def test_a_host_is_spelled_as_requests_have_it(text: str) -> None:
    if (host := accepted(values.HostPattern, text)) is not None:
        assert parse_host(text.encode()) == (host, None)


@pytest.mark.parametrize("host", ["*", "*.example.org", "*.a.b.example.org"])
def test_a_wildcard_is_a_whole_first_label(host: str) -> None:
    assert TypeAdapter(values.HostPattern).validate_python(host) == host


@pytest.mark.parametrize(
    "host", ["*.*.example.org", "a.*.example.org", "*a.example.org", "**", "*.", "", ".", "*.[::1]"]
)
def test_a_wildcard_anywhere_else_is_refused(host: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(values.HostPattern).validate_python(host)


def test_static_edits_may_not_touch_what_the_proxy_writes() -> None:
    ours = HOP_BY_HOP | FORWARDING | {b"host", b"expect", b"client-cert", b"client-cert-chain", b"x-ztproxy-subject"}
    for name in ours:
        for spelled in (name.decode(), name.decode().upper(), name.decode().replace("-", "_")):
            assert list(_editable(spelled, ())), spelled
    assert not list(_editable("x-from", ()))
