"""Requests to ask about: one that is complete, and ways to change it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from proxy.config.schema import Config
from proxy.http.message import Headers, RequestHead
from proxy.http.target import parse_target
from proxy.identity.principal import ANONYMOUS, CertificateFacts, Peer, Principal, principal_of
from proxy.policy.input import Inquiry

NOON = 1732447140.25  # 2024-11-24T11:19:00.25Z, a Sunday

DEVICES = {"mdm": "subject.serial_number", "lab": "san.dns", "prints": "fingerprint"}

ANA = Principal(
    kind="user",
    id="user-1",
    issuer="corp",
    issuer_url="https://idp.example.org",
    email="ana@example.org",
    groups=("staff", "engineering"),
    claims={"iss": "https://idp.example.org", "sub": "user-1", "department": "finance"},
    method="bearer",
    authenticated_at=NOON - 60,
    expires_at=NOON + 600,
)


def workload(spiffe_id: str) -> Peer:
    """Return a workload with a certificate that says little more than its SPIFFE ID."""
    trust_domain, slash, path = spiffe_id.removeprefix("spiffe://").partition("/")
    facts = CertificateFacts(
        der=b"leaf",
        sha256="ab" * 32,
        subject="CN=leaf",
        serial="1f",
        not_before=NOON - 3600,
        not_after=NOON + 3600,
        dns=("leaf.example.org",),
        uri=spiffe_id,
    )
    return Peer(spiffe_id, trust_domain, slash + path, NOON + 3600, facts)


def device(name: str) -> Peer:
    """Return a device with a certificate that has no URI, called such as `mdm:7`."""
    return replace(workload("spiffe://example.org/x"), id=name, trust_domain="", path="", kind="device")


def ask(
    method: str = "GET",
    target: str = "/",
    *,
    principal: Principal | None = None,
    peer: Peer | None = None,
    headers: Headers | None = None,
    **changes: Any,
) -> Inquiry:
    """Return an inquiry about one request; the principal is the peer unless it is given."""
    parsed = parse_target(method.encode(), target.encode(), [b"wiki.example.org:8443"], (1, 1))
    fields: dict[str, Any] = {
        "head": RequestHead(method.encode(), target.encode(), (1, 1), []),
        "headers": headers if headers is not None else [(b"accept", b"*/*")],
        "target": parsed,
        "principal": principal or (principal_of(peer) if peer else ANONYMOUS),
        "peer": peer,
        "route": "wiki",
        "labels": {"tier": "internal"},
        "listener": "edge",
        "tls_version": "TLSv1.3",
        "sni": "wiki.example.org",
        "source": "203.0.113.7",
        "source_port": 50123,
        "time": NOON,
        "request_id": "request-1",
        "decision_id": "decision-1",
        "scheme": "https",
    }
    return Inquiry(**(fields | changes))


def config(*allow: dict[str, Any], issuers: tuple[str, ...] = ("corp",), **sections: Any) -> Config:
    """Return a config with one route, `wiki`, of these `allow` entries."""
    route: dict[str, Any] = {"name": "wiki", "host": "wiki.example.org", "upstream": "wiki"}
    document: dict[str, Any] = {
        "version": 1,
        "trust_domain": "example.org",
        "listeners": [
            {
                "name": "edge",
                "address": "127.0.0.1:8443",
                "tls": {
                    "certificate": "/etc/ztproxy/edge.pem",
                    "key": "/etc/ztproxy/edge.key",
                    "client_certificates": "optional",
                },
            }
        ],
        "identity": {
            "trust_bundles": dict.fromkeys(("example.org", "partner.example", "corp"), "/etc/ztproxy/ca.pem"),
            "client_certificates": [
                {"name": name, "ca": f"/etc/ztproxy/{name}.pem", "kind": "device", "id": field}
                for name, field in DEVICES.items()
            ],
            "issuers": {
                name: {"issuer": f"https://{name}.example.org", "bearer": {"audiences": ["ztproxy"]}}
                for name in issuers
            },
        },
        "upstreams": {"wiki": {"endpoints": ["http://127.0.0.1:8080"]}},
        "routes": [route | ({"allow": list(allow)} if allow else {}) | sections.pop("route", {})],
    }
    return Config.model_validate(document | sections)
