"""Historical advisories of identity-aware proxies and their libraries, each tried on the running gateway.

Each attack is a generator: it fires, waits until the gateway has ended, and judges then, when every record is written
and nothing more can reach the upstream.
"""

from __future__ import annotations

import hmac
import json
import ssl
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.gateway import Client
from tests.identity.forge import Forged, forge
from tests.issuer import base64url
from tests.portal.attacks import ADVISORIES as PORTALS
from tests.server.suite_world import Case, Request, Trial, echo
from tests.suites import suite_json
from tests.world import ISSUER, World, config

ADVISORIES: dict[str, Any] = {entry["id"]: entry for entry in suite_json("advisories/advisories.json")}

HTTP2 = "no HTTP/2 yet"
WEBSOCKETS = "no WebSockets yet"
NOT_YET = {
    "CVE-2021-39162": HTTP2,
    "CVE-2023-27491": HTTP2,
    "CVE-2023-44487": HTTP2,
    "GHSA-hrxh-6v49-42gf": HTTP2,
    "CVE-2025-57804": HTTP2,
    "CVE-2021-21419": WEBSOCKETS,
}
NOT_OURS = {
    "CVE-2025-24806": "no passwords",
    "CVE-2020-15216": "no SAML",
}

ROUTES = """\
  - {name: open, host: open.example.org, upstream: wiki, allow: [{anyone: true}]}
  - {name: user, host: user.example.org, upstream: wiki, allow: [{authenticated: true}]}
  - {name: scope, host: scope.example.org, upstream: wiki, allow: [{claims: {scope: [b]}}]}
  - {name: inside, host: inside.example.org, upstream: wiki, allow: [{anyone: true, networks: [10.0.0.0/8]}]}
  - {name: moved, host: moved.example.org, redirect: "https://new.example.org"}
  - {name: work, host: work.example.org, upstream: wiki, allow: [{workloads: ["spiffe://example.org/*"]}]}
  - name: wiki
    host: wiki.example.org
    upstream: wiki
    allow: [{anyone: true, paths: [/public]}, {groups: [admin], paths: [/admin, /protected, /a]}]
"""
LISTENERS = """\
  - {name: plain, address: "127.0.0.1:0", plaintext: true}
  - {name: insecure, address: "127.0.0.1:0", plaintext: true, serves: https_redirect}
  - name: edge
    address: "127.0.0.1:0"
    tls:
      certificates:
        - {certificate: edge.pem, key: edge.key, hosts: ["*.example.org"], client_certificates: optional}
        - {certificate: edge.pem, key: edge.key, hosts: [strict.example.org], client_certificates: required}"""
AS_UPSTREAM = {"/101": b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"}
CANARY = b"GET /canary HTTP/1.1\r\nHost: open.example.org\r\n\r\n"


class Range:
    """Where attacks are fired; each answer can be looked at once the gateway has ended."""

    def __init__(self, trial: Trial, world: World) -> None:
        self.trial = trial
        self.world = world

    def raw(self, raw: bytes, **how: Any) -> Case:
        """Send these bytes."""
        return self.trial.fire(object(), raw, **how)

    def send(
        self, *fields: str | bytes, host: str = "open.example.org", line: str = "GET /", body: bytes = b"", **how: Any
    ) -> Case:
        """Send one request with these field lines."""
        lines = [f"{line} HTTP/1.1", f"Host: {host}", *fields, "", ""]
        encoded = [text if isinstance(text, bytes) else text.encode("latin-1") for text in lines]
        return self.raw(b"\r\n".join(encoded) + body, **how)

    def bearer(self, token: str | bytes, host: str = "open.example.org", line: str = "GET /") -> Case:
        text = token.decode("latin-1") if isinstance(token, bytes) else token
        return self.send(f"Authorization: Bearer {text}", host=host, line=line)

    def over_tls(
        self, *fields: str, certificate: Forged | None = None, name: str = "work.example.org", host: str = ""
    ) -> Case:
        """Send one request over TLS, with a client certificate."""
        context = self.client(certificate)
        return self.send(
            *fields, "Connection: close", host=host or name, listener="edge", tls=context, server_name=name
        )

    def client(self, certificate: Forged | None = None) -> ssl.SSLContext:
        context = self.world.client()
        context.check_hostname = False
        if certificate is not None:
            directory = self.trial.gateway.directory
            certificate.issued().write(directory / "forged", force=True)
            context.load_cert_chain(directory / "forged.pem", directory / "forged.key")
        return context

    def forge(self, **changes: Any) -> Forged:
        """Return a certificate that our own authority signed, whatever it says."""
        authority = Forged(self.world.authority.certificate, self.world.authority.key)  # type: ignore[arg-type]
        return forge(authority, **changes)


Attack = Callable[[Range], Generator[None, None, None]]
ATTACKS: dict[tuple[str, ...], Attack] = {}


def attack(*names: str) -> Callable[[Attack], Attack]:
    """Register how one advisory, or several of a kind, are tried."""

    def register(make: Attack) -> Attack:
        ATTACKS[names] = make
        return make

    return register


def forwarded(case: Case) -> Request:
    """Return the one request that the upstream got."""
    assert case.statuses == [200]
    (request,) = case.requests
    assert request.whole
    return request


def refused(case: Case, *statuses: int) -> None:
    """Hold that the first request was refused so, and that nothing at all reached the upstream."""
    assert case.statuses[0] in statuses
    assert case.requests == []


def ended(case: Case, *statuses: int) -> None:
    """Hold that nothing behind a refused request was looked at."""
    refused(case, *statuses)
    (answer,) = case.answers()
    assert answer.get("connection") == "close"


# --- Header spoofing


@attack("CVE-2025-64484", "CVE-2024-45614")
def _(range_: Range) -> Generator[None, None, None]:
    spoofed = [
        "X_Forwarded_User: evil", "X_Forwarded-Email: evil", "X-Auth_Request_User: evil", "X-Forwarded-User: evil",
        "X_Forwarded_For: evil", "X-Forwarded-For: evil", "X_Ztproxy_Subject: evil", "x-ZTPROXY-subject: evil",
        "X-Ztproxy_Subject: evil", "X.Ztproxy.Subject: evil", "X-Ztproxy-Subject: evil",
    ]  # fmt: skip
    case = range_.send(*spoofed, range_.world.bearer("ana"), host="user.example.org")
    yield
    request = forwarded(case)
    assert (request.value("x-ztproxy-subject"), request.value("x-forwarded-for")) == ("ana", case.source)
    assert "evil" not in repr(request)


@attack("CVE-2023-27487")
def _(range_: Range) -> Generator[None, None, None]:
    tricks = ["X-Envoy-Original-Path: /public", "X-Original-URL: /public", "X-Rewrite-URL: /public"]
    shut = range_.send(*tricks, host="wiki.example.org", line="GET /admin")
    opened = range_.send(*tricks)
    yield
    refused(shut, 401)
    assert "/public" not in repr(forwarded(opened))


@attack("CVE-2024-21494")
def _(range_: Range) -> Generator[None, None, None]:
    names = ["X-Forwarded-For", "X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "Client-IP", "X-Client-IP"]
    cases = [range_.send(f"{name}: 10.0.0.1", host="inside.example.org") for name in names]
    cases.append(range_.send("Forwarded: for=10.0.0.1", host="inside.example.org"))
    yield
    for case in cases:
        refused(case, 403)
        assert case.exchanges[0]["source"] == case.source


@attack("CVE-2024-21499")
def _(range_: Range) -> Generator[None, None, None]:
    evil = ["X-Forwarded-Host: evil.com", "X-Forwarded-Proto: ftp", "Forwarded: host=evil.com"]
    cases = [range_.send(*evil, host="moved.example.org"), range_.send(*evil, listener="insecure")]
    yield
    assert [case.answers()[0].get("location") for case in cases] == [
        "https://new.example.org/",
        "https://open.example.org/",
    ]


# --- Where a request goes


@attack("CVE-2019-9901", "CVE-2025-32431", "CVE-2024-10005")
def _(range_: Range) -> Generator[None, None, None]:
    targets = ["/public/../admin", "/./admin", "//admin", "/admin/%2e%2e", "/public/%2e%2e/admin", "/public/..;/admin"]
    bearer = range_.world.bearer(groups=["admin"])
    cases = [
        range_.send(*fields, host="wiki.example.org", line=f"GET {t}") for t in targets for fields in ((), (bearer,))
    ]
    yield
    for case in cases:
        refused(case, 400)


@attack("CVE-2020-8595", "CVE-2023-47106", "CVE-2023-45539")
def _(range_: Range) -> Generator[None, None, None]:
    same = [range_.send(host="wiki.example.org", line=f"GET /protected{tail}") for tail in ("", "?", "?x", "?/public")]
    raw = ["/protected#a", "/#/?bar=toto;boo=titi", "/index.html#.png", "/public#/../admin"]
    fragments = [range_.send(host="wiki.example.org", line=f"GET {target}") for target in raw]
    yield
    for case in same:
        refused(case, 401)
    for case in fragments:
        refused(case, 400)


@attack("CVE-2021-39155")
def _(range_: Range) -> Generator[None, None, None]:
    hosts = ["user.example.org", "USER.example.org", "user.example.org:8443", "User.Example.Org:80"]
    shut = [range_.send(host=host) for host in hosts]
    opened = [range_.send(range_.world.bearer(), host=host) for host in hosts]
    yield
    for case in shut:
        refused(case, 401)
    for case in opened:
        assert forwarded(case)


@attack("CVE-2025-46821")
def _(range_: Range) -> Generator[None, None, None]:
    targets = ["/a/b*c", "/a/*", "/a/b%2Ac", "/a/[b]", "/a/b(c)|d^e$", "/a/%7Bx%7D", "/a/%5Bx", "/a/b+c.d?e=*"]
    shut = [range_.send(host="wiki.example.org", line=f"GET {target}") for target in targets]
    bearer = range_.world.bearer(groups=["admin"])
    opened = [range_.send(bearer, host="wiki.example.org", line=f"GET {target}") for target in targets]
    yield
    for case in shut:
        refused(case, 401)
    assert [forwarded(case).target for case in opened] == targets


@attack("CVE-2022-23632")
def _(range_: Range) -> Generator[None, None, None]:
    cases = [
        range_.over_tls(name="open.example.org", host=host)
        for host in ("strict.example.org", "strict.example.org.", "STRICT.example.org", "strict.example.org.:443")
    ]
    yield
    for case, status in zip(cases, (421, 400, 421, 400), strict=True):
        refused(case, status)


# --- Tokens


@attack("CVE-2021-32701")
def _(range_: Range) -> Generator[None, None, None]:
    narrow, wide = range_.world.token(scope="a"), range_.world.token(scope="b")
    hosts = ("user.example.org", "scope.example.org", "user.example.org", "scope.example.org")
    cases = [(range_.bearer(narrow, host), range_.bearer(wide, host)) for host in hosts]
    yield
    assert [(one.statuses, other.statuses) for one, other in cases] == [([200], [200]), ([403], [200])] * 2


@attack("CVE-2021-21378")
def _(range_: Range) -> Generator[None, None, None]:
    cases = [range_.bearer(range_.world.token(iss=other)) for other in ("https://other.example", "", ISSUER + "/")]
    yield
    for case in cases:
        refused(case, 401)
        assert case.codes == ["token_invalid"]


@attack("CVE-2024-53861")
def _(range_: Range) -> Generator[None, None, None]:
    others: list[Any] = [ISSUER[:-1], ISSUER + ".evil", [ISSUER], {ISSUER: 1}, ISSUER[8:], "h"]
    cases = [range_.bearer(range_.world.token(iss=other)) for other in others]
    yield
    for case in cases:
        refused(case, 401)


def unsigned(range_: Range, header: dict[str, Any]) -> bytes:
    """Return a token's first two parts, with claims that would do."""
    claims = range_.world.token().split(".")[1].encode()
    return base64url(json.dumps({"typ": "JWT", "kid": range_.world.key.kid, **header}).encode()) + b"." + claims


@attack("CVE-2015-9235", "CVE-2024-33663")
def _(range_: Range) -> Generator[None, None, None]:
    public = range_.world.key.private.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    ssh = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    cases = [
        range_.bearer(unsigned(range_, {"alg": name} if name is not None else {}) + end)
        for name in ("none", "None", "NONE", "nOnE", "", None)
        for end in (b"", b".", b"." + range_.world.token().split(".")[2].encode())
    ]
    for secret in (pem, ssh, ssh.split(b" ")[1], json.dumps(range_.world.key.jwk).encode(), b""):
        signing_input = unsigned(range_, {"alg": "HS256"})
        signature = base64url(hmac.digest(secret, signing_input, "sha256"))
        cases.append(range_.bearer(signing_input + b"." + signature))
    yield
    for case in cases:
        refused(case, 401)


@attack("CVE-2022-21449")
def _(range_: Range) -> Generator[None, None, None]:
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    odd = [number.to_bytes(32, "big") for number in (0, order, order + 1)]
    signatures = [bytes(64), bytes(8), b"\x30\x06\x02\x01\x00\x02\x01\x00", *(r + s for r in odd for s in odd)]
    cases = [range_.bearer(unsigned(range_, {"alg": "ES256"}) + b"." + base64url(one)) for one in signatures]
    yield
    for case in cases:
        refused(case, 401)


@attack("CVE-2025-59420")
def _(range_: Range) -> Generator[None, None, None]:
    headers: list[dict[str, Any]] = [{"crit": ["foo"], "foo": 1}, {"crit": ["exp"]}, {"crit": []}, {"crit": "foo"}]
    cases = [range_.bearer(range_.world.token(header=header)) for header in headers]
    yield
    for case in cases:
        refused(case, 401)


@attack("CVE-2024-33664")
def _(range_: Range) -> Generator[None, None, None]:
    header = base64url(b'{"alg":"dir","enc":"A256GCM","zip":"DEF"}')
    bomb = base64url(b"\xed\xc1\x01\x01\x00\x00\x00\x80\x90\xfe" * 1000)
    cases = [range_.bearer(b".".join([header, b"", b"AAAAAAAAAAAAAAAA", bomb, b"AAAAAAAAAAAAAAAAAAAAAA"]))]
    cases.append(range_.bearer(range_.world.token(header={"zip": "DEF"})))
    yield
    for case in cases:
        refused(case, 401)
        assert case.exchanges[0]["duration_ms"] < 1000


@attack("CVE-2025-27144")
def _(range_: Range) -> Generator[None, None, None]:
    few, many = range_.bearer("." * 15_000), range_.bearer("." * 1_000_000)
    yield
    refused(few, 401)
    refused(many, 431)
    assert few.exchanges[0]["duration_ms"] < 1000


@attack("CVE-2022-33082")
def _(range_: Range) -> Generator[None, None, None]:
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    nested, numbers = range_.world.token(deep=deep), range_.world.token(huge=10**400)
    cases = [range_.bearer(nested, "user.example.org"), range_.bearer(numbers, "user.example.org")]
    yield
    for case in cases:
        refused(case, 401)


@attack("CVE-2024-21500")
def _(range_: Range) -> Generator[None, None, None]:
    bad = [f"GET / HTTP/1.1\r\nHost: open.example.org\r\nAuthorization: Bearer bad.{n}.x\r\n\r\n" for n in range(1000)]
    flood = range_.raw("".join(bad).encode())
    good = range_.bearer(range_.world.token(), "user.example.org")
    yield
    assert flood.statuses == [401] * 1000
    assert forwarded(good)


@attack("CVE-2022-29226")
def _(range_: Range) -> Generator[None, None, None]:
    cookies = [
        f"{name}={range_.world.token()}" for name in ("BearerToken", "__Host-ztproxy", "access_token", "session")
    ]
    cases = [range_.send(f"Cookie: {cookie}", host="user.example.org") for cookie in cookies]
    yield
    for case in cases:
        refused(case, 401)
        assert case.codes == ["credentials_missing"]


@attack("CVE-2022-23469")
def _(range_: Range) -> Generator[None, None, None]:
    token = range_.world.token("secretive")
    fields = ["Cookie: a=hush-cookie", "X-Api-Key: hush-key", "Proxy-Authorization: Basic hush-proxy"]
    query = "GET /?code=hush-code&state=hush-state&access_token=hush-query&x=1"
    cases = [range_.send(f"Authorization: Bearer {token}", *fields, host="user.example.org", line=query)]
    cases.append(range_.send(f"Authorization: Bearer {token[:-1]}", *fields, host="user.example.org", line=query))
    yield
    assert [case.statuses for case in cases] == [[200], [401]]
    written = json.dumps(range_.trial.gateway.records) + range_.trial.gateway.stderr
    assert "secretive" in written
    assert "hush-" not in written
    assert not any(part in written for part in token.split("."))


# --- Smuggling


def followed(range_: Range, head: str, body: bytes = b"") -> Case:
    """Send a request with these lines behind its Host, and another request behind it."""
    lines = f"POST / HTTP/1.1\r\nHost: open.example.org\r\n{head}\r\n\r\n"
    return range_.raw(lines.encode("latin-1") + body + CANARY)


@attack("CVE-2024-1135", "CVE-2019-16786", "CVE-2020-8287", "CVE-2022-1705")
def _(range_: Range) -> Generator[None, None, None]:
    heads = [
        "Transfer-Encoding: chunked,identity",
        "Transfer-Encoding: identity,chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: xchunked\r\nContent-Length: 5",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: chunked\x0b",
        'Transfer-Encoding: "chunked"',
        "Transfer-Encoding:",
        "Transfer-Encoding: chunked;q=1",
    ]
    cases = [followed(range_, head, b"0\r\n\r\n") for head in heads]
    yield
    for case in cases:
        ended(case, 400, 501)


@attack("CVE-2023-47641")
def _(range_: Range) -> Generator[None, None, None]:
    both = ["Content-Length: 5", "Transfer-Encoding: chunked"]
    cases = [followed(range_, "\r\n".join(order), b"0\r\n\r\n") for order in (both, both[::-1])]
    yield
    for case in cases:
        ended(case, 400)


@attack("CVE-2024-23829", "CVE-2019-16785", "CVE-2019-9900")
def _(range_: Range) -> Generator[None, None, None]:
    fields = [*(f"X{character}Y: 1" for character in '()<>@,;:\\"/[]?={} \t\x7f\xe9'), "X: a\0b", "X: a\nb", ": 1", "X"]
    fields.remove("X:Y: 1")  # a field called X
    cases = [followed(range_, field) for field in fields]
    lines = [
        b"GET / HTTP/1.1x\r\nHost: open.example.org\r\n\r\n",
        b"GET / HTTP/1.1\nHost: open.example.org\nX: y\r\n\r\n",
        b"GET / HTTP/1.1\nHost: open.example.org\n\n",
        b"GET /\tHTTP/1.1\r\nHost: open.example.org\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: open.example.org\r\n\r\n",
    ]
    cases += [range_.raw(line + CANARY) for line in lines]
    yield
    for case in cases:
        ended(case, 400)


@attack("CVE-2018-7159", "CVE-2023-40175")
def _(range_: Range) -> Generator[None, None, None]:
    lengths = ["1 2", "00005", "5,5", "+5", "0x5", "5\r\nContent-Length: 5", "", "\u00b2".encode().decode("latin-1")]
    cases = [followed(range_, f"Content-Length: {length}", b"hello") for length in lengths]
    sizes = ["", " ", ";a", "0x5", "+5", "5 ", "-1", "fffffffffffffffff"]
    chunked = [followed(range_, "Transfer-Encoding: chunked", f"{s}\r\nhello\r\n0\r\n\r\n".encode()) for s in sizes]
    zeros = range_.send(
        "Transfer-Encoding: chunked", "Connection: close", line="POST /", body=b"00005\r\nhello\r\n000\r\n\r\n"
    )
    yield
    for case in cases:
        ended(case, 400)
    for case in chunked:
        ended(case, 400)
    assert forwarded(zeros).body == b"hello"


@attack("CVE-2025-22871", "CVE-2024-21647")
def _(range_: Range) -> Generator[None, None, None]:
    bodies = [b"5;x\nhello\r\n0\r\n\r\n", b"5\nhello\r\n0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n", b"5\r\nhello\r\n0\n\n"]
    cases = [followed(range_, "Transfer-Encoding: chunked", body) for body in bodies]
    long = followed(range_, "Transfer-Encoding: chunked", b"5;" + b"A" * 10_000_000 + b"\r\nhello\r\n0\r\n\r\n")
    yield
    for case in [*cases, long]:
        assert case.statuses in ([400], [499])
        assert case.whole == []
    assert long.codes == ["framing_refused"]


@attack("CVE-2021-40346")
def _(range_: Range) -> Generator[None, None, None]:
    long = "Content-Length0" + "a" * 255
    case = followed(range_, f"{long}:\r\nContent-Length: 5", b"hello")
    longer = followed(range_, "a" * 70_000 + ": 1\r\nContent-Length: 5", b"hello")
    yield
    assert [(request.target, request.body) for request in case.whole] == [("/", b"hello"), ("/canary", b"")]
    ended(longer, 431)


# --- Other protocols


@attack("CVE-2025-64763", "CVE-2025-49812", "CVE-2022-41721", "h2c-smuggling", "ws-smuggling-0ang3el")
def _(range_: Range) -> Generator[None, None, None]:
    websocket = "Sec-WebSocket-Key: x\r\nSec-WebSocket-Version"
    heads = [
        "GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ",
        f"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{websocket}: 777",
        f"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{websocket}: 13",
        "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0",
        "OPTIONS / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: TLS/1.2, HTTP/1.1",
        "CONNECT open.example.org:443 HTTP/1.1",
        "CONNECT / HTTP/1.1",
    ]
    cases = [range_.raw(f"{head}\r\nHost: open.example.org\r\n\r\n".encode() + CANARY) for head in heads]
    preface = range_.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + CANARY)
    unnamed = range_.send("Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
    switched = range_.send(line="GET /101")
    yield
    for case in cases:
        ended(case, 400, 501)
    ended(preface, 400, 501)
    request = forwarded(unnamed)
    assert request.values("upgrade") == request.values("http2-settings") == request.values("connection") == []
    assert switched.codes == ["upstream_malformed"]


# --- Policy input and records


@attack("CVE-2023-27488")
def _(range_: Range) -> Generator[None, None, None]:
    cases = [range_.send(b"X-A: \xff\xfe", host=host) for host in ("open.example.org", "user.example.org")]
    cases.append(range_.send(line="GET /?q=\xff"))
    named = range_.send(b"User-Agent: \xc3\xa9", "Cookie: \xe9")
    yield
    for case in cases:
        refused(case, 400)
    refused(named, 400)


@attack("CVE-2024-45808")
def _(range_: Range) -> Generator[None, None, None]:
    line = '\n{"type":"access","principal":"admin"}\x1b[31m'
    escaped = "%0a%7B%22type%22:1%7D"
    cases = [
        range_.send(f"User-Agent: x{line}"),
        range_.send(host=f"open.example.org{line}"),
        range_.send(line=f"GET /{line}"),
        range_.send(line=f"GET /?{escaped}"),
        range_.send("User-Agent: \x1b[31m"),
    ]
    before = len(range_.trial.gateway.records)
    name = b'\n{"a":"b\x1b[31m"}'
    hello(range_, name)
    yield
    assert [len(case.exchanges) for case in cases] == [1] * len(cases)
    assert cases[3].statuses == [200]
    for case in (*cases[:3], cases[4]):
        refused(case, 400)
    (told,) = [record for record in range_.trial.gateway.records[before:] if record["type"] == "tls"]
    assert told["sni"] == name.decode()


def hello(range_: Range, name: bytes) -> None:
    """Send a ClientHello whose server name is any bytes of this length."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    placeholder = "a" * len(name)
    tls = range_.client().wrap_bio(incoming, outgoing, server_hostname=placeholder)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    with Client(range_.trial.gateway.address("edge")) as client:
        client.send(outgoing.read().replace(placeholder.encode(), name))
        client.reader.exactly(1)  # of its answer, whatever it is


# --- TLS


@attack("CVE-2025-66220", "CVE-2021-44531", "CVE-2021-44533")
def _(range_: Range) -> Generator[None, None, None]:
    admin = "spiffe://example.org/admin"
    text = f"DNS:a.example, URI:{admin}"
    certificates = [
        range_.forge(uris=[admin + "\0.evil"]),
        range_.forge(uris=[admin + "%00"]),
        range_.forge(names=[x509.DNSName(text)]),
        range_.forge(names=[x509.DNSName(admin)], subject=admin),
        range_.forge(names=[x509.RFC822Name(admin)]),
        range_.forge(subject=f"x, URI={admin}"),
        range_.forge(subject=f"x\nsubjectAltName=URI:{admin}"),
        range_.forge(uris=["https://example.org/admin"]),
        range_.forge(uris=[admin, admin]),
    ]
    cases = [range_.over_tls(certificate=certificate) for certificate in certificates]
    good = range_.over_tls(certificate=range_.forge(uris=[admin]))
    yield
    for case in cases:
        assert case.requests == []
        assert case.codes == ["certificate_refused"]
        assert case.exchanges[0]["peer"] is None
    assert forwarded(good)


@attack("CVE-2025-23048", "CVE-2024-39321")
def _(range_: Range) -> Generator[None, None, None]:
    seen = []
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = range_.world.client("web", version=version)
        session: ssl.SSLSession | None = None
        for name in ("work.example.org", "strict.example.org"):
            with Client(range_.trial.gateway.address("edge")) as client:
                bare = client.socket
                client.socket = context.wrap_socket(bare, server_hostname=name, session=session)
                client.reader = type(client.reader)(client.socket)
                status = client.get("/", "work.example.org").status
                session = client.socket.session
                seen.append((status, client.socket.session_reused, session is not None and session.has_ticket))
    yield
    # Neither ticket nor resumption: each handshake is whole, and there is nothing to send early data with.
    assert [(reused, ticket) for _, reused, ticket in seen] == [(False, False)] * 4
    assert [status for status, _, _ in seen] == [200, 421] * 2


Fired = dict[tuple[str, ...], Generator[None, None, None]]


@pytest.fixture(scope="module")
def fired(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fired]:
    """Every attack fired, and the gateway ended."""

    def answer(asked: Request) -> bytes:
        return AS_UPSTREAM.get(asked.target) or echo(asked)

    directory = world.copy_to(tmp_path_factory.mktemp("advisories"))
    with Trial(directory, lambda url: config(url, routes=ROUTES, listeners=LISTENERS), answer=answer) as trial:
        running = {names: make(Range(trial, world)) for names, make in ATTACKS.items()}
        for attack_ in running.values():
            next(attack_)
    yield running
    assert trial.undecided() == []
    assert (trial.exit_status, "Traceback" in trial.gateway.stderr) == (0, False)


@pytest.mark.parametrize("names", ATTACKS, ids="+".join)
def test_advisories(fired: Fired, names: tuple[str, ...]) -> None:
    with pytest.raises(StopIteration):
        next(fired[names])


def test_every_advisory_is_tried_or_has_a_reason() -> None:
    accounted = [*(name for names in ATTACKS for name in names), *NOT_YET, *NOT_OURS, *PORTALS]
    assert sorted(accounted) == sorted(ADVISORIES)
