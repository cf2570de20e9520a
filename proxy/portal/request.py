"""What the portal is asked, and what it answers: values, so that its tests need no socket."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from proxy.http.message import Headers, Target
from proxy.http.respond import Answer
from proxy.identity.principal import Peer

PREFIX = "/.ztproxy/"
BODY_BYTES = 64 * 1024  # of a form or a logout token: whoever reads the body stops there


@dataclass(frozen=True, slots=True)
class PortalRequest:
    """One request for a page or an endpoint of the portal.

    Args:
        method: as on the wire.
        target: where it goes; `owns` said that it is the portal's.
        headers: every field of the head, cookies included.
        body: the whole body, at most `BODY_BYTES`.
        source: the client's address.
        peer: the workload or device of the connection, or None.
        request_id: the reference to quote.
        now: POSIX seconds.
    """

    method: bytes
    target: Target
    headers: Headers
    body: bytes
    source: str
    peer: Peer | None
    request_id: str
    now: float

    def value(self, name: bytes) -> bytes:
        """Return the value of a header field that is there once, else nothing; `name` is lower-case."""
        values = [value for field, value in self.headers if field == name]
        return values[0] if len(values) == 1 else b""


@dataclass(frozen=True, slots=True)
class Told(Answer):
    """An answer of the portal, and what the access record says of it.

    Args:
        code: the catalogue's code where something was refused, else empty.
        detail: the rule that was broken, for the log; no secret.
    """

    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """A route on which people sign in, as the portal needs it.

    Args:
        name: the route's name.
        title: what people call it.
        providers: names of the issuers that may sign people in here, or None for every one with a login.
    """

    name: str
    title: str
    providers: Sequence[str] | None = None


class Places(Protocol):
    """Finds the route of a host and path; None where there is no route, or one that nobody signs in on.

    A route on any host (`*`) must never be found: whoever picks the host would pick where people are sent to.
    """

    def __call__(self, host: str, segments: tuple[str, ...], /) -> Place | None:
        """Return the place of a lower-case host and decoded path segments."""


Clock = Callable[[], float]
