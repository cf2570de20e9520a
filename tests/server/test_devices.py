"""A person and a device on one connection, over HTTP: what policy decides of both, and what the application is told."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from proxy.identity.sessions.sqlite import SQLiteStore
from tests.gateway import Client, Gateway, Upstream, gateway, wait_for
from tests.identity.forge import forge, forge_authority
from tests.identity.sessions.made import handle, session
from tests.world import World

ADMIN, WIKI = "admin.example.org", "wiki.example.org"
CONFIG = """\
version: 1
trust_domain: example.org
state_directory: state
listeners:
  - name: edge
    address: "127.0.0.1:0"
    tls:
      certificates:
        - {{certificate: edge.pem, key: edge.key, hosts: "*.example.org"}}
        - {{certificate: edge.pem, key: edge.key, hosts: [admin.example.org], client_certificates: optional}}
admin: {{address: "127.0.0.1:0"}}
sign_in: {{host: access.example.org}}
identity:
  client_certificates: [{{name: mdm, ca: mdm.pem, kind: device, id: subject.common_name}}]
  issuers:
    corp:
      issuer: http://127.0.0.1:9
      login: {{client_id: ztproxy, client_secret_file: corp.secret}}
upstreams:
  wiki: {{endpoints: ["{upstream}"]}}
{policy}
routes:
  - name: admin
    host: admin.example.org
    upstream: wiki
    authenticate: {{sign_in: true}}
    headers: {{client_certificate: xfcc}}
    {admin}
  - name: wiki
    host: wiki.example.org
    upstream: wiki
    authenticate: {{sign_in: true}}
    {wiki}
"""
ALLOW = {
    "policy": "",
    "admin": 'allow: [{groups: [employees], devices: ["mdm:*"]}, {devices: ["mdm:kiosk"], paths: [/kiosk/]}]',
    "wiki": "allow: [{groups: [employees]}]",
}
EXAMPLE = Path(__file__).resolve().parents[2] / "policies/examples/staff"
STAFF = {"policy": f"policy: {{path: {EXAMPLE}, decision: examples/staff/decision}}", "admin": "", "wiki": ""}
CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)


class Front:
    """A gateway at which people sign in and devices show certificates.

    Args:
        contexts: of clients, by the device that they are; the empty name is none.
    """

    def __init__(self, running: Gateway, contexts: dict[str, ssl.SSLContext]) -> None:
        self.gateway = running
        self._contexts = contexts

    def sign_in(self, host: str, **facts: Any) -> str:
        """Return the cookie of a new session, as if somebody had just signed in."""
        signed_in = facts.pop("authenticated_at", time.time())
        claims = {"sub": "ana", "auth_time": signed_in, **facts.pop("claims", {})}
        whole = {"subject": "ana", "groups": ("employees",), "refresh_at": None, "amr": (), "acr": "", **facts}
        made = session(claims=claims, authenticated_at=signed_in, **whole)
        text, record = handle(made, host)

        async def keep() -> None:
            store = SQLiteStore(self.gateway.directory / "state/sessions.db")
            await store.create(made, record, begun_at=0)
            await store.close()

        asyncio.run(keep())
        return f"Cookie: __Host-ztproxy={text.decode()}"

    def open(self, server_name: str, device: str = "") -> Client:
        return Client(self.gateway.address("edge"), self._contexts[device], server_name)

    def ask(self, cookie: str, *, host: str = ADMIN, path: str = "/", device: str = "", method: str = "GET") -> int:
        """Return the status of one request of a program's, on a connection of its own."""
        fields = ("Sec-Fetch-Mode: cors", "Sec-Fetch-Site: same-origin")
        with self.open(host, device) as client:
            return client.get(path, host, *fields, *([cookie] if cookie else []), method=method).status

    def decided(self, reason: str) -> dict[str, Any]:
        """Return a decision that was made for this reason alone."""

        def recorded() -> dict[str, Any] | None:
            found = [each for each in self.gateway.of_type("decision") if each["result"].get("reasons") == [reason]]
            return found[0] if found else None

        return wait_for(recorded, f"a decision for {reason}")


@pytest.fixture
def front(world: World, place: Path, upstream: Upstream, request: pytest.FixtureRequest) -> Iterator[Front]:
    authority, other = forge_authority(subject="devices"), forge_authority(subject="others")
    (place / "mdm.pem").write_bytes(authority.pem)
    (place / "corp.secret").write_text("secret", encoding="utf-8")
    (place / "corp.secret").chmod(0o600)
    contexts = {"": world.client()}
    for name, issuer in {"laptop": authority, "kiosk": authority, "stranger": other}.items():
        forge(issuer, subject=name, purposes=CLIENT).issued().write(place / f"device-{name}")
        contexts[name] = world.client()
        contexts[name].load_cert_chain(place / f"device-{name}.pem", place / f"device-{name}.key")
    facts = getattr(request, "param", ALLOW)
    with gateway(place, CONFIG.format(upstream=upstream.url, **facts)) as running:
        yield Front(running, contexts)


def test_a_person_on_a_device_is_both_to_the_decision(front: Front, upstream: Upstream) -> None:
    cookie = front.sign_in(ADMIN, amr=("pwd", "hwk"), acr="phr")
    assert front.ask(cookie, device="laptop") == 200
    seen = front.decided("allow[0]")["input"]
    assert (seen["principal"]["kind"], seen["principal"]["id"]) == ("user", "ana")
    authentication = seen["principal"]["authentication"]
    assert (authentication["method"], authentication["amr"], authentication["acr"]) == (
        "session", ["pwd", "hwk"], "phr",
    )  # fmt: skip
    assert 0 < authentication["age"] <= 60
    assert seen["peer"] == {"kind": "device", "id": "mdm:laptop", "trust_domain": "", "path": ""}
    assert seen["tls"]["client_certificate"]["subject"] == "CN=laptop"
    assert upstream.requests[-1].values("x-ztproxy-subject") == ["ana"]


def test_neither_of_them_is_enough_by_itself(front: Front, upstream: Upstream) -> None:
    cookie = front.sign_in(ADMIN)
    assert front.ask(cookie) == 403
    assert front.ask("", device="laptop") == 401
    assert front.ask(front.sign_in(ADMIN, groups=("customers",)), device="laptop") == 403
    assert upstream.requests == []


def test_a_device_opens_by_itself_what_is_for_devices_and_tells_nobody(front: Front, upstream: Upstream) -> None:
    assert front.ask("", path="/kiosk/x", device="kiosk") == 200
    assert upstream.requests[-1].values("x-ztproxy-subject") == []
    assert front.ask("", path="/kiosk/x", device="laptop") == 401


def test_a_device_has_no_empty_uri_in_xfcc(front: Front, upstream: Upstream) -> None:
    assert front.ask(front.sign_in(ADMIN), device="laptop") == 200
    (value,) = upstream.requests[-1].values("x-forwarded-client-cert")
    assert value.startswith("Hash=")
    assert value.endswith(';Subject="CN=laptop"')


def test_a_certificate_of_another_authority_is_no_device(front: Front) -> None:
    with pytest.raises((ssl.SSLError, EOFError, ConnectionError)), front.open(ADMIN, "stranger") as client:
        client.get("/", ADMIN)


def test_a_host_of_another_setting_is_misdirected_in_either_direction(front: Front, upstream: Upstream) -> None:
    for name, host, device in ((WIKI, ADMIN, ""), (ADMIN, WIKI, "laptop")):
        with front.open(name, device) as client:
            answer = client.get("/", host, front.sign_in(host))
            assert (answer.status, answer.code) == (421, "misdirected")
            assert client.closed()
    assert upstream.requests == []
    assert front.ask(front.sign_in(WIKI), host=WIKI) == 200


@pytest.mark.parametrize("front", [STAFF], indirect=True)
def test_the_example_of_staff_decides_over_http(front: Front) -> None:
    password, old = front.sign_in(ADMIN, amr=("pwd",)), front.sign_in(ADMIN, authenticated_at=time.time() - 1000)
    key, by_class = front.sign_in(ADMIN, amr=("hwk", "pin")), front.sign_in(ADMIN, acr="phr", claims={"acr": "phr"})
    assert front.ask(old) == 200
    assert front.ask(old, method="DELETE") == 401
    assert front.ask(password, method="DELETE") == 200
    assert front.ask(key, path="/admin/x") == 403
    assert front.ask(password, path="/admin/x", device="laptop") == 401
    assert front.decided("weak-sign-in")["result"]["require"] == {"acr": ["phr", "phrh"]}
    for cookie in (key, by_class):
        assert front.ask(cookie, path="/admin/x", device="laptop") == 200
        assert front.ask(cookie, path="/admin/x", device="laptop", method="POST") == 200


@pytest.mark.parametrize("front", [STAFF], indirect=True)
def test_a_browser_is_sent_to_sign_in_with_a_key(front: Front) -> None:
    cookie = front.sign_in(ADMIN, amr=("pwd",))
    with front.open(ADMIN, "laptop") as client:
        answer = client.get("/admin/x", ADMIN, cookie, "Sec-Fetch-Mode: navigate", "Accept: text/html")
    assert answer.status == 303
    assert (answer.get("location") or "").startswith("https://access.example.org/.ztproxy/sign-in?to=")
