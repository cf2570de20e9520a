"""What a gateway asks about is read from the fields that this gateway writes, and from nothing else."""

from __future__ import annotations

import pytest

from proxy.errors import Refused
from proxy.http.asked import parse_question
from proxy.http.message import BodyKind, Framing, RequestHead

NGINX = [(b"x-original-method", b"POST"), (b"x-original-url", b"https://wiki.example.org/a/b?c=d")]
TRAEFIK = [
    (b"x-forwarded-method", b"POST"), (b"x-forwarded-proto", b"https"), (b"x-forwarded-host", b"wiki.example.org"),
    (b"x-forwarded-uri", b"/a/b?c=d"),
]  # fmt: skip
ENVOY = [(b"x-forwarded-proto", b"https")]
QUESTIONS = {
    "auth-request": (b"GET", b"/api/authz/auth-request", NGINX),
    "forward-auth": (b"GET", b"/api/authz/forward-auth", TRAEFIK),
    "ext-authz": (b"POST", b"/api/authz/ext-authz/a/b?c=d", ENVOY),
}


def head(method: bytes, target: bytes, fields: list[tuple[bytes, bytes]], host: bytes = b"authz") -> RequestHead:
    return RequestHead(method, target, (1, 1), [(b"host", host), *fields])


@pytest.mark.parametrize("dialect", QUESTIONS)
def test_each_gateway_asks_about_the_same_request_in_its_own_way(dialect: str) -> None:
    method, target, fields = QUESTIONS[dialect]
    asked = parse_question(head(method, target, fields, b"wiki.example.org" if dialect == "ext-authz" else b"authz"))
    assert (asked.head.method, asked.target.host, asked.target.origin_form) == (
        b"POST",
        "wiki.example.org",
        b"/a/b?c=d",
    )
    assert asked.scheme == "https"
    assert asked.relays is (dialect != "auth-request")
    assert not asked.head.opens_websocket


@pytest.mark.parametrize("dialect", QUESTIONS)
@pytest.mark.parametrize(
    "field",
    [
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        (b"upgrade", b"websocket"),
        (b"sec-fetch-mode", b"websocket"),
    ],
)
def test_a_websocket_is_known_by_what_reaches_the_question_of_its_handshake(
    dialect: str, field: tuple[bytes, bytes]
) -> None:
    method, target, fields = QUESTIONS[dialect]
    assert parse_question(head(method, target, [*fields, field], b"wiki.example.org")).head.opens_websocket


def test_a_field_of_another_dialect_is_not_read() -> None:
    asked = parse_question(head(b"GET", b"/api/authz/auth-request", [*NGINX, (b"x-forwarded-uri", b"/public/")]))
    assert asked.target.path == b"/a/b"
    asked = parse_question(head(b"GET", b"/api/authz/ext-authz/a", [*ENVOY, *NGINX]))
    assert (asked.target.path, asked.head.method) == (b"/a", b"GET")


@pytest.mark.parametrize("dialect", QUESTIONS)
def test_what_is_missing_or_there_twice_is_refused(dialect: str) -> None:
    method, target, fields = QUESTIONS[dialect]
    for index, field in enumerate(fields):
        for wrong in (fields[:index] + fields[index + 1 :], [*fields, field], [*fields[:index], (field[0], b"")]):
            with pytest.raises(Refused, match="must have one"):
                parse_question(head(method, target, wrong))


@pytest.mark.parametrize(
    ("target", "fields"),
    [
        ("auth-request", [NGINX[0], (b"x-original-url", b"/a/b")]),
        ("auth-request", [NGINX[0], (b"x-original-url", b"ftp://wiki.example.org/a")]),
        ("auth-request", [NGINX[0], (b"x-original-url", b"https://wiki.example.org/a#/public/")]),
        ("auth-request", [NGINX[0], (b"x-original-url", b"https://wiki.example.org/a/../b")]),
        ("auth-request", [NGINX[0], (b"x-original-url", b"https://ana@wiki.example.org/")]),
        ("auth-request", [(b"x-original-method", b"CONNECT"), NGINX[1]]),
        ("auth-request", [(b"x-original-method", b"get"), NGINX[1]]),
        ("forward-auth", [*TRAEFIK[:3], (b"x-forwarded-uri", b"https://public.example.org/")]),
        ("forward-auth", [*TRAEFIK[:3], (b"x-forwarded-uri", b"*")]),
        ("forward-auth", [TRAEFIK[0], (b"x-forwarded-proto", b"ws"), *TRAEFIK[2:]]),
        ("forward-auth", [*TRAEFIK[:2], (b"x-forwarded-host", b"a, b"), TRAEFIK[3]]),
        ("ext-authz/%2e%2e/admin", ENVOY),
    ],
)
def test_a_request_that_would_be_refused_itself_is_refused(target: str, fields: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Refused) as refused:
        parse_question(head(b"GET", b"/api/authz/" + target.encode(), fields))
    assert refused.value.status == 400


def test_another_path_is_no_endpoint() -> None:
    for path in (b"/", b"/api/authz/", b"/api/authz/ext-authz", b"/api/authz/auth-request/"):
        with pytest.raises(Refused) as refused:
            parse_question(head(b"GET", path, [*NGINX, *TRAEFIK]))
        assert refused.value.row.code == "route_not_found"


def test_a_question_has_no_body() -> None:
    question = head(b"POST", b"/api/authz/ext-authz/a", ENVOY)
    question.framing = Framing(BodyKind.LENGTH, 3)
    with pytest.raises(Refused, match="no body"):
        parse_question(question)
