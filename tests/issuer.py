"""A small OIDC issuer for tests: real HTTP on loopback, and every way to misbehave at the test's command.

It signs whatever it is asked to sign, so that attacks can be made of it; it shares no code with what it tests.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
Page = Literal["discovery", "keys"]
Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]

_HASHES: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "256": hashes.SHA256,
    "384": hashes.SHA384,
    "512": hashes.SHA512,
}
_CURVES: dict[str, tuple[Callable[[], ec.EllipticCurve], str]] = {
    "ES256": (ec.SECP256R1, "P-256"),
    "ES384": (ec.SECP384R1, "P-384"),
    "ES512": (ec.SECP521R1, "P-521"),
}


def base64url(raw: bytes) -> bytes:
    """Return unpadded base64url."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _number(value: int, size: int | None = None) -> str:
    return base64url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big")).decode()


@dataclass
class SigningKey:
    """A private key under its name. `jwk` is the entry that the issuer publishes; a test may write into it."""

    kid: str
    algorithm: str
    private: Private
    jwk: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def generate(cls, kid: str, algorithm: str = "ES256", *, bits: int = 2048) -> SigningKey:
        """Make a key for an algorithm."""
        private: Private
        if algorithm in _CURVES:
            private = ec.generate_private_key(_CURVES[algorithm][0]())
        elif algorithm == "EdDSA":
            private = ed25519.Ed25519PrivateKey.generate()
        else:
            private = rsa.generate_private_key(65537, bits)
        return cls(kid, algorithm, private)

    def __post_init__(self) -> None:
        if not self.jwk:
            self.jwk = {**self.public_members(), "kid": self.kid, "alg": self.algorithm, "use": "sig"}

    def public_members(self) -> dict[str, Any]:
        """Return the members of a JWK that are the key itself."""
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            numbers = self.private.public_key().public_numbers()
            size = (self.private.key_size + 7) // 8
            curve = {256: "P-256", 384: "P-384", 521: "P-521"}[self.private.key_size]
            return {"kty": "EC", "crv": curve, "x": _number(numbers.x, size), "y": _number(numbers.y, size)}
        if isinstance(self.private, rsa.RSAPrivateKey):
            public = self.private.public_key().public_numbers()
            return {"kty": "RSA", "n": _number(public.n), "e": _number(public.e)}
        raw = self.private.public_key().public_bytes_raw()
        return {"kty": "OKP", "crv": "Ed25519", "x": base64url(raw).decode()}

    def can(self, algorithm: str) -> bool:
        """Whether such a key can sign with an algorithm at all."""
        kind = ("RS", "PS") if isinstance(self.private, rsa.RSAPrivateKey) else (self.algorithm[:2],)
        return algorithm.startswith(kind)

    def sign(self, message: bytes, algorithm: str | None = None) -> bytes:
        """Return a JWS signature under any algorithm that the key can do."""
        algorithm = algorithm or self.algorithm
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(message)
        digest = _HASHES[algorithm[-3:]]()
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(self.private.sign(message, ec.ECDSA(digest)))
            size = (self.private.key_size + 7) // 8
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")
        if algorithm.startswith("PS"):
            pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
            return self.private.sign(message, pss, digest)
        return self.private.sign(message, padding.PKCS1v15(), digest)


def compact(header: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes, key: SigningKey) -> bytes:
    """Return a compact JWS of any header and payload, raw bytes included, signed whatever they say."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    signing_input = b".".join(base64url(part) for part in parts)
    named = header.get("alg") if isinstance(header, Mapping) else None
    fits = isinstance(named, str) and named[-3:] in _HASHES and key.can(named)
    return signing_input + b"." + base64url(key.sign(signing_input, named if fits else None))


class FakeIssuer:
    """An issuer at a loopback address; `async with` starts it, and ends it.

    Args:
        tls: a server context, to be an https issuer.
        algorithm: of its first key.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, algorithm: str = "ES256") -> None:
        self.keys = [SigningKey.generate("key-1", algorithm)]
        self.issuer: str | None = None  # what discovery says, where that is not its own URL
        self.jwks_uri: str | None = None
        self.requests: Counter[str] = Counter()
        self.headers: dict[str, str] = {}  # of every good answer
        self._tls = tls
        self._minted = 1
        self._port = 0
        self._faults: dict[Page, Fault] = {}
        self._runner: web.AppRunner | None = None

    # Its life.

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen: on a free port, or on the one that it had."""
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/jwks", self._jwks)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._tls).start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Die: the port is closed, the address stays its own."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        """Its own URL, which is the `iss` of what it mints."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def jwks_url(self) -> str:
        """Where its key set is."""
        return f"{self.url}/jwks"

    # What it publishes.

    def jwks(self) -> bytes:
        """Return its key set as it is served."""
        return json.dumps({"keys": [key.jwk for key in self.keys]}).encode()

    def rotate(self, *, keep: bool = False, algorithm: str = "ES256") -> SigningKey:
        """Sign with a new key from now on; the old ones stay published if they are kept."""
        self._minted += 1
        key = SigningKey.generate(f"key-{self._minted}", algorithm)
        self.keys = [key, *(self.keys if keep else [])]
        return key

    # How it misbehaves, until `recover`.

    def fail(self, status: int = 500, on: Page = "keys") -> None:
        """Answer with a status and nothing of use."""
        self._answer_always(on, lambda: web.Response(status=status, text="<html>no</html>"))

    def garbage(self, body: bytes, on: Page = "keys", **headers: str) -> None:
        """Answer 200 with other content."""
        self._answer_always(on, lambda: web.Response(body=body, headers=headers))

    def redirect(self, location: str, on: Page = "keys") -> None:
        """Answer with a redirect."""
        self._answer_always(on, lambda: web.Response(status=302, headers={"Location": location}))

    def _answer_always(self, on: Page, make: Callable[[], web.Response]) -> None:
        async def answer(_request: web.Request) -> web.Response:
            return make()

        self._faults[on] = answer

    def hang(self, on: Page = "keys") -> asyncio.Event:
        """Take requests and say nothing until the event that is returned is set."""
        released = asyncio.Event()

        async def wait(_request: web.Request) -> web.Response:
            await released.wait()
            return web.Response(body=self.jwks() if on == "keys" else self._document())

        self._faults[on] = wait
        return released

    def drip(self, on: Page = "keys") -> None:
        """Begin a good answer and send a byte of it now and then."""

        async def stream(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            for byte in self.jwks():
                await response.write(bytes([byte]))
                await asyncio.sleep(0.05)  # a whole key set takes longer than anybody waits for it
            return response

        self._faults[on] = stream

    def recover(self) -> None:
        """Behave again."""
        self._faults.clear()

    # What it mints.

    def mint(
        self,
        subject: str = "ana",
        *,
        key: SigningKey | None = None,
        header: Mapping[str, Any] | None = None,
        without: Iterable[str] = (),
        **claims: Any,
    ) -> bytes:
        """Return a token that is good for five minutes and the audience `ztproxy`, but for what a test changes.

        Args:
            subject: its `sub`.
            key: signs it; the newest key if left out.
            header: members to add to the header or to replace.
            without: members to leave out, of the header or the claims.
            claims: claims to add or to replace.
        """
        key = key or self.keys[0]
        leave = set(without)
        now = int(time.time())
        whole = {"iss": self.url, "aud": "ztproxy", "sub": subject, "iat": now, "exp": now + 300, **claims}
        head = {"alg": key.algorithm, "typ": "at+jwt", "kid": key.kid, **(header or {})}
        return compact(
            {name: value for name, value in head.items() if name not in leave},
            {name: value for name, value in whole.items() if name not in leave},
            key,
        )

    # Its pages.

    def _document(self) -> bytes:
        document = {"issuer": self.issuer or self.url, "jwks_uri": self.jwks_uri or self.jwks_url}
        return json.dumps({**document, "response_types_supported": ["code"]}).encode()

    async def _discovery(self, request: web.Request) -> web.StreamResponse:
        return await self._answer("discovery", request, self._document())

    async def _jwks(self, request: web.Request) -> web.StreamResponse:
        return await self._answer("keys", request, self.jwks())

    async def _answer(self, page: Page, request: web.Request, body: bytes) -> web.StreamResponse:
        self.requests[page] += 1
        fault = self._faults.get(page)
        if fault is None:
            return web.Response(body=body, content_type="application/json", headers=self.headers)
        return await fault(request)
