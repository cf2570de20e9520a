"""Who and what there is in the demo: authorities, SVIDs, people, their tokens and applications, and the config.

Everything is made anew in one directory and worth nothing outside it. It starts nothing and calls nobody.
"""

from __future__ import annotations

import secrets
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
# Browsers find every name below `.localhost` on this machine (RFC 6761 section 6.3).
ACCESS = "access.localhost"
WIKI = "wiki.localhost"
PAYROLL = "payroll.localhost"
BUILDS = "builds.localhost"
ADMIN = "admin.localhost"
LIVE = "live.localhost"
AUDIENCE = "ztproxy"
CLIENT = "portal"
KEY_ID = "demo-1"


@dataclass(frozen=True, slots=True)
class Application:
    """What people open in a browser."""

    title: str
    description: str


APPLICATIONS = {
    WIKI: Application("Wiki", "What all of us know"),
    PAYROLL: Application("Payroll", "Salaries, for managers"),
    BUILDS: Application("Builds", "What runs where, for engineers"),
    LIVE: Application("Live board", "Who is here, by WebSocket"),
    ADMIN: Application("Admin console", "For Ana, on a device that we know"),
}

CONFIG = """\
# What the demo's gateway runs; every line works outside the demo too.
version: 1
trust_domain: example.org
state_directory: state                      # sessions, and the keys that seal them

listeners:
  - name: edge
    address: 127.0.0.1:{port}
    tls: {{certificate: edge.pem, key: edge.key, client_certificates: optional}}
admin: {{address: "127.0.0.1:0"}}             # /livez /readyz /metrics, on any free port
drain: {{timeout: 5s}}
sign_in: {{host: "access.localhost:{port}"}}  # where people sign in, and find their applications
portal: {{brand: Example, contact: help@example.org}}

identity:
  trust_bundles:
    example.org: ca.pem                     # our own workloads
    partner.example: partner.pem            # theirs: recognised, and permitted nothing by that alone
  issuers:
    corp:
      issuer: "{issuer}"
      bearer: {{audiences: [ztproxy]}}        # programs bring its tokens, and people sign in there
      login: {{client_id: portal, client_secret_file: portal.secret, title: Example SSO}}

upstreams:
  sample: {{endpoints: ["{upstream}"]}}

routes:
  - name: stock                             # for workloads
    host: stock.example.org
    upstream: sample
    allow:
      - {{workloads: ["spiffe://example.org/ns/shop/*"]}}
  - name: wiki                              # for people, and so are all below
    host: wiki.localhost
    upstream: sample
    authenticate: {{sign_in: true}}
    portal: {wiki}
    allow:
      - {{groups: [staff]}}
      - {{anyone: true, methods: [GET], paths: [/public]}}
  - name: payroll
    host: payroll.localhost
    upstream: sample
    authenticate: {{sign_in: true}}
    portal: {payroll}
    allow:
      - {{groups: [management]}}
  - name: builds
    host: builds.localhost
    upstream: sample
    authenticate: {{sign_in: true}}
    portal: {builds}
    allow:
      - {{groups: [engineering]}}
  - name: live
    host: live.localhost
    upstream: sample
    authenticate: {{sign_in: true}}
    portal: {live}
    allow:
      - {{authenticated: true}}
  - name: admin
    host: admin.localhost
    upstream: sample
    authenticate: {{sign_in: true}}
    portal: {admin}
    allow:
      - {{users: [ana@example.org], workloads: ["spiffe://example.org/device/*"]}}  # her, from there
"""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has an account at the demo's provider."""

    subject: str
    name: str
    role: str
    groups: tuple[str, ...]


ANA = Person("ana", "Ana Lindqvist", "Manager", ("staff", "management"))
BEN = Person("ben", "Ben Okafor", "Engineer", ("staff", "engineering"))
CLEO = Person("cleo", "Cleo Marchetti", "Contractor", ("contractors",))
PEOPLE = {person.subject: person for person in (ANA, BEN, CLEO)}


@dataclass(slots=True)
class World:
    """The files of one demo.

    Args:
        directory: empty, and readable by its owner alone.
        port: where the gateway listens.
    """

    directory: Path
    port: int
    signing_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    client_secret: str = field(default_factory=secrets.token_urlsafe, repr=False)

    @property
    def config(self) -> Path:
        """Where the gateway's config is."""
        return self.directory / "ztproxy.yaml"

    @property
    def portal(self) -> str:
        """Where people find their applications."""
        return self.url(ACCESS)

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends browsers back to."""
        return f"{self.portal}.ztproxy/callback/corp"

    def url(self, host: str) -> str:
        """Return where a browser finds a host's first page."""
        return f"https://{host}:{self.port}/"

    def write_certificates(self) -> None:
        """Make three authorities and everybody's certificate; one is forged, one is expired, one is from nowhere."""
        ours, partner, stranger = (Authority.create(domain) for domain in (TRUST_DOMAIN, PARTNER, STRANGER))
        (self.directory / "ca.pem").write_bytes(ours.bundle_pem)
        (self.directory / "partner.pem").write_bytes(partner.bundle_pem)
        ours.issue_server([ACCESS, STOCK, *APPLICATIONS]).write(self.directory / "edge")

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
        """Write the gateway's config, and its secret at the provider."""
        shown = {
            host.partition(".")[0]: f'{{title: {app.title}, description: "{app.description}"}}'
            for host, app in APPLICATIONS.items()
        }
        text = CONFIG.format(issuer=issuer, upstream=upstream, port=self.port, **shown)
        self.config.write_text(text, encoding="utf-8")
        secret = self.directory / "portal.secret"
        secret.touch(mode=0o600)
        secret.write_text(self.client_secret, encoding="ascii")

    def read_token(self, name: str) -> str:
        """Return a token that was written."""
        return (self.directory / f"{name}.token").read_text(encoding="ascii")

    def token(
        self, issuer: str, person: Person, *, key: ec.EllipticCurvePrivateKey | None = None, **claims: Any
    ) -> str:
        """Sign an access token (RFC 9068) for a person, for half a day."""
        return self._sign("at+jwt", key or self.signing_key, issuer, person, {"aud": AUDIENCE, **claims})

    def id_token(self, issuer: str, person: Person, nonce: str) -> str:
        """Sign an ID token (OpenID Connect Core section 2) that says that a person has just signed in."""
        claims = {"aud": CLIENT, "nonce": nonce, "auth_time": int(time.time()), "name": person.name}
        return self._sign("JWT", self.signing_key, issuer, person, claims)

    def _sign(
        self, kind: str, key: ec.EllipticCurvePrivateKey, issuer: str, person: Person, claims: dict[str, Any]
    ) -> str:
        now = int(time.time())
        content = {
            "iss": issuer,
            "sub": person.subject,
            "iat": now,
            "exp": now + 12 * 3600,
            "email": f"{person.subject}@{TRUST_DOMAIN}",
            "email_verified": True,
            "groups": list(person.groups),
        }
        return jwt.encode(content | claims, key, algorithm="ES256", headers={"kid": KEY_ID, "typ": kind})
