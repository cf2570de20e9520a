"""Decisions for people who keep their proxy: a listener with `serves: authorization` answers what another gateway asks.

A question is decided like the request that it is about (`http/asked`), in the same exchange: route, credentials,
policy, records. Instead of an upstream's answer the gateway gets 200 with what the upstream would have been told, or
the refusal. A browser that must sign in first is led there as everywhere: the gateway passes the way to it on. So the
listener answers the portal's pages too, which people reach through the gateway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy import errors
from proxy.errors import Refused
from proxy.http.asked import ENDPOINTS, Asked, parse_question
from proxy.http.header_sets import NAMES
from proxy.http.headers import is_our_token
from proxy.http.message import Headers, RequestHead
from proxy.http.respond import Answer
from proxy.http.target import parse_target
from proxy.identity.authenticate import challenge
from proxy.policy.input import Inquiry
from proxy.policy.permit import Permit
from proxy.server.answer import asks_for_keys
from proxy.server.route import Route
from proxy.server.standing import Standing
from proxy.server.told import calling

if TYPE_CHECKING:
    from proxy.server.snapshot import Snapshot

_SEE_OTHER = 303


def question(head: RequestHead, standing: Standing, snapshot: Snapshot) -> Asked | None:
    """Return the request that is asked about, or None: a gateway passes on what is for the proxy itself.

    Args:
        head: the question.
        standing: of the connection that it came on.
        snapshot: its portal's pages and the keys of its assertions may be asked for.

    Raises:
        Refused: GATEWAY_UNKNOWN; whoever is no trusted proxy could name any client. And what `parse_question` says.
    """
    if asks_for_keys(head, snapshot):
        return None
    if not standing.trusted:
        raise Refused(errors.GATEWAY_UNKNOWN, "only a trusted proxy of the listener may ask")
    if snapshot.portal is not None and not head.target.startswith(ENDPOINTS):
        target = parse_target(head.method, head.target, head.values(b"host"), head.version)
        if snapshot.portal.owns(target):
            return None
    return parse_question(head)


def permitted(snapshot: Snapshot, route: Route, inquiry: Inquiry, permit: Permit) -> Answer:
    """Return the answer to a question about a request that is permitted."""
    decision = permit.decision
    fields: Headers = [(b"cache-control", b"no-store"), (b"x-request-id", inquiry.request_id.encode())]
    told = calling(snapshot, route, inquiry.principal, None, [], inquiry.target.host, inquiry.time).fields
    fields += [(name, value) for name, _, value in (line.partition(b": ") for line in told.split(b"\r\n") if line)]
    known = {name for name, _ in fields}
    # Empty where there is nothing to tell: Envoy replaces what its client sent only by what it is given.
    sets = route.config.headers.identity
    fields += [(name, b"") for each in sets for name in NAMES[each] if name not in known]
    fields += decision.headers
    removed = set(decision.request_headers_to_remove)
    if any(map(is_our_token, inquiry.head.values(b"authorization"))):  # no application may get it
        removed.add(b"authorization")
    if removed:  # Envoy's way to be told
        fields.append((b"x-envoy-auth-headers-to-remove", b",".join(sorted(removed))))
    if route.config.authenticate.sign_in:  # the client's cookies without ours, with which the gateway replaces them
        fields.append((b"cookie", b"; ".join(value for name, value in inquiry.headers if name == b"cookie")))
    return Answer(200, b"OK", fields, b"")


def relayed(asked: Asked | None, answer: Answer) -> Answer:
    """Return a refusal as its gateway can pass it on.

    Args:
        asked: what a gateway asks about; None: no gateway does, and nothing changes.
        answer: the refusal, or the way to sign in.

    Returns:
        For nginx the way to sign in is a 401 with the same `Location`, and one cookie: it keeps no second one.
    """
    if asked is None or asked.relays or answer.status != _SEE_OTHER:
        return answer
    cookies = [field for field in answer.headers if field[0] == b"set-cookie"]
    others = [field for field in answer.headers if field[0] != b"set-cookie"]
    fields = [*others, *cookies[:1], *challenge(errors.CREDENTIALS_MISSING)]
    return Answer(401, b"Unauthorized", fields, b"")
