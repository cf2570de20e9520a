"""Tokens are decoded, verified and signed as OPA does: keys of all kinds, constraints, and what is no token at all."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from functools import cache
from typing import Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.opa import OPAServer
from tests.policy.reference import FAILS, opas, ours

_CURVES: Final = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
_ASYMMETRIC: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", *_CURVES, "EdDSA")
_SYMMETRIC: Final = ("HS256", "HS384", "HS512")
CALLED: Final = {
    *(f"io.jwt.verify_{algorithm.lower()}" for algorithm in (*_ASYMMETRIC, *_SYMMETRIC)),
    "io.jwt.decode", "io.jwt.decode_verify", "io.jwt.encode_sign", "io.jwt.encode_sign_raw",
}  # fmt: skip
_SECRET: Final = "a secret of forty characters and some more, so that each HMAC takes it without a word"
_CLAIMS: Final = {"iss": "joe", "n": 1}


@cache
def _key(algorithm: str) -> Any:
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm])
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return _key("RSA") if algorithm != "RSA" else rsa.generate_private_key(65537, 2048)


def _jwk(algorithm: str, *, private: bool = False, **members: str) -> dict[str, Any]:
    key = _key(algorithm) if private else _key(algorithm).public_key()
    kind = ECAlgorithm if algorithm in _CURVES else OKPAlgorithm if algorithm == "EdDSA" else RSAAlgorithm
    return {**json.loads(kind.to_jwk(key)), **members} | ({} if private else {"key_ops": ["verify"]})


def _pem(algorithm: str) -> str:
    return str(_key(algorithm).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def _token(algorithm: str, claims: dict[str, Any] = _CLAIMS, **headers: Any) -> str:
    key = _SECRET if algorithm in _SYMMETRIC else _key(algorithm)
    return jwt.encode(claims, key, algorithm, headers=headers)


def _both(opa: OPAServer, call: str, *arguments: Any) -> object:
    """Return what both engines say to a call; it must be the same."""
    given = {"x": list(arguments)}
    spelled = f"r := {call}({', '.join(f'input.x[{index}]' for index in range(len(arguments)))})"
    mine, theirs = ours(spelled, given), opas(opa, spelled, given)
    assert mine == theirs, call
    return mine


@pytest.mark.parametrize("algorithm", _ASYMMETRIC)
def test_a_signature_is_verified_by_pem_jwk_and_key_set(opa: OPAServer, algorithm: str) -> None:
    name = f"io.jwt.verify_{algorithm.lower()}"
    token = _token(algorithm)
    forged = token[:-6] + ("AAAAAA" if token[-6:] != "AAAAAA" else "BBBBBB")
    for keys in (_pem(algorithm), json.dumps(_jwk(algorithm)), json.dumps({"keys": [_jwk("EdDSA"), _jwk(algorithm)]})):
        assert _both(opa, name, token, keys) is True
        assert _both(opa, name, forged, keys) is False
        assert _both(opa, name, token.rpartition(".")[0] + ".", keys) is False
        assert _both(opa, "io.jwt.decode_verify", token, {"cert": keys}) == [
            True,
            jwt.get_unverified_header(token),
            _CLAIMS,
        ]
        assert _both(opa, "io.jwt.decode_verify", forged, {"cert": keys}) == [False, {}, {}]


@pytest.mark.parametrize("algorithm", _ASYMMETRIC)
def test_no_key_verifies_by_another_algorithm(opa: OPAServer, algorithm: str) -> None:
    token = _token(algorithm)
    for other in (*_ASYMMETRIC, *_SYMMETRIC):
        if other != algorithm:
            assert _both(opa, f"io.jwt.verify_{other.lower()}", token, _pem(algorithm)) is False


@pytest.mark.parametrize("algorithm", _SYMMETRIC)
def test_a_secret_verifies_and_signs(opa: OPAServer, algorithm: str) -> None:
    name = f"io.jwt.verify_{algorithm.lower()}"
    token = _token(algorithm)
    assert _both(opa, name, token, _SECRET) is True
    assert _both(opa, name, token, "another") is False
    assert _both(opa, name, token, "") is False
    assert _both(opa, "io.jwt.decode_verify", token, {"secret": _SECRET, "alg": algorithm})[0] is True  # type: ignore[index]
    assert _both(opa, "io.jwt.decode_verify", token, {"secret": _SECRET, "alg": "RS256"})[0] is False  # type: ignore[index]
    jwk = {"kty": "oct", "k": base64.urlsafe_b64encode(_SECRET.encode()).decode().rstrip("=")}
    signed = _both(opa, "io.jwt.encode_sign", {"alg": algorithm, "typ": "JWT"}, {"b": "<é>", "a": [1, 2.5]}, jwk)
    assert _both(opa, name, signed, _SECRET) is True
    assert _both(opa, "io.jwt.decode_verify", token, {"cert": json.dumps(jwk)})[0] is True  # type: ignore[index]


def test_a_public_key_is_no_secret(opa: OPAServer) -> None:
    """RFC 8725 §2.1: a token by an HMAC over the text of the public key."""
    signed = ".".join(_token("HS256").split(".")[:2])
    mac = hmac.digest(_pem("RS256").encode(), signed.encode(), hashlib.sha256)
    forged = f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
    assert _both(opa, "io.jwt.decode_verify", forged, {"cert": _pem("RS256")}) == [False, {}, {}]
    assert _both(opa, "io.jwt.verify_rs256", forged, _pem("RS256")) is False


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "EdDSA"])
def test_a_private_key_signs_the_same_token_each_time(opa: OPAServer, algorithm: str) -> None:
    key = _jwk(algorithm, private=True)
    assert _both(opa, "io.jwt.encode_sign", {"alg": algorithm}, _CLAIMS, key)
    raw = (json.dumps({"alg": algorithm, "typ": "text/plain"}), "any text", json.dumps(key))
    assert _both(opa, "io.jwt.encode_sign_raw", *raw)


def test_a_key_set_is_searched_by_name_and_algorithm(opa: OPAServer) -> None:
    right, wrong = _jwk("RS256", kid="a", alg="RS256"), _jwk("ES256", kid="b")
    for header, keys, verified in [
        ({"kid": "a"}, [wrong, right], True),
        ({"kid": "b"}, [wrong, right], False),
        ({"kid": "c"}, [wrong, right], True),
        ({}, [wrong, {**right, "alg": "RS512"}], False),
        ({}, [{**right, "alg": "RSA-OAEP"}], False),
        ({}, [right, {**right, "alg": "RSA-OAEP-256"}], True),
        ({}, [], False),
    ]:
        token, spelled = _token("RS256", **header), json.dumps({"keys": keys})
        assert _both(opa, "io.jwt.verify_rs256", token, spelled) is verified
        assert _both(opa, "io.jwt.decode_verify", token, {"cert": spelled})[0] is verified  # type: ignore[index]


@pytest.mark.parametrize(
    ("claims", "constraints", "valid"),
    [
        ({}, {}, True),
        ({"iss": "joe"}, {"iss": "joe"}, True),
        ({"iss": "joe"}, {"iss": "ann"}, False),
        ({}, {"iss": "ann"}, False),
        ({"aud": "a"}, {}, False),
        ({"aud": "a"}, {"aud": "a"}, True),
        ({"aud": ["b", "a"]}, {"aud": "a"}, True),
        ({"aud": ["b", 5]}, {"aud": "a"}, False),
        ({"aud": 5}, {"aud": "a"}, False),
        ({"aud": []}, {}, False),
        ({"aud": ""}, {}, True),
        ({}, {"aud": "a"}, False),
        ({"exp": 10}, {"time": 9_999_999_999}, True),
        ({"exp": 10}, {"time": 10_000_000_000}, False),
        ({"exp": 10.5}, {"time": 10_400_000_000}, True),
        ({"exp": 10}, {}, False),
        ({"exp": 9999999999}, {}, True),
        ({"nbf": 10}, {"time": 9_999_999_999}, False),
        ({"nbf": 10}, {"time": 10_000_000_000}, True),
        ({"nbf": 9999999999}, {}, False),
        ({"exp": "10"}, {"time": 1}, FAILS),
        ({"nbf": None}, {"time": 1}, FAILS),
        ({}, {"time": -1}, FAILS),
        ({}, {"time": "1"}, FAILS),
        ({}, {"sub": "joe"}, FAILS),
        ({}, {"iss": 5}, FAILS),
        ({}, {"cert": _pem("RS256")}, FAILS),
        ({}, {"secret": ""}, FAILS),
    ],
)
def test_a_token_is_held_to_constraints(
    opa: OPAServer, claims: dict[str, Any], constraints: dict[str, Any], valid: object
) -> None:
    token = (
        f"{_token('HS256').split('.')[0]}.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}"
    )
    mac = base64.urlsafe_b64encode(hmac.digest(_SECRET.encode(), token.encode(), hashlib.sha256)).decode().rstrip("=")
    found = _both(opa, "io.jwt.decode_verify", f"{token}.{mac}", {"secret": _SECRET, **constraints})
    assert (found if found == FAILS else found[0]) == valid  # type: ignore[index]


def test_a_token_in_a_token_is_opened(opa: OPAServer) -> None:
    inner = _token("HS256")
    jwk = {"kty": "oct", "k": base64.urlsafe_b64encode(_SECRET.encode()).decode().rstrip("=")}
    header = json.dumps({"alg": "HS256", "typ": "x", "cty": "JWT"})
    outer = _both(opa, "io.jwt.encode_sign_raw", header, inner, json.dumps(jwk))
    assert _both(opa, "io.jwt.decode", outer) == _both(opa, "io.jwt.decode", inner)
    assert _both(opa, "io.jwt.decode_verify", outer, {"secret": _SECRET})[2] == _CLAIMS  # type: ignore[index]


def _part(value: object) -> str:
    octets = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


@pytest.mark.parametrize(
    "token",
    [
        "", "a", "a.b", "a.b.c.d", "..", f"{_part({})}.{_part([])}.", f"{_part({'enc': 'x'})}.{_part({})}.",
        f"{_part([])}.{_part({})}.", f"{_part(b'{')}.{_part({})}.", f"{_part({})}.{_part(b'nope')}.",
        f"{_part({})}.{_part({})}.=", f"{_part({})}.{_part({})}.a", f"{_part({'cty': 'JWT'})}.{_part('a.b')}.",
        f"{_part({'a': 1})}.{_part({'b': 2.5})}.{_part(b'xyz')}", f"{_part({'a': 1})}=.{_part({})}.",
    ],
)  # fmt: skip
def test_what_is_no_token_fails(opa: OPAServer, token: str) -> None:
    _both(opa, "io.jwt.decode", token)
    _both(opa, "io.jwt.verify_hs256", token, "x")
    _both(opa, "io.jwt.decode_verify", token, {"secret": "x"})


@pytest.mark.parametrize(
    "header",
    [
        {}, {"alg": "none"}, {"alg": ""}, {"alg": "HS256", "crit": ["x"]}, {"alg": "HS256", "crit": ["x"], "x": 1},
        {"alg": "HS256", "crit": ["kid"], "kid": "a"}, {"alg": "HS256", "crit": []}, {"alg": "HS256", "crit": "x"},
        {"alg": 5}, {"alg": "HS256", "kid": 5}, {"alg": "HS256", "typ": []}, {"alg": "RS256"}, {"alg": "XX256"},
    ],
)  # fmt: skip
def test_a_header_is_judged(opa: OPAServer, header: dict[str, Any]) -> None:
    signed = f"{_part(header)}.{_part({})}"
    token = f"{signed}.{_part(hmac.digest(b'x', signed.encode(), hashlib.sha256))}"
    _both(opa, "io.jwt.decode_verify", token, {"secret": "x"})
    _both(opa, "io.jwt.verify_rs256", token, _pem("RS256"))


_OCT: Final = '{"kty": "oct", "k": "YQ"}'


@pytest.mark.parametrize(
    ("header", "payload", "key"),
    [
        ("{}", "{}", "{}"), ('{"alg": "HS256"}', "{", _OCT), ("e", "{}", _OCT),
        ('{"alg": "HS256", "typ": "x"}', "{", _OCT),
        ('{"alg": "none"}', "{}", _OCT), ('{"alg": "HS256"}', "{}", '{"kty": "what"}'), ('{"alg": 5}', "{}", _OCT),
        ('{"alg": "HS256"}', "{}", '{"k": "YQ"}'), ('{"alg": "RS256"}', "{}", _OCT),
    ],
)  # fmt: skip
def test_what_cannot_be_signed_fails(opa: OPAServer, header: str, payload: str, key: str) -> None:
    _both(opa, "io.jwt.encode_sign_raw", header, payload, key)


@pytest.mark.parametrize(
    "keys",
    [
        "",
        "{}",
        "[]",
        "x",
        json.dumps({"keys": [{"kty": "what"}]}),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ],
)
def test_what_is_no_key_fails(opa: OPAServer, keys: str) -> None:
    assert _both(opa, "io.jwt.verify_rs256", _token("RS256"), keys) == FAILS
    assert _both(opa, "io.jwt.decode_verify", _token("RS256"), {"cert": keys}) == FAILS
