"""What every attack is made in, and the register of attacks: how each case of the list is made, by its name."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from proxy.config.limits import Limits
from proxy.config.schema import Authenticate, Identity, Issuer
from proxy.errors import TOKEN_INVALID, TOKEN_KEYS_UNAVAILABLE, Refused
from proxy.http.message import RequestHead, Target
from proxy.identity.authenticate import Authenticator
from proxy.identity.issuers import build_issuers
from proxy.identity.principal import Principal
from tests.issuer import FakeIssuer, SigningKey, base64url, compact

TARGET = Target("localhost", None, b"/", None, ("",))


class World:
    """An issuer with a key of each kind, an attacker's server, and the authenticator between them."""

    def __init__(self, issuer: FakeIssuer, attacker: FakeIssuer) -> None:
        self.issuer = issuer
        self.issuer.keys = [SigningKey(key.kid, key.algorithm, key.private) for key in KEYS.values()]
        self.attacker = attacker
        self.attacker.keys = [ATTACKER]
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.configure()

    def configure(self, **changed: Any) -> None:
        """Build the authenticator anew, from a config with some keys changed."""
        bearer = {"audiences": ["ztproxy"], "algorithms": [*ALGORITHMS]}
        config = Issuer(**{"issuer": self.issuer.url, "bearer": bearer, **changed})
        self.issuers, mistakes = build_issuers(Identity(issuers={"corp": config}), Limits(), None, self._observe)
        self.mistakes = [mistake.path for mistake in mistakes]
        self.authenticator = Authenticator(self.issuers, Limits())

    def _observe(self, event: str, fields: dict[str, Any]) -> None:
        self.events.append((event, fields))

    async def refresh(self) -> None:
        """Have the keys fetched."""
        await self.issuers.sources["corp"].attempt()

    async def call(self, *values: bytes) -> Principal:
        """Do as the proxy does with a request of these Authorization values."""
        head = RequestHead(b"GET", b"/", (1, 1), [(b"authorization", value) for value in values])
        known = self.authenticator.recall(head, Authenticate(), None, time.time(), TARGET)
        return known or await self.authenticator.authenticate(head, Authenticate(), None, time.time(), TARGET)

    async def accepted(self, token: bytes) -> Principal:
        """Return the user of a token that must pass."""
        user = await self.call(b"Bearer " + token)
        assert user.kind == "user"
        return user

    async def refused(self, *tokens: bytes) -> None:
        """Hold that each token is 401 with its challenge."""
        assert tokens
        for token in tokens:
            await self.refused_field(b"Bearer " + token)

    async def refused_field(self, value: bytes) -> None:
        """Hold that a field's value is 401 with its challenge."""
        with pytest.raises(Refused) as refused:
            await self.call(value)
        assert refused.value.row is TOKEN_INVALID
        assert b'error="invalid_token"' in refused.value.headers[0][1]

    async def undecided(self, token: bytes) -> None:
        """Hold that a token is 503."""
        with pytest.raises(Refused) as refused:
            await self.call(b"Bearer " + token)
        assert refused.value.row is TOKEN_KEYS_UNAVAILABLE

    def key(self, algorithm: str) -> SigningKey:
        """Return the issuer's key for an algorithm."""
        return next(key for key in self.issuer.keys if key.can(algorithm) and key.kid.endswith(algorithm[1:]))

    def claims(self, **claims: Any) -> dict[str, Any]:
        """Return claims that would do."""
        now = int(time.time())
        return {"iss": self.issuer.url, "aud": "ztproxy", "sub": "ana", "iat": now, "exp": now + 300, **claims}


ALGORITHMS = ("ES256", "ES384", "ES512", "RS256", "PS256", "EdDSA")
# Made once: RSA keys take their time.
KEYS = {name: SigningKey.generate(f"key-{name}", name) for name in ("ES256", "ES384", "ES512", "RS256", "EdDSA")}
ATTACKER = SigningKey.generate("attacker")
ATTACKER_RSA = SigningKey.generate("key-RS256", "RS256")
Attack = Callable[[World], Awaitable[None]]
ATTACKS: dict[str, Attack] = {}


def attack(*names: str) -> Callable[[Attack], Attack]:
    """Register how a case, or several that differ in a word, is made."""

    def register(make: Attack) -> Attack:
        for name in names:
            assert name not in ATTACKS
            ATTACKS[name] = make
        return make

    return register


def refusing(*names: str) -> Callable[[Callable[[World], list[bytes]]], Callable[[World], list[bytes]]]:
    """Register a maker of tokens of which every one must be refused."""

    def register(make: Callable[[World], list[bytes]]) -> Callable[[World], list[bytes]]:
        async def run(world: World) -> None:
            await world.refused(*make(world))

        attack(*names)(run)
        return make

    return register


def resigned(world: World, header: dict[str, Any] | bytes, payload: dict[str, Any] | bytes | None = None) -> bytes:
    """Return a token of any header and payload that the issuer's first key has signed."""
    return compact(header, world.claims() if payload is None else payload, world.issuer.keys[0])


def hmac_signed(header: dict[str, Any], payload: dict[str, Any], secret: bytes) -> bytes:
    signing_input = base64url(json.dumps(header).encode()) + b"." + base64url(json.dumps(payload).encode())
    return signing_input + b"." + base64url(hmac.digest(secret, signing_input, f"sha{header['alg'][-3:]}"))
