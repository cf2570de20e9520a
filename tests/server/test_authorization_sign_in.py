"""People are led to sign in behind another gateway, by whatever that gateway can pass on to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.gateway import Answer, Client, Gateway, gateway
from tests.world import World

CONFIG = """\
version: 1
trust_domain: example.org
state_directory: state
listeners:
  - name: authz
    address: "127.0.0.1:0"
    plaintext: true
    serves: authorization
    trusted_proxies: {{networks: [127.0.0.1/32]}}
  - name: strangers
    address: "127.0.0.1:0"
    plaintext: true
    serves: authorization
    trusted_proxies: {{networks: [10.0.0.0/8]}}
admin: {{address: "127.0.0.1:0"}}
sign_in: {{host: "access.example.org:{port}"}}
identity:
  issuers:
    corp: {{issuer: "{issuer}", login: {{client_id: ztproxy, client_secret_file: corp.secret}}}}
routes:
  - name: wiki
    host: wiki.example.org
    listeners: [authz, strangers]
    authenticate: {{sign_in: true}}
    portal: {{title: Wiki}}
    allow: [{{groups: [engineering]}}]
  - name: sales
    host: sales.example.org
    listeners: [authz]
    authenticate: {{sign_in: true}}
    allow: [{{groups: [sales]}}]
  - {{name: quiet, host: quiet.example.org, listeners: [authz], allow: [{{groups: [engineering]}}]}}
"""
NAVIGATES = "Sec-Fetch-Mode: navigate", "Accept: text/html"


@dataclass
class Asked:
    """A gateway that is asked, and the port at which people reach the one that asks."""

    gateway: Gateway
    port: int
    directory: Path


@contextmanager
def serving(place: Path, port: int, issuer: str) -> Iterator[Asked]:
    (place / "corp.secret").write_text("ztproxy-secret", encoding="utf-8")
    (place / "corp.secret").chmod(0o600)
    with gateway(place, CONFIG.format(port=port, issuer=issuer)) as running:
        yield Asked(running, port, place)


@pytest.fixture(scope="module")
def alone(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """The same before a provider that is not there: nobody gets so far."""
    with serving(world.copy_to(tmp_path_factory.mktemp("alone")), 8443, "http://127.0.0.1:9") as running:
        yield running


def ask(alone: Asked, endpoint: str, *fields: str, host: str = "wiki", listener: str = "authz") -> Answer:
    """Ask about a page of an application, as a gateway does that relays these fields of a browser."""
    authority = f"{host}.example.org:{alone.port}"
    question = {
        "auth-request": ("X-Original-Method: GET", f"X-Original-URL: https://{authority}/page"),
        "forward-auth": (
            "X-Forwarded-Method: GET", "X-Forwarded-Proto: https", f"X-Forwarded-Host: {authority}",
            "X-Forwarded-Uri: /page",
        ),
        "ext-authz/page": ("X-Forwarded-Proto: https",),
    }[endpoint]  # fmt: skip
    with Client(alone.gateway.address(listener)) as client:
        return client.get(f"/api/authz/{endpoint}", authority, *question, *fields)


def cookies(answer: Answer) -> list[str]:
    return [value for name, value in answer.headers if name.lower() == "set-cookie"]


def test_each_gateway_is_told_the_way_to_sign_in_as_it_can_pass_it_on(alone: Asked) -> None:
    old = "Cookie: __Host-ztproxy=" + "A" * 43
    for endpoint, status, many in (("forward-auth", 303, 2), ("ext-authz/page", 303, 2), ("auth-request", 401, 1)):
        answer = ask(alone, endpoint, *NAVIGATES, old)
        assert answer.status == status
        location = answer.get("location") or ""
        assert location.startswith(f"https://access.example.org:{alone.port}/.ztproxy/sign-in?to=")
        nonce, *cleared = cookies(answer)
        assert nonce.startswith("__Host-ztproxy-nonce=")
        assert len(cleared) == many - 1
        assert all(cookie.startswith("__Host-ztproxy=;") for cookie in cleared)
        assert (answer.get("www-authenticate") == "Bearer") is (status == 401)


@pytest.mark.parametrize("endpoint", ["auth-request", "forward-auth", "ext-authz/page"])
def test_who_does_not_navigate_or_need_not_sign_in_is_led_nowhere(alone: Asked, endpoint: str) -> None:
    for fields, host in (((), "wiki"), (("Sec-Fetch-Mode: cors", "Accept: text/html"), "wiki"), (NAVIGATES, "quiet")):
        answer = ask(alone, endpoint, *fields, host=host)
        assert (answer.status, answer.get("location"), cookies(answer)) == (401, None, [])
        assert answer.get("www-authenticate") == "Bearer"


def test_the_portal_is_for_trusted_gateways_alone_and_nothing_else_is_passed_on(alone: Asked) -> None:
    def get(target: str, host: str = "wiki", listener: str = "authz", method: str = "GET") -> Answer:
        with Client(alone.gateway.address(listener)) as client:
            return client.get(target, f"{host}.example.org:{alone.port}", method=method)

    assert get("/.ztproxy/who", "access", "strangers").code == "gateway_unknown"
    assert get("/.ztproxy/sign-in?return=/page").status == 303
    assert get("/%2eztproxy/sign-in?return=/page").status == 303
    for target, host in (("/page", "wiki"), ("/", "wiki"), ("/page", "access"), ("/.ztproxy", "wiki")):
        assert get(target, host).code == "route_not_found"
    assert get("/.ztproxy/sign-in?return=/page", "elsewhere").code == "route_not_found"
    assert get("/api/authz/ext-authz/.ztproxy/who", "access").status == 400  # a question, and a bad one
