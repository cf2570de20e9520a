"""The last head of a connection, so that one which repeats its fields needs no parser: a client mostly repeats itself.

llhttp has judged every one of its lines. Where the next head has the same bytes from its request line on, all that is
left to read is its target, by rules that need no llhttp, and its credential, which is compared.
"""

from __future__ import annotations

from proxy.errors import Refused
from proxy.http.message import NO_BODY, BodyKind, Proof, RequestHead
from proxy.http.target import plain_target

LONGEST_REMEMBERED = 4096  # bytes of a head that a connection remembers
_AUTHORIZATION = b"\r\nauthorization:"
# Visible ASCII and space, which a value may hold but not begin or end with.
_FIELD_CONTENT = bytes(range(0x20, 0x7F))


_CREDENTIALS = frozenset({b"authorization", b"proxy-authorization", b"cookie"})


class Common:
    """The last head of all connections that carries no credential: a new client mostly says what others have said.

    It is compared byte for byte as a connection's own last head is; what may prove somebody stays with its connection.
    """

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last: Remembered | None = None

    def note(self, last: Remembered) -> None:
        """Keep a head for connections to come, unless it carries what may be a credential."""
        if not any(name in _CREDENTIALS for name, _ in last.headers):
            self.last = last


class Remembered:
    """A head without a body, cut at its credential: the next one differs in its target, and now and then in that.

    Args:
        head: as it was parsed.
        before, after: its bytes from the end of the request line up to the credential, and those behind it.
        credential: the value of `authorization`, or empty where there is none and `after` is.
        host: the value of its one Host field.
        position: of the `authorization` field in the head's list, or None.
    """

    __slots__ = ("after", "before", "credential", "head", "headers", "host", "position", "proof", "protocol")

    def __init__(
        self, head: RequestHead, before: bytes, credential: bytes, after: bytes, host: bytes, position: int | None
    ) -> None:
        self.head = head
        self.headers = head.headers
        self.proof = head.proof
        self.before = before
        self.credential = credential
        self.after = after
        self.host = host
        self.position = position
        self.protocol = b"HTTP/1.1" if head.version == (1, 1) else b"HTTP/1.0"

    def repeated(self, raw: bytes, target_length: int) -> RequestHead | None:
        """Return a head if its fields are, but for the credential, these, and its target is plain; else None.

        Args:
            raw: the bytes of a head, its empty line included, within their bound.
            target_length: the most bytes of a target.
        """
        line = raw.find(b"\r\n")
        if not raw.startswith(self.before, line) or not raw.endswith(self.after):
            return None
        ends, begins = len(raw) - len(self.after), line + len(self.before)
        parts = raw[:line].split(b" ")
        head = self.head
        if ends < begins or len(parts) != 3 or parts[0] != head.method or parts[2] != self.protocol:
            return None
        target = parts[1]
        try:
            goes_to = plain_target(self.host, target) if len(target) <= target_length else None
        except Refused:  # of its host, and no fault of the head
            return None
        credential = raw[begins:ends]
        if goes_to is None or (credential != self.credential and not self._exchange(credential)):
            return None
        return RequestHead(
            head.method,
            target,
            head.version,
            self.headers,
            NO_BODY,
            head.keep_alive,
            False,
            False,
            goes_to,
            head.block,
            self.proof,
        )

    def _exchange(self, credential: bytes) -> bool:
        """Take another credential in place of the last one; return False where it is none that needs no parser."""
        position = self.position
        if position is None or not credential or credential[0] == 0x20 or credential[-1] == 0x20:
            return False
        if credential.translate(None, _FIELD_CONTENT):
            return False
        headers = self.headers.copy()
        headers[position] = (b"authorization", credential)
        self.headers, self.credential, self.proof = headers, credential, Proof()
        return True


def remember(raw: bytes, head: RequestHead) -> Remembered | None:
    """Return what a later head can be compared with, or None where it must be parsed whatever it is."""
    hosts = head.values(b"host")
    if head.opens_websocket:  # each has a key of its own
        return None
    if len(raw) > LONGEST_REMEMBERED or head.framing.kind is not BodyKind.NONE or len(hosts) != 1:
        return None
    line = raw.find(b"\r\n")
    positions = [index for index, (name, _) in enumerate(head.headers) if name == b"authorization"]
    if not positions:
        return Remembered(head, raw[line:], b"", b"", hosts[0], None)
    credential = head.headers[positions[0]][1]
    begins = raw.lower().find(_AUTHORIZATION, line)
    begins = raw.find(credential, begins + len(_AUTHORIZATION)) if begins >= 0 and credential else -1
    if len(positions) > 1 or begins < 0 or not raw.startswith(b"\r\n", begins + len(credential)):
        return None
    before, after = raw[line:begins], raw[begins + len(credential) :]
    return Remembered(head, before, credential, after, hosts[0], positions[0])
