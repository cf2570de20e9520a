"""Attacks by what the header of a token says."""

from __future__ import annotations

import base64
import hashlib
import json

from tests.identity.attacks.world import ATTACKER, World, attack, hmac_signed, refusing, resigned
from tests.identity.test_jwks import certificate
from tests.issuer import SigningKey, base64url


@refusing("hdr-jwk")
def _(world: World) -> list[bytes]:
    jwk = {**ATTACKER.jwk, "kid": "key-ES256"}
    return [
        world.issuer.mint(key=ATTACKER, header={"jwk": jwk, "kid": "key-ES256"}),
        world.issuer.mint(key=ATTACKER, header={"jwk": jwk}, without=["kid"]),
        world.issuer.mint(header={"jwk": world.key("ES256").jwk}),
    ]


@refusing("hdr-jku")
def _(world: World) -> list[bytes]:
    evil = world.attacker.jwks_url
    places = [
        evil,
        evil.replace("127.0.0.1", "localhost"),
        f"{world.issuer.url}/redirect?to={evil}",
        f"{world.issuer.url}@{evil.removeprefix('http://')}",
        f"{evil}#{world.issuer.jwks_url}",
        f"{world.issuer.url}/../{evil}",
        world.issuer.jwks_url,
    ]
    return [
        world.issuer.mint(key=key, header={member: place})
        for key in (ATTACKER, world.key("ES256"))
        for member in ("jku", "x5u")
        for place in places
    ]


@refusing("hdr-x5c-chain")
def _(world: World) -> list[bytes]:
    chain = [base64.b64encode(certificate(ATTACKER)).decode()]
    return [
        world.issuer.mint(key=key, header={"x5c": chain, "kid": "key-ES256"}) for key in (ATTACKER, world.key("ES256"))
    ]


@attack("hdr-x5t")
async def _(world: World) -> None:
    key = world.key("RS256")
    chain = certificate(key)
    key.jwk["x5c"] = [base64.b64encode(chain).decode()]
    await world.refresh()
    for member, digest in (("x5t", hashlib.sha1(chain).digest()), ("x5t#S256", hashlib.sha256(chain).digest())):
        await world.accepted(world.issuer.mint(key=key, header={member: base64url(digest).decode()}))
        other = base64url(digest[::-1]).decode()
        await world.refused(
            world.issuer.mint(key=key, header={member: other}),
            world.issuer.mint(header={member: other}),
            world.issuer.mint(key=ATTACKER, header={member: base64url(digest).decode(), "kid": key.kid}),
        )


@refusing("hdr-kid-path")
def _(world: World) -> list[bytes]:
    kid = "../../../../dev/null"
    return [
        hmac_signed({"alg": "HS256", "kid": kid}, world.claims(), b""),
        hmac_signed({"alg": "HS256", "kid": kid}, world.claims(), b"\0"),
        world.issuer.mint(header={"kid": kid}),
    ]


@refusing("hdr-kid-cmd")
def _(world: World) -> list[bytes]:
    return [world.issuer.mint(header={"kid": kid}) for kid in ("x|id", "$(id)", "`id`", "' or 1=1 --")]


@refusing("hdr-kid-nul")
def _(world: World) -> list[bytes]:
    kids = ["key-ES256\0", "\0", "key-ES256\n", "key-ES256\r\n", "k" * 2**20, "k" * 600, "\ud800"]
    return [world.issuer.mint(header={"kid": kid}) for kid in kids]


@refusing("hdr-kid-num")
def _(world: World) -> list[bytes]:
    return [world.issuer.mint(header={"kid": kid}) for kid in (1, 0, None, ["key-ES256"], {"key-ES256": 1}, True, "")]


@attack("hdr-kid-dup", "jwks-dup-kid")
async def _(world: World) -> None:
    twin = SigningKey("key-ES256", "ES256", ATTACKER.private)
    world.issuer.keys.append(twin)
    await world.refresh()
    await world.refused(world.issuer.mint(), world.issuer.mint(key=twin))
    await world.accepted(world.issuer.mint(key=world.key("RS256")))
    assert world.events[-1][1]["dropped"] == ["1 key ids name several keys"]


@attack("hdr-kid-missing-many")
async def _(world: World) -> None:
    await world.accepted(world.issuer.mint(without=["kid"]))  # of all keys one fits the algorithm
    world.issuer.keys.append(SigningKey("second", "ES256", ATTACKER.private))
    await world.refresh()
    await world.refused(world.issuer.mint(without=["kid"]), world.issuer.mint(key=ATTACKER, without=["kid"]))


@refusing("hdr-crit-unknown")
def _(world: World) -> list[bytes]:
    return [world.issuer.mint(header={"crit": ["foo"], "foo": 1}), world.issuer.mint(header={"crit": ["kid"]})]


@refusing("hdr-crit-empty")
def _(world: World) -> list[bytes]:
    return [world.issuer.mint(header={"crit": crit}) for crit in ([], "b64", ["absent"], ["exp"], None, [1], {})]


@refusing("hdr-b64-false")
def _(world: World) -> list[bytes]:
    header = base64url(json.dumps({"alg": "ES256", "kid": "key-ES256", "b64": False, "crit": ["b64"]}).encode())
    payload = json.dumps(world.claims()).encode()
    key = world.key("ES256")
    detached = header + b".." + base64url(key.sign(header + b"." + payload))
    return [
        header + b"." + payload + b"." + base64url(key.sign(header + b"." + payload)),
        detached,
        world.issuer.mint(header={"b64": False, "crit": ["b64"]}),
    ]


@refusing("hdr-b64-no-crit")
def _(world: World) -> list[bytes]:
    return [world.issuer.mint(header={"b64": value}) for value in (False, True, None, "false")]


@attack("hdr-typ-at")
async def _(world: World) -> None:
    for kind in ("at+jwt", "application/at+jwt", "AT+JWT", "JWT"):
        await world.accepted(world.issuer.mint(header={"typ": kind}))
    await world.accepted(world.issuer.mint(without=["typ"]))
    await world.refused(
        world.issuer.mint(header={"typ": "JWT"}, nonce="n"),
        world.issuer.mint(header={"typ": "JWT"}, at_hash="h"),
        world.issuer.mint(without=["typ"], nonce=""),
    )


@refusing("hdr-typ-logout")
def _(world: World) -> list[bytes]:
    kinds = ["logout+jwt", "dpop+jwt", "secevent+jwt", "application/logout+jwt", "at+jwt ", "JWS", "", None, 1]
    return [world.issuer.mint(header={"typ": kind}) for kind in kinds] + [world.issuer.mint(without=["typ"], events={})]


@refusing("hdr-cty-nested")
def _(world: World) -> list[bytes]:
    inner = world.issuer.mint()
    jwe = b".".join(
        [base64url(b'{"alg":"RSA-OAEP","enc":"A256GCM","cty":"JWT"}'), b"AA", b"AA", base64url(inner), b"AA"]
    )
    return [
        world.issuer.mint(header={"cty": "JWT"}),
        resigned(world, {"alg": "ES256", "kid": "key-ES256", "cty": "JWT"}, inner),
        resigned(world, {"alg": "ES256", "kid": "key-ES256"}, inner),
        resigned(world, {"alg": "ES256", "kid": "key-ES256"}, b'"' + inner + b'"'),
        jwe,
    ]


@refusing("hdr-bom")
def _(world: World) -> list[bytes]:
    header, claims = '{"alg":"ES256","kid":"key-ES256"}', json.dumps(world.claims())

    def odd(text: str) -> list[bytes]:
        raw = text.encode()
        return [
            b"\xef\xbb\xbf" + raw,
            text.encode("utf-16"),
            text.encode("utf-16-le"),
            text.encode("utf-32"),
            raw[:-1] + b',"x":"\xff"}',
            raw[:-1] + b',"x":"\xc0\xaf"}',
            raw[:-1] + b',"x":NaN}',
            raw[:-1] + b',"x":-Infinity}',
            raw[:-1] + b',"x":"\\ud800"}',
            raw[:-1] + b',"kid":"key-ES256","kid":"key-ES256"}',
            raw + b"x",
            raw + b"{}",
            raw + b"\0",
            raw[:-1],
        ]

    made = [resigned(world, raw, claims.encode()) for raw in odd(header)]
    return made + [resigned(world, header.encode(), raw) for raw in odd(claims)]
