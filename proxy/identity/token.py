"""A bearer token as text: a compact JWS whose header and payload are read strictly (RFC 7515, 7519, 8725).

It knows bytes alone: no key, no issuer, no clock, no request. Whatever is malformed raises `InvalidToken` before any
signature is computed, so that a flood of rubbish stays cheap. The JSON and base64url readers here serve key sets and
discovery documents too, for all three come from outside and two readers would one day differ.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from dataclasses import dataclass
from typing import Any

# A policy input is at most 32 levels deep, for deep nesting ends the process of an embedded engine; claims stand on its
# fourth level, so what is deeper than this would be refused there, with the wrong status.
DEPTH = 28
_INTEGER_DIGITS = 20  # of the longest 64-bit integer, sign included: longer literals are not even converted
_KID_LENGTH = 512

# RFC 9068 section 2.1 and RFC 7519 section 5.1. Other types are other kinds of token (RFC 8725 section 3.11).
ACCESS_TYPES = frozenset({"at+jwt", "application/at+jwt"})
TYPES = ACCESS_TYPES | {"jwt"}

# Header members that change what is signed, how it is read, or who says which key: each would let the token speak for
# itself (CVE-2018-0114) or for its own reading (RFC 7797).
REFUSED_MEMBERS = {
    "crit": "token must not have critical header members",
    "b64": "token must not change the encoding of its payload",
    "cty": "token must not hold another token",
    "zip": "token must not be compressed",
    "enc": "token must not be encrypted",
    "jwk": "token must not bring its own key",
    "jku": "token must not say where its keys are",
    "x5u": "token must not say where its certificate is",
    "x5c": "token must not bring its own certificate",
}


THUMBPRINTS = ("x5t", "x5t#S256")  # of the certificate of the key: RFC 7515 sections 4.1.7 and 4.1.8


class InvalidToken(ValueError):  # noqa: N818 - what it says of the token, not of us
    """A token that breaks a rule. The text states the rule, and never holds anything of the token."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token that is well-formed; nothing in it is proven yet.

    Args:
        kind: the header's `typ` in lower case, `jwt` where it has none.
        algorithm: the header's `alg`.
        kid: the header's `kid`, or None.
        certificate: the header's `x5t` and `x5t#S256`, those that are there.
        claims: the payload.
        signing_input: the bytes that were signed.
        signature: the signature, decoded.
    """

    kind: str
    algorithm: str
    kid: str | None
    certificate: dict[str, str]
    claims: dict[str, Any]
    signing_input: bytes
    signature: bytes


def parse_token(text: bytes, types: frozenset[str] = TYPES) -> Token:
    """Return the token that a compact serialization holds.

    Args:
        text: the serialization.
        types: the values of `typ` that it may have, in lower case; a token without one is a `jwt`.

    Raises:
        InvalidToken: it is no compact JWS, or its header or payload breaks a rule.
    """
    header, payload, signature, signing_input = split_jws(text)
    kind, algorithm, kid, certificate = parse_header(header, types)
    return Token(kind, algorithm, kid, certificate, parse_object(payload), signing_input, signature)


def split_jws(text: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Return header, payload and signature, decoded, and the signing input (RFC 7515 section 7.1)."""
    if text.count(b".") != 2:  # an opaque token, a JWE, or one of the JSON serializations
        raise InvalidToken("token must have three parts")
    header, payload, signature = text.split(b".")
    if not header or not signature:
        raise InvalidToken("token must have a header and a signature")
    try:
        parts = decode_base64url(header), decode_base64url(payload), decode_base64url(signature)
    except ValueError:
        raise InvalidToken("token must be canonical base64url without padding") from None
    return *parts, text[: len(header) + 1 + len(payload)]


def decode_base64url(text: bytes) -> bytes:
    """Return the bytes of canonical, unpadded base64url. Raise ValueError for every other spelling (RFC 4648 3.5)."""
    try:
        decoded = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        raise ValueError("must be base64url") from None
    # The decoder skips what it does not know and ignores spare bits; what was written in any other way shows here.
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != text:
        raise ValueError("must be canonical base64url")
    return decoded


def parse_object(raw: bytes) -> dict[str, Any]:
    """Return a JSON object that means the same to every reader (RFC 8259, RFC 7493).

    Raises:
        InvalidToken: no JSON object, not UTF-8, a name twice, a number that is not finite or not of 64 bits, a lone
            surrogate, or deeper than `DEPTH`.
    """
    try:
        value = _decoder.decode(raw.decode("utf-8"))
    except InvalidToken:
        raise
    except (ValueError, RecursionError):
        raise InvalidToken("JSON must be well-formed UTF-8") from None
    if type(value) is not dict:
        raise InvalidToken("JSON must be an object")
    # Only an escape can spell a lone surrogate, and only so many brackets can nest too deep.
    if b"\\u" in raw or raw.count(b"{") + raw.count(b"[") > DEPTH:
        _inspect(value, 1)
    return value


def parse_header(raw: bytes, types: frozenset[str]) -> tuple[str, str, str | None, dict[str, str]]:
    """Return a header's `typ`, `alg`, `kid` and certificate thumbprints. Raise InvalidToken if it says too much."""
    header = parse_object(raw)
    for member, rule in REFUSED_MEMBERS.items():
        if member in header:
            raise InvalidToken(rule)
    algorithm = header.get("alg")
    if type(algorithm) is not str:
        raise InvalidToken("token must name its algorithm")
    kind = header.get("typ", "jwt")
    if type(kind) is not str or kind.lower() not in types:
        wanted = "an access token" if types is TYPES else "what it was sent as"
        raise InvalidToken(f"token must be {wanted} by its type")
    kid = header.get("kid")
    if "kid" in header and (type(kid) is not str or not 0 < len(kid) <= _KID_LENGTH or not kid.isprintable()):
        raise InvalidToken("key id must be a short printable string")
    certificate: dict[str, str] = {name: header[name] for name in THUMBPRINTS if name in header}
    if not all(type(value) is str for value in certificate.values()):
        raise InvalidToken("certificate thumbprint must be a string")
    return kind.lower(), algorithm, kid, certificate


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):  # readers differ in whether the first or the last counts
        raise InvalidToken("JSON must not have a member twice")
    return members


def _integer(literal: str) -> int:
    if len(literal) > _INTEGER_DIGITS or not -(2**63) <= (number := int(literal)) < 2**63:
        raise InvalidToken("JSON integers must have at most 64 bits")
    return number


def _fraction(literal: str) -> float:
    if not math.isfinite(number := float(literal)):
        raise InvalidToken("JSON numbers must be finite")
    return number


def _constant(_literal: str) -> float:
    raise InvalidToken("JSON numbers must be finite")


def _inspect(value: Any, depth: int) -> None:
    if type(value) is str:
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise InvalidToken("JSON strings must hold Unicode scalar values") from None
    elif type(value) is dict:
        _inspect_depth(depth)
        for name, member in value.items():
            _inspect(name, depth + 1)
            _inspect(member, depth + 1)
    elif type(value) is list:
        _inspect_depth(depth)
        for member in value:
            _inspect(member, depth + 1)


def _inspect_depth(depth: int) -> None:
    if depth > DEPTH:
        raise InvalidToken(f"JSON must not be deeper than {DEPTH}")


_decoder = json.JSONDecoder(
    object_pairs_hook=_members, parse_int=_integer, parse_float=_fraction, parse_constant=_constant
)
