"""What tests of assertions share: a key in a file, and a verifier that is no code of the proxy's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def write_key(path: Path, curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    """Write a new private key that its owner alone can read."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def verified(assertion: str | bytes, jwks: bytes, audience: str, **options: Any) -> dict[str, Any]:
    """Return the claims of an assertion whose key is in the set."""
    keys = {key["kid"]: jwt.PyJWK(key) for key in json.loads(jwks)["keys"]}
    kid = jwt.get_unverified_header(assertion)["kid"]
    claims: dict[str, Any] = jwt.decode(
        assertion, keys[kid], algorithms=["ES256"], audience=audience, options=options or None
    )
    return claims
