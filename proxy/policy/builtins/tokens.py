"""`io.jwt.*`: JSON Web Tokens, decoded, verified and signed.

Whom a request is by is decided before any policy, by `proxy/identity`. These are for what else a policy finds: a token
in a header of its own, a signed document.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from proxy.policy.builtins.encodings import base64url_octets, json_is_valid, json_marshal, utf8
from proxy.policy.builtins.keys import ALGORITHMS, hmac_is, is_signed, json_object, read_jwk, read_keys, sign
from proxy.policy.builtins.operands import mapping, text
from proxy.policy.scalars import find_fault

_MOST_NESTED: Final = 8
_UNVERIFIED: Final[tuple[Any, ...]] = (False, {}, {})


class _Token(NamedTuple):
    """The three parts of a token, as they are spelled."""

    header: str
    payload: str
    signature: str

    @property
    def signed(self) -> bytes:
        return f"{self.header}.{self.payload}".encode()


def _split(value: object) -> _Token:
    parts = text(value).split(".")
    if len(parts) != 3:
        raise ValueError("operand must be a token of three parts")
    return _Token(*parts)


def _object(spelled: str) -> dict[str, Any]:
    """Return the object that a text of JSON holds, fit to be shown to policy."""
    found = json_object(spelled)
    if (fault := find_fault(found)) is not None:
        raise ValueError(f"the token's {fault}")
    return found


def _spelled(part: str) -> str:
    return utf8(base64url_octets(part))


def _header(token: _Token) -> dict[str, Any]:
    header = _object(_spelled(token.header))
    if "enc" in header:
        raise ValueError("operand must not be an encrypted token")
    return header


def decode(value: object) -> list[Any]:
    """Return header, payload and signature of a token, the last in hexadecimal. Nothing is verified."""
    for _ in range(_MOST_NESTED):
        token = _split(value)
        header, payload = _header(token), _spelled(token.payload)
        if "cty" in header and text(header["cty"]) == "JWT":
            value = payload.strip("\"'")
            continue
        return [header, _object(payload), base64url_octets(token.signature).hex()]
    raise ValueError(f"tokens must not be nested more than {_MOST_NESTED} deep")


def _checked(header: dict[str, Any]) -> dict[str, Any]:
    """Return a header whose members of this specification are of the right types."""
    for name in ("alg", "kid", "typ", "cty"):
        text(header.get(name, ""))
    critical = header.get("crit")
    if "crit" in header and not (isinstance(critical, list) and any(isinstance(name, str) for name in critical)):
        raise ValueError("crit must be a list of names that is not empty")
    return header


def _verifier(algorithm: str) -> Callable[[object, object], bool]:
    if algorithm[:2] == "HS":
        return lambda value, secret: _verify_secret(_split(value), text(secret), algorithm)
    return lambda value, keys: _verify(_split(value), text(keys), algorithm)


def _verify_secret(token: _Token, secret: str, algorithm: str) -> bool:
    return hmac_is(secret, algorithm, token.signed, base64url_octets(token.signature))


def _verify(token: _Token, keys: str, algorithm: str) -> bool:
    found = read_keys(keys)
    signature, header = base64url_octets(token.signature), _checked(_header(token))
    named = [key for key in found if header.get("kid") and key.name == header["kid"]][:1]
    fit = named or [key for key in found if key.algorithm in ("", header.get("alg", ""))]
    return any(is_signed(key.key, algorithm, token.signed, signature, exact=False) for key in fit)


VERIFY: Final = {f"io.jwt.verify_{algorithm.lower()}": _verifier(algorithm) for algorithm in sorted(ALGORITHMS)}


class _Wanted(NamedTuple):
    """What `decode_verify` is asked to hold a token to."""

    cert: str | None
    secret: str
    alg: str
    iss: str
    aud: str
    now: float  # nanoseconds

    def verify(self, token: _Token, header: dict[str, Any]) -> bool:
        """Tell whether the signature is by the key that was given, and by the algorithm of the header."""
        signature, algorithm = base64url_octets(token.signature), header["alg"]
        if algorithm not in ALGORITHMS:
            return False
        if self.cert is None:
            return is_signed(self.secret.encode(), algorithm, token.signed, signature, exact=True)
        found = read_keys(self.cert)
        named = [key for key in found if header.get("kid") and key.name == header["kid"]][:1]
        fit = named or [key for key in found if key.algorithm in ("", algorithm)]
        return any(is_signed(key.key, algorithm, token.signed, signature, exact=True) for key in fit)

    def allows(self, payload: dict[str, Any]) -> bool:
        """Tell whether issuer, audience and times are as they must be."""
        if self.iss and ("iss" not in payload or text(payload["iss"]) != self.iss):
            return False
        audience = payload.get("aud", "" if "aud" not in payload else None)
        listed = [one for one in audience if isinstance(one, str)] if isinstance(audience, list) else [audience]
        if self.aud not in listed:
            return False
        seconds = self.now / 10**9
        if "exp" in payload and seconds >= _number(payload["exp"]):
            return False
        return "nbf" not in payload or seconds >= _number(payload["nbf"])


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise ValueError("time, exp and nbf must be numbers")


def _wanted(value: object) -> _Wanted:
    given = mapping(value)
    if given.keys() - {"cert", "secret", "alg", "iss", "aud", "time"}:
        raise ValueError("constraints must be cert, secret, alg, iss, aud and time")
    secret, alg, iss, aud = (text(given.get(name, "")) for name in ("secret", "alg", "iss", "aud"))
    now = _number(given["time"]) if "time" in given else time.time_ns()
    if now < 0:
        raise ValueError("time must not be negative")
    cert = text(given["cert"]) if "cert" in given else None
    if cert is not None:
        read_keys(cert)
    if (cert is None) == (not secret):
        raise ValueError("constraints must have either cert or secret")
    return _Wanted(cert, secret, alg, iss, aud, now)


def decode_verify(value: object, constraints: object) -> tuple[Any, ...]:
    """Return whether a token holds to constraints, and if so its header and payload."""
    wanted = _wanted(constraints)
    for _ in range(_MOST_NESTED):
        token = _split(value)
        header = _checked(_header(token))
        critical = [name for name in header.get("crit", ()) if isinstance(name, str) and name in header]
        if not header.get("alg") or set(critical) - {"alg", "kid", "typ", "cty", "crit"}:
            return _UNVERIFIED
        if (wanted.alg and wanted.alg != header["alg"]) or not wanted.verify(token, header):
            return _UNVERIFIED
        payload = _spelled(token.payload)
        if header.get("cty", "").lower() == "jwt":
            value = payload
            continue
        claims = _object(payload)
        return (True, header, claims) if wanted.allows(claims) else _UNVERIFIED
    raise ValueError(f"tokens must not be nested more than {_MOST_NESTED} deep")


def encode_sign(header: object, payload: object, key: object) -> str:
    """Return a token of a header and a payload, signed by a JWK."""
    return encode_sign_raw(json_marshal(mapping(header)), json_marshal(mapping(payload)), json_marshal(mapping(key)))


def encode_sign_raw(header: object, payload: object, key: object) -> str:
    """Return a token of a header and a payload as they are spelled, signed by a JWK."""
    found, jwk = json_object(text(header)), json_object(text(key))
    algorithm = found.get("alg")
    if algorithm not in ALGORITHMS:
        raise ValueError("the header must have an alg that is known")
    if found.get("typ", "JWT") in ("JWT", None) and not json_is_valid(text(payload)):
        raise ValueError("the payload of a JWT must be JSON")
    if "keys" in jwk:
        raise ValueError("the key must be one JWK")
    signed = f"{_encoded(text(header).encode())}.{_encoded(text(payload).encode())}"
    return f"{signed}.{_encoded(sign(read_jwk(jwk).key, algorithm, signed.encode()))}"


def _encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
