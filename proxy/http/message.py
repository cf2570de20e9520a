"""The nouns of HTTP: what a head says once it is parsed.

Header lists are `(name, value)` byte pairs, names lower-case, values without surrounding white space, in the order of
the wire. Nothing here judges; `framing`, `target` and `headers` do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Headers = list[tuple[bytes, bytes]]


class BodyKind(Enum):
    """How the end of a body is found (RFC 9112 section 6.3)."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until_close"  # of a response alone


@dataclass(frozen=True, slots=True)
class Framing:
    """The one body framing of a message. `length` counts bytes and means something for `LENGTH` alone."""

    kind: BodyKind
    length: int = 0


NO_BODY = Framing(BodyKind.NONE)
CHUNKED = Framing(BodyKind.CHUNKED)
UNTIL_CLOSE = Framing(BodyKind.UNTIL_CLOSE)


class Block:
    """What is worked out of a head's fields, once for all heads that have the same: a client mostly repeats itself.

    Attributes:
        passing, forwarded: what `headers.clean_head` makes of the fields, `authorization` left out.
        passes_authorization: whether that would pass as well.
        wire: the passing fields as bytes, each with its line's end.
        told: what the room that writes records makes of them.
        size: bytes of the first such head; all that share a block are short, or there is but one.
    """

    __slots__ = ("forwarded", "passes_authorization", "passing", "size", "told", "wire")

    def __init__(self) -> None:
        self.passing: Headers | None = None
        self.passes_authorization = False
        self.forwarded: Headers = []
        self.wire: bytes | None = None
        self.told: object = None
        self.size = 0


class Proof:
    """What a head's credential has proven, and to whom; heads that repeat the credential share it."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        self.seen: tuple[object, ...] | None = None


@dataclass(slots=True)
class RequestHead:
    """A parsed request head (RFC 9112 section 3).

    `opens_websocket`: it is a handshake in order (RFC 6455). `goes_to` is where it goes, if that is known already;
    `block` is shared with every head of the same fields, but for the credential, `proof` with every one of the same
    credential.
    """

    method: bytes
    target: bytes  # as on the wire
    version: tuple[int, int]  # (1, 0) or (1, 1)
    headers: Headers
    framing: Framing = NO_BODY
    keep_alive: bool = True
    expects_continue: bool = False
    opens_websocket: bool = False
    goes_to: Target | None = None
    block: Block = field(default_factory=Block, compare=False, repr=False)
    proof: Proof = field(default_factory=Proof, compare=False, repr=False)

    def values(self, name: bytes) -> list[bytes]:
        """Return every value of a header field; `name` is lower-case."""
        return [value for field_name, value in self.headers if field_name == name]

    @property
    def is_preflight(self) -> bool:
        """Whether this is a CORS preflight (Fetch standard, section 4.8), which has no body."""
        return (
            self.method == b"OPTIONS"
            and self.framing.kind is BodyKind.NONE
            and bool(self.values(b"origin"))
            and bool(self.values(b"access-control-request-method"))
        )


@dataclass(slots=True)
class ResponseHead:
    """A parsed response head (RFC 9112 section 4), interim (1xx) ones too; shared by answers that have the same."""

    status: int
    reason: bytes
    version: tuple[int, int]
    headers: Headers
    framing: Framing = NO_BODY
    keep_alive: bool = True
    wire: bytes | None = field(default=None, compare=False, repr=False)  # what an unedited answer begins with

    def values(self, name: bytes) -> list[bytes]:
        """Return every value of a header field; `name` is lower-case."""
        return [value for field_name, value in self.headers if field_name == name]


@dataclass(slots=True)
class Target:
    """Where a request wants to go, decided once; routing, policy and the upstream see these bytes and no others.

    Shared by requests that go to the same place, and never changed.

    Args:
        host: lower-case host of the authority, without port; an IPv6 literal keeps its brackets.
        port: the authority's port, or None.
        path: the raw path for the upstream, beginning with `/`; `*` for the asterisk form.
        query: the raw query without `?`, or None where there is none.
        segments: the path's segments decoded once; `/` is `("",)`, `/a/` is `("a", "")`, `*` is `()`.
        encoded_slash: a segment holds `%2F`, which is kept as those three characters in `segments`.
        told: what the room that writes records makes of it.
    """

    host: str
    port: int | None
    path: bytes
    query: bytes | None
    segments: tuple[str, ...] = field(default=())
    encoded_slash: bool = False
    told: Any = field(default=None, compare=False, repr=False)

    @property
    def origin_form(self) -> bytes:
        """Path and query as the request line to the upstream spells them."""
        return self.path if self.query is None else self.path + b"?" + self.query

    @property
    def authority(self) -> str:
        """Host and port as a Host header spells them."""
        return self.host if self.port is None else f"{self.host}:{self.port}"
