"""The certificates, keys and tokens that the server's tests share: one development PKI, one issuer's key set."""

from __future__ import annotations

import json
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from proxy.config.load import read
from proxy.identity.authority import Authority, Issued
from proxy.server.runtime import Runtime
from proxy.server.snapshot import Snapshot, at_once, compile_file
from tests.issuer import SigningKey, compact

ISSUER = "https://idp.example.org"
WEB = "spiffe://example.org/ns/shop/sa/web"
BATCH = "spiffe://example.org/ns/batch/sa/job"
LAPTOP = "spiffe://example.org/device/ana-laptop"
GATEWAY = "spiffe://example.org/gateway"


class World:
    """Files in one directory.

    Args:
        directory: gets `ca.pem`, `edge.pem`, `edge.key`, `keys.json`, and `NAME.pem` and `NAME.key` for each SVID.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority.create("example.org")
        self.foreign = Authority.create("foreign.example")
        (directory / "ca.pem").write_bytes(self.authority.bundle_pem)
        (directory / "foreign.pem").write_bytes(self.foreign.bundle_pem)
        self.authority.issue_server(["*.example.org", "localhost", "127.0.0.1"]).write(directory / "edge")
        for name, spiffe_id in {"web": WEB, "batch": BATCH, "laptop": LAPTOP, "gateway": GATEWAY}.items():
            self.authority.issue_svid(spiffe_id).write(directory / name)
        self.foreign.issue_svid("spiffe://foreign.example/ns/shop/sa/web").write(directory / "stranger")
        past = datetime.now(UTC) - timedelta(hours=1)
        self.authority.issue_svid(WEB, not_before=past - timedelta(hours=1), not_after=past).write(
            directory / "expired"
        )
        self.key = SigningKey.generate("one")
        self.publish(self.key)

    def publish(self, *keys: SigningKey) -> None:
        """Write the issuer's key set."""
        (self.directory / "keys.json").write_text(json.dumps({"keys": [key.jwk for key in keys]}), encoding="utf-8")

    def copy_to(self, directory: Path) -> Path:
        """Copy every file into another directory and return it."""
        for file in self.directory.iterdir():
            if file.suffix in (".pem", ".key", ".json"):
                (directory / file.name).write_bytes(file.read_bytes())
                (directory / file.name).chmod(0o600)
        return directory

    def write(self, name: str, issued: Issued) -> None:
        """Write another certificate and key."""
        issued.write(self.directory / name, force=True)

    def client(self, name: str | None = None, *, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """Return a client context that trusts our CA, with the SVID of this name or with none."""
        context = ssl.create_default_context(cafile=self.directory / "ca.pem")
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if name is not None:
            context.load_cert_chain(self.directory / f"{name}.pem", self.directory / f"{name}.key")
        return context

    def token(
        self,
        subject: str = "ana",
        *,
        key: SigningKey | None = None,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """Return a token that is good for five minutes and the audience `ztproxy`; a claim of None is left out."""
        signer, now = key or self.key, int(time.time())
        base = {"iss": ISSUER, "aud": "ztproxy", "sub": subject, "iat": now, "exp": now + 300}
        payload = {name: value for name, value in {**base, **claims}.items() if value is not None}
        head = {"alg": signer.algorithm, "typ": "at+jwt", "kid": signer.kid, **(header or {})}
        return compact({name: value for name, value in head.items() if value is not None}, payload, signer).decode()

    def bearer(self, subject: str = "ana", **options: Any) -> str:
        """Return the `Authorization` field line of a token."""
        return f"Authorization: Bearer {self.token(subject, **options)}"


def config(upstream: str, *, routes: str, listeners: str = "", upstreams: str = "", extra: str = "") -> str:
    """Return a config with the usual identity, an upstream `wiki`, and these pieces of YAML, indented as they stand."""
    return f"""\
version: 1
trust_domain: example.org
listeners:
{listeners or DEFAULT_LISTENERS}
admin: {{address: "127.0.0.1:0"}}
identity:
  trust_bundles: {{example.org: ca.pem}}
  issuers:
    corp: {{issuer: "{ISSUER}", jwks_file: keys.json, bearer: {{audiences: [ztproxy]}}}}
upstreams:
  wiki: {{endpoints: ["{upstream}"]}}
{upstreams}
{extra}
routes:
{routes}
"""


def snapshot_of(directory: Path, text: str, runtime: Runtime) -> Snapshot:
    """Return what the text of a config compiles to, beside the files of a directory."""
    file = directory / "compiled.yaml"
    file.write_text(text, encoding="utf-8")
    snapshot, read_of_it = at_once(compile_file(read(file), None, runtime))
    assert snapshot is not None, read_of_it.mistakes
    return snapshot


DEFAULT_LISTENERS = """\
  - {name: edge, address: "127.0.0.1:0", tls: {certificate: edge.pem, key: edge.key, client_certificates: optional}}
  - {name: plain, address: "127.0.0.1:0", plaintext: true}"""
