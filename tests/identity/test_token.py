from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.identity.token import (
    DEPTH,
    InvalidToken,
    decode_base64url,
    parse_object,
    parse_token,
    split_jws,
)
from proxy.policy.scalars import check_input
from tests.issuer import SigningKey, base64url, compact

KEY = SigningKey.generate("key-1")
HEADER = {"alg": "ES256", "typ": "at+jwt", "kid": "key-1"}
CLAIMS = {"iss": "https://idp.example.org", "sub": "ana"}


def test_a_token_is_its_header_and_claims_and_what_was_signed() -> None:
    text = compact(HEADER, CLAIMS, KEY)
    token = parse_token(text)
    assert (token.algorithm, token.kid, token.claims) == ("ES256", "key-1", CLAIMS)
    assert token.signing_input == text.rpartition(b".")[0]
    assert len(token.signature) == 64


@pytest.mark.parametrize("kind", ["at+jwt", "AT+JWT", "application/at+jwt", "JWT", "jwt", None])
def test_an_access_token_says_so_or_says_nothing(kind: str | None) -> None:
    header = HEADER | {"typ": kind} if kind else {"alg": "ES256"}
    assert parse_token(compact(header, CLAIMS, KEY)).claims == CLAIMS


HEADERS: dict[str, dict[str, Any]] = {
    "a logout token": {"typ": "logout+jwt"},
    "a DPoP proof": {"typ": "dpop+jwt"},
    "a security event": {"typ": "secevent+jwt"},
    "an ID token by a type of its own": {"typ": "id+jwt"},
    "a type that is null": {"typ": None},
    "a type that is a list": {"typ": ["JWT"]},
    "an unknown critical member": {"crit": ["foo"], "foo": 1},
    "no critical member": {"crit": []},
    "a critical string": {"crit": "b64"},
    "a critical claim": {"crit": ["exp"]},
    "an unencoded payload": {"crit": ["b64"], "b64": False},
    "an unencoded payload that is not critical": {"b64": False},
    "even the default encoding, said aloud": {"b64": True},
    "a nested token": {"cty": "JWT"},
    "compression": {"zip": "DEF"},
    "encryption": {"enc": "A256GCM"},
    "its own key": {"jwk": KEY.jwk},
    "where its keys are": {"jku": "https://evil.example/jwks"},
    "where its certificate is": {"x5u": "https://evil.example/c.pem"},
    "its own certificate": {"x5c": ["MIIB"]},
    "an algorithm that is null": {"alg": None},
    "an algorithm that is a number": {"alg": 1},
    "an algorithm that is a list": {"alg": ["ES256"]},
    "a key id that is a number": {"kid": 1},
    "a key id that is null": {"kid": None},
    "a key id that is a list": {"kid": ["key-1"]},
    "a key id that is empty": {"kid": ""},
    "a key id with NUL": {"kid": "a\0b"},
    "a key id of two lines": {"kid": "a\nb"},
    "a key id of a kilobyte": {"kid": "k" * 1024},
    "a thumbprint that is a number": {"x5t": 1},
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_header_is_refused_that_says(header: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        parse_token(compact(HEADER | header, CLAIMS, KEY))


def test_a_header_without_algorithm_is_refused() -> None:
    with pytest.raises(InvalidToken, match="name its algorithm"):
        parse_token(compact({"kid": "key-1"}, CLAIMS, KEY))


GOOD = compact(HEADER, CLAIMS, KEY)
HEAD, BODY, SIGNATURE = GOOD.split(b".")
SHAPES: dict[str, bytes] = {
    "nothing": b"",
    "an opaque token": b"2YotnFZFEjr1zCsicMWpAA",
    "two parts": HEAD + b"." + BODY,
    "four parts": GOOD + b".e30",
    "five parts, as a JWE": GOOD + b"..e30",
    "no header": b"." + BODY + b"." + SIGNATURE,
    "no signature": HEAD + b"." + BODY + b".",
    "no payload": HEAD + b".." + SIGNATURE,
    "padding": GOOD + b"=",
    "percent-encoded padding": GOOD + b"%3D",
    "white space inside": HEAD + b". " + BODY + b"." + SIGNATURE,
    "white space behind": GOOD + b"\n",
    "plain base64": HEAD + b"." + BODY + b"." + b"+/" * 43,
    "a bit too much at the end": GOOD[:-1] + (b"B" if GOOD[-1:] in b"AQgw" else b"_"),
    "a character that encodes nothing": GOOD + b"AAA",
    "letters outside ASCII": HEAD + b"." + "ä".encode() + b"." + SIGNATURE,
    "the flattened JSON serialization": json.dumps({"payload": "e30", "protected": "e30", "signature": "e30"}).encode(),
    "JSON with dots": b'{"payload":"..","signatures":[]}',
}


@pytest.mark.parametrize("text", SHAPES.values(), ids=SHAPES)
def test_what_is_no_compact_token_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidToken):
        parse_token(text)


DOCUMENTS: dict[str, bytes] = {
    "nothing": b"",
    "a list": b"[]",
    "a string": b'"a"',
    "a number": b"1",
    "null": b"null",
    "a name twice": b'{"sub":"a","sub":"b"}',
    "a name twice, once escaped": b'{"sub":"a","s\\u0075b":"b"}',
    "a name twice, deep inside": b'{"a":[{"b":{"c":1,"c":1}}]}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"),
    "UTF-16 without a mark": '{"a":1}'.encode("utf-16-le"),
    "UTF-32": "{}".encode("utf-32"),
    "invalid UTF-8": b'{"a":"\xff"}',
    "an overlong slash": b'{"a":"\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"a":"\xed\xa0\x80"}',
    "a lone surrogate": b'{"a":"\\ud800"}',
    "a lone surrogate in a name": b'{"\\udfff":1}',
    "surrogates in the wrong order": b'{"a":["\\udc00\\ud800"]}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":Infinity}',
    "minus Infinity": b'{"a":-Infinity}',
    "a number too large to be finite": b'{"a":1e999}',
    "an integer of 65 bits": b'{"a":18446744073709551616}',
    "an integer above 63 bits": b'{"a":9223372036854775808}',
    "an integer below 63 bits": b'{"a":-9223372036854775809}',
    "an integer of a thousand digits": b'{"a":' + b"9" * 1000 + b"}",
    "a leading zero": b'{"a":01}',
    "hexadecimal": b'{"a":0x1}',
    "single quotes": b"{'a':1}",
    "a trailing comma": b'{"a":1,}',
    "a comment": b'{"a":1/**/}',
    "a raw control character": b'{"a":"\n"}',
    "garbage behind": b"{}x",
    "a second document": b"{}{}",
    "NUL behind": b"{}\0",
    "one level too many": b'{"a":' + b"[" * DEPTH + b"]" * DEPTH + b"}",
    "ten thousand levels": b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "ten thousand levels without an end": b'{"a":' * 10_000,
}


@pytest.mark.parametrize("raw", DOCUMENTS.values(), ids=DOCUMENTS)
def test_json_is_refused_that_two_readers_could_read_differently(raw: bytes) -> None:
    with pytest.raises(InvalidToken):
        parse_object(raw)
    for header, payload in ((raw, b"{}"), (b'{"alg":"ES256"}', raw)):
        with pytest.raises(InvalidToken):
            parse_token(compact(header, payload, KEY))


def test_json_of_the_deepest_kind_is_read() -> None:
    assert parse_object(b'{"a":' + b"[" * (DEPTH - 1) + b"]" * (DEPTH - 1) + b"}")


def test_many_brackets_that_do_not_nest_are_read() -> None:
    assert parse_object(b'{"a":[' + b",".join([b"{}"] * 100) + b"]}") == {"a": [{}] * 100}


def test_numbers_keep_their_value() -> None:
    document = parse_object(b'{"a":-0,"b":9223372036854775807,"c":-9223372036854775808,"d":1.5,"e":1e3}')
    assert document == {"a": 0, "b": 2**63 - 1, "c": -(2**63), "d": 1.5, "e": 1000.0}


def test_characters_outside_the_first_plane_are_read_from_both_halves() -> None:
    assert parse_object(b'{"a":"\\ud83d\\ude00"}') == {"a": "\N{GRINNING FACE}"}


def test_a_refusal_holds_nothing_of_the_token() -> None:
    secret = "s3cr3t-subject"
    for raw in (b'{"%s":1,"%s":2}' % (secret.encode(), secret.encode()), b'{"%s":}' % secret.encode()):
        with pytest.raises(InvalidToken) as refused:
            parse_token(compact(HEADER, raw, KEY))
        assert secret not in str(refused.value)


@given(st.binary(max_size=200))
def test_base64url_has_one_spelling(raw: bytes) -> None:
    assert decode_base64url(base64url(raw)) == raw


@given(st.binary(max_size=40))
def test_whatever_is_decoded_encodes_to_the_same_text(text: bytes) -> None:
    try:
        decoded = decode_base64url(text)
    except ValueError:
        return
    assert base64url(decoded) == text


@given(st.binary(max_size=300))
def test_any_bytes_are_a_token_or_refused(raw: bytes) -> None:
    with pytest.raises(InvalidToken):
        parse_token(raw)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text(max_size=3), json_values, max_size=3))
def test_every_sound_object_is_read_as_it_is(document: dict[str, Any]) -> None:
    assert parse_object(json.dumps(document).encode()) == document


def test_the_parts_of_a_token_are_decoded_before_they_are_read() -> None:
    header, payload, signature, signing_input = split_jws(GOOD)
    assert (json.loads(header), json.loads(payload)) == (HEADER, CLAIMS)
    assert (signature, signing_input) == (parse_token(GOOD).signature, HEAD + b"." + BODY)


def test_claims_that_are_read_are_never_too_deep_for_a_policy_input() -> None:
    deepest = parse_object(b'{"a":' * (DEPTH - 1) + b"{}" + b"}" * (DEPTH - 1))
    check_input({"principal": {"claims": deepest}})
