from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import json
import math
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed448
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.identity.jwks import InvalidKey, KeySet, parse_jwks, parse_key
from proxy.identity.token import InvalidToken, Token, parse_token
from tests.issuer import SigningKey, base64url, compact

EC = SigningKey.generate("ec")
RSA = SigningKey.generate("rsa", "RS256")
ED = SigningKey.generate("ed", "EdDSA")


def key_set(*entries: dict[str, Any]) -> KeySet:
    return parse_jwks(json.dumps({"keys": entries}).encode())


def without(entry: dict[str, Any], *members: str) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name not in members}


def token(key: SigningKey, algorithm: str | None = None, **header: Any) -> Token:
    head = {"alg": algorithm or key.algorithm, "kid": key.kid, **header}
    return parse_token(compact({name: value for name, value in head.items() if value is not None}, {}, key))


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
def test_a_key_verifies_what_it_signed(algorithm: str) -> None:
    key = RSA if algorithm[0] in "RP" else SigningKey.generate("key", algorithm)
    parse_key(without(key.jwk, "alg")).verify(token(key, algorithm))


def test_an_edwards_key_verifies_what_it_signed() -> None:
    parse_key(ED.jwk).verify(token(ED))


def test_an_ed448_key_verifies_what_it_signed() -> None:
    private = ed448.Ed448PrivateKey.generate()
    x = base64url(private.public_key().public_bytes_raw()).decode()
    unsigned = b".".join([base64url(b'{"alg":"EdDSA","kid":"k"}'), base64url(b"{}")])
    text = unsigned + b"." + base64url(private.sign(unsigned))
    parse_key({"kty": "OKP", "crv": "Ed448", "x": x}).verify(parse_token(text))


@pytest.mark.parametrize("key", [EC, RSA, ED], ids=lambda key: key.kid)
def test_no_signature_verifies_with_a_bit_changed(key: SigningKey) -> None:
    text = compact({"alg": key.algorithm, "kid": key.kid}, {}, key)
    signed, _, signature = text.rpartition(b".")
    raw = base64.urlsafe_b64decode(signature + b"==")
    for position in range(0, len(raw), 7):
        changed = raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]
        with pytest.raises(InvalidToken, match="signature"):
            parse_key(key.jwk).verify(parse_token(signed + b"." + base64url(changed)))


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(RSA, "RS512"), (RSA, "PS256"), (EC, "RS256"), (EC, "ES384"), (RSA, "ES256"), (ED, "ES256"), (EC, "HS256")],
    ids=lambda value: getattr(value, "kid", value),
)
def test_a_key_verifies_no_other_algorithm_than_its_own(key: SigningKey, algorithm: str) -> None:
    text = compact({"alg": key.algorithm, "kid": key.kid}, {}, key)
    header = base64url(json.dumps({"alg": algorithm, "kid": key.kid}).encode())
    with pytest.raises(InvalidToken, match="algorithm"):
        parse_key(key.jwk).verify(parse_token(header + text[text.index(b".") :]))


N, X = RSA.jwk["n"], EC.jwk["x"]


def zero_before(number: str) -> str:
    """Return the same number with one octet more."""
    return base64url(b"\0" + base64.urlsafe_b64decode(number + "==")).decode()


# A power of 65537, the 0th, modulo every prime that the generator's moduli are told by.
ROCA = 1 + 2 * math.prod([11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157])
ROCA += (ROCA - 1) * ((2**2047) // (ROCA - 1))
WEAK = SigningKey.generate("weak", "RS256", bits=1024)
LARGE_N = base64url(b"\xff" * 2048).decode()
MEMBERS = ["kty", "use", "key_ops", "alg", "kid", "crv", "x", "y", "n", "e", "d", "k", "x5c", "x5t", "x5t#S256"]
REFUSED: dict[str, dict[str, Any]] = {
    "a symmetric key": {"kty": "oct", "k": "AAAA", "kid": "k"},
    "an unknown kind": {**EC.jwk, "kty": "AKP"},
    "no kind": without(EC.jwk, "kty"),
    "a private EC key": {**EC.jwk, "d": X},
    "a private RSA key": {**RSA.jwk, "d": N, "p": N, "q": N},
    "a private Edwards key": {**ED.jwk, "d": ED.jwk["x"]},
    "a key for encryption": {**EC.jwk, "use": "enc"},
    "a use that is null": {**EC.jwk, "use": None},
    "operations without verify": {**EC.jwk, "key_ops": ["encrypt"]},
    "operations in one string": {**EC.jwk, "key_ops": "verify"},
    "an algorithm that does not fit the curve": {**EC.jwk, "alg": "ES384"},
    "an algorithm that does not fit the kind": {**EC.jwk, "alg": "RS256"},
    "a symmetric algorithm": {**RSA.jwk, "alg": "HS256"},
    "an algorithm for encryption": {**RSA.jwk, "alg": "RSA-OAEP"},
    "an algorithm that nobody knows": {**EC.jwk, "alg": "ES521"},
    "an algorithm that is a list": {**EC.jwk, "alg": ["ES256"]},
    "a name that is a number": {**EC.jwk, "kid": 1},
    "an empty name": {**EC.jwk, "kid": ""},
    "an RSA key of 1024 bits": WEAK.jwk,
    "an RSA key of 16384 bits": {**RSA.jwk, "n": LARGE_N},
    "an RSA exponent of 1": {**RSA.jwk, "e": "AQ"},
    "an RSA exponent of 3": {**RSA.jwk, "e": "Aw"},
    "an even RSA exponent": {**RSA.jwk, "e": "AQAC"},
    "a huge RSA exponent": {**RSA.jwk, "e": N},
    "an even RSA modulus": {**RSA.jwk, "n": base64url(b"\xff" * 255 + b"\xfe").decode()},
    "an RSA modulus of the ROCA generator": {**RSA.jwk, "n": base64url(ROCA.to_bytes(256, "big")).decode()},
    "an RSA modulus with a leading zero": {**RSA.jwk, "n": zero_before(N)},
    "an RSA exponent with a leading zero": {**RSA.jwk, "e": zero_before("AQAB")},
    "an RSA modulus with padding": {**RSA.jwk, "n": N + "=="},
    "an RSA modulus in plain base64": {**RSA.jwk, "n": "+/" + N[2:]},
    "an RSA modulus that is a number": {**RSA.jwk, "n": 65537},
    "an RSA key without exponent": without(RSA.jwk, "e"),
    "a point off the curve": {**EC.jwk, "y": X},
    "a point at zero": {**EC.jwk, "x": "A" * 43, "y": "A" * 43},
    "a short coordinate": {**EC.jwk, "x": X[:-4]},
    "a coordinate with a leading zero": {**EC.jwk, "x": zero_before(X)},
    "no coordinate": without(EC.jwk, "y"),
    "another curve's point": {**without(EC.jwk, "alg"), "crv": "P-384"},
    "a curve without an algorithm here": {**without(EC.jwk, "alg"), "crv": "secp256k1"},
    "a curve that is a list": {**EC.jwk, "crv": ["P-256"]},
    "an Edwards key that is too short": {**ED.jwk, "x": ED.jwk["x"][:-4]},
    "a key for key agreement": {**without(ED.jwk, "alg"), "crv": "X25519"},
    "a thumbprint that is a number": {**EC.jwk, "x5t": 1},
    "an empty certificate chain": {**EC.jwk, "x5c": []},
    "a certificate that is none": {**EC.jwk, "x5c": ["AAAA"]},
    "a certificate in base64url": {**EC.jwk, "x5c": ["-_-_"]},
    "a certificate that is no text": {**EC.jwk, "x5c": ["ä"]},
}


@pytest.mark.parametrize("entry", REFUSED.values(), ids=REFUSED)
def test_a_key_is_dropped_that_is(entry: dict[str, Any]) -> None:
    with pytest.raises(InvalidKey):
        parse_key(entry)
    kept = key_set(entry, {**ED.jwk, "kid": "good"})
    assert kept.kids == ["good"]
    assert len(kept.dropped) == 1
    assert kept.dropped[0].startswith("key 0: ")


def certificate(key: SigningKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp")])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder(name, name, key.private.public_key(), 7)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
    )
    return builder.sign(key.private, hashes.SHA256()).public_bytes(Encoding.DER)


CERTIFICATE = certificate(RSA)
X5C = base64.b64encode(CERTIFICATE).decode()
X5T = base64url(hashlib.sha1(CERTIFICATE).digest()).decode()


def test_a_certificate_must_hold_the_key_that_it_comes_with() -> None:
    assert parse_key({**RSA.jwk, "x5c": [X5C], "x5t": X5T}).kid == "rsa"
    other = SigningKey.generate("rsa", "RS256")
    for entry in ({**other.jwk, "x5c": [X5C]}, {**RSA.jwk, "x5c": [X5C], "x5t": X5T[::-1]}):
        with pytest.raises(InvalidKey, match="certificate"):
            parse_key(entry)


def test_a_token_that_names_a_certificate_names_that_of_its_key() -> None:
    published = parse_key({**RSA.jwk, "x5c": [X5C]})
    published.verify(token(RSA, x5t=X5T))
    parse_key({**RSA.jwk, "x5t": X5T}).verify(token(RSA, x5t=X5T))
    for entry, header in (({"x5c": [X5C]}, {"x5t": X5T[::-1]}), ({"x5t": X5T}, {"x5t#S256": X5T}), ({}, {"x5t": X5T})):
        with pytest.raises(InvalidToken, match="thumbprint"):
            parse_key({**RSA.jwk, **entry}).verify(token(RSA, **header))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"keys":null}',
        b'{"keys":{}}',
        b'{"keys":["a"]}',
        b'{"keys":[]}',
        b'{"keys":[],"keys":[]}',
        b'{"keys":[{}]}',
        json.dumps({"keys": [EC.jwk] * 101}).encode(),
    ],
)
def test_a_set_without_a_key_is_an_error_and_never_means_no_check(raw: bytes) -> None:
    with pytest.raises(InvalidKey):
        parse_jwks(raw)


def test_keys_of_one_name_are_all_dropped() -> None:
    twin = {**SigningKey.generate("ec").jwk, "kid": "ec"}
    kept = key_set(EC.jwk, twin, ED.jwk)
    assert kept.kids == ["ed"]
    assert kept.dropped == ("1 key ids name several keys",)
    with pytest.raises(InvalidKey, match="several keys"):
        key_set(EC.jwk, twin)


def test_a_key_for_encryption_does_not_take_the_name_of_one_for_signatures() -> None:
    assert key_set(EC.jwk, {**RSA.jwk, "kid": "ec", "use": "enc", "alg": "RSA-OAEP"}).kids == ["ec"]


def test_a_token_finds_the_key_that_it_names() -> None:
    keys = key_set(EC.jwk, RSA.jwk)
    assert keys.find(token(RSA)) == parse_key(RSA.jwk)
    assert keys.find(token(EC, kid="other")) is None
    assert keys.find(token(EC, kid="EC")) is None


def test_a_token_that_names_no_key_needs_exactly_one_that_fits() -> None:
    keys = key_set(EC.jwk, RSA.jwk)
    assert keys.find(token(EC, kid=None)) == parse_key(EC.jwk)
    assert keys.find(token(ED, kid=None)) is None
    with pytest.raises(InvalidToken, match="name its key"):
        key_set(EC.jwk, SigningKey.generate("second").jwk).find(token(EC, kid=None))


def test_a_named_token_is_not_verified_by_a_nameless_key() -> None:
    assert key_set(without(EC.jwk, "kid")).find(token(EC)) is None
    assert key_set(without(EC.jwk, "kid")).find(token(EC, kid=None)) is not None


def test_sets_are_equal_when_their_keys_are() -> None:
    assert key_set(EC.jwk, RSA.jwk) == key_set(RSA.jwk, EC.jwk)
    assert key_set(EC.jwk) != key_set(without(EC.jwk, "alg"), RSA.jwk)
    assert key_set(RSA.jwk) != key_set(without(RSA.jwk, "alg"))
    assert parse_key(EC.jwk) in key_set(EC.jwk)
    assert parse_key(EC.jwk) not in key_set({**SigningKey.generate("ec").jwk})


odd_values = st.none() | st.booleans() | st.integers(-2, 2**64) | st.floats() | st.text(max_size=4) | st.binary().map(
    lambda raw: base64url(raw).decode()
) | st.sampled_from([[], {}, [1], ["verify"], [{}], "AQAB", "P-256", "RSA", "EC", "OKP", "sig", "ES256"])  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([EC.jwk, RSA.jwk, ED.jwk]), st.dictionaries(st.sampled_from(MEMBERS), odd_values, max_size=3))
def test_a_key_with_any_member_of_any_kind_is_read_or_refused(entry: dict[str, Any], odd: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidKey):
        parse_key({**entry, **odd})
