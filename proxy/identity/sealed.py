"""Sealed text: what we give away, or keep where others can read, and want back unread and unchanged.

AES-256-GCM under a key that is derived anew for each text, from one of a ring of keys: the first seals, all open, so
that a key is rotated by putting a new one before it. Key id, purpose and expiry are authenticated. It knows no cookie
and no store.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
import secrets
import stat
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION: Final = 1
_KEY_BYTES: Final = 32
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", re.ASCII)
_EXPIRY: Final = struct.Struct(">d")
_NEVER: Final = float("inf")
_FILE_BYTES: Final = 64 * 1024


class SealBroken(Exception):  # noqa: N818 - what happened to it
    """Sealed text that is not ours, not for this purpose, or was changed; its words are the rule, never the content."""


class SealExpired(SealBroken):
    """Sealed text that was ours, and good until lately."""


class Keyring:
    """Keys that seal and open.

    Args:
        keys: 32 bytes each, by id; the first seals.
    """

    __slots__ = ("_first", "_keys")

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise ValueError("there must be a key")
        for name, key in keys.items():
            if not _ID.fullmatch(name):
                raise ValueError("a key's id must be 1 to 32 letters, digits, `_`, `.` or `-`")
            if len(key) != _KEY_BYTES:
                raise ValueError(f"a key must have {_KEY_BYTES} bytes")
        self._keys = dict(keys)
        self._first = next(iter(self._keys))

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self._keys)})"

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the keys, the one that seals first."""
        return tuple(self._keys)

    @classmethod
    def of(cls, *keys: bytes) -> Keyring:
        """Return a keyring of keys without a file; the first seals."""
        return cls({f"k{number}": key for number, key in enumerate(keys)})

    @classmethod
    def load(cls, path: Path) -> Keyring:
        """Read a keyring: an id, a space and 32 bytes in Base64 on each line; `#` begins a comment.

        Raises:
            OSError: the file cannot be read.
            ValueError: with the rule, and nothing of a key.
        """
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & stat.S_IROTH:
                raise ValueError("keys must not be readable by the world")
            content = file.read(_FILE_BYTES + 1)
        if len(content) > _FILE_BYTES:
            raise ValueError(f"keys must have at most {_FILE_BYTES} bytes")
        return cls(_parse(content))

    @classmethod
    def load_or_make(cls, path: Path) -> Keyring:
        """Read a keyring, and make it first if there is none: readable to its owner alone.

        Processes that start at once end with the same one: a file appears whole, and only where there was none.
        """
        try:
            return cls.load(path)
        except FileNotFoundError:
            _make(path)
            return cls.load(path)

    def seal(self, purpose: str, data: bytes, *, expires: float | None = None) -> str:
        """Return data as text that only this keyring opens, for the same purpose.

        Args:
            purpose: what it is for; another purpose does not open it.
            data: what is to be sealed.
            expires: POSIX seconds from which it does not open, or None.
        """
        name = self._first.encode("ascii")
        expiry = _EXPIRY.pack(_NEVER if expires is None else expires)
        header = bytes((_VERSION, len(name))) + name + expiry + secrets.token_bytes(_SALT_BYTES)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = _cipher(self._keys[self._first], header).encrypt(nonce, data, header + purpose.encode())
        return base64.urlsafe_b64encode(header + nonce + sealed).rstrip(b"=").decode("ascii")

    def open(self, purpose: str, text: str, now: float) -> bytes:
        """Return what was sealed.

        Args:
            purpose: the one that it was sealed for.
            text: from `seal`.
            now: POSIX seconds.

        Raises:
            SealExpired: it is ours and too old.
            SealBroken: it is not ours, or not for this.
        """
        header, nonce, sealed, name, expires = _split(_decoded(text))
        key = self._keys.get(name)
        if key is None:
            raise SealBroken("sealed text must be of a key that is known")
        try:
            data = _cipher(key, header).decrypt(nonce, sealed, header + purpose.encode())
        except InvalidTag:
            raise SealBroken("sealed text must be ours, unchanged and for this purpose") from None
        if not now < expires:
            raise SealExpired("sealed text must not have expired")
        return data


def _cipher(key: bytes, header: bytes) -> AESGCM:
    """Return the cipher of one text.

    Random nonces of 96 bits would wear a key out after 2^32 texts (NIST SP 800-38D section 8.3), and strangers can have
    us seal as many as they ask for. A key of its own for each salt of 128 bits moves that out of reach.
    """
    return AESGCM(hmac.digest(key, header, "sha256"))


def _decoded(text: str) -> bytes:
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise SealBroken("sealed text must be base64url") from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != text.encode("ascii"):  # one content has one spelling
        raise SealBroken("sealed text must be base64url")
    return raw


def _split(raw: bytes) -> tuple[bytes, bytes, bytes, str, float]:
    """Return header, nonce, what is sealed, the key's id and the expiry."""
    if len(raw) < 2 or raw[0] != _VERSION:
        raise SealBroken("sealed text must be of a version that is known")
    named = 2 + raw[1]
    end = named + _EXPIRY.size + _SALT_BYTES
    if len(raw) < end + _NONCE_BYTES + _TAG_BYTES:
        raise SealBroken("sealed text must be whole")
    (expires,) = _EXPIRY.unpack_from(raw, named)
    name = raw[2:named].decode("ascii", "replace")
    return raw[:end], raw[end : end + _NONCE_BYTES], raw[end + _NONCE_BYTES :], name, expires


def _parse(content: bytes) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        name, _, rest = line.partition("#")[0].strip().partition(" ")
        if not name:
            continue
        try:
            key = base64.b64decode(rest.strip(), validate=True)
        except ValueError:
            key = b""
        if len(key) != _KEY_BYTES:
            raise ValueError(f"line {number} must be an id, a space and {_KEY_BYTES} bytes in Base64")
        if name in keys:
            raise ValueError(f"line {number} must have an id of its own")
        keys[name] = key
    return keys


def _make(path: Path) -> None:
    """Write a keyring of one key where there is none."""
    line = f"{secrets.token_hex(4)} {base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode('ascii')}\n"
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(line.encode("ascii"))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was quicker, and its keys are the ones
    finally:
        draft.unlink()
