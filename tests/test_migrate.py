"""The pages about moving here from another gateway: the config that each of them ends with does what it says."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.gateway import Upstream, gateway
from tests.image import ROOT
from tests.oidc_provider.provider import OIDCProvider
from tests.server.staff import Person
from tests.test_docs import ZTPROXY, blocks

PAGE = (ROOT / "docs" / "migrate" / "oauth2-proxy.md").read_text(encoding="utf-8")
(CONFIG,) = blocks(PAGE, "yaml")
(FRAGMENT,) = blocks(PAGE, "yaml fragment")
(COMMANDS,) = blocks(PAGE, "sh")


class Trust:
    """What a person's browser trusts: the CA of a folder."""

    def __init__(self, directory: Path) -> None:
        self._ca = directory / "ca.pem"

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._ca)


def ztproxy(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        [*ZTPROXY, *arguments], cwd=directory, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    return told


def redirect_uris() -> list[str]:
    """Return the redirect URIs that the page has one register."""
    return [line.strip() for line in PAGE.splitlines() if line.startswith("       https://")]


def local(text: str, places: dict[str, str]) -> str:
    """Return a config with places of this machine; what each takes the place of must be there."""
    for told, place in places.items():
        assert text.count(told) == 1, told
        text = text.replace(told, place)
    return text


@pytest.fixture
def pasted(tmp_path: Path) -> Path:
    """A folder with what the page has one put beside the config."""
    (declared,) = blocks(PAGE, "yaml pki")
    (tmp_path / "certs.yaml").write_text(declared, encoding="utf-8")
    ztproxy(tmp_path, "certs", "init", "-f", "certs.yaml", "pki")
    directory = tmp_path / "pki" / "example.org"
    (directory / "client.secret").write_text("ztproxy-secret", encoding="utf-8")
    (directory / "client.secret").chmod(0o600)
    return directory


@pytest.fixture
def service() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture
async def moved(pasted: Path, service: Upstream) -> AsyncIterator[Person]:
    """A browser before a gateway that runs on the page's config and a real provider."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    (uri,) = redirect_uris()
    async with OIDCProvider(uri.replace("access.example.org", f"access.example.org:{port}")) as provider:
        places = {
            "0.0.0.0:443": f"127.0.0.1:{port}",
            "host: access.example.org": f'host: "access.example.org:{port}"',
            "https://idp.example.org": provider.url,
            "client_id: wiki": "client_id: ztproxy",
            "http://127.0.0.1:8080": service.url,
        }
        text = local(CONFIG, places) + 'admin: {address: "127.0.0.1:0"}\n'
        with gateway(pasted, text):
            person = Person(Trust(pasted), port)
            yield person
            await person.session.close()


def test_the_config_and_the_certificates_of_the_page_pass_check(pasted: Path) -> None:
    (pasted / "ztproxy.yaml").write_text(CONFIG, encoding="utf-8")
    assert "ztproxy.yaml: ok" in ztproxy(pasted, "check", "-c", "ztproxy.yaml")


def test_sessions_in_redis_pass_check_with_the_files_that_the_page_has_one_make(
    pasted: Path,
) -> None:
    subprocess.run(["bash", "-e", "-c", COMMANDS], cwd=pasted, check=True)
    (session,) = [line for line in CONFIG.splitlines() if line.startswith("session:")]
    (pasted / "ztproxy.yaml").write_text(CONFIG.replace(session, FRAGMENT.strip()), encoding="utf-8")
    assert "ztproxy.yaml: ok" in ztproxy(pasted, "check", "-c", "ztproxy.yaml")


async def test_a_person_signs_in_and_the_application_reads_the_fields_that_it_knew(
    moved: Person, service: Upstream
) -> None:
    answer, page = await moved.sign_in("ana", "wiki", "/page?x=1")
    assert (answer.status, page) == (200, "/page?x=1")
    forged = {"X-Forwarded-User": "root", "X-Auth-Request-User": "root", "X-Forwarded-Access-Token": "x"}
    await moved.get("wiki", headers=forged)
    seen = service.requests[-1]
    assert seen.values("x-forwarded-user") == ["ana"]
    assert seen.values("x-forwarded-email") == ["ana@example.org"]
    assert seen.values("x-forwarded-groups") == ["engineering"]
    assert seen.values("x-auth-request-user") == seen.values("x-forwarded-access-token") == []


async def test_whoever_is_in_no_group_that_opens_is_refused(moved: Person, service: Upstream) -> None:
    answer, _ = await moved.sign_in("ben", "wiki")
    assert (answer.status, answer.url.host) == (403, "wiki.example.org")
    assert service.requests == []


async def test_what_needed_no_sign_in_needs_none(moved: Person) -> None:
    program = {"Accept": "*/*", "Sec-Fetch-Mode": "cors"}
    for method, path, status in (("GET", "/healthz", 200), ("POST", "/healthz", 401), ("GET", "/healthzz", 401)):
        url = moved.url("wiki", path)
        async with moved.session.request(method, url, headers=program, allow_redirects=False) as answer:
            assert answer.status == status, (method, path)


async def test_the_paths_that_take_the_place_of_others_are_there(moved: Person) -> None:
    await moved.sign_in("ana", "wiki")
    answer, page = await moved.get("wiki", "/.ztproxy/sign-in?return=/page")
    assert (answer.status, page, answer.url.path) == (200, "/page", "/page")
    for path in ("who", "sign-out"):
        answer, page = await moved.get("access", f"/.ztproxy/{path}")
        assert (answer.status, "ana@example.org" in page) == (200, True), path
