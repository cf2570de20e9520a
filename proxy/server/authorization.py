"""Decisions for people who keep their proxy: a listener with `serves: authorization` answers what another gateway asks.

A question is decided like the request that it is about (`http/asked`), in the same exchange: route, credentials,
policy, records. Instead of an upstream's answer the gateway gets 200 with what the upstream would have been told, or
the refusal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy import errors
from proxy.errors import Refused
from proxy.http.asked import Asked, parse_question
from proxy.http.header_sets import NAMES
from proxy.http.message import Headers, RequestHead
from proxy.http.respond import Answer
from proxy.policy.input import Inquiry
from proxy.policy.permit import Permit
from proxy.server.route import Route
from proxy.server.standing import Standing
from proxy.server.told import calling

if TYPE_CHECKING:
    from proxy.server.snapshot import Snapshot


def question(head: RequestHead, standing: Standing) -> Asked:
    """Return the request that is asked about.

    Args:
        head: the question.
        standing: of the connection that it came on.

    Raises:
        Refused: GATEWAY_UNKNOWN; whoever is no trusted proxy could name any client. And what `parse_question` says.
    """
    if not standing.trusted:
        raise Refused(errors.GATEWAY_UNKNOWN, "only a trusted proxy of the listener may ask")
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
    if decision.request_headers_to_remove:  # Envoy's way to be told
        names = b",".join(sorted(decision.request_headers_to_remove))
        fields.append((b"x-envoy-auth-headers-to-remove", names))
    return Answer(200, b"OK", fields, b"")
