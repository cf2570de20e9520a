"""Attacks on the algorithm and the signature."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.identity.attacks.world import ATTACKER, World, attack, hmac_signed, refusing
from tests.identity.test_jwks import certificate
from tests.issuer import SigningKey, base64url


def _unsigned(name: str) -> Callable[[World], list[bytes]]:
    def make(world: World) -> list[bytes]:
        old = world.issuer.mint().rpartition(b".")[2]
        made = []
        for kid in ({"kid": "key-ES256"}, {}):
            header = base64url(json.dumps({"alg": name, "typ": "JWT", **kid}).encode())
            signing_input = header + b"." + base64url(json.dumps(world.claims()).encode())
            made += [signing_input + b".", signing_input + b"." + old, signing_input]
        return made

    return make


for _case, _name in (("alg-none-4", "none"), ("alg-None-4", "None"), ("alg-nOnE-4", "nOnE"), ("alg-none-5", "none ")):
    refusing(_case)(_unsigned(_name))


@refusing("alg-missing")
def _(world: World) -> list[bytes]:
    return [world.issuer.mint(without=["alg"]), world.issuer.mint(without=["alg", "kid"])]


@refusing("alg-null")
def _(world: World) -> list[bytes]:
    return [world.issuer.mint(header={"alg": value}) for value in (None, 1, 256, True, ["ES256"], {"ES256": 1}, "")]


@refusing("alg-hs-public-key-6")
def _(world: World) -> list[bytes]:
    made = []
    for key in (world.key("RS256"), world.key("ES256")):
        public = key.private.public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        chain = certificate(key)
        x5c = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(chain) + b"-----END CERTIFICATE-----\n"
        ssh = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)  # CVE-2024-33663
        secrets = (ssh, pem, pem.strip(), der, chain, x5c, x5c.strip(), json.dumps(key.jwk).encode(), b"")
        made += [
            hmac_signed({"alg": name, **kid}, world.claims(), secret)
            for name in ("HS256", "HS384", "HS512")
            for kid in ({"kid": key.kid}, {})
            for secret in secrets
        ]
    return made


@attack("alg-hs-jwks-oct")
async def _(world: World) -> None:
    symmetric = {"kty": "oct", "kid": "shared", "alg": "HS256", "k": base64url(b"k" * 32).decode()}
    world.issuer.keys.append(SigningKey("shared", "HS256", ATTACKER.private, symmetric))
    await world.refresh()
    await world.refused(hmac_signed({"alg": "HS256", "kid": "shared"}, world.claims(), b"k" * 32))
    await world.accepted(world.issuer.mint())


@attack("alg-not-allowed")
async def _(world: World) -> None:
    key = world.key("RS256")
    del key.jwk["alg"]
    world.configure(bearer={"audiences": ["ztproxy"], "algorithms": ["RS256"]})
    await world.refresh()
    await world.accepted(world.issuer.mint(key=key))
    await world.refused(world.issuer.mint(key=key, header={"alg": "RS512"}), world.issuer.mint())


@refusing("sig-empty")
def _(world: World) -> list[bytes]:
    return [world.issuer.mint(key=key).rpartition(b".")[0] + b"." for key in world.issuer.keys]


@refusing("sig-zero-ecdsa")
def _(world: World) -> list[bytes]:
    orders = {
        "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
        "ES384": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
        "ES512": ((2**265 - 6) << 256) | 0x51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409,
    }
    made = []
    for name, order in orders.items():
        key = world.key(name)
        assert isinstance(key.private, ec.EllipticCurvePrivateKey)
        size = (key.private.key_size + 7) // 8
        signed, _, signature = world.issuer.mint(key=key).rpartition(b".")
        raw = base64.urlsafe_b64decode(signature + b"==")
        r, s = raw[:size], raw[size:]
        odd = [value.to_bytes(size, "big") for value in (0, order, order + 1)]
        pairs = [(one, other) for one in odd for other in odd]
        pairs += [(r, value) for value in odd] + [(value, s) for value in odd]
        pairs += [((int.from_bytes(r, "big") + order).to_bytes(size + 1, "big"), s)]
        made += [signed + b"." + base64url(one + other) for one, other in pairs]
        made += [signed + b"." + base64url(bytes(64)), signed + b"." + base64url(bytes(2 * size))]
    return made


@refusing("sig-der")
def _(world: World) -> list[bytes]:
    made = []
    for name in ("ES256", "ES384", "ES512"):
        key = world.key(name)
        signed, _, signature = world.issuer.mint(key=key).rpartition(b".")
        raw = base64.urlsafe_b64decode(signature + b"==")
        half = len(raw) // 2
        der = encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
        made += [
            signed + b"." + base64url(der),
            signed + b"." + base64url(raw + b"\0"),
            signed + b"." + base64url(raw[:-1]),
        ]
    return made


@refusing("sig-rsa-pkcs1")
def _(world: World) -> list[bytes]:
    key = world.key("RS256")
    assert isinstance(key.private, rsa.RSAPrivateKey)
    numbers = key.private.private_numbers()
    signed, _, true_signature = world.issuer.mint(key=key).rpartition(b".")
    digest = hashlib.sha256(signed).digest()
    info = bytes.fromhex("3031300d060960864801650304020105000420") + digest
    without_null = bytes.fromhex("302f300b06096086480165030402010420") + digest
    sha1 = bytes.fromhex("3021300906052b0e03021a05000414") + hashlib.sha1(signed).digest()
    size = 256

    def signature(encoded: bytes) -> bytes:
        assert len(encoded) == size
        power = pow(int.from_bytes(encoded, "big"), numbers.d, numbers.public_numbers.n)
        return signed + b"." + base64url(power.to_bytes(size, "big"))

    def padded(tail: bytes, fill: bytes = b"\xff", kind: bytes = b"\x01") -> bytes:
        return b"\0" + kind + fill * (size - 3 - len(tail)) + b"\0" + tail

    good = padded(info)
    assert signature(good).rpartition(b".")[2] == true_signature
    short = b"\0\x01" + b"\xff" * 8 + b"\0" + info
    return [
        signature(short + b"\0" * (size - len(short))),  # Bleichenbacher 2006: garbage behind the digest
        signature(short + b"\xff" * (size - len(short))),
        signature(padded(info, fill=b"\xfe")),
        signature(padded(info, kind=b"\x02")),
        signature(padded(info, kind=b"\x00")),
        signature(padded(without_null)),
        signature(padded(sha1)),
        signature(padded(digest)),
        signature(padded(info[:-1] + bytes([info[-1] ^ 1]))),
        signature(good[:2] + b"\xff" * 202 + b"\xff" + info),
    ]


@attack("ec-invalid-point")
async def _(world: World) -> None:
    good = SigningKey("good", "ES256", ATTACKER.private)
    off = SigningKey("off", "ES256", ATTACKER.private, {**ATTACKER.jwk, "kid": "off", "y": ATTACKER.jwk["x"]})
    mismatch = SigningKey("mismatch", "ES256", ATTACKER.private, {**ATTACKER.jwk, "kid": "mismatch", "crv": "P-384"})
    named = SigningKey("named", "ES256", ATTACKER.private, {**ATTACKER.jwk, "kid": "named", "alg": "ES384"})
    world.issuer.keys += [good, off, mismatch, named]
    await world.refresh()
    await world.accepted(world.issuer.mint(key=good))
    await world.refused(*(world.issuer.mint(key=key) for key in (off, mismatch, named)))
    await world.refused(world.issuer.mint(key=named, header={"alg": "ES384"}))
