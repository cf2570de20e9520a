"""Attacks by what a token claims, and by how it is carried."""

from __future__ import annotations

import json
import time

import pytest

from proxy.config.schema import Authenticate
from proxy.errors import AUTHORIZATION_DUPLICATE, Refused
from proxy.http.message import RequestHead
from proxy.identity.principal import ANONYMOUS
from tests.identity.attacks.world import TARGET, World, attack, refusing, resigned


@refusing("clm-exp-missing")
def _(world: World) -> list[bytes]:
    return [world.issuer.mint(without=["exp"]), world.issuer.mint(exp=None)]


@refusing("clm-exp-neg")
def _(world: World) -> list[bytes]:
    return [world.issuer.mint(exp=value) for value in (-1, 0, -(2**62), -1.5, 0.0)]


@refusing("clm-exp-bool")
def _(world: World) -> list[bytes]:
    later = int(time.time()) + 300
    return [world.issuer.mint(exp=value) for value in (True, str(later), [later], {"at": later})]


@refusing("clm-aud-missing")
def _(world: World) -> list[bytes]:
    return [world.issuer.mint(without=["aud"]), *(world.issuer.mint(aud=aud) for aud in (None, [], "", {}, True))]


@attack("clm-aud-list")
async def _(world: World) -> None:
    await world.accepted(world.issuer.mint(aud=["ztproxy", "other"]))


@refusing("clm-aud-list-wrong")
def _(world: World) -> list[bytes]:
    return [world.issuer.mint(aud=aud) for aud in (["other", "other2"], "ztproxy other", ["ZTPROXY"], [["ztproxy"]])]


@refusing("clm-iss-slash")
def _(world: World) -> list[bytes]:
    return [world.issuer.mint(iss=world.issuer.url + "/"), world.issuer.mint(iss=world.issuer.url.upper())]


@refusing("clm-iss-prefix")
def _(world: World) -> list[bytes]:
    url = world.issuer.url
    others = [
        url + ".evil.com",
        url + "@evil",
        url + "#",
        url[:-1],
        [url],
        {url: 1},
        None,
        "",
        url.replace("//", "//x@"),
    ]
    return [world.issuer.mint(iss=other) for other in others]


@refusing("clm-sub-missing")
def _(world: World) -> list[bytes]:
    return [world.issuer.mint(without=["sub"])]


@refusing("clm-sub-empty")
def _(world: World) -> list[bytes]:
    return [world.issuer.mint(sub=subject) for subject in ("", 1, ["ana"], None, {}, True)]


@attack("clm-email-unverified")
async def _(world: World) -> None:
    admin = {"email": "admin@corp.com"}
    assert (await world.accepted(world.issuer.mint(**admin, email_verified=True))).email == "admin@corp.com"
    for verified in ({"email_verified": False}, {"email_verified": "true"}, {"email_verified": 1}, {}):
        assert (await world.accepted(world.issuer.mint(**admin, **verified))).email == ""


@attack("clm-email-multi-at")
async def _(world: World) -> None:
    world.configure(email_domains=["corp.com"])
    await world.refresh()
    for address in ("a@evil@corp.com", "a@corp.com@evil", '"a@evil"@corp.com', "a@evil\n@corp.com"):
        assert (await world.accepted(world.issuer.mint(email=address, email_verified=True))).email == ""


@attack("clm-email-case")
async def _(world: World) -> None:
    user = await world.accepted(world.issuer.mint(email="ADMIN@Corp.COM", email_verified=True))
    assert user.email == "ADMIN@corp.com"


@attack("clm-groups-string")
async def _(world: World) -> None:
    for groups, expected in (
        ("admin", ("admin",)),
        ("a,admin", ("a,admin",)),
        ({"admin": 1}, ()),
        ([["admin"]], ()),
        (["admin", {"admin": 1}], ()),
    ):
        assert (await world.accepted(world.issuer.mint(groups=groups))).groups == expected


@attack("clm-scope-string")
async def _(world: World) -> None:
    for scope in ("read admin", "readadmin", ["read", "admin"]):  # as it is: policy splits it
        assert (await world.accepted(world.issuer.mint(scope=scope))).claims["scope"] == scope


@attack("clm-claims-number")
async def _(world: World) -> None:
    header = {"alg": "ES256", "kid": "key-ES256"}

    def token(literal: bytes) -> bytes:
        return resigned(world, header, json.dumps(world.claims()).encode()[:-1] + b',"x":' + literal + b"}")

    await world.refused(token(b"1e999"), token(b"-1e999"), token(b"18446744073709551616"), token(b"9" * 400))
    for literal, value in ((b"-0", 0), (b"9223372036854775807", 2**63 - 1), (b"-9223372036854775808", -(2**63))):
        assert (await world.accepted(token(literal))).claims["x"] == value


@refusing("clm-cnf-x5t")
def _(world: World) -> list[bytes]:
    return [world.issuer.mint(cnf=cnf) for cnf in ({"x5t#S256": "A" * 43}, {"jkt": "A" * 43}, {}, None)]


@attack("trn-two-auth")
async def _(world: World) -> None:
    good, bad = b"Bearer " + world.issuer.mint(), b"Bearer bad"
    for values in ((good, bad), (bad, good), (good, good)):
        with pytest.raises(Refused) as refused:
            await world.call(*values)
        assert refused.value.row is AUTHORIZATION_DUPLICATE


@attack("trn-body")
async def _(world: World) -> None:
    target = b"/?access_token=" + world.issuer.mint()
    head = RequestHead(b"POST", target, (1, 1), [(b"content-type", b"application/x-www-form-urlencoded")])
    assert await world.authenticator.authenticate(head, Authenticate(), None, time.time(), TARGET) is ANONYMOUS
