"""Envoy in three shapes: without a decision, deciding by itself, and asking somebody who says yes to everything.

- `bare`: TLS and a route.
- `rbac`: jwt_authn, which remembers the tokens that it has verified, and the native RBAC filter. These rules are about
  what RBAC can express.
- `ext-authz`: jwt_authn, and ext_authz over HTTP to an nginx on the load's core that answers 200 to whatever it is
  asked: no decision that is made outside can cost less.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from bench.peers.peer import POLICY, TOKEN, Peer
from bench.process import LOAD_CORE, accepts, free_port, on_core
from bench.tools import ENVOY, NGINX
from bench.world import ISSUER, USERS, World

Json = dict[str, Any]
FIELDS = {
    "time": "%START_TIME%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "source": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "method": "%REQ(:METHOD)%",
    "host": "%REQ(:AUTHORITY)%",
    "path": "%REQ(:PATH)%",
    "protocol": "%PROTOCOL%",
    "peer": "%DOWNSTREAM_PEER_URI_SAN%",
    "status": "%RESPONSE_CODE%",
    "upstream": "%UPSTREAM_HOST%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
    "duration": "%DURATION%",
}
YES = """\
daemon off;
master_process off;
pid {place}/yes.pid;
error_log {place}/yes.txt;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200; }}
    }}
}}
"""


class Envoy(Peer):
    """Envoy, with one worker.

    Args:
        kind: its shape.
    """

    def __init__(self, place: Path, world: World, upstream: int, *, kind: Literal["bare", "rbac", "ext-authz"]) -> None:
        super().__init__(place, world, upstream)
        self._kind = kind
        self._yes = free_port()
        self.claims = {
            "bare": frozenset[str](),
            "rbac": frozenset({TOKEN, POLICY}),
            "ext-authz": frozenset({TOKEN}),
        }[kind]

    def commands(self) -> Sequence[Sequence[str]]:
        configuration = self.place / "envoy.json"
        configuration.write_text(json.dumps(self._configuration(), indent=2), encoding="utf-8")
        envoy = [ENVOY, "-c", str(configuration), "--concurrency", "1", "--disable-hot-restart"]
        commands = [[*envoy, "--file-flush-interval-msec", "250", "--log-level", "warning"]]
        if self._kind == "ext-authz":
            yes = self.place / "yes.conf"
            yes.write_text(YES.format(place=self.place, port=self._yes), encoding="utf-8")
            commands.append(on_core(LOAD_CORE, [NGINX, "-p", str(self.place), "-c", str(yes)]))
        return commands

    def ready(self) -> bool:
        return super().ready() and (self._kind != "ext-authz" or accepts(self._yes))

    @property
    def processes(self) -> list[int]:
        return super().processes[:1]  # the one that says yes is not measured

    def _configuration(self) -> Json:
        clusters = [_cluster("service", self.upstream)]
        if self._kind == "ext-authz":
            clusters.append(_cluster("authorizer", self._yes))
        listener = {
            "name": "edge",
            "address": _address(self.port),
            "filter_chains": [{"transport_socket": self._tls(), "filters": [self._http()]}],
        }
        return {"static_resources": {"listeners": [listener], "clusters": clusters}}

    def _tls(self) -> Json:
        file = self.world.file
        certificate = {
            "certificate_chain": {"filename": file("edge.pem")},
            "private_key": {"filename": file("edge.key")},
        }
        context = {
            "require_client_certificate": False,
            "common_tls_context": {
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "alpn_protocols": ["http/1.1"],
                "tls_certificates": [certificate],
                "validation_context": {"trusted_ca": {"filename": file("ca.pem")}},
            },
        }
        return _typed("envoy.transport_sockets.tls", "transport_sockets.tls.v3.DownstreamTlsContext", context)

    def _http(self) -> Json:
        route = {"match": {"prefix": "/"}, "route": {"cluster": "service"}}
        hosts = {"name": "localhost", "domains": ["localhost", "localhost:*"], "routes": [route]}
        record = {"path": str(self.access_log), "log_format": {"json_format": FIELDS}}
        manager = {
            "stat_prefix": "edge",
            "codec_type": "HTTP1",
            "use_remote_address": True,
            "normalize_path": True,
            "path_with_escaped_slashes_action": "REJECT_REQUEST",
            "access_log": [_typed("file", "access_loggers.file.v3.FileAccessLog", record)],
            "route_config": {"virtual_hosts": [hosts]},
            "http_filters": [*self._deciding(), _typed("router", "filters.http.router.v3.Router", {})],
        }
        kind = "filters.network.http_connection_manager.v3.HttpConnectionManager"
        return _typed("envoy.filters.network.http_connection_manager", kind, manager)

    def _deciding(self) -> list[Json]:
        keys = Path(self.world.file("keys.json")).read_text(encoding="utf-8")
        match self._kind:
            case "bare":
                return []
            case "rbac":
                return [_jwt_authn(keys, required=False), _rbac()]
            case "ext-authz":
                return [_jwt_authn(keys, required=True), _ext_authz(self._yes)]


def _jwt_authn(keys: str, *, required: bool) -> Json:
    """A token that is shown must be good; where certificates may open the door, it need not be shown."""
    provider = {
        "issuer": ISSUER,
        "audiences": ["ztproxy"],
        "clock_skew_seconds": 60,
        "local_jwks": {"inline_string": keys},
        "payload_in_metadata": "claims",
        "jwt_cache_config": {"jwt_cache_size": 2 * USERS},
    }
    requirement: Json = {"provider_name": "corp"}
    if not required:
        requirement = {"requires_any": {"requirements": [requirement, {"allow_missing": {}}]}}
    settings = {"providers": {"corp": provider}, "rules": [{"match": {"prefix": "/"}, "requires": requirement}]}
    return _typed("envoy.filters.http.jwt_authn", "filters.http.jwt_authn.v3.JwtAuthentication", settings)


def _rbac() -> Json:
    engineering = {
        "sourced_metadata": {
            "metadata_matcher": {
                "filter": "envoy.filters.http.jwt_authn",
                "path": [{"key": "claims"}, {"key": "groups"}],
                "value": {"list_match": {"one_of": {"string_match": {"exact": "engineering"}}}},
            }
        }
    }
    ci = {"authenticated": {"principal_name": {"prefix": "spiffe://example.org/ns/ci/"}}}
    policies = {
        "read": {"principals": [engineering], "permissions": [_method("GET")]},
        "upload": {"principals": [engineering], "permissions": [_both(_method("POST"), _below("/upload/"))]},
        "ci": {"principals": [ci], "permissions": [_both(_method("GET"), _below("/api/"))]},
    }
    return _typed("rbac", "filters.http.rbac.v3.RBAC", {"rules": {"action": "ALLOW", "policies": policies}})


def _ext_authz(port: int) -> Json:
    settings = {
        "transport_api_version": "V3",
        "allowed_headers": {"patterns": [{"exact": "authorization"}]},
        "http_service": {"server_uri": {"uri": f"http://127.0.0.1:{port}", "cluster": "authorizer", "timeout": "1s"}},
    }
    return _typed("ext_authz", "filters.http.ext_authz.v3.ExtAuthz", settings)


def _method(name: str) -> Json:
    return {"header": {"name": ":method", "string_match": {"exact": name}}}


def _below(prefix: str) -> Json:
    return {"url_path": {"path": {"prefix": prefix}}}


def _both(*rules: Json) -> Json:
    return {"and_rules": {"rules": list(rules)}}


def _typed(name: str, kind: str, settings: Json) -> Json:
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/envoy.extensions.{kind}", **settings}}


def _address(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name: str, port: int) -> Json:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}]
    return {"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name, "endpoints": endpoints}}
