"""Who and what there is in the demo: authorities, SVIDs, people and their tokens, and the gateway's config.

Everything is made anew in one directory and worth nothing outside it. It starts nothing and calls nobody.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.identity.authority import Authority

TRUST_DOMAIN = "example.org"
PARTNER = "partner.example"
STRANGER = "stranger.example"
STOCK = "stock.example.org"
WIKI = "wiki.example.org"
AUDIENCE = "ztproxy"
KEY_ID = "demo-1"

CONFIG = """\
# What the demo's gateway runs; every line works outside the demo too.
version: 1
trust_domain: example.org

listeners:
  - name: edge
    address: 127.0.0.1:0                    # any free port; the `listening` record says which
    tls: {{certificate: edge.pem, key: edge.key, client_certificates: optional}}
admin: {{address: "127.0.0.1:0"}}             # /livez /readyz /metrics
drain: {{timeout: 5s}}

identity:
  trust_bundles:
    example.org: ca.pem                     # our own workloads
    partner.example: partner.pem            # theirs: recognised, and permitted nothing by that alone
  issuers:
    corp: {{issuer: "{issuer}", bearer: {{audiences: [ztproxy]}}}}

upstreams:
  sample: {{endpoints: ["{upstream}"]}}

routes:
  - name: stock                             # for workloads
    host: stock.example.org
    upstream: sample
    allow:
      - {{workloads: ["spiffe://example.org/ns/shop/*"]}}
  - name: wiki                              # for people
    host: wiki.example.org
    upstream: sample
    allow:
      - {{groups: [engineering], methods: [GET, POST], paths: [/docs]}}
      - {{users: [ana@example.org], workloads: ["spiffe://example.org/device/*"], paths: [/admin]}}  # her, from there
      - {{anyone: true, methods: [GET], paths: [/public]}}
"""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has an account at the demo's issuer."""

    subject: str
    groups: tuple[str, ...]


BEN = Person("ben", ("engineering",))
CLEO = Person("cleo", ("sales",))
ANA = Person("ana", ("operations",))


@dataclass(slots=True)
class World:
    """The files of one demo.

    Args:
        directory: empty, and readable by its owner alone.
    """

    directory: Path
    signing_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def config(self) -> Path:
        """Where the gateway's config is."""
        return self.directory / "ztproxy.yaml"

    def write_certificates(self) -> None:
        """Make three authorities and everybody's certificate; one is forged, one is expired, one is from nowhere."""
        ours, partner, stranger = (Authority.create(domain) for domain in (TRUST_DOMAIN, PARTNER, STRANGER))
        (self.directory / "ca.pem").write_bytes(ours.bundle_pem)
        (self.directory / "partner.pem").write_bytes(partner.bundle_pem)
        ours.issue_server([STOCK, WIKI]).write(self.directory / "edge")

        lapsed = datetime.now(UTC) - timedelta(hours=1)
        shop = f"spiffe://{TRUST_DOMAIN}/ns/shop/sa/orders"
        # The partner's authority signs for our trust domain: both roots are trusted, and only one of them for this ID.
        forger = replace(partner, trust_domain=TRUST_DOMAIN)
        for stem, svid in {
            "orders": ours.issue_svid(shop),
            "blog": ours.issue_svid(f"spiffe://{TRUST_DOMAIN}/ns/web/sa/blog"),
            "laptop": ours.issue_svid(f"spiffe://{TRUST_DOMAIN}/device/laptop-7"),
            "expired": ours.issue_svid(shop, not_before=lapsed - timedelta(hours=1), not_after=lapsed),
            "partner-orders": partner.issue_svid(f"spiffe://{PARTNER}/ns/shop/sa/orders"),
            "forged": forger.issue_svid(shop),
            "stranger": stranger.issue_svid(f"spiffe://{STRANGER}/ns/shop/sa/orders"),
        }.items():
            svid.write(self.directory / stem)

    def write_tokens(self, issuer: str) -> None:
        """Sign everybody's token as the issuer would, and one as it would not."""
        anybody = ec.generate_private_key(ec.SECP256R1())
        for name, token in {
            "ben": self.token(issuer, BEN),
            "cleo": self.token(issuer, CLEO),
            "ana": self.token(issuer, ANA),
            "ben-for-mail": self.token(issuer, BEN, aud="mail"),
            "ben-expired": self.token(issuer, BEN, exp=int(time.time()) - 3600),
            "ben-forged": self.token(issuer, BEN, key=anybody),
        }.items():
            (self.directory / f"{name}.token").write_text(token, encoding="ascii")

    def write_config(self, issuer: str, upstream: str) -> None:
        """Write the gateway's config."""
        self.config.write_text(CONFIG.format(issuer=issuer, upstream=upstream), encoding="utf-8")

    def read_token(self, name: str) -> str:
        """Return a token that was written."""
        return (self.directory / f"{name}.token").read_text(encoding="ascii")

    def token(
        self, issuer: str, person: Person, *, key: ec.EllipticCurvePrivateKey | None = None, **claims: Any
    ) -> str:
        """Sign an access token (RFC 9068) for a person, for half a day."""
        now = int(time.time())
        content = {
            "iss": issuer,
            "sub": person.subject,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + 12 * 3600,
            "email": f"{person.subject}@{TRUST_DOMAIN}",
            "email_verified": True,
            "groups": list(person.groups),
        }
        headers = {"kid": KEY_ID, "typ": "at+jwt"}
        return jwt.encode(content | claims, key or self.signing_key, algorithm="ES256", headers=headers)
