"""The input document: what a policy sees of one request. `docs/policy.md` explains it field by field.

It turns what was proven and parsed into plain JSON values, once, in our own shape and in opa-envoy-plugin's. It judges
nothing but whether the bytes of a request are text: a policy that compared repaired text would decide about another
request than the upstream gets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from proxy.errors import INPUT_REFUSED, Refused
from proxy.http.message import BodyKind, Headers, RequestHead, Target
from proxy.identity.principal import CertificateFacts, Peer, Principal, SignIn, sign_in_of
from proxy.policy.scalars import check_input
from proxy.telemetry.access import timestamp

SCHEMA: Final = "ztproxy/1"

# What no two requests share: a decision that reads one of these is made for one request alone.
UNIQUE: Final = (
    ("request", "id"),
    ("time", "now"),
    ("time", "unix_ns"),
    ("attributes", "request", "time"),
    ("attributes", "request", "http", "id"),
)
_LONGEST_ADDRESS = 64  # an IPv6 address with its zone; what is longer must not fill the memory of addresses
_LONGEST_AGE = 6e9  # seconds: an issuer may claim any time, and engines take numbers of 64 bits
ENVOY_VERSION: Final = {"encoding": "protojson", "ext_authz": "v3"}
_NOTHING: dict[str, Any] = {}


@dataclass(slots=True)
class Inquiry:
    """One request, as the decision needs it.

    Args:
        head: the parsed head.
        headers: its fields after identity, forwarding and hop-by-hop ones were taken out.
        target: where it wants to go.
        principal: whom the decision is about.
        peer: the workload on the connection, or None.
        route: the route's name.
        labels: the route's labels.
        listener: the listener's name.
        tls_version: such as `TLSv1.3`, or None on a plain listener.
        sni: the server name that the client asked for, or None.
        source: the client's address (of a trusted proxy's client where there is one).
        source_port: its port.
        time: POSIX seconds.
        request_id, decision_id: for records.
        scheme: `http` or `https`.

    Attributes:
        known, told: under what its decision is remembered, and how its record is spelled. A request that differs from
            the one before it in its time and its ids alone is asked by the same inquiry, which then knows both.
        missed: its decision was looked for among the remembered ones, and is not there.
    """

    head: RequestHead
    headers: Headers
    target: Target
    principal: Principal
    peer: Peer | None
    route: str
    labels: Mapping[str, str]
    listener: str
    tls_version: str | None
    sni: str | None
    source: str
    source_port: int
    time: float
    request_id: str
    decision_id: str
    scheme: str
    known: tuple[Any, ...] | None = field(default=None, init=False, compare=False, repr=False)
    told: tuple[Any, ...] | None = field(default=None, init=False, compare=False, repr=False)
    missed: bool = field(default=False, init=False, compare=False, repr=False)


def build_input(inquiry: Inquiry) -> dict[str, Any]:
    """Return the input document of a request, fit for any engine.

    Raises:
        Refused: INPUT_REFUSED; a header or the query is not UTF-8, or a value is not for an engine's eyes.
    """
    own = own_shape(inquiry)
    check_input(own)
    own.update(envoy_shape(own))  # of the same strings, at a depth of its own, so it needs no check
    return own


def own_shape(inquiry: Inquiry) -> dict[str, Any]:
    """Return the document without Envoy's shape: everything that there is to know, once."""
    head, target, principal, peer = inquiry.head, inquiry.target, inquiry.principal, inquiry.peer
    try:
        headers = joined(inquiry.headers)
        query = target.query.decode() if target.query else ""
    except UnicodeDecodeError:
        raise Refused(INPUT_REFUSED, "header fields and query must be valid utf-8") from None
    caller, aged = principal_document(principal), age(sign_in_of(principal), inquiry.time)
    if aged is not None:
        caller["authentication"]["age"] = aged
    return {
        "schema": SCHEMA,
        "principal": caller,
        "peer": None if peer is None else peer_document(peer),
        "request": {
            "id": inquiry.request_id,
            "method": head.method.decode("ascii"),
            "scheme": inquiry.scheme,
            "host": target.host,
            "authority": target.authority,
            "path": target.path.decode("ascii"),
            "path_segments": list(target.segments),
            "query": query,
            "headers": headers,
            "protocol": protocol(head),
            "has_body": head.framing.kind is not BodyKind.NONE,
        },
        "route": {"name": inquiry.route, "labels": dict(inquiry.labels)},
        "listener": inquiry.listener,
        "tls": None
        if inquiry.tls_version is None
        else {
            "version": inquiry.tls_version,
            "sni": inquiry.sni,
            "client_certificate": None if peer is None else certificate_document(peer.certificate),
        },
        "source": {"address": plain_address(inquiry.source), "port": inquiry.source_port},
        "time": {"now": timestamp(inquiry.time), "unix_ns": unix_ns(inquiry.time), **minute_document(inquiry.time)},
    }


def principal_document(principal: Principal) -> dict[str, Any]:
    """Return `input.principal` without what changes by itself, `authentication.age`, which would stand last."""
    claims, sign_in = principal.claims, sign_in_of(principal)
    authentication: dict[str, Any] = {"method": principal.method, "amr": list(sign_in.amr), "acr": sign_in.acr}
    if sign_in.at is not None:
        authentication["time"] = sign_in.at
    return {
        "kind": principal.kind,
        "id": principal.id,
        "issuer": principal.issuer,
        "issuer_url": principal.issuer_url,
        "email": principal.email,
        "groups": list(principal.groups),
        "claims": claims if type(claims) is dict else dict(claims),
        "method": principal.method,
        "authenticated_at": principal.authenticated_at,
        "authentication": authentication,
    }


def age(sign_in: SignIn, now: float) -> int | None:
    """Return `input.principal.authentication.age`, in seconds, or None: it is not there.

    It is rounded up to a whole minute. So what reads it can be remembered for a minute, and `age <= 900` says exactly
    what it would say of the seconds. It is left out, and not null, because null is less than every number to Rego.
    """
    seconds = sign_in.age(now)
    return None if seconds is None else max(0, math.ceil(min(seconds, _LONGEST_AGE) / 60) * 60)


def peer_document(peer: Peer) -> dict[str, Any]:
    """Return `input.peer`."""
    return {"kind": peer.kind, "id": peer.id, "trust_domain": peer.trust_domain, "path": peer.path}


def envoy_shape(own: Mapping[str, Any]) -> dict[str, Any]:
    """Return what opa-envoy-plugin would have shown of the same request, made of our own shape alone.

    There is no `parsed_body`: policy decides before a body is read.
    """
    request, peer, tls = own["request"], own["peer"], own["tls"]
    path = request["path"] + "?" + request["query"] if request["query"] else request["path"]
    address = {"socketAddress": {"address": own["source"]["address"], "portValue": own["source"]["port"]}}
    document: dict[str, Any] = {
        "attributes": {
            "source": {"address": address},
            "request": {
                "time": own["time"]["now"],
                "http": {
                    "id": request["id"],
                    "method": request["method"],
                    "headers": {
                        ":authority": request["authority"],
                        ":method": request["method"],
                        ":path": path,
                        **request["headers"],
                    },
                    "host": request["authority"],
                    "path": path,
                    "protocol": request["protocol"],
                    "scheme": request["scheme"],
                },
            },
            "contextExtensions": _NOTHING,
            "metadataContext": _NOTHING,
        },
        "parsed_path": decoded_path(request["path_segments"], request["path"]),
        "parsed_query": parsed_query(request["query"]) if request["query"] else {},
        "truncated_body": request["has_body"],
        "version": ENVOY_VERSION,
    }
    if tls is not None and tls["sni"] is not None:
        document["attributes"]["tlsSession"] = {"sni": tls["sni"]}
    if peer is not None:
        document["attributes"]["source"]["principal"] = document["source_principal"] = peer["id"]
    return document


def parsed_query(query: str) -> dict[str, list[str]]:
    """Return decoded values by decoded name, as `urllib.parse.parse_qs` does with blank values kept.

    That takes 7 ms for the worst 8 KiB, four times as long, and every request of a stranger comes here.
    """
    parsed: dict[str, list[str]] = {}
    for pair in query.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            parsed.setdefault(_unquoted(name), []).append(_unquoted(value))
    return parsed


def _unquoted(text: str) -> str:
    if "%" not in text and "+" not in text:
        return text
    return unquote_to_bytes(text.replace("+", " ")).decode(errors="replace")


def joined(fields: Headers) -> dict[str, str]:
    """Return each field's value, several of a name joined (RFC 9110 section 5.2; cookies, RFC 9113 section 8.2.3)."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.decode(), raw_value.decode()
        if name in headers:
            value = headers[name] + ("; " if name == "cookie" else ", ") + value
        headers[name] = value
    return headers


def certificate_document(facts: CertificateFacts) -> dict[str, Any]:
    """Return `input.tls.client_certificate`."""
    return {
        "sha256": facts.sha256,
        "subject": facts.subject,
        "serial": facts.serial,
        "not_before": facts.not_before,
        "not_after": facts.not_after,
        "dns": list(facts.dns),
        "uri": facts.uri,
    }


def decoded_path(segments: Sequence[str], path: str) -> list[str]:
    """Return the path as Envoy's plugin splits it: decoded first, so that `%2F` separates. `*` is a path of its own."""
    if not segments:
        return [path]
    if "%2" not in path:
        return list(segments)
    return "/".join(segments).replace("%2F", "/").split("/")


def protocol(head: RequestHead) -> str:
    """Return the version of HTTP that a request came in."""
    return "HTTP/1.1" if head.version == (1, 1) else "HTTP/1.0"


def plain_address(text: str) -> str:
    """Return an IP address in one spelling: IPv4 where IPv6 only wraps it, no zone; empty for what is no IP address.

    `::ffff:10.0.0.1` is 10.0.0.1 to a listener that takes both, and neither engine finds it in 10.0.0.0/8.
    """
    return _plain_address(text) if len(text) <= _LONGEST_ADDRESS else ""


@lru_cache(maxsize=4096)
def _plain_address(text: str) -> str:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)


def unix_ns(time: float) -> int:
    """Return POSIX seconds in nanoseconds, to the microsecond."""
    return int(time * 1_000_000) * 1000


_WEEKDAYS: Final = ("Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday")  # of 1970-01-01 on


def minute_document(time: float) -> dict[str, Any]:
    """Return what `input.time` says to the minute, in UTC; the same object within a minute."""
    return _minute(int(time * 1_000_000) // 60_000_000)


@lru_cache(maxsize=16)
def _minute(minutes: int) -> dict[str, Any]:
    return {
        "minute_ns": minutes * 60_000_000_000,
        "minute": minutes % 60,
        "hour": minutes // 60 % 24,
        "weekday": _WEEKDAYS[minutes // 1440 % 7],
    }
