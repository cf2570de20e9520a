"""The memory of what was verified: tokens and assertions, each as long as what its proof rests on.

It knows no request. What is remembered was proven by whoever remembers it.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256

from proxy.identity.jwks import Key
from proxy.identity.keys import KeySource
from proxy.identity.principal import Principal

# Tokens are remembered as long as their text is this long on average: what is remembered of one is four times its text,
# so ten thousand take 80 MB at most, and those of a usual size 20 MB.
_REMEMBERED_BYTES = 2048


class Verified:
    """A token that was verified, and what that rests on."""

    __slots__ = ("expires", "key", "keys", "principal", "size", "source")

    def __init__(self, principal: Principal, expires: float, size: int, source: KeySource, key: Key) -> None:
        self.principal = principal
        self.expires = expires
        self.size = size
        self.source = source
        self.key = key
        self.keys = source.keys

    def holds(self, now: float) -> bool:
        """Whether it has not expired, its issuer's keys are fresh, and its key has not been withdrawn."""
        source = self.source
        if now >= self.expires or not source.usable:
            return False
        if self.keys is not source.keys:
            if source.keys is None or self.key not in source.keys:
                return False
            self.keys = source.keys
        return True


class Memory:
    """Verified tokens by the digest of their credential: the least recently used goes first.

    A digest, for a dump of memory must not hold credentials. SHA-256 is the quickest where processors have it built in.
    """

    __slots__ = ("_bytes", "_capacity", "_verified")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._bytes = 0
        self._verified: OrderedDict[bytes, Verified] = OrderedDict()

    def __len__(self) -> int:
        return len(self._verified)

    def recall(self, credential: bytes, now: float) -> Verified | None:
        """Return what was verified, if it still holds."""
        digest = sha256(credential).digest()
        verified = self._verified.get(digest)
        if verified is None:
            return None
        if not verified.holds(now):
            self._bytes -= self._verified.pop(digest).size
            return None
        self._verified.move_to_end(digest)
        return verified

    def remember(self, credential: bytes, verified: Verified) -> None:
        """Keep what was verified, and forget what there is no room for."""
        digest = sha256(credential).digest()
        if (before := self._verified.pop(digest, None)) is not None:
            self._bytes -= before.size
        self._verified[digest] = verified
        self._bytes += verified.size
        while len(self._verified) > self._capacity or self._bytes > self._capacity * _REMEMBERED_BYTES:
            self._bytes -= self._verified.popitem(last=False)[1].size
