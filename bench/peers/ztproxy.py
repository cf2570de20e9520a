"""ztproxy with the settings that users get: every check, an access record and a decision record for each request."""

from __future__ import annotations

import re
import subprocess
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from bench.peers.peer import POLICY, TOKEN, Peer
from bench.process import free_port
from bench.tools import OPA
from bench.world import ISSUER, ZTPROXY, World, ztproxy

CONFIGURATION = """\
version: 1
trust_domain: example.org
listeners:
  - name: edge
    address: "127.0.0.1:{port}"
    tls: {{certificate: {files}/edge.pem, key: {files}/edge.key, client_certificates: optional}}
admin: {{address: "127.0.0.1:{admin}"}}
identity:
  trust_bundles: {{example.org: {files}/ca.pem}}
  issuers:
    corp: {{issuer: "{issuer}", jwks_file: {files}/keys.json, bearer: {{audiences: [ztproxy]}}}}
access_log: {{to: {place}/access.log}}
decision_log: {{to: {place}/decision.log}}
{policy}
upstreams:
  service: {{endpoints: ["http://127.0.0.1:{upstream}"]}}
routes:
{routes}
"""
RULES = """\
      - {groups: [engineering], methods: [GET]}
      - {groups: [engineering], methods: [POST], paths: [/upload/]}
      - {workloads: ["spiffe://example.org/ns/ci/*"], methods: [GET], paths: [/api/]}
"""
ROUTES = f"""\
  - name: service
    host: localhost
    upstream: service
    allow:
{RULES}
  - {{name: open, host: localhost, path: /open, upstream: service, allow: [{{anyone: true}}]}}
"""
ASKING = 'policy: {{engine: opa, opa: {{url: "http://127.0.0.1:{port}"}}}}'


def with_routes(number: int) -> str:
    """Return this many routes, /service-0 and so on, each with an entry of its own."""
    return "".join(
        f"  - name: service-{each}\n    host: localhost\n    path: /service-{each}\n    upstream: service\n    allow:\n"
        "      - {groups: [engineering], methods: [GET]}\n"
        f"      - {{groups: [owners-{each}], paths: [/service-{each}/]}}\n"
        for each in range(number)
    )


def with_entries(number: int) -> str:
    """Return a route with this many entries in its `allow`, of which the last one permits."""
    teams = "".join(
        f"      - {{groups: [owners-{each}], methods: [GET], paths: [/team-{each}/]}}\n" for each in range(number - 1)
    )
    entries = f"{teams}      - {{groups: [engineering], methods: [GET]}}\n"
    return f"  - name: service\n    host: localhost\n    upstream: service\n    allow:\n{entries}"


class Ztproxy(Peer):
    """ztproxy from this checkout, with its embedded engine.

    Args:
        routes: the YAML of its routes.
    """

    claims = frozenset({TOKEN, POLICY})

    def __init__(self, place: Path, world: World, upstream: int, *, routes: str = ROUTES) -> None:
        super().__init__(place, world, upstream)
        self.admin = free_port()
        self.configuration = place / "ztproxy.yaml"
        self._routes = routes

    def commands(self) -> Sequence[Sequence[str]]:
        self.configure(self._routes)
        return [[ZTPROXY, "run", "-c", str(self.configuration)]]

    def configure(self, routes: str, *, policy: str = "") -> None:
        """Write its configuration."""
        text = CONFIGURATION.format(
            port=self.port,
            admin=self.admin,
            files=self.world.directory,
            place=self.place,
            issuer=ISSUER,
            upstream=self.upstream,
            routes=routes,
            policy=policy,
        )
        self.configuration.write_text(text, encoding="utf-8")

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def counts(self) -> dict[str, float]:
        """Return decisions that were evaluated, decisions in all, reloads, and records that were dropped."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        return {
            "decisions": _sum(text, r"ztproxy_decisions_total\{.*"),
            "evaluated": _sum(text, r'ztproxy_decisions_total\{.*source="evaluated".*'),
            "reloads": _sum(text, r'ztproxy_reloads_total\{result="ok"\}'),
            "dropped": _sum(text, r"ztproxy_records_dropped_total\{.*"),
        }


class ZtproxyAskingOpa(Ztproxy):
    """ztproxy that asks an OPA server beside it on the same core, which has the same policy and data in a bundle."""

    def commands(self) -> Sequence[Sequence[str]]:
        asked = free_port()
        self.configure(self._routes)
        exported, bundle = self.place / "opa", self.place / "bundle.tar.gz"
        ztproxy("policy", "export", "-c", str(self.configuration), str(exported))
        subprocess.run(
            [OPA, "build", "--bundle", str(exported), "--revision", "bench", "--output", str(bundle)], check=True
        )
        self.configure(self._routes, policy=ASKING.format(port=asked))
        opa = [OPA, "run", "--server", "--log-level", "error", "--addr", f"127.0.0.1:{asked}"]
        return [[*opa, "--bundle", str(bundle)], [ZTPROXY, "run", "-c", str(self.configuration)]]


def _sum(text: str, pattern: str) -> float:
    return sum(float(value) for value in re.findall(rf"^{pattern} (\S+)$", text, re.MULTILINE))
