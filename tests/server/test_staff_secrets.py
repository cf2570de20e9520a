"""What signs somebody in is written nowhere: not in a record, an error, a metric, a list, nor where sessions lie."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import sys
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest

from tests.gateway import Upstream
from tests.server.staff import PROGRAM, Person, Staffed

ROOT = Path(__file__).resolve().parents[2]
# Parameters of the portal's and the provider's addresses that are good for something.
PARAMETERS = {"code", "state", "nonce", "to", "code_challenge"}


def carried(answers: Iterable[aiohttp.ClientResponse]) -> set[str]:
    """Return what addresses and cookies of ours and of the provider's have carried."""
    found: set[str] = set()
    for answer in answers:
        found |= {value for name, value in answer.url.query.items() if name in PARAMETERS}
        found |= {morsel.value for morsel in answer.cookies.values() if morsel.value and morsel.value != "corp"}
    return found


async def ztproxy(staffed: Staffed, *arguments: str) -> str:
    """Return what a command says."""
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "proxy", *arguments, "-c", str(staffed.gateway.path)],
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    return told.decode()


async def spend_a_day(ana: Person, staffed: Staffed) -> set[str]:
    """Do what people do, and what goes wrong with it; return every secret that was used, beside what was carried."""
    provider = staffed.provider
    assert (await ana.sign_in("ana", "wiki", "/page?token=of-the-application"))[0].status == 200
    await provider.move("ana", "sales")
    await ana.until(200, "sales")  # by a refresh, and another hand-over
    assert (await ana.get("wiki"))[0].status == 403
    service_token = re.findall(r"^\S{40,}$", await ztproxy(staffed, "service-token", "create", "robot"), re.M)[0]
    bearer = (await provider.token("ben")).decode()
    for token in (service_token, bearer):
        await ana.get("sales", headers={**PROGRAM, "Authorization": f"Bearer {token}"})
    lent = await lend_to_a_program(ana, "sales")
    form = csrf_of((await ana.get("access", "/.ztproxy/who"))[1])
    assert (await ana.post("access", "/.ztproxy/sign-out", {"csrf": form}))[0].status == 200
    await ana.until(401, "sales", headers=PROGRAM)
    return {service_token, bearer, form, "of-the-application", *lent}


def csrf_of(page: str) -> str:
    (token,) = set(re.findall(r'name="csrf" value="([^"]+)"', page))
    return str(token)


async def lend_to_a_program(ana: Person, host: str) -> set[str]:
    """Let a program on the person's computer act for the person; return what that took."""
    verifier, state = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    redirect_uri = "http://127.0.0.1:4711/callback"
    wish = {"redirect_uri": redirect_uri, "code_challenge": challenge, "code_challenge_method": "S256", "state": state}
    path = f"/.ztproxy/command-line?{urlencode(wish)}"
    form = csrf_of((await ana.get(host, path))[1])
    answer, _ = await ana.post(host, path, {"csrf": form, "answer": "allow"}, allow_redirects=False)
    (code,) = parse_qs(urlsplit(answer.headers["Location"]).query)["code"]
    grant = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": verifier}
    token = json.loads((await ana.post(host, "/.ztproxy/token", grant))[1])["access_token"]
    answer, _ = await ana.get(host, headers={**PROGRAM, "Authorization": f"Bearer {token}"})
    assert answer.status == 200
    return {verifier, state, form, code, token}


async def fail_in_every_way(ana: Person, staffed: Staffed) -> set[str]:
    """Come back with what is good for nothing, and while the provider fails; return what was tried."""
    made_up = [secrets.token_urlsafe(32) for _ in range(6)]
    await ana.get("access", f"/.ztproxy/callback/corp?code={made_up[0]}&state={made_up[1]}")
    await ana.get("wiki", f"/.ztproxy/handover?code={made_up[2]}")
    await ana.get("wiki", headers={**PROGRAM, "Authorization": f"Bearer {made_up[3]}"})
    async with aiohttp.ClientSession(connector=ana.session.connector, connector_owner=False) as forger:
        fields = {"Cookie": f"__Host-ztproxy={made_up[4]}", "Accept": "text/html"}
        await forger.get(ana.url("wiki"), headers=fields, allow_redirects=False)
        form = {"logout_token": made_up[5]}
        await forger.post(ana.url("access", "/.ztproxy/backchannel-logout/corp"), data=form)
    await staffed.provider.break_down("/token")
    assert (await ana.sign_in("ana", "sales"))[0].status == 503
    await staffed.provider.mend()
    assert (await ana.sign_in("ana", "sales"))[0].status == 200
    await ana.leave(staffed.provider.url)
    await ana.until(401, "sales", headers=PROGRAM)
    return set(made_up)


@pytest.mark.parametrize("staffed", [{"session": "{refresh: 1s}"}], indirect=True)
async def test_no_code_token_cookie_handle_or_secret_is_written_anywhere(
    ana: Person, staffed: Staffed, service: Upstream
) -> None:
    used = await spend_a_day(ana, staffed)
    used |= await fail_in_every_way(ana, staffed)
    given = await staffed.provider.issued()
    used |= {token for each in given for name, token in each.items() if name.endswith("_token")}
    used |= carried(ana.seen) | {"ztproxy-secret"}
    used |= set((staffed.gateway.directory / "state" / "session.keys").read_text(encoding="ascii").split())
    assert {kind for each in given for kind in each} >= {"access_token", "refresh_token", "id_token", "logout_token"}
    assert len(used) > 40

    told = await ztproxy(staffed, "sessions", "list", "--format", "json") + staffed.gateway.metrics()
    told += await ztproxy(staffed, "service-token", "list")
    kept = b"".join(file.read_bytes() for file in (staffed.gateway.directory / "state").glob("sessions.db*"))
    assert staffed.gateway.stop() == 0
    told += json.dumps(staffed.gateway.records) + staffed.gateway.stderr
    assert {record["type"] for record in staffed.gateway.records} >= {"access", "decision", "event"}
    assert [secret for secret in used if secret in told or secret.encode() in kept] == []
    assert [received for received in service.requests if received.values("cookie")] == []
