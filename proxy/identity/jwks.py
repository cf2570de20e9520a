"""A JSON Web Key Set: which of an issuer's keys may verify which token (RFC 7517, 7518, 8037).

It knows bytes and keys: no socket, no clock, no issuer. A key that is private, symmetric, weak, meant for something
else, or called like another is dropped with its reason; only what is left can verify anything.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import Algorithm, ECAlgorithm, OKPAlgorithm, RSAAlgorithm, RSAPSSAlgorithm

from proxy.identity.token import THUMBPRINTS, InvalidToken, Token, decode_base64url, parse_object

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey

_KEYS = 100  # of a set; the largest public ones hold about ten
_RSA_BITS = range(2048, 8192 + 1)  # below: weak (NIST SP 800-131A); above: slow enough to be an attack
_RSA_EXPONENT = range(2**16 + 1, 2**64)  # FIPS 186-5 section A.1.1; above 64 bits OpenSSL refuses

_VERIFIERS: dict[str, Algorithm] = {
    "RS256": RSAAlgorithm(RSAAlgorithm.SHA256),
    "RS384": RSAAlgorithm(RSAAlgorithm.SHA384),
    "RS512": RSAAlgorithm(RSAAlgorithm.SHA512),
    "PS256": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA256),
    "PS384": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA384),
    "PS512": RSAPSSAlgorithm(RSAPSSAlgorithm.SHA512),
    "ES256": ECAlgorithm(ECAlgorithm.SHA256, ec.SECP256R1),
    "ES384": ECAlgorithm(ECAlgorithm.SHA384, ec.SECP384R1),
    "ES512": ECAlgorithm(ECAlgorithm.SHA512, ec.SECP521R1),
    "EdDSA": OKPAlgorithm(),
}
_RSA_ALGORITHMS = frozenset(name for name in _VERIFIERS if name[0] in "RP")

# Per curve: its class, the bytes of a coordinate, and the one algorithm that fits (RFC 7518 section 3.4).
_CURVES: dict[str, tuple[Callable[[], ec.EllipticCurve], int, str]] = {
    "P-256": (ec.SECP256R1, 32, "ES256"),
    "P-384": (ec.SECP384R1, 48, "ES384"),
    "P-521": (ec.SECP521R1, 66, "ES512"),
}
_EDWARDS: dict[str, Callable[[bytes], PublicKey]] = {
    "Ed25519": ed25519.Ed25519PublicKey.from_public_bytes,
    "Ed448": ed448.Ed448PublicKey.from_public_bytes,
}
# Whoever publishes one of these has given the key away (RFC 7518 sections 6.2.2, 6.3.2, 6.4.1).
_PRIVATE_MEMBERS = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")


class InvalidKey(ValueError):  # noqa: N818 - what it says of the key, not of us
    """A key, or a set of them, that breaks a rule. The text states the rule."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key that may verify tokens.

    Args:
        kid: its name, or None.
        algorithms: the algorithms that it may verify.
        thumbprints: `x5t` and `x5t#S256` of its certificate, where it has one.
        spki: the key itself, DER; two keys are one if these and the rest are equal.
        public: the key as an object.
    """

    kid: str | None
    algorithms: frozenset[str]
    thumbprints: tuple[tuple[str, str], ...]
    spki: bytes
    public: PublicKey = field(compare=False, repr=False)

    def verify(self, token: Token) -> None:
        """Verify a token's signature. Raise InvalidToken unless this key made it with the algorithm it names."""
        if token.algorithm not in self.algorithms:
            raise InvalidToken("algorithm must fit the key")
        if not token.certificate.items() <= set(self.thumbprints):
            raise InvalidToken("certificate thumbprint must be that of the key")
        if not _VERIFIERS[token.algorithm].verify(token.signing_input, self.public, token.signature):
            raise InvalidToken("signature must be valid")


class KeySet:
    """The usable keys of one issuer at one time. It does not change; a refresh makes another.

    Args:
        keys: keys of which no two have the same `kid`.
        dropped: why others are not among them, a sentence each.
    """

    __slots__ = ("_by_kid", "_keys", "dropped")

    def __init__(self, keys: Iterable[Key], dropped: tuple[str, ...] = ()) -> None:
        self._keys = tuple(keys)
        self._by_kid = {key.kid: key for key in self._keys if key.kid is not None}
        self.dropped = dropped

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: Key) -> bool:
        return key in self._keys

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeySet) and set(self._keys) == set(other._keys)

    __hash__ = None  # type: ignore[assignment]

    @property
    def kids(self) -> list[str]:
        """The names of the keys that have one, in order."""
        return sorted(self._by_kid)

    def find(self, token: Token) -> Key | None:
        """Return the key that a token names, or, if it names none, the only one that fits; None: not here.

        Raises:
            InvalidToken: no key is named and several fit. They are not tried in turn: a token says which key made it.
        """
        if token.kid is not None:
            return self._by_kid.get(token.kid)
        fitting = [key for key in self._keys if token.algorithm in key.algorithms]
        if len(fitting) > 1:
            raise InvalidToken("token must name its key where several fit")
        return fitting[0] if fitting else None


def parse_jwks(raw: bytes) -> KeySet:
    """Return the usable keys of a JWK set.

    Raises:
        InvalidKey: it is no JWK set, or none of its keys can be used. An empty set never means "no check".
    """
    try:
        entries = parse_object(raw).get("keys")
    except InvalidToken as broken:
        raise InvalidKey(str(broken)) from None
    if type(entries) is not list or not all(type(entry) is dict for entry in entries):
        raise InvalidKey("keys must be a list of objects")
    if len(entries) > _KEYS:
        raise InvalidKey(f"a key set must have at most {_KEYS} keys")
    keys, dropped = _usable(entries)
    if not keys:
        raise InvalidKey("; ".join(["no key can be used", *dropped]))
    return KeySet(keys, tuple(dropped))


def _usable(entries: list[dict[str, Any]]) -> tuple[list[Key], list[str]]:
    keys: list[Key] = []
    dropped: list[str] = []
    for position, entry in enumerate(entries):
        try:
            keys.append(parse_key(entry))
        except InvalidKey as broken:
            dropped.append(f"key {position}: {broken}")
    names = Counter(key.kid for key in keys if key.kid is not None)
    twice = {name for name, count in names.items() if count > 1}
    if twice:
        dropped.append(f"{len(twice)} key ids name several keys")  # which one was meant would be a guess
    return [key for key in keys if key.kid not in twice], dropped


def parse_key(entry: dict[str, Any]) -> Key:
    """Return the key of one JWK. Raise InvalidKey where it must not verify tokens."""
    if any(member in entry for member in _PRIVATE_MEMBERS):
        raise InvalidKey("a published key must be public")
    kid = entry.get("kid")
    if "kid" in entry and (type(kid) is not str or not kid):
        raise InvalidKey("key id must be a string")
    if entry.get("use", "sig") != "sig":
        raise InvalidKey("key must be for signatures")
    if "key_ops" in entry and (type(entry["key_ops"]) is not list or "verify" not in entry["key_ops"]):
        raise InvalidKey("key must be for verifying")
    public, algorithms = _public_key(entry)
    if "alg" in entry:
        if type(entry["alg"]) is not str or entry["alg"] not in algorithms:
            raise InvalidKey("algorithm must fit the key")
        algorithms = frozenset({entry["alg"]})
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Key(kid, algorithms, _thumbprints(entry, spki), spki, public)


def _public_key(entry: dict[str, Any]) -> tuple[PublicKey, frozenset[str]]:
    kind = entry.get("kty")
    try:
        if kind == "RSA":
            return _rsa_key(entry), _RSA_ALGORITHMS
        if kind == "EC":
            return _ec_key(entry)
        if kind == "OKP":
            return _edwards_key(entry), frozenset({"EdDSA"})
    except InvalidKey:
        raise
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidKey("key must be mathematically sound") from None  # off the curve, even exponent …
    raise InvalidKey("key type must be RSA, EC or OKP")


def _rsa_key(entry: dict[str, Any]) -> rsa.RSAPublicKey:
    modulus, exponent = _unsigned(entry, "n"), _unsigned(entry, "e")
    if modulus.bit_length() not in _RSA_BITS:
        raise InvalidKey(f"RSA key must have {_RSA_BITS[0]} to {_RSA_BITS[-1]} bits")
    if exponent not in _RSA_EXPONENT:
        raise InvalidKey("RSA exponent must be above 65536 and of at most 64 bits")
    if not modulus & 1 or _from_roca_generator(modulus):
        raise InvalidKey("RSA modulus must be odd, and not of a broken generator")
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _ec_key(entry: dict[str, Any]) -> tuple[ec.EllipticCurvePublicKey, frozenset[str]]:
    curve = entry.get("crv")
    if type(curve) is not str or curve not in _CURVES:
        raise InvalidKey(f"curve must be one of {', '.join(_CURVES)}")
    kind, size, algorithm = _CURVES[curve]
    x, y = _octets(entry, "x"), _octets(entry, "y")
    if len(x) != size or len(y) != size:
        raise InvalidKey(f"coordinates must have {size} octets")
    numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), kind())
    return numbers.public_key(), frozenset({algorithm})


def _edwards_key(entry: dict[str, Any]) -> PublicKey:
    curve = entry.get("crv")
    if type(curve) is not str or curve not in _EDWARDS:
        raise InvalidKey(f"curve must be one of {', '.join(_EDWARDS)}")
    return _EDWARDS[curve](_octets(entry, "x"))


def _octets(entry: dict[str, Any], member: str) -> bytes:
    value = entry.get(member)
    try:
        if type(value) is str and value:
            return decode_base64url(value.encode("ascii"))
    except ValueError:
        pass
    raise InvalidKey(f"{member} must be canonical base64url")


def _unsigned(entry: dict[str, Any], member: str) -> int:
    octets = _octets(entry, member)
    if octets[0] == 0:
        raise InvalidKey(f"{member} must have no leading zero octet")  # RFC 7518 section 2, Base64urlUInt
    return int.from_bytes(octets, "big")


def _thumbprints(entry: dict[str, Any], spki: bytes) -> tuple[tuple[str, str], ...]:
    """Return what `x5t` and `x5t#S256` must be, from the certificate if there is one, else as the key says."""
    stated: dict[str, str] = {name: entry[name] for name in THUMBPRINTS if name in entry}
    if not all(type(value) is str for value in stated.values()):
        raise InvalidKey("certificate thumbprint must be a string")
    if "x5c" in entry:
        der = _certificate(entry["x5c"], spki)
        digests = {"x5t": hashlib.sha1(der, usedforsecurity=False), "x5t#S256": hashlib.sha256(der)}
        actual = {name: base64.urlsafe_b64encode(made.digest()).rstrip(b"=").decode() for name, made in digests.items()}
        if not stated.items() <= actual.items():
            raise InvalidKey("certificate thumbprint must be that of the certificate")
        stated = actual
    return tuple(sorted(stated.items()))


def _certificate(chain: object, spki: bytes) -> bytes:
    """Return the DER of `x5c`'s first certificate; it must hold the same key (RFC 7517 section 4.7)."""
    try:
        if type(chain) is list and chain and type(chain[0]) is str:
            der = base64.b64decode(chain[0], validate=True)
            public = x509.load_der_x509_certificate(der).public_key()
            if public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == spki:
                return der
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        pass
    raise InvalidKey("certificate must hold the key")


# CVE-2017-15361 (ROCA): such a modulus is a power of 65537 modulo each of these; of honest ones, 1 in 200 million is.
_ROCA_POWERS = {
    prime: frozenset(pow(65537, exponent, prime) for exponent in range(prime - 1))
    for prime in (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
}


def _from_roca_generator(modulus: int) -> bool:
    return all(modulus % prime in powers for prime, powers in _ROCA_POWERS.items())
