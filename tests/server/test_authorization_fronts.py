"""People sign in behind real nginx and real Envoy, configured as the page says, before a real provider."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.gateway import Upstream
from tests.oidc_provider.provider import OIDCProvider
from tests.server import fronts
from tests.server.staff import PROGRAM, Person
from tests.server.test_authorization_sign_in import Asked, serving
from tests.world import World


@pytest.fixture
async def asked(place: Path) -> AsyncIterator[Asked]:
    port = fronts.free_port()
    async with OIDCProvider(f"https://access.example.org:{port}/.ztproxy/callback/corp") as provider:
        with serving(place, port, provider.url) as running:
            yield running


@contextmanager
def nginx(asked: Asked, upstream: Upstream) -> Iterator[None]:
    """Run nginx with the page's servers, and one more like that of the wiki."""
    servers = next(block for block in fronts.blocks("nginx") if "@sign_in" in block)
    servers = servers.replace("127.0.0.1:9191", "127.0.0.1:{}".format(asked.gateway.address("authz")[1]))
    servers = servers.replace("http://127.0.0.1:8080", upstream.url).replace(" 443 ", f" 127.0.0.1:{asked.port} ")
    servers = servers.replace("server_name wiki.example.org", "server_name wiki.example.org sales.example.org")
    for name in ("edge.pem", "edge.key"):
        servers = servers.replace(f" {name};", f" {asked.directory / name};")
    with fronts.nginx(asked.directory, asked.port, servers):
        yield


@contextmanager
def envoy(asked: Asked, upstream: Upstream) -> Iterator[None]:
    """Run Envoy with the page's hosts, and one more like that of the wiki."""
    (hosts,) = (yaml.safe_load(block) for block in fronts.blocks("yaml") if "virtual_hosts" in block)
    hosts["virtual_hosts"][1]["domains"].append("sales.example.org")
    port = asked.gateway.address("authz")[1]
    configuration = fronts.envoy_configuration(
        asked.port, port, upstream.port, hosts=hosts["virtual_hosts"], tls=asked.directory
    )
    with fronts.envoy(asked.directory, asked.port, configuration):
        yield


@pytest.mark.parametrize("front", [nginx, envoy], ids=["nginx", "envoy"])
async def test_a_person_signs_in_behind_a_real_gateway(
    front: object, asked: Asked, service: Upstream, world: World
) -> None:
    assert callable(front)
    with front(asked, service):
        async with Person(world, asked.port) as ana:
            answer, page = await ana.sign_in("ana", "wiki", "/page?q=a%20b&x=//y")
            assert (answer.status, page) == (200, "/page?q=a%20b&x=//y")
            assert str(answer.url) == ana.url("wiki", "/page?q=a%20b&x=//y")
            assert service.requests[-1].values("x-ztproxy-subject") == ["ana"]
            assert not any(service.requests[-1].values("cookie"))
            await only_the_applications_own_cookies_pass(ana, service)
            await what_another_site_makes_a_browser_do_is_refused(ana, service)
            await the_portal_is_there(ana)


async def only_the_applications_own_cookies_pass(ana: Person, service: Upstream) -> None:
    ana.session.cookie_jar.update_cookies({"own": "kept"})
    answer, _ = await ana.get("wiki", headers={"X-Ztproxy-Subject": "root"})
    assert answer.status == 200
    assert service.requests[-1].values("cookie") == ["own=kept"]
    assert service.requests[-1].values("x-ztproxy-subject") == ["ana"]


async def what_another_site_makes_a_browser_do_is_refused(ana: Person, service: Upstream) -> None:
    before = len(service.requests)
    socket = {
        "Sec-Fetch-Mode": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Upgrade": "websocket",
    }  # fmt: skip
    for method, fields in (("GET", socket), ("POST", {}), ("GET", {**socket, "Sec-Fetch-Mode": "cors"})):
        fields = {**fields, "Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
        async with ana.session.request(method, ana.url("wiki"), headers=fields) as answer:
            assert answer.status == 403
    assert len(service.requests) == before
    async with ana.session.post(ana.url("wiki"), data=b"x", headers={"Sec-Fetch-Site": "same-origin"}) as answer:
        assert answer.status == 200


async def the_portal_is_there(ana: Person) -> None:
    answer, _ = await ana.get("sales")
    assert (answer.status, answer.url.host) == (403, "sales.example.org")
    answer, page = await ana.get("access")
    assert answer.status == 200
    assert "Wiki" in page
    assert "sales.example.org" not in page
    token = re.search(r'name="csrf" value="([^"]+)"', page)
    assert token is not None
    answer, _ = await ana.post("access", "/.ztproxy/sign-out", {"csrf": token[1], "where": "here"})
    assert answer.status == 200
    answer, _ = await ana.until(401, headers=PROGRAM, allow_redirects=False)
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    answer, _ = await ana.get("wiki", allow_redirects=False)
    assert answer.status == 303
    assert answer.headers["Location"].startswith(ana.url("access", "/.ztproxy/sign-in?"))
