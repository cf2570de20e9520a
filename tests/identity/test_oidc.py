from __future__ import annotations

import json

import pytest

from proxy.identity.oidc import FetchFailed, discovery_url, parse_discovery, url_rule

ISSUER = "https://idp.example.org"


@pytest.mark.parametrize(
    "url",
    [
        "https://idp.example.org",
        "https://idp.example.org/realms/a?x=1",
        "https://idp.example.org:8443/",
        "https://[2001:db8::1]/",
        "http://127.0.0.1:8080",
        "http://127.1.2.3",
        "http://[::1]:1",
        "http://localhost:9000/x",
    ],
)
def test_keys_may_come_from(url: str) -> None:
    assert url_rule(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "idp.example.org",
        "https://",
        "https:///path",
        "http://idp.example.org",
        "http://10.0.0.1",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://localhost@evil.example",
        "https://user@idp.example.org",
        "https://user:secret@idp.example.org",
        "https://idp.example.org/#x",
        "https://idp.example.org/#",
        "https://idp.example.org:port",
        "https://idp.example.org:99999",
        "https://idp.example.org /",
        "https://idp.example.org\\@evil.example",
        "https://idp.example.org\n",
        "https://idp.exаmple.org",  # a Cyrillic letter
        "file:///etc/passwd",
        "ftp://idp.example.org",
        "unix:/run/idp.sock",
        "https://[::1",
    ],
)
def test_keys_do_not_come_from(url: str) -> None:
    assert url_rule(url) is not None


def test_discovery_is_below_the_issuer() -> None:
    assert discovery_url(ISSUER) == "https://idp.example.org/.well-known/openid-configuration"
    assert discovery_url(ISSUER + "/realms/a/") == "https://idp.example.org/realms/a/.well-known/openid-configuration"


def document(**members: object) -> bytes:
    return json.dumps({"issuer": ISSUER, "jwks_uri": "https://keys.example.org/jwks", **members}).encode()


def test_discovery_names_the_place_of_the_keys() -> None:
    assert parse_discovery(document(), ISSUER) == "https://keys.example.org/jwks"


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{}",
        document(issuer=ISSUER + "/"),
        document(issuer="http://idp.example.org"),
        document(issuer="https://IDP.example.org"),
        document(issuer="https://other.example.org"),
        document(issuer=[ISSUER]),
        document(issuer=None),
        document(jwks_uri=None),
        document(jwks_uri=["https://keys.example.org/jwks"]),
        document(jwks_uri="http://keys.example.org/jwks"),
        document(jwks_uri="http://127.0.0.1/jwks"),
        document(jwks_uri="HTTP://127.0.0.1/jwks"),
        document(jwks_uri="http://localhost:8181/v1/data"),
        document(jwks_uri="file:///etc/passwd"),
        document(jwks_uri="/jwks"),
        b'{"issuer":"https://idp.example.org","jwks_uri":"https://a/","jwks_uri":"https://b/"}',
    ],
)
def test_discovery_is_refused_that_is_anothers_or_points_elsewhere(body: bytes) -> None:
    with pytest.raises(FetchFailed):
        parse_discovery(body, ISSUER)
