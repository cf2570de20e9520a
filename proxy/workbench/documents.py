"""Input documents, as policies see them and as decision records have them: back to the case that they tell of.

A document may be part of one: what it lacks is nobody's, and now.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from proxy.identity.principal import ANONYMOUS, Principal
from proxy.workbench.case import METHODS, NOBODY, SOURCE, Case, Who


def case_of(document: Mapping[str, Any]) -> Case:
    """Return the case that a document tells of, so that its whole way can be gone again.

    Raises:
        ValueError: it does not tell of a request.
    """
    request, moment = _part(document, "request"), _part(document, "time").get("unix_ns")
    authority = request.get("authority") or request.get("host")
    method, path, query = request.get("method"), request.get("path"), request.get("query")
    if not all(isinstance(value, str) and value for value in (authority, method, path)):
        raise ValueError("request must have method, host and path")
    return Case(
        method=str(method),
        url=f"{request.get('scheme') or 'https'}://{authority}{path}{f'?{query}' if query else ''}",
        who=_who(_part(document, "principal"), document.get("peer")),
        headers=tuple((name, str(value)) for name, value in _part(request, "headers").items()),
        source=_part(document, "source").get("address") or SOURCE,
        time=moment / 1e9 if isinstance(moment, int) else None,
        has_body=bool(request.get("has_body")),
        listener=document.get("listener"),
    )


def principal_of(document: Mapping[str, Any]) -> Principal:
    """Return whom a document is about, as far as the gateway judges it beside policy: by kind and by sign-in."""
    principal = _part(document, "principal")
    who = _who(principal, None)
    if who.user is None:
        return Principal(kind="workload", id=who.workload) if who.workload is not None else ANONYMOUS
    claims = dict(who.claims) if who.signed_in_at is None else {**who.claims, "auth_time": who.signed_in_at}
    return Principal(
        kind="user",
        id=who.user,
        issuer=who.issuer or "",
        claims=claims,
        method=who.method or "bearer",
        authenticated_at=who.signed_in_at,
        amr=who.amr,
        acr=who.acr,
    )


def time_of(document: Mapping[str, Any]) -> float:
    """Return when a document's request came, POSIX seconds; now where it does not say."""
    moment = _part(document, "time").get("unix_ns")
    return moment / 1e9 if isinstance(moment, int) else time.time()


def _part(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = document.get(name)
    return value if isinstance(value, Mapping) else {}


def _who(principal: Mapping[str, Any], peer: Any) -> Who:
    who = NOBODY
    if isinstance(peer, Mapping) and isinstance(peer.get("id"), str):
        who = replace(who, device=peer["id"]) if peer.get("kind") == "device" else replace(who, workload=peer["id"])
    elif principal.get("kind") == "workload":
        who = replace(who, workload=principal.get("id"))
    if principal.get("kind") != "user":
        return who
    claims, method, sign_in = _part(principal, "claims"), principal.get("method"), _part(principal, "authentication")
    known = sign_in.get("time", principal.get("authenticated_at") if "auth_time" in claims else None)
    return replace(
        who,
        user=str(principal.get("id", "")),
        email=principal.get("email") or "",
        groups=tuple(principal.get("groups") or ()),
        claims=claims,
        issuer=principal.get("issuer") or None,
        method=method if method in METHODS else None,
        signed_in_at=known if isinstance(known, int | float) and math.isfinite(known) else None,
        amr=tuple(sign_in.get("amr") or ()),
        acr=sign_in.get("acr") or "",
    )
