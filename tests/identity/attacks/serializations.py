"""Attacks by how a token is written."""

from __future__ import annotations

import json
from typing import Any

from tests.identity.attacks.world import World, attack, refusing, resigned
from tests.issuer import base64url


def _json_serializations(world: World) -> tuple[bytes, bytes]:
    header, payload, signature = (part.decode() for part in world.issuer.mint().split(b"."))
    bad = {"protected": header, "signature": "A" * len(signature)}
    good = {"protected": header, "signature": signature}
    flat = json.dumps({"payload": payload, **good}, separators=(",", ":")).encode()
    general = json.dumps({"payload": payload, "signatures": [good, bad]}, separators=(",", ":")).encode()
    return flat, general


@attack("ser-json-flat")
async def _(world: World) -> None:
    flat, _general = _json_serializations(world)
    await world.refused(flat, base64url(flat))
    await world.refused_field(flat)


@attack("ser-json-general")
async def _(world: World) -> None:
    _flat, general = _json_serializations(world)
    await world.refused(general, base64url(general))
    await world.refused_field(general)


@refusing("ser-2parts")
def _(world: World) -> list[bytes]:
    header, payload, signature = world.issuer.mint().split(b".")
    return [header + b"." + payload, header + b"." + signature, b".", header, payload]


@refusing("ser-4parts")
def _(world: World) -> list[bytes]:
    token = world.issuer.mint()
    return [token + b".", b"." + token, token + b".e30", token.replace(b".", b"..", 1)]


def _encrypted(header: dict[str, Any], key: bytes = b"AA") -> bytes:
    return b".".join([base64url(json.dumps(header).encode()), key, b"AAAAAAAAAAAAAAAA", b"AAAA", b"AAAA"])


@refusing("ser-5parts")
def _(world: World) -> list[bytes]:
    return [_encrypted({"alg": alg, "enc": "A256GCM", "kid": "key-RS256"}) for alg in ("RSA-OAEP", "RSA1_5", "ECDH-ES")]


@refusing("ser-jwe-zip")
def _(world: World) -> list[bytes]:
    return [
        _encrypted({"alg": "RSA-OAEP", "enc": "A256GCM", "zip": "DEF"}),
        world.issuer.mint(header={"zip": "DEF"}),
        world.issuer.mint(header={"enc": "A256GCM"}),
    ]


@refusing("ser-jwe-pbes2")
def _(world: World) -> list[bytes]:
    return [_encrypted({"alg": "PBES2-HS256+A128KW", "enc": "A256GCM", "p2c": 2**31, "p2s": "AAAA"})]


@refusing("ser-jwe-dir")
def _(world: World) -> list[bytes]:
    return [
        _encrypted({"alg": "dir", "enc": "A256GCM"}, b""),
        world.issuer.mint(header={"alg": "dir", "enc": "A256GCM"}),
    ]


@refusing("ser-payload-array")
def _(world: World) -> list[bytes]:
    header = {"alg": "ES256", "kid": "key-ES256"}
    payloads = [b"[]", b'["a"]', b'"a"', b"1", b"null", b"true", b"", b" ", json.dumps([world.claims()]).encode()]
    return [resigned(world, header, payload) for payload in payloads]


@attack("ser-whitespace")
async def _(world: World) -> None:
    token = world.issuer.mint()
    await world.accepted(token)
    for value in (
        b" Bearer %s",
        b"\tBearer %s",
        b"Bearer  %s",
        b"Bearer\t%s",
        b"Bearer %s ",
        b"Bearer %s\t",
        b"Bearer %s\r",
    ):
        await world.refused_field(value % token)
