"""Routing: authority first, then the longest path prefix."""

from __future__ import annotations

import pytest

from proxy.config import schema
from proxy.server.route import Router, compile_route, edit


def router(*routes: tuple[str, str, str]) -> Router:
    compiled = []
    for name, host, path in routes:
        config = schema.Route.model_validate(
            {"name": name, "host": host, "path": path, "redirect": "https://x.example"}
        )
        compiled.append(compile_route(config, None, "ztproxy/authz/decision", False))
    return Router(compiled)


ROUTES = router(
    ("root", "a.example", "/"),
    ("api", "a.example", "/api"),
    ("below", "a.example", "/api/"),
    ("deep", "a.example", "/api/v1/users"),
    ("admin", "b.example", "/admin/"),
    ("wild", "*.c.example", "/"),
    ("exact", "x.c.example", "/only"),
    ("any", "*", "/"),
)


@pytest.mark.parametrize(
    ("host", "segments", "name"),
    [
        ("a.example", ("",), "root"),
        ("a.example", ("api",), "api"),
        ("a.example", ("api", ""), "below"),
        ("a.example", ("api", "x"), "below"),
        ("a.example", ("apix",), "root"),
        ("a.example", ("api", "v1", "users"), "deep"),
        ("a.example", ("api", "v1", "users", "7"), "deep"),
        ("a.example", ("api", "v1", "usersx"), "below"),
        ("b.example", ("admin", ""), "admin"),
        ("b.example", ("admin",), None),
        ("b.example", ("other",), None),
        ("y.c.example", ("",), "wild"),
        ("x.c.example", ("only",), "exact"),
        ("x.c.example", ("else",), None),
        ("c.example", ("",), "any"),
        ("z.y.c.example", ("",), "any"),
        ("nobody.example", ("a", "b"), "any"),
        ("", ("",), "any"),
    ],
)
def test_the_most_specific_authority_decides_and_then_the_longest_prefix(
    host: str, segments: tuple[str, ...], name: str | None
) -> None:
    route = ROUTES.match(host, segments)
    assert (route.name if route else None) == name


def test_a_router_without_routes_matches_nothing() -> None:
    assert Router(()).match("a.example", ("",)) is None


def test_edits_replace_every_field_of_a_name() -> None:
    fields = [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]
    assert edit(fields, frozenset({b"a"}), ((b"a", b"new"),)) == [(b"b", b"2"), (b"a", b"new")]
    assert edit(fields, frozenset(), ()) is fields
