"""How a browser meets the portal: its pages are answered in the exchange, and who must sign in is led there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy import errors
from proxy.config.limits import Limits
from proxy.errors import Refused
from proxy.http import respond
from proxy.http.body import BodyReader
from proxy.http.cookies import HANDLE, clear_cookie, handle_of
from proxy.http.message import RequestHead, Target
from proxy.http.respond import Answer
from proxy.identity.principal import Peer, Principal
from proxy.policy.denied import Denied
from proxy.portal.portal import Portal
from proxy.portal.request import BODY_BYTES, PortalRequest, Told
from proxy.portal.returning import authority_of
from proxy.server.answer import is_visit
from proxy.server.outcome import Outcome
from proxy.server.route import Route
from proxy.transport.stream import Stream
from proxy.transport.waiting import StreamTimeout

if TYPE_CHECKING:
    from proxy.server.connection import Connection
    from proxy.server.snapshot import Snapshot

_BODY_SECONDS = 10.0  # a form is small; whoever sends one slower than this is no person
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


async def _read_form(downstream: Stream, head: RequestHead, outcome: Outcome, limits: Limits) -> bytes:
    """Return the body of a request to the portal.

    Raises:
        Refused: BODY_TOO_LARGE, FRAMING_REFUSED, BODY_TIMEOUT.
        StreamClosed: the client has gone.
    """
    reader = outcome.body = BodyReader(
        head.framing,
        limit=BODY_BYTES,
        overhead=limits.chunk_overhead,
        malformed=errors.FRAMING_REFUSED,
        too_large=errors.BODY_TOO_LARGE,
    )
    if head.expects_continue and not reader.done:
        downstream.write(_CONTINUE)
    deadline, parts = downstream.loop.time() + _BODY_SECONDS, [reader.read(downstream.buffer)]
    while not reader.done:
        try:
            more = await downstream.fill(deadline)
        except StreamTimeout:
            raise Refused(errors.BODY_TIMEOUT, f"a form must come within {_BODY_SECONDS:g} s") from None
        if not more:
            reader.end()
        parts.append(reader.read(downstream.buffer))
    body = b"".join(parts)
    outcome.bytes_in += len(body)
    return body


def is_sign_in_host(target: Target, snapshot: Snapshot) -> bool:
    """Tell whether a target is on the host that has the sign-in, and no route."""
    return snapshot.config.sign_in is not None and snapshot.config.sign_in.host == authority_of(
        target.host, target.port
    )


async def visit(
    connection: Connection,
    snapshot: Snapshot,
    head: RequestHead,
    target: Target,
    source: str,
    request_id: str,
    now: float,
    outcome: Outcome,
) -> Told | None:
    """Return the portal's answer, and put down what the access record says of it; None: it is not the portal's.

    Args:
        source: the client's address.
        now: POSIX seconds.

    Raises:
        Refused: of its body, or its certificate.
    """
    portal = snapshot.portal
    if portal is None or not is_visit(target, connection.listener, snapshot):
        return None
    await connection.become_task()
    peer = connection.standing.proven_peer(now)
    if connection.listener.serves == "authorization":
        peer = None  # the certificate is the gateway's
    body = await _read_form(connection, head, outcome, snapshot.config.limits)
    told = await portal.answer(PortalRequest(head.method, target, head.headers, body, source, peer, request_id, now))
    outcome.code, outcome.detail = told.code or None, told.detail or None
    return told


def refusal_of(
    refused: Refused,
    snapshot: Snapshot,
    head: RequestHead | None,
    target: Target | None,
    route: Route | None,
    principal: Principal | None,
    peer: Peer | None,
    request_id: str,
    now: float,
) -> Answer:
    """Return what the client of a refused request sees: the refusal, or the way to sign in.

    Args:
        route: where the request would have gone, if it was found out and people are led to sign in from there.
    """
    accept = b", ".join(head.values(b"accept")) if head is not None else b""
    answer: Answer = respond.refusal(refused, request_id=request_id, accept=accept)
    portal = snapshot.portal
    if portal is None or head is None or target is None or route is None or not route.config.authenticate.sign_in:
        return answer
    answer = lead_to_sign_in(portal, refused, head, target, principal, now, request_id) or answer
    if refused.row is errors.POLICY_DENIED and refused.body is None and is_navigation(head):
        answer = _explain(refused, snapshot, head, target, route, peer, request_id, now) or answer
    answer.headers.extend(forget_session(refused, head))
    return answer


def _explain(
    refused: Refused,
    snapshot: Snapshot,
    head: RequestHead,
    target: Target,
    route: Route,
    peer: Peer | None,
    request_id: str,
    now: float,
) -> Told | None:
    """Return the page for somebody who has signed in, and whom policy refused; None where nobody has."""
    staff, handle = snapshot.staff, handle_of(head.headers)
    if staff is None or staff.portal is None or handle is None:
        return None
    device = "" if peer is None else peer.id
    session = staff.keeping.sessions.recall(handle, authority_of(target.host, target.port), now, device=device)
    if session is None:
        return None
    request = PortalRequest(head.method, target, head.headers, b"", "", peer, request_id, now)
    return staff.portal.refused(refused, request, session, route.config.portal.title or route.name)


def lead_to_sign_in(
    portal: Portal,
    refused: Refused,
    head: RequestHead,
    target: Target,
    principal: Principal | None,
    now: float,
    request_id: str,
) -> Told | None:
    """Return the way to sign in, for a browser that asks for a page and was refused for want of a sign-in.

    Args:
        refused: why; of a request to a route with `sign_in`.
        principal: whom the request was made by, if that was found out.
        now: POSIX seconds.
        request_id: the reference to quote.

    Returns:
        None where the refusal is answered as any other one: what makes the request could not follow.
    """
    if not is_navigation(head):
        return None
    if refused.row is errors.CREDENTIALS_MISSING:
        return portal.begin(target, head.headers, now, request_id)
    by_cookie = handle_of(head.headers) is not None  # a program that shows a session's token could not follow
    if refused.row is errors.STEP_UP_REQUIRED and by_cookie and principal is not None and principal.method == "session":
        require = refused.decision.require if isinstance(refused, Denied) and refused.decision is not None else None
        if require is not None:
            return portal.begin(target, head.headers, now, request_id, step_up=require)
    return None


def is_navigation(head: RequestHead) -> bool:
    """Tell whether a browser asks for a page to show: the Fetch Metadata say so, or, without them, Accept."""
    if head.method != b"GET":
        return False
    modes = head.values(b"sec-fetch-mode")
    if modes or head.values(b"sec-fetch-dest"):
        return modes == [b"navigate"]
    return any(b"text/html" in value.lower() for value in head.values(b"accept"))


def forget_session(refused: Refused, head: RequestHead) -> list[tuple[bytes, bytes]]:
    """Return the field that clears a handle which names no session any more, with a refusal for want of one."""
    if refused.row is not errors.CREDENTIALS_MISSING:
        return []
    return [] if handle_of(head.headers) is None else [clear_cookie(HANDLE)]
