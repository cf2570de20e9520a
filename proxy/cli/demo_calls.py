"""The calls of the demo: what each should come to, how it is made, and how its outcome is judged.

The client is a dozen lines of its own: a library would repair the path trick before it is sent.
"""

from __future__ import annotations

import asyncio
import shlex
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.cli.demo_apps import SampleService
from proxy.cli.demo_services import Gateway, Record
from proxy.cli.demo_world import ADMIN, STOCK, WIKI, World

_CALL_SECONDS = 10.0

Told = Mapping[str, str]  # header fields of a request that reached the service, names in lower case


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    Args:
        who: who calls, for a person to read.
        host, target: what is asked for, byte for byte.
        status: what must come of it; None: the TLS handshake must fail.
        code: the refusal's code that must stand in the access record, or None.
        svid: the client certificate's file, without its ending.
        bearer: the token's file, without its ending.
        headers: further header fields.
        subject: whom the service must be told of in `X-Ztproxy-Subject`, if the call reaches it.
        shown: whether its `curl` line is printed.
    """

    who: str
    host: str
    target: str
    status: int | None
    code: str | None = None
    svid: str | None = None
    bearer: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    subject: str | None = None
    shown: bool = False


_SHOP = "spiffe://example.org/ns/shop/sa/orders"
_SPOOF = (("X-Ztproxy-Subject", "ana"), ("x_ztproxy_groups", "admins"), ("X-Forwarded-For", "192.0.2.1"))

CALLS = (
    Call("the right workload", STOCK, "/items", 200, svid="orders", subject=_SHOP, shown=True),
    Call("the wrong workload", STOCK, "/items", 403, "policy_denied", svid="blog", shown=True),
    Call("a foreign trust domain's workload", STOCK, "/items", 403, "policy_denied", svid="partner-orders"),
    Call("our SVID, forged by that domain", STOCK, "/items", 401, "certificate_refused", svid="forged", shown=True),
    Call("a workload nobody vouches for", STOCK, "/items", None, svid="stranger"),
    Call("an expired SVID", STOCK, "/items", None, svid="expired", shown=True),
    Call("no certificate", STOCK, "/items", 403, "certificate_missing"),
    Call("no token", WIKI, "/docs", 401, "credentials_missing", shown=True),
    Call("ben, a good token", WIKI, "/docs", 200, bearer="ben", subject="ben", shown=True),
    Call("ben, a token for another audience", WIKI, "/docs", 401, "token_invalid", bearer="ben-for-mail"),
    Call("ben, an expired token", WIKI, "/docs", 401, "token_invalid", bearer="ben-expired"),
    Call("ben, a token somebody else signed", WIKI, "/docs", 401, "token_invalid", bearer="ben-forged"),
    Call("cleo, without the group", WIKI, "/docs", 403, "policy_denied", bearer="cleo", shown=True),
    Call("ana, on no known device", ADMIN, "/", 403, "policy_denied", bearer="ana"),
    Call("ana, on a known device", ADMIN, "/", 200, svid="laptop", bearer="ana", subject="ana", shown=True),
    Call("anyone, a public page", WIKI, "/public", 200),
    Call("anyone, a path trick", WIKI, "/public/../admin", 400, "target_refused", shown=True),
    Call("ben, spoofing identity headers", WIKI, "/docs", 200, bearer="ben", headers=_SPOOF, subject="ben", shown=True),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reply:
    """What the caller got. `status` None: no HTTP answer, for the handshake failed."""

    status: int | None
    headers: dict[str, str]
    body: bytes
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """A call that was made: its reply, what the gateway recorded of it, and what was not as it should be."""

    call: Call
    reply: Reply
    decision: str
    reason: str
    problems: tuple[str, ...]


async def make(call: Call, world: World, gateway: Gateway, service: SampleService) -> Outcome:
    """Make a call, read the gateway's records of it, and judge both. Raise GatewayFailed where no record comes."""
    since = len(gateway.records)
    service.told.clear()
    reply = await _send(call, world, gateway.port)
    kind = "tls" if reply.status is None else "access"
    record = await gateway.record(lambda record: record["type"] == kind, since=since)
    return judge(call, reply, record, gateway.records[since:], service.told)


def judge(call: Call, reply: Reply, record: Record, records: Sequence[Record], told: Sequence[Told]) -> Outcome:
    """Return what came of a call.

    Args:
        call, reply: what was asked for, and what the caller got.
        record: the access record, or the tls record of a handshake that failed.
        records: every record since then, of which one may be its decision.
        told: the header fields of what reached the service meanwhile.
    """
    decisions = [
        known for known in records if known["type"] == "decision" and known["decision_id"] == record.get("decision_id")
    ]
    decision, reason = _explain(record, decisions[0] if decisions else None)
    return Outcome(call, reply, decision, reason, tuple(problems(call, reply, record, told)))


def problems(call: Call, reply: Reply, record: Record, told: Sequence[Told]) -> list[str]:
    """Return what is not as it should be; the arguments are those of `judge`."""
    found = []
    if reply.status != call.status:
        found.append(f"status {name_of(reply.status)} instead of {name_of(call.status)}")
    if record.get("code") != call.code:
        found.append(f"code {record.get('code')} instead of {call.code}")
    if len(told) != (call.status == 200):
        found.append("the service was reached" if told else "the service was not reached")
    if call.status == reply.status == 200 and told:
        found += _misled(call, told[0])
    return found


def _misled(call: Call, told: Told) -> list[str]:
    found = []
    if told.get("x-ztproxy-subject") != call.subject:
        found.append(f"the service was told of {told.get('x-ztproxy-subject')} instead of {call.subject}")
    found += [
        f"the service got the caller's own {name}" for name, value in call.headers if told.get(name.lower()) == value
    ]
    found += [f"the service got the {name}" for name in ("authorization", "cookie") if name in told]
    return found


def name_of(status: int | None) -> str:
    """Say a status as the table does."""
    return "no TLS" if status is None else str(status)


def curl(call: Call, directory: Path, port: int) -> str:
    """Return the command that makes the same call from a shell."""
    words = ["curl", "-sS", "-i", "--connect-to", f"::127.0.0.1:{port}", "--cacert", str(directory / "ca.pem")]
    if call.svid is not None:
        words += ["--cert", str(directory / f"{call.svid}.pem"), "--key", str(directory / f"{call.svid}.key")]
    if ".." in call.target:
        words.append("--path-as-is")
    for name, value in call.headers:
        words += ["-H", f"{name}: {value}"]
    line = shlex.join(words)
    if call.bearer is not None:
        line += f' -H "Authorization: Bearer $(cat {shlex.quote(str(directory / f"{call.bearer}.token"))})"'
    return f"{line} {shlex.quote(f'https://{call.host}{call.target}')}"


def _explain(record: Record, decision: Record | None) -> tuple[str, str]:
    if record["type"] == "tls":
        return "-", f"tls: {record['reason']}"
    result: Any = (decision or {}).get("result")
    reasons = ", ".join(result.get("reasons", ())) if isinstance(result, dict) else ""
    verdict = "-" if decision is None else "allow" if record["code"] is None else "deny"
    return verdict, ": ".join(part for part in (record["code"], record["detail"] or reasons) if part)


async def _send(call: Call, world: World, port: int) -> Reply:
    context = ssl.create_default_context(cafile=world.directory / "ca.pem")
    if call.svid is not None:
        context.load_cert_chain(world.directory / f"{call.svid}.pem", world.directory / f"{call.svid}.key")
    fields = [("Host", call.host), ("Accept", "application/json"), ("Connection", "close"), *call.headers]
    if call.bearer is not None:
        fields.append(("Authorization", f"Bearer {world.read_token(call.bearer)}"))
    head = f"GET {call.target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n"
    began = time.perf_counter()
    try:
        async with asyncio.timeout(_CALL_SECONDS):
            answer = await _converse(call.host, port, context, head.encode("ascii"))
    except (ssl.SSLError, ConnectionError):  # with TLS 1.3 the server's refusal comes with the first read
        answer = b""
    milliseconds = (time.perf_counter() - began) * 1000
    if not answer:
        return Reply(None, {}, b"", milliseconds)
    top, _, body = answer.partition(b"\r\n\r\n")
    status_line, *lines = top.decode("ascii").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Reply(int(status_line.split()[1]), headers, body, milliseconds)


async def _converse(host: str, port: int, context: ssl.SSLContext, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
    try:
        writer.write(request)
        await writer.drain()
        return await reader.read(-1)
    finally:
        writer.transport.abort()
