"""How an exchange ends, as far as it is known: what the access record will tell."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.http.body import BodyReader
from proxy.http.message import Headers, RequestHead


@dataclass(slots=True)
class Outcome:
    """Filled in on the way from a request's head to its last byte.

    Args:
        status: of the answer; 0 before one is known.
        code, detail: the catalogue's row and the rule that was broken, when the proxy refused.
        endpoint: the upstream's address that answered or failed.
        bytes_in, bytes_out: bytes of the two bodies.
        answered: the head of an answer has been sent, so there cannot be another.
        closing: the downstream connection ends with this exchange.
        body: the reader of the request's body, once somebody has begun to read it.
    """

    status: int = 0
    code: str | None = None
    detail: str | None = None
    endpoint: str | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    answered: bool = False
    closing: bool = False
    body: BodyReader | None = None

    def add_connection(self, fields: Headers, head: RequestHead | None) -> None:
        """Say in the answer's header whether the connection goes on (RFC 9112 section 9.3)."""
        if self.closing:
            fields.append((b"connection", b"close"))
        elif head is not None and head.version == (1, 0):
            fields.append((b"connection", b"keep-alive"))
