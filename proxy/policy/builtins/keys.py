"""Keys of tokens: certificates and public keys in PEM, JWKs and sets of them, and what a signature by one is.

Which algorithm a key may be used with is decided by the key's kind, never by the token alone: a public key is no
secret of an HMAC.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from proxy.policy.builtins.encodings import base64url_octets
from proxy.policy.builtins.operands import mapping

_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512(),
}  # fmt: skip
ALGORITHMS: Final = frozenset(
    {f"{family}{size}" for family in ("RS", "PS", "ES", "HS") for size in _HASHES} | {"EdDSA"}
)
_ENCRYPTING: Final = frozenset({"RSA-OAEP", "RSA-OAEP-256", "RSA1_5", "ECDH-ES"})  # keys of a set that are passed over
_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----\r?\n[A-Za-z0-9+/=\r\n]*-----END \1-----(?:\r?\n)?", re.ASCII)


class Key(NamedTuple):
    """A key to verify or sign with.

    Args:
        algorithm: that a JWK is meant for, or empty.
        name: its `kid`, or empty.
        key: of cryptography, or the bytes of a secret.
    """

    algorithm: str
    name: str
    key: Any


@lru_cache(maxsize=100)
def read_keys(whole: str) -> tuple[Key, ...]:
    """Return the keys of a certificate or public key in PEM, of a JWK, or of a set of them."""
    if "-----BEGIN" in whole:
        return (Key("", "", _read_pem(whole)),)
    found = json_object(whole)
    listed = found.get("keys", [found])
    if not isinstance(listed, list) or not all(isinstance(jwk, dict) for jwk in listed):
        raise ValueError("a key set must have an array of keys")
    keys = [read_jwk(jwk) for jwk in listed if jwk.get("alg") not in _ENCRYPTING]
    if any(key.algorithm and key.algorithm not in ALGORITHMS for key in keys):
        raise ValueError("the alg of a key must be one that is known")
    return tuple(keys)


def _read_pem(whole: str) -> Any:
    block = _BLOCK.fullmatch(whole)
    if block is None or block[1] not in ("CERTIFICATE", "PUBLIC KEY"):
        raise ValueError("a key must be one certificate or one public key in PEM, and nothing beside it")
    try:
        if block[1] == "CERTIFICATE":
            return load_pem_x509_certificate(whole.encode()).public_key()
        return load_pem_public_key(whole.encode())
    except Exception:  # cryptography raises many kinds, whose texts tell of the key
        raise ValueError("a key in PEM must be one that can be read") from None


_KINDS: Final[dict[str, Any]] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}


def read_jwk(jwk: Mapping[str, Any]) -> Key:
    """Return the key of a JWK, private where it has the private part."""
    algorithm, name, kind = (jwk.get(member, "") for member in ("alg", "kid", "kty"))
    if not all(isinstance(member, str) for member in (algorithm, name, kind)):
        raise ValueError("alg, kid and kty of a key must be strings")
    if kind == "oct":
        return Key(algorithm, name, base64url_octets(jwk.get("k")))
    if kind not in _KINDS:
        raise ValueError("a key must be of the kind RSA, EC, OKP or oct")
    try:
        return Key(algorithm, name, _KINDS[kind].from_jwk(dict(jwk)))
    except (InvalidKeyError, ValueError, KeyError, TypeError, ArithmeticError):
        raise ValueError("a key must be a JWK with the members of its kind") from None


def json_object(whole: str) -> dict[str, Any]:
    """Return the object that a text of JSON holds; of a key that comes twice the last counts, as in OPA."""
    try:
        found = json.loads(whole, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise ValueError("operand must be JSON") from None
    return mapping(found)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def is_signed(key: Any, algorithm: str, signed: bytes, signature: bytes, *, exact: bool) -> bool:
    """Tell whether a signature is a key's, by an algorithm of JWS.

    Args:
        key: of cryptography, or a secret.
        algorithm: such as `RS256`.
        signed: what was signed.
        signature: as JWS has it.
        exact: the form must be that of RFC 7518: of ECDSA the curve's length, of PSS a salt as long as the digest.
    """
    if isinstance(key, bytes):
        return algorithm[:2] == "HS" and bool(key) and hmac.compare_digest(_mac(key, algorithm, signed), signature)
    try:
        if algorithm == "EdDSA" and isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, signed)
        elif algorithm[:2] == "ES" and isinstance(key, ec.EllipticCurvePublicKey):
            length = (key.curve.key_size + 7) // 8 if exact else len(signature) // 2
            if exact and len(signature) != 2 * length:
                return False
            numbers = (int.from_bytes(signature[:length]), int.from_bytes(signature[length:]))
            key.verify(encode_dss_signature(*numbers), signed, ec.ECDSA(_HASHES[algorithm[2:]]))
        elif algorithm[:2] in ("RS", "PS") and isinstance(key, rsa.RSAPublicKey):
            digest = _HASHES[algorithm[2:]]
            key.verify(signature, signed, _padding(algorithm, digest, exact), digest)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _padding(algorithm: str, digest: hashes.HashAlgorithm, exact: bool) -> padding.AsymmetricPadding:
    if algorithm[:2] == "RS":
        return padding.PKCS1v15()
    salt = padding.PSS.DIGEST_LENGTH if exact else padding.PSS.AUTO
    return padding.PSS(padding.MGF1(digest), salt)


def _mac(secret: bytes, algorithm: str, signed: bytes) -> bytes:
    return hmac.digest(secret, signed, f"sha{algorithm[2:]}")


def hmac_is(secret: str, algorithm: str, signed: bytes, signature: bytes) -> bool:
    """Tell whether a signature is the HMAC by a secret, an empty one too."""
    return hmac.compare_digest(_mac(secret.encode(), algorithm, signed), signature)


def sign(key: Any, algorithm: str, signed: bytes) -> bytes:
    """Return a signature by an algorithm that gives the same one each time: HS…, RS… and EdDSA."""
    if isinstance(key, bytes) and algorithm[:2] == "HS" and key:
        return _mac(key, algorithm, signed)
    if isinstance(key, rsa.RSAPrivateKey) and algorithm[:2] == "RS":
        return key.sign(signed, padding.PKCS1v15(), _HASHES[algorithm[2:]])
    if isinstance(key, ed25519.Ed25519PrivateKey) and algorithm == "EdDSA":
        return key.sign(signed)
    raise ValueError("a key must be one of the algorithm, which must be HS…, RS… or EdDSA")
