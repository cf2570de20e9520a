"""What the portal is asked, and what it answers: values, so that its tests need no socket."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from urllib.parse import unquote_to_bytes

from proxy.errors import METHOD_REFUSED, TARGET_REFUSED, Refused, Row
from proxy.http import respond
from proxy.http.message import Headers, Target
from proxy.http.respond import Answer
from proxy.identity.principal import Peer

PREFIX = "/.ztproxy/"
BODY_BYTES = 64 * 1024  # of a form or a logout token: whoever reads the body stops there
_PARAMETERS = 16


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

    def require_method(self, *methods: bytes) -> None:
        """Raise METHOD_REFUSED for a method that is none of these (RFC 9110 section 15.5.6)."""
        if self.method not in methods:
            allow = b", ".join(methods)
            raise Refused(METHOD_REFUSED, "method must be one that is offered", headers=((b"allow", allow),))

    def parameters(self) -> Mapping[str, str]:
        """Return the parameters of the query, each there once."""
        return read_parameters(self.target.query or b"")


class Stopped(Refused):
    """A sign-in that cannot go on, and how the person can.

    Args:
        row: the catalogue's row.
        detail: the rule that was broken, for the log.
        again: an address of ours, checked, at which to begin anew; empty: the list of applications.
        sentence: what the person is told, or None for the row's sentence.
    """

    __slots__ = ("again", "fields")

    def __init__(
        self,
        row: Row,
        detail: str,
        *,
        again: str = "",
        sentence: str | None = None,
        fields: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(row, detail, public_reason=sentence)
        self.again = again
        self.fields = tuple(fields)


def read_parameters(encoded: bytes) -> Mapping[str, str]:
    """Return the pairs of a query or of a form (application/x-www-form-urlencoded, WHATWG URL section 5.1).

    Raises:
        Refused: TARGET_REFUSED, a name is there twice: one reader takes the first and another the last. Or there are
            too many, or one is no UTF-8.
    """
    pairs = [pair for pair in encoded.split(b"&") if pair]
    if len(pairs) > _PARAMETERS:
        raise Refused(TARGET_REFUSED, f"there may be {_PARAMETERS} parameters")
    found: dict[str, str] = {}
    for pair in pairs:
        name, _, value = pair.replace(b"+", b" ").partition(b"=")
        try:
            key, text = unquote_to_bytes(name).decode(), unquote_to_bytes(value).decode()
        except UnicodeDecodeError:
            raise Refused(TARGET_REFUSED, "a parameter must be valid utf-8") from None
        if key in found:
            raise Refused(TARGET_REFUSED, "a parameter must be there once")
        found[key] = text
    return found


@dataclass(frozen=True, slots=True)
class Told(Answer):
    """An answer of the portal, and what the access record says of it.

    Args:
        code: the catalogue's code where something was refused, else empty.
        detail: the rule that was broken, for the log; no secret.
    """

    code: str = ""
    detail: str = ""

    def adding(self, *fields: tuple[bytes, bytes]) -> Told:
        """Return it with further header fields."""
        return replace(self, headers=[*self.headers, *fields])


def redirect(location: str, request_id: str, fields: Iterable[tuple[bytes, bytes]] = ()) -> Told:
    """Send a browser on with a GET (303), and without telling the next host where from."""
    answer = respond.redirect(303, location, request_id)
    headers = [*answer.headers, (b"referrer-policy", b"no-referrer"), *fields]
    return Told(answer.status, answer.reason, headers, b"")


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
