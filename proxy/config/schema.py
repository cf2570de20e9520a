"""The shape of the config file: frozen pydantic models, and nothing that looks at another section or at a disk.

A key stands here only once it works. Cross-field rules are in `config/check`; what needs a certificate, a key or a
policy is checked by the room that owns it. Paths are absolute after `config/load`.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from proxy.config.limits import Limits
from proxy.config.units import Duration

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(value: object) -> Network:
    if isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return value
    try:
        return ipaddress.ip_network(str(value), strict=True)
    except ValueError:
        raise ValueError("must be a network in CIDR form without host bits, such as 10.0.0.0/8") from None


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


NonEmpty = Field(min_length=1)
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
CIDR = Annotated[Network, BeforeValidator(_network), WithJsonSchema({"type": "string"})]
Strings = Annotated[tuple[Annotated[str, NonEmpty], ...], NonEmpty]
OneOrMore = Annotated[Strings, BeforeValidator(_listed), WithJsonSchema({"type": ["string", "array"]})]
HeaderName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
HeaderValue = Annotated[str, Field(pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$")]


FilePath = Path
# A `*_file` secret is a path, or `env:NAME` for the content of an environment variable.
SecretFile = Annotated[str, NonEmpty]


class Section(BaseModel):
    """What every section shares: unknown keys are mistakes, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


ClientCertificates = Literal["none", "optional", "required"]


class Certificate(Section):
    """A certificate chain and its key, both PEM."""

    certificate: FilePath
    key: FilePath


class ServerCertificate(Certificate):
    """One of several certificates of a listener, chosen by SNI."""

    hosts: OneOrMore
    client_certificates: ClientCertificates = "none"


class ListenerTLS(Section):
    """`tls` of a listener: one certificate, or `certificates` by SNI (the first serves a client without SNI)."""

    certificate: FilePath | None = None
    key: FilePath | None = None
    client_certificates: ClientCertificates = "none"
    certificates: tuple[ServerCertificate, ...] = ()
    minimum_version: Literal["1.2", "1.3"] = "1.2"


class ProxyProtocol(Section):
    """PROXY protocol v1 and v2: mandatory from `networks`, refused from everyone else."""

    networks: Annotated[tuple[CIDR, ...], NonEmpty]


class TrustedProxies(Section):
    """Downstream proxies whose forwarding, trace and XFCC headers (and those alone) are believed."""

    networks: tuple[CIDR, ...] = ()
    workloads: tuple[str, ...] = ()
    header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"


class Listener(Section):
    """One socket that is served."""

    name: Name
    address: str
    tls: ListenerTLS | None = None
    plaintext: Literal[True] | None = None
    serves: Literal["proxy", "https_redirect"] = "proxy"
    proxy_protocol: ProxyProtocol | None = None
    trusted_proxies: TrustedProxies | None = None


class Admin(Section):
    """`/livez`, `/readyz` and `/metrics`."""

    address: str = "127.0.0.1:9901"


class Health(Section):
    """`/livez` and `/readyz` alone, for kubelets and load balancers."""

    address: str


class Drain(Section):
    """What SIGTERM does: wait `delay` with readiness down, stop accepting, finish within `timeout`."""

    delay: Duration = 0.0
    timeout: Duration = 30.0


Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class Bearer(Section):
    """Which bearer tokens of an issuer are for us."""

    audiences: Strings
    algorithms: Annotated[tuple[Algorithm, ...], NonEmpty] = ("ES256", "RS256", "EdDSA", "PS256")
    skew: Duration = 60.0


class Claims(Section):
    """Which claims hold the e-mail and the groups; a name, or a dotted path into objects (`realm_access.roles`)."""

    email: str = "email"
    groups: str = "groups"


class Issuer(Section):
    """An OIDC issuer. Its keys come by discovery from `issuer`, from `jwks_url`, or from `jwks_file`."""

    issuer: Annotated[str, NonEmpty]
    jwks_url: str | None = None
    jwks_file: FilePath | None = None
    ca: FilePath | None = None
    email_domains: tuple[str, ...] = ()
    claims: Claims = Claims()
    bearer: Bearer
    keys_stale_limit: Duration = 24 * 3600.0
    keys_refresh: Duration = 300.0


class TrustBundle(Section):
    """The authorities of one trust domain: a PEM file."""

    file: FilePath


def _bundle(value: object) -> object:
    return {"file": value} if isinstance(value, str | Path) else value


class Identity(Section):
    """Who may be recognised."""

    trust_bundles: dict[str, Annotated[TrustBundle, BeforeValidator(_bundle)]] = {}
    issuers: dict[Name, Issuer] = {}


class OPA(Section):
    """An OPA server that owns policy and data."""

    url: str
    token_file: SecretFile | None = None
    ca: FilePath | None = None
    certificate: FilePath | None = None
    key: FilePath | None = None


class Policy(Section):
    """Who decides. `path` left out: the default policy that ships with ztproxy, driven by the routes' `allow`."""

    engine: Literal["embedded", "opa"] = "embedded"
    path: FilePath | None = None
    decision: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*$")] = (
        "ztproxy/authz/decision"
    )
    deadline: Duration = 0.25
    opa: OPA | None = None


class AccessLog(Section):
    """Where access records go: `stdout`, `off`, or a file's path."""

    to: str = "stdout"


class DecisionLog(Section):
    """Where decision records go. `required`: a request whose decision cannot be recorded is refused."""

    to: str = "stdout"
    required: bool = False


class UpstreamTLS(Section):
    """How `https://` endpoints are verified; always. Default: system CAs and the endpoint's host name."""

    ca: FilePath | None = None
    server_name: str | None = None


class Upstream(Section):
    """A service and its endpoints, taken in turn."""

    endpoints: Strings
    tls: UpstreamTLS = UpstreamTLS()


class Hours(Section):
    """A weekly window in a time zone; `to` is exclusive."""

    days: Annotated[tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...], NonEmpty]
    from_: Annotated[str, Field(alias="from", pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    to: Annotated[str, Field(pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")]
    zone: str = "UTC"


ClaimValue = str | int | bool


class Allow(Section):
    """One entry of a route's `allow`: every key that is present must match; within a key one value is enough."""

    users: Strings | None = None
    groups: Strings | None = None
    claims: Annotated[dict[str, Annotated[tuple[ClaimValue, ...], NonEmpty]], NonEmpty] | None = None
    issuers: Strings | None = None
    workloads: Strings | None = None
    authenticated: Literal[True] | None = None
    anyone: Literal[True] | None = None
    methods: Strings | None = None
    paths: Strings | None = None
    networks: Annotated[tuple[CIDR, ...], NonEmpty] | None = None
    hours: Hours | None = None


class Authenticate(Section):
    """How a route reads user credentials."""

    issuers: Strings | None = None
    header: Literal["authorization", "proxy-authorization", "none"] = "authorization"
    pass_: Annotated[bool, Field(alias="pass", strict=True)] = False


class CORS(Section):
    """`preflight: upstream` lets a CORS preflight go on without credentials and body."""

    preflight: Literal["refuse", "upstream"] = "refuse"


class Rewrite(Section):
    """What changes on the way to the upstream. `host`: the client's, or the endpoint's."""

    strip_prefix: str | None = None
    host: Literal["client", "upstream"] = "client"


class HeaderEdit(Section):
    """Header fields to set (replacing) and to remove."""

    set: dict[HeaderName, HeaderValue] = {}
    remove: tuple[HeaderName, ...] = ()


class RouteHeaders(Section):
    """What the upstream is told of the caller, and static edits both ways."""

    identity: tuple[Literal["ztproxy"], ...] = ("ztproxy",)
    client_certificate: Literal["none", "xfcc", "rfc9440"] = "none"
    request: HeaderEdit = HeaderEdit()
    response: HeaderEdit = HeaderEdit()


class Timeouts(Section):
    """Per route: to the response head, between any two bytes of a body, and for the whole exchange."""

    response_head: Duration = 30.0
    idle: Duration = 60.0
    lifetime: Duration = 8 * 3600.0


class Route(Section):
    """Which requests go where, and who may make them."""

    name: Name
    host: OneOrMore
    path: str = "/"
    upstream: str | None = None
    redirect: str | None = None
    listeners: Strings | None = None
    authenticate: Authenticate = Authenticate()
    decision: str | None = None
    encoded_slashes: Literal["refuse", "keep"] = "refuse"
    cors: CORS = CORS()
    rewrite: Rewrite = Rewrite()
    headers: RouteHeaders = RouteHeaders()
    timeouts: Timeouts = Timeouts()
    labels: dict[str, str] = {}
    allow: Annotated[tuple[Allow, ...], NonEmpty] | None = None


class Config(Section):
    """The whole file."""

    version: Literal[1]
    trust_domain: str
    listeners: Annotated[tuple[Listener, ...], NonEmpty]
    admin: Admin = Admin()
    health: Health | None = None
    drain: Drain = Drain()
    limits: Limits = Limits()
    identity: Identity = Identity()
    policy: Policy = Policy()
    access_log: AccessLog = AccessLog()
    decision_log: DecisionLog = DecisionLog()
    upstreams: dict[Name, Upstream] = {}
    routes: Annotated[tuple[Route, ...], NonEmpty]


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the file, for editors."""
    return Config.model_json_schema(by_alias=True)
