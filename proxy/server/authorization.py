"""Decisions for people who keep their proxy: a listener with `serves: authorization` answers what another gateway asks.

A question is decided like the request that it is about (`http/asked`), in the same exchange: route, credentials,
policy, records. Instead of an upstream's answer the gateway gets 200 with what the upstream would have been told, or
the refusal.
"""

from __future__ import annotations

from typing import Final

from proxy import errors
from proxy.errors import Refused
from proxy.http.asked import Asked, parse_question
from proxy.http.message import Headers, RequestHead
from proxy.http.respond import Answer
from proxy.identity.principal import Principal
from proxy.policy.permit import Permit
from proxy.server.route import Route
from proxy.server.standing import Standing
from proxy.server.told import identified

# Told of everybody, empty where there is nothing to tell: Envoy replaces what its client sent only by what it is given.
_ALWAYS: Final = (b"x-ztproxy-subject", b"x-ztproxy-email", b"x-ztproxy-groups")


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


def permitted(route: Route, principal: Principal, permit: Permit, request_id: str) -> Answer:
    """Return the answer to a question about a request that is permitted."""
    decision = permit.decision
    fields: Headers = [(b"cache-control", b"no-store"), (b"x-request-id", request_id.encode())]
    told = [line.partition(b": ") for line in identified(route, principal, None, []).split(b"\r\n") if line]
    fields += [(name, value) for name, _, value in told]
    if route.config.headers.identity:
        known = {name for name, _ in fields}
        fields += [(name, b"") for name in _ALWAYS if name not in known]
    fields += decision.headers
    if decision.request_headers_to_remove:  # Envoy's way to be told
        names = b",".join(sorted(decision.request_headers_to_remove))
        fields.append((b"x-envoy-auth-headers-to-remove", names))
    return Answer(200, b"OK", fields, b"")
