"""The certificates, keys and tokens of a run: one development PKI, one issuer, one user and ten thousand more."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

ZTPROXY = str(Path(sys.executable).with_name("ztproxy"))
ISSUER = "https://idp.example.org"
USERS = 10_000
FOREVER = 2**31
DECLARATION = """\
version: 1
trust_domains:
  example.org:
    svids:
      - {file: ci, id: spiffe://example.org/ns/ci/sa/build}
      - {file: web, id: spiffe://example.org/ns/shop/sa/web}
    servers:
      - {file: edge, names: [localhost, 127.0.0.1]}
"""


def ztproxy(*arguments: str) -> None:
    """Run a command of ztproxy. Raise RuntimeError with what it said when it fails."""
    done = subprocess.run([ZTPROXY, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ztproxy {arguments[0]} ended with {done.returncode}: {done.stderr}")


@dataclass
class World:
    """Files in one directory, and the key that the issuer signs with.

    `edge` is the server's certificate, `ci` a workload that the rules permit, `web` one that they do not.

    Args:
        place: an empty directory.
    """

    place: Path
    directory: Path = field(init=False)
    token: str = field(init=False)

    def __post_init__(self) -> None:
        declaration = self.place / "pki.yaml"
        declaration.write_text(DECLARATION, encoding="utf-8")
        ztproxy("certs", "init", "-f", str(declaration), str(self.place))
        self.directory = self.place / "example.org"
        self._key = ec.generate_private_key(ec.SECP256R1())
        jwk = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        keys = {"keys": [{**jwk, "kid": "one", "alg": "ES256", "use": "sig"}]}
        (self.directory / "keys.json").write_text(json.dumps(keys), encoding="utf-8")
        self.token = self.sign("ana")
        users = "\n".join(self.sign(f"user-{number}", [f"team-{number % 100}"]) for number in range(USERS))
        self.tokens.write_text(users + "\n", encoding="ascii")

    @property
    def tokens(self) -> Path:
        """The file with a token of each user, one a line."""
        return self.directory / "tokens.txt"

    def file(self, name: str) -> str:
        """Return the path of a file."""
        return str(self.directory / name)

    def sign(
        self,
        subject: str,
        teams: list[str] | None = None,
        *,
        key: ec.EllipticCurvePrivateKey | None = None,
        **claims: Any,
    ) -> str:
        """Return a token of the group engineering for the audience ztproxy, these claims in place of the usual ones."""
        usual = {
            "iss": ISSUER,
            "aud": "ztproxy",
            "sub": subject,
            "email": f"{subject}@example.org",
            "email_verified": True,
            "groups": ["engineering", *(teams or [])],
            "iat": int(time.time()),
            "exp": FOREVER,
        }
        headers = {"typ": "at+jwt", "kid": "one"}
        return jwt.encode({**usual, **claims}, key or self._key, algorithm="ES256", headers=headers)

    def client(self, certificate: str | None = None) -> ssl.SSLContext:
        """Return what a client needs to trust the server, and to show a certificate."""
        context = ssl.create_default_context(cafile=self.file("ca.pem"))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if certificate is not None:
            context.load_cert_chain(self.file(f"{certificate}.pem"), self.file(f"{certificate}.key"))
        return context
