"""`crypto.md5`, `crypto.sha…` and `crypto.hmac.*`: digests of texts, in hexadecimal."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Final

from proxy.policy.builtins.operands import text

_DIGESTS: Final = ("md5", "sha1", "sha256")
_MACS: Final = ("md5", "sha1", "sha256", "sha512")


def hmac_equal(first: object, second: object) -> bool:
    """Compare two digests in a time that tells nothing of them."""
    return hmac.compare_digest(text(first).encode(), text(second).encode())


def _digest(name: str) -> Callable[[object], str]:
    # The policy asks for what a client or an old system uses; nothing of ours rests on MD5 or SHA-1.
    return lambda value: hashlib.new(name, text(value).encode(), usedforsecurity=False).hexdigest()


def _mac(name: str) -> Callable[[object, object], str]:
    return lambda message, key: hmac.new(text(key).encode(), text(message).encode(), name).hexdigest()


DIGESTS: Final = {f"crypto.{name}": _digest(name) for name in _DIGESTS}
MACS: Final = {f"crypto.hmac.{name}": _mac(name) for name in _MACS}
