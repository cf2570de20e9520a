"""Public test data about tokens: Wycheproof's JWS and JWK vectors, and the list of attacks on tokens."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from proxy.identity.jwks import InvalidKey, parse_jwks
from proxy.identity.token import TYPES, InvalidToken, Token, parse_header, split_jws
from tests.identity.attacks import ATTACKS, World
from tests.identity.test_keys import running
from tests.issuer import FakeIssuer
from tests.portal.attacks import ATTACKS as PORTAL
from tests.suites import suite_json

# Wycheproof

_HMAC: Final = "HMAC is never accepted: who can verify could sign"
_OTHER_ALGORITHM: Final = "the key is published for another algorithm than the token's (RFC 7517 section 4.4)"
_NO_ALGORITHM: Final = "the key is published for ES521, which is no algorithm (RFC 7518 section 3.1)"

VALID_AND_REFUSED: dict[str, dict[int, str]] = {
    "json_web_signature_test": {
        **dict.fromkeys([1, 348, 352, 357, 358, 359, 372, 373, 376, 377], _HMAC),
        **dict.fromkeys([346, 350], _OTHER_ALGORITHM),
        **dict.fromkeys([347, 351], _NO_ALGORITHM),
    },
    "json_web_key_test": dict.fromkeys([2, 13, 14, 15], _HMAC),
}


def vectors(name: str) -> list[Any]:
    groups = suite_json(f"wycheproof-jose/{name}.json")["testGroups"]
    return [
        pytest.param(
            group.get("public", group["private"]), test, id=f"{test['tcId']}-{group['comment']}-{test['comment']}"
        )
        for group in groups
        for test in group["tests"]
    ]


def verify(keys: dict[str, Any], text: str) -> None:
    """Verify a signature as a token's is verified; what is signed need be no claims."""
    key_set = parse_jwks(json.dumps(keys if "keys" in keys else {"keys": [keys]}).encode())
    header, _payload, signature, signing_input = split_jws(text.encode())
    kind, algorithm, kid, thumbprints = parse_header(header, TYPES)
    token = Token(kind, algorithm, kid, thumbprints, {}, signing_input, signature)
    key = key_set.find(token)
    if key is None:
        raise InvalidToken("key must be in the set")
    key.verify(token)


def check(name: str, keys: dict[str, Any], test: dict[str, Any]) -> None:
    text = test["jws"] if isinstance(test["jws"], str) else json.dumps(test["jws"])
    if test["result"] == "valid" and test["tcId"] not in VALID_AND_REFUSED[name]:
        verify(keys, text)
        return
    with pytest.raises((InvalidToken, InvalidKey)):
        verify(keys, text)


@pytest.mark.parametrize(("keys", "test"), vectors("json_web_signature_test"))
def test_a_wycheproof_signature(keys: dict[str, Any], test: dict[str, Any]) -> None:
    check("json_web_signature_test", keys, test)


@pytest.mark.parametrize(("keys", "test"), vectors("json_web_key_test"))
def test_a_wycheproof_key(keys: dict[str, Any], test: dict[str, Any]) -> None:
    check("json_web_key_test", keys, test)


# The list of attacks

_HTTP2 = "there is no HTTP/2 yet"

NOT_YET: dict[str, str] = {
    "trn-h2-case": _HTTP2,
    "trn-401-grpc": _HTTP2,
}
# Those on people who sign in, and what other tests try them.
SIGNING_IN: dict[str, str] = {
    **dict.fromkeys(PORTAL, "tests/portal/attacks.py"),
    **dict.fromkeys(
        [
            "flow-pkce-plain",
            "flow-pkce-downgrade",
            "flow-idtoken-missing",
            "flow-idtoken-aud",
            "flow-idtoken-iss",
            "clm-azp-other",
        ],
        "tests/identity/login",
    ),
    **dict.fromkeys(
        ["flow-xhr", "flow-post-login", "ses-csrf-origin", "trn-cookie+bearer"], "tests/server/test_staff.py"
    ),
    "ses-upstream-set": "tests/http/test_headers.py",
    "out-signed": "tests/test_applications.py",
}
ELSEWHERE: dict[str, str] = {
    "trn-forwarded-token": "what is forwarded is the server's business",
    "out-public-route": "what is stripped is the server's business",
    "out-encode": "how an identity is written is the business of http/headers",
    "out-xff": "how forwarding is written is the business of http/headers",
}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with FakeIssuer() as issuer, FakeIssuer() as attacker:
        world = World(issuer, attacker)
        async with running(world.issuers.sources["corp"]):
            await world.accepted(issuer.mint())
            yield world
        assert not attacker.requests  # whatever a token said, nobody was asked but its issuer


def cases() -> list[str]:
    return [case["id"] for case in suite_json("jwt/attacks.json")["cases"]]


@pytest.mark.parametrize("name", [name for name in cases() if name in ATTACKS])
async def test_an_attack_on_tokens(name: str, world: World) -> None:
    await ATTACKS[name](world)


def test_every_attack_of_the_list_runs_or_is_accounted_for() -> None:
    accounted = [*ATTACKS, *NOT_YET, *SIGNING_IN, *ELSEWHERE]
    assert len(accounted) == len(set(accounted))
    assert set(cases()) == set(accounted)
