"""The proxy's own answers on the wire: refusals, redirects, and the care that they arrive."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING

from proxy import errors
from proxy.config.limits import Limits
from proxy.config.schema import Listener
from proxy.errors import Refused
from proxy.http.body import BodyReader
from proxy.http.h1 import encode_response
from proxy.http.message import BodyKind, RequestHead, Target
from proxy.http.respond import Answer, key_set, redirect
from proxy.identity.authenticate import challenge
from proxy.identity.principal import Principal
from proxy.server.outcome import Outcome
from proxy.server.route import Route
from proxy.transport.stream import Stream
from proxy.transport.waiting import StreamTimeout

if TYPE_CHECKING:
    from proxy.server.snapshot import Snapshot

# What a policy answers with that may mean "sign in first".
_ANSWERABLE = (errors.POLICY_DENIED, errors.STEP_UP_REQUIRED)
# Where the keys are: the second is where applications that know Pomerium look.
KEY_SETS = frozenset({b"/.well-known/ztproxy/jwks.json", b"/.well-known/pomerium/jwks.json"})
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 1024 * 1024


async def write_answer(
    downstream: Stream, answer: Answer, head: RequestHead | None, outcome: Outcome, limits: Limits
) -> None:
    """Send an answer of our own.

    Args:
        head: the request that it answers, or None where none could be read.

    Raises:
        StreamClosed, StreamTimeout: the client's side.
    """
    unread = _is_unread(downstream, head, outcome, limits)
    outcome.closing = outcome.closing or unread
    fields = [*answer.headers, date_field()]
    if answer.status not in (204, 304):
        fields.append((b"content-length", b"%d" % len(answer.body)))
    outcome.add_connection(fields, head)
    body = b"" if head is not None and head.method == b"HEAD" else answer.body
    outcome.status, outcome.answered = answer.status, True
    outcome.bytes_out += len(body)
    downstream.write(encode_response(answer.status, answer.reason, fields) + body)
    if downstream.congested:
        await downstream.drain()
    if unread:
        await linger(downstream)


def asks_for_keys(head: RequestHead, snapshot: Snapshot) -> bool:
    """Tell whether a gateway asks for the keys of assertions, for its applications, and not about a request."""
    return snapshot.assertions is not None and head.target in KEY_SETS


def is_visit(target: Target, listener: Listener, snapshot: Snapshot) -> bool:
    """Tell whether a request is for the portal: there is one, and people reach it by the listener.

    On one that serves authorization they come through their gateway; `server/authorization` lets nobody else pass.
    """
    return snapshot.portal is not None and listener.serves != "https_redirect" and snapshot.portal.owns(target)


def is_own(target: Target, listener: Listener, snapshot: Snapshot) -> bool:
    """Tell whether the proxy itself is asked: by `OPTIONS *`, for the keys of its assertions, or for the portal."""
    keys = target.path in KEY_SETS and snapshot.assertions is not None and listener.serves != "https_redirect"
    return keys or target.path == b"*" or is_visit(target, listener, snapshot)


def own_answer(target: Target, head: RequestHead, listener: Listener, snapshot: Snapshot, request_id: str) -> Answer:
    """Return the answer to what no route needs to take: what `is_own`, and all of a listener that redirects to https.

    Raises:
        Refused: HOST_REFUSED; a redirect has nowhere to go.
    """
    if target.path == b"*":
        return Answer(204, b"No Content", [(b"allow", b"OPTIONS, GET, HEAD, POST")], b"")
    if snapshot.assertions is not None and is_own(target, listener, snapshot):
        return key_set(snapshot.assertions.jwks(time.time()), head.method, request_id)
    if not target.host:
        raise Refused(errors.HOST_REFUSED, "a redirect must have a host to go to")
    return redirect(308, f"https://{target.host}{target.origin_form.decode('ascii')}", request_id)


def redirected(route: Route, target: Target, method: bytes, request_id: str) -> Answer:
    """Return the answer of a route that redirects; to a URL without a path with the path of the request."""
    location = str(route.config.redirect)
    if location.count("/") == 2:
        location += target.origin_form.decode("ascii")
    return redirect(302 if method in (b"GET", b"HEAD") else 307, location, request_id)


def explained(refused: Refused, route: Route, principal: Principal) -> Refused:
    """Tell "prove who you are" (401) from "proven, and not permitted" (403).

    A refusal that policy gave a status of its own, and one that is no denial, stay as they are. Who has not signed in
    is not asked for a fresher sign-in, but for one.
    """
    if refused.row not in _ANSWERABLE or refused.status != refused.row.status or principal.kind == "user":
        return refused
    reads_tokens = route.config.authenticate.header != "none"
    if reads_tokens and (route.asks_for_user or refused.row is errors.STEP_UP_REQUIRED):
        row, headers = errors.CREDENTIALS_MISSING, challenge(errors.CREDENTIALS_MISSING)
        return Refused(row, refused.detail, headers=headers, public_reason=refused.public_reason)
    if refused.row is errors.STEP_UP_REQUIRED:
        return Refused(errors.POLICY_DENIED, refused.detail, public_reason=refused.public_reason)
    if principal.kind == "anonymous" and route.asks_for_certificate:
        return Refused(errors.CERTIFICATE_MISSING, refused.detail, public_reason=refused.public_reason)
    return refused


def date_field() -> tuple[bytes, bytes]:
    """Return the Date of now, which an answer must have, and a relayed one is given (RFC 9110 section 6.6.1)."""
    return b"date", _http_date(int(time.time()))


@lru_cache(maxsize=2)
def _http_date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode("ascii")


def _is_unread(downstream: Stream, head: RequestHead | None, outcome: Outcome, limits: Limits) -> bool:
    """Read what has arrived of the request's body; say whether some of it is missing, or its end unknown."""
    if head is None:
        return True
    if head.framing.kind is BodyKind.NONE:
        return False
    try:
        body = outcome.body or BodyReader(
            head.framing,
            limit=limits.body,
            overhead=limits.chunk_overhead,
            malformed=errors.FRAMING_REFUSED,
            too_large=errors.BODY_TOO_LARGE,
        )
        body.read(downstream.buffer)
    except Refused:
        return True
    return not body.done


async def linger(downstream: Stream) -> None:
    """Read on for a moment before closing.

    Closing with unread bytes makes the kernel send a reset, which can destroy the answer on its way to the client
    (RFC 9112 section 9.6). A plain connection is closed for writing first, so that the client need not wait.
    """
    seen, deadline = 0, asyncio.get_running_loop().time() + _LINGER_SECONDS
    try:
        if downstream.transport.can_write_eof():
            downstream.transport.write_eof()
        while seen < _LINGER_BYTES:
            seen += len(downstream.buffer)
            downstream.buffer.clear()
            if not await downstream.fill(deadline):
                return
    except StreamTimeout:
        return
