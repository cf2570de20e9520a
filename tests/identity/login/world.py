"""A provider that signs people in, at the test's command: the fake issuer with the endpoints of a login.

Its token endpoint answers with whatever a test puts there, and remembers what it was asked.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from proxy.config.limits import Limits
from proxy.config.schema import Identity, Issuer
from proxy.identity.claims import TokenRules
from proxy.identity.issuers import build_issuers
from proxy.identity.keys import KeySource
from proxy.identity.login.client import Client, Credential
from proxy.identity.login.discovery import Directory
from proxy.identity.login.groups_file import GroupsFile
from proxy.identity.login.id_token import SKEW
from proxy.identity.login.outcome import Identity as Person
from proxy.identity.login.provider import Provider, Terms
from proxy.identity.oidc import Document, FetchFailed
from proxy.identity.sessions.session import Session
from tests.identity.test_keys import running
from tests.issuer import FakeIssuer

CLIENT, NONCE, VERIFIER, CODE = "portal", "n" * 43, "v" * 43, "the-code-of-one-sign-in"
ACCESS, REFRESH, SECRET = "the-access-token", "the-refresh-token", "the client's: secret%"
BACK = "https://access.example.org/.ztproxy/callback/corp"


@dataclass(frozen=True)
class Answer:
    """What an endpoint says."""

    status: int
    body: bytes


@dataclass
class Login:
    """One provider, and everything that a test may turn about it."""

    issuer: FakeIssuer
    keys: KeySource
    now: float = field(default_factory=time.time)
    clock: float = 0.0
    metadata: dict[str, Any] = field(default_factory=dict)
    token: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] | None = None
    refuses: int = 403  # what userinfo answers where there is none
    status: int = 200
    down: bool = False
    asked: list[tuple[str, str, dict[str, str], dict[str, str]]] = field(default_factory=list)
    discoveries: int = 0

    def provider(self, credential: Credential | None = None, **changed: Any) -> Provider:
        rules = TokenRules(
            "corp",
            self.issuer.url,
            frozenset({CLIENT}),
            frozenset({"ES256", "RS256", "EdDSA"}),
            skew=SKEW,
            **changed.pop("rules", {}),
        )
        terms = Terms("Example", rules, **changed)
        client = Client(CLIENT, credential or Credential(secret=SECRET), ("openid", "email"), self.ask)
        directory = Directory(self.issuer.url, self.fetch, lambda: self.clock)
        return Provider(terms, client, directory, self.keys, lambda: self.now)

    async def fetch(self, url: str) -> Document:
        self.discoveries += 1
        await asyncio.sleep(0)
        if self.down:
            raise FetchFailed("no answer within 10 s")

        here = self.issuer.url
        document = {
            "issuer": here,
            "authorization_endpoint": f"{here}/authorize?tenant=a",
            "token_endpoint": f"{here}/token",
            "userinfo_endpoint": f"{here}/userinfo",
            "end_session_endpoint": f"{here}/logout",
            **self.metadata,
        }
        return Document(json.dumps({name: value for name, value in document.items() if value is not None}).encode())

    async def ask(self, method: str, url: str, fields: dict[str, str], body: bytes | None) -> Answer:

        self.asked.append((method, url, fields, dict(parse_qsl((body or b"").decode()))))
        if self.down:
            raise FetchFailed("no answer within 10 s")
        if url.endswith("/userinfo"):
            return Answer(200 if self.userinfo is not None else self.refuses, json.dumps(self.userinfo or {}).encode())
        return Answer(self.status, json.dumps(self.token).encode())

    def id_token(self, without: tuple[str, ...] = (), **claims: Any) -> str:
        whole = {"aud": CLIENT, "nonce": NONCE, "email": "ana@Example.org", "email_verified": True, "groups": ["staff"]}
        return self.issuer.mint(without=(*without,), header={"typ": "JWT"}, **{**whole, **claims}).decode()

    def answers(self, id_token: str | None = None, without: tuple[str, ...] = (), **claims: Any) -> None:
        """Have the token endpoint answer with an ID token."""
        given = self.id_token(without, **claims) if id_token is None else id_token
        self.token = {
            "access_token": ACCESS,
            "token_type": "Bearer",
            "id_token": given,
            "refresh_token": REFRESH,
            "expires_in": 60,
        }

    async def redeem(self, provider: Provider | None = None, iss: str | None = None, **changed: Any) -> Person:
        parameters = {"redirect_uri": BACK, "nonce": NONCE, "code_verifier": VERIFIER, **changed}
        return await (provider or self.provider()).redeem(CODE, iss, **parameters)

    def session(self, **changed: Any) -> Session:
        values: dict[str, Any] = {
            "id": "0" * 32,
            "issuer": "corp",
            "issuer_url": self.issuer.url,
            "subject": "ana",
            "authenticated_at": self.now - 600,
            "created_at": self.now - 600,
            "seen_at": self.now,
            "expires_at": self.now + 3600,
            "amr": ("pwd",),
            "acr": "gold",
            "provider_sid": "sid-1",
            "claims": {"sub": "ana", "groups": ["staff"], "acr": "gold", "amr": ["pwd"], "sid": "sid-1"},
        }
        return Session(**{**values, **changed})


def hash_of(access_token: str) -> str:
    digest = hashlib.sha256(access_token.encode()).digest()[:16]
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@asynccontextmanager
async def login() -> AsyncIterator[Login]:
    async with FakeIssuer() as issuer:
        config = Issuer(issuer=issuer.url, bearer={"audiences": ["api"]})
        issuers, _ = build_issuers(Identity(issuers={"corp": config}), Limits(), None, lambda *_: None)
        source = issuers.sources["corp"]
        async with running(source):
            yield Login(issuer, source)


def groups(**people: tuple[str, ...]) -> GroupsFile:
    return GroupsFile({("corp", who): names for who, names in people.items()})
