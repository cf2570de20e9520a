"""A person signs in at a real provider and opens applications, through a whole gateway."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

from tests.gateway import Upstream
from tests.server.staff import Person, Staffed
from tests.world import World

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/staff-access.md").read_text(encoding="utf-8")


async def test_a_person_signs_in_once_and_every_application_opens_by_policy(ana: Person) -> None:
    answer, page = await ana.sign_in("ana", "wiki", "/page?q=a%20b&x=//y")
    assert (answer.status, page) == (200, "/page?q=a%20b&x=//y")
    assert str(answer.url) == ana.url("wiki", "/page?q=a%20b&x=//y")
    answer, page = await ana.get("sales")
    assert (answer.status, answer.url.host) == (403, "sales.example.org")
    assert "ana@example.org" in page
    answer, page = await ana.get("access")
    assert answer.status == 200
    assert "Wiki" in page
    assert "sales.example.org" not in page


async def test_a_program_is_told_and_never_sent_to_a_page(ana: Person) -> None:
    for fields in ({"Sec-Fetch-Mode": "cors"}, {"Accept": "application/json", "Sec-Fetch-Mode": "same-origin"}):
        answer, _ = await ana.get("wiki", headers=fields, allow_redirects=False)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    async with ana.session.post(ana.url("wiki"), data=b"x", allow_redirects=False) as answer:
        assert answer.status == 401


async def test_what_changes_something_must_come_from_the_routes_own_pages(ana: Person) -> None:
    await ana.sign_in("ana", "wiki")
    for fields, status in (
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": ana.url("sales", "")}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": ana.url("wiki", "")}, 200),
    ):
        async with ana.session.post(ana.url("wiki"), data=b"x", headers=fields) as answer:
            assert answer.status == status, fields


async def test_the_upstream_is_told_who_and_never_sees_the_session(ana: Person, service: Upstream) -> None:
    await ana.sign_in("ana", "wiki")
    await ana.get("wiki", headers={"X-Ztproxy-Subject": "root"})
    seen = service.requests[-1]
    assert seen.values("x-ztproxy-subject") == ["ana"]
    assert seen.values("x-ztproxy-email") == ["ana@example.org"]
    assert seen.values("cookie") == []


async def test_a_session_survives_a_restart_and_ends_when_it_is_revoked(
    ana: Person, staffed: Staffed, service: Upstream
) -> None:
    await ana.sign_in("ana", "wiki")
    command = [sys.executable, "-m", "proxy", "sessions"]
    config = ["-c", str(staffed.gateway.directory / "ztproxy.yaml")]

    async def sessions(*arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *command, *arguments, *config, stdout=asyncio.subprocess.PIPE, cwd=ROOT
        )
        told, _ = await process.communicate()
        assert process.returncode == 0
        return told.decode()

    (session,) = json.loads(await sessions("list", "--format", "json"))
    await sessions("revoke", session["id"])
    async with asyncio.timeout(5):
        while (await ana.get("wiki", headers={"Sec-Fetch-Mode": "cors"}))[0].status != 401:
            pass


async def test_a_token_goes_before_a_session_and_the_two_are_never_mixed(
    ana: Person, staffed: Staffed, service: Upstream
) -> None:
    await ana.sign_in("ana", "wiki")
    bearer = {"Authorization": f"Bearer {(await staffed.provider.token('ben')).decode()}"}
    assert (await ana.get("wiki", headers=bearer))[0].status == 403
    answer, _ = await ana.get("sales", headers=bearer)
    assert answer.status == 200
    assert service.requests[-1].values("x-ztproxy-subject") == ["ben"]
    broken = {"Authorization": "Bearer nonsense"}
    assert (await ana.get("wiki", headers=broken))[0].status == 401


async def test_a_page_that_opens_a_socket_of_another_site_is_refused(ana: Person) -> None:
    await ana.sign_in("ana", "wiki")
    fields = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-Fetch-Mode": "websocket",
    }  # fmt: skip
    for site, origin in (("cross-site", "https://evil.example"), ("same-site", ana.url("sales", ""))):
        answer, _ = await ana.get("wiki", headers={**fields, "Sec-Fetch-Site": site, "Origin": origin})
        assert answer.status == 403


async def test_the_addresses_of_the_page_are_answered(ana: Person) -> None:
    paths = re.findall(r"^    https://access\.example\.org(/\.ztproxy/\S+)$", PAGE, re.MULTILINE)
    assert len(paths) == 2
    callback, told = paths
    for method, path, code in (
        ("GET", callback, "sign_in_expired"),
        ("POST", told, "logout_token_refused"),
        ("POST", told + "x", "route_not_found"),
    ):
        fields = {"Accept": "application/json"}
        async with ana.session.request(method, ana.url("access", path), headers=fields) as answer:
            assert (await answer.json(content_type=None))["code"] == code


async def test_the_config_of_the_page_is_good(world: World, tmp_path: Path) -> None:
    directory = world.copy_to(tmp_path)
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (directory / "ztproxy.yaml").write_text(text, encoding="utf-8")
    (directory / "corp.secret").write_text("ztproxy-secret", encoding="utf-8")
    (directory / "corp.secret").chmod(0o600)
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "proxy", "check", "-c", directory / "ztproxy.yaml"],
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
