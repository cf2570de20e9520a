"""Signed assertions: what an application is told of a user, so that it can verify who said it and for whom.

An assertion is an ES256 JWT (RFC 7515, 7519) of five minutes for one audience. It is signed once for a principal and a
host, and given to every request until half of its life is over; what verifies it is a public key set (RFC 7517). It
knows principals, peers and keys: no socket, no header field, and no clock but the moments that it is given.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from proxy.config import Mistake
from proxy.config.assertion import Assertion
from proxy.config.mistake import Location
from proxy.identity.keypair import read_key
from proxy.identity.pem import load_key
from proxy.identity.principal import Peer, Principal, sign_in_of

LIFETIME: Final = 300  # seconds
# How long a snapshot that was replaced may still sign: for requests in flight, and in workers that reload later.
_OVERLAP: Final = 60
# Hosts per principal: whoever may use a wildcard route chooses the host, and must not fill the memory with it.
_HOSTS: Final = 16

Form = Literal["ztproxy", "pomerium"]


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, and what of it is published. Its name is its thumbprint (RFC 7638): equal names are equal keys."""

    kid: str
    jwk: Mapping[str, str]
    private: ec.EllipticCurvePrivateKey = field(compare=False, repr=False)

    def sign(self, claims: Mapping[str, Any]) -> bytes:
        """Return claims as a compact JWS."""
        header = {"alg": "ES256", "kid": self.kid, "typ": "JWT"}
        signed = b".".join(_base64url(_json(part)) for part in (header, claims))
        r, s = decode_dss_signature(self.private.sign(signed, ec.ECDSA(SHA256())))
        return signed + b"." + _base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))  # RFC 7518 section 3.4


@dataclass(frozen=True, slots=True)
class Retired:
    """A key that signs no more, and the moment (POSIX seconds) at which its last assertion has ended."""

    key: SigningKey
    until: float


@dataclass(frozen=True, slots=True)
class Signed:
    """An assertion: its text, and until when (POSIX seconds) it is given to requests."""

    text: bytes
    fresh_until: float
    by: Assertions = field(repr=False)


class Assertions:
    """What signs, and what is published.

    Args:
        keys: the first signs.
        issuer: `iss`.
        retired: keys whose assertions may be about still.
    """

    __slots__ = ("issuer", "keys", "retired")

    def __init__(self, keys: tuple[SigningKey, ...], issuer: str, retired: tuple[Retired, ...] = ()) -> None:
        self.keys = keys
        self.issuer = issuer
        self.retired = retired

    def of(self, principal: Principal, peer: Peer | None, host: str, now: float, form: Form = "ztproxy") -> Signed:
        """Return the assertion of a user for the application at a host; for half of its life the same.

        Args:
            principal: the user.
            peer: the device of the connection, or None.
            host: the request's, without a port.
            now: POSIX seconds.
            form: whose claims it has.
        """
        device = _device(peer)
        cache: dict[tuple[str, str, str], Signed] = principal.derived.setdefault("assertions", {})
        signed = cache.get((form, host, device))
        if signed is not None and now < signed.fresh_until and signed.by is self:
            return signed
        cache.pop((form, host, device), None)
        if len(cache) >= _HOSTS:
            del cache[next(iter(cache))]
        signed = cache[form, host, device] = self._sign(principal, device, host, now, form)
        return signed

    def jwks(self, now: float) -> bytes:
        """Return the key set: every key that signs or may sign, and retired ones until their last assertion ends."""
        retired = [old.key for old in self.retired if now < old.until]
        return _json({"keys": [dict(key.jwk) for key in (*self.keys, *retired)]})

    def _sign(self, principal: Principal, device: str, host: str, now: float, form: Form) -> Signed:
        issued = int(now)
        expires = int(min(issued + LIFETIME, principal.expires_at))
        names = (self.issuer, f"https://{host}") if form == "ztproxy" else (host, host)
        claims: dict[str, Any] = {"iss": names[0], "aud": names[1], "iat": issued, "nbf": issued, "exp": expires}
        claims |= {"jti": secrets.token_urlsafe(16), "sub": principal.id, "groups": list(principal.groups)}
        claims |= _pomerium(principal) if form == "pomerium" else {"idp": principal.issuer}
        claims |= {name: value for name, value in _known(principal, device).items() if value}
        return Signed(self.keys[0].sign(claims), (now + expires) / 2, self)


def build_assertions(
    config: Assertion | None, issuer: str, previous: Assertions | None, now: float
) -> tuple[Assertions | None, list[Mistake]]:
    """Read the keys.

    Args:
        config: `assertion` of the file, or None: nothing is signed.
        issuer: `iss`.
        previous: what signs now; it goes on unless something has changed, and its keys retire.
        now: POSIX seconds.
    """
    if config is None:
        return None, []
    keys, mistakes = _read_keys(config.key_files)
    if mistakes or not keys:
        return None, mistakes
    if previous is None:
        return Assertions(keys, issuer), []
    if previous.keys == keys and previous.issuer == issuer:
        return previous, []
    retired = [old for old in previous.retired if now < old.until]
    retired += [Retired(key, now + LIFETIME + _OVERLAP) for key in previous.keys]
    return Assertions(keys, issuer, tuple(old for old in retired if old.key not in keys)), []


def _read_keys(files: Iterable[Path]) -> tuple[tuple[SigningKey, ...], list[Mistake]]:
    keys: list[SigningKey] = []
    mistakes: list[Mistake] = []
    for index, file in enumerate(files):
        location: Location = ("assertion", "key_files", index)
        pem, wrong = read_key(file, location)
        mistakes += wrong
        if pem is None:
            continue
        private = load_key(pem)
        if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
            mistakes.append(Mistake(location, f"key must be of the curve P-256: {file}"))
            continue
        key = signing_key(private)
        if key in keys:
            mistakes.append(Mistake(location, f"key is listed twice: {file}"))
        keys.append(key)
    return tuple(keys), mistakes


def signing_key(private: ec.EllipticCurvePrivateKey) -> SigningKey:
    """Return a P-256 key under its thumbprint."""
    numbers = private.public_key().public_numbers()
    x, y = (_base64url(number.to_bytes(32, "big")).decode() for number in (numbers.x, numbers.y))
    required = {"crv": "P-256", "kty": "EC", "x": x, "y": y}  # in the order that RFC 7638 section 3 asks for
    kid = _base64url(sha256(_json(required)).digest()).decode()
    return SigningKey(kid, {**required, "kid": kid, "use": "sig", "alg": "ES256"}, private)


def _device(peer: Peer | None) -> str:
    """Return the device at the other end; a workload that a user's request comes through is none."""
    return peer.id if peer is not None and peer.kind != "workload" else ""


def _known(principal: Principal, device: str) -> dict[str, Any]:
    """Return what is not known of every user; what is empty is left out, so that nobody takes it for a value."""
    sign_in = sign_in_of(principal)
    return {
        "email": principal.email,
        "sid": principal.session,
        "auth_time": int(sign_in.at or 0),
        "amr": list(sign_in.amr),
        "acr": sign_in.acr,
        "device": device,
    }


def _pomerium(principal: Principal) -> dict[str, Any]:
    name = principal.claims.get("name")
    return {"user": principal.id, "name": name} if isinstance(name, str) else {"user": principal.id}


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def _base64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
