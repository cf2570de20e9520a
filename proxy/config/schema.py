"""The shape of the config file: frozen pydantic models, and nothing that looks at another section or at a disk.

A key stands here only once it works. Cross-field rules are in `config/check`; what needs a certificate, a key or a
policy is checked by the room that owns it. Paths are absolute after `config/load`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from proxy.config.assertion import Assertion, HeaderSet, asserting_issuer
from proxy.config.authorities import DeviceAuthority, NamedBundle
from proxy.config.limits import Limits, Workers
from proxy.config.login import Login
from proxy.config.portal import Portal, RoutePortal
from proxy.config.section import Section
from proxy.config.signin import SignIn
from proxy.config.staff import STATE_DIRECTORY, Session
from proxy.config.units import Duration, Wait
from proxy.config.values import (
    CIDR,
    AnyText,
    ClaimValue,
    DecisionPath,
    EndOfDay,
    EndpointURL,
    FilePath,
    Flag,
    HeaderName,
    HeaderValue,
    HostPattern,
    HostPatterns,
    Name,
    Network,
    NonEmpty,
    PathPattern,
    SecretFile,
    Sink,
    SocketAddress,
    Strings,
    StripPrefix,
    Text,
    TimeOfDay,
    TrustDomain,
    Version,
    WebOrigin,
    WebURL,
    WorkloadPattern,
    Yes,
)

__all__ = ["CIDR", "ClaimValue", "Config", "Network"]


ClientCertificates = Literal["none", "optional", "required"]


class Certificate(Section):
    """A certificate chain and its key, both PEM."""

    certificate: FilePath
    key: FilePath


class ServerCertificate(Certificate):
    """One of several certificates of a listener, chosen by SNI."""

    hosts: HostPatterns
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
    workloads: tuple[WorkloadPattern, ...] = ()
    header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"


class Listener(Section):
    """One socket that is served."""

    name: Name
    address: SocketAddress
    tls: ListenerTLS | None = None
    plaintext: Yes | None = None
    serves: Literal["proxy", "https_redirect", "authorization"] = "proxy"
    proxy_protocol: ProxyProtocol | None = None
    trusted_proxies: TrustedProxies | None = None


class Admin(Section):
    """`/livez`, `/readyz` and `/metrics`."""

    address: SocketAddress = "127.0.0.1:9901"


class Health(Section):
    """`/livez` and `/readyz` alone, for kubelets and load balancers."""

    address: SocketAddress


class Drain(Section):
    """What SIGTERM does: wait `delay` with readiness down, stop accepting, finish within `timeout`."""

    delay: Duration = 0.0
    timeout: Wait = 30.0


Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class Bearer(Section):
    """Which bearer tokens of an issuer are for us."""

    audiences: Strings
    algorithms: Annotated[tuple[Algorithm, ...], NonEmpty] = ("ES256", "RS256", "EdDSA", "PS256")
    skew: Duration = 60.0


class Claims(Section):
    """Which claims hold the e-mail and the groups; a name, or a dotted path into objects (`realm_access.roles`)."""

    email: Text = "email"
    groups: Text = "groups"


class Issuer(Section):
    """Who vouches for users: an OIDC issuer, or with `kind: assertion` another gateway that signs assertions.

    Keys come from `jwks_file`, from `jwks_url`, or, of an OIDC issuer, by discovery from `issuer`.
    """

    kind: Literal["oidc", "assertion"] = "oidc"
    issuer: Text | None = None
    from_: Annotated[Annotated[tuple[WorkloadPattern, ...], NonEmpty] | None, Field(alias="from")] = None
    idp: Name | None = None
    jwks_url: Text | None = None
    jwks_file: FilePath | None = None
    ca: FilePath | None = None
    email_domains: tuple[Text, ...] = ()
    claims: Claims = Claims()
    bearer: Bearer | None = None
    login: Login | None = None
    keys_stale_limit: Wait = 24 * 3600.0
    keys_refresh: Wait = 300.0

    @property
    def url(self) -> str:
        """What tokens have as `iss`; a gateway's is its trust domain's, which its SPIFFE ID tells. Empty: unknown."""
        if self.issuer is not None or self.kind == "oidc" or not self.from_:
            return self.issuer or ""
        return asserting_issuer(self.from_[0])


class Identity(Section):
    """Who may be recognised."""

    trust_bundles: dict[Text, NamedBundle] = {}
    client_certificates: tuple[DeviceAuthority, ...] = ()
    issuers: dict[Name, Issuer] = {}
    groups_file: FilePath | None = None


class OPA(Section):
    """An OPA server that owns policy and data."""

    url: WebURL
    token_file: SecretFile | None = None
    ca: FilePath | None = None
    certificate: FilePath | None = None
    key: FilePath | None = None


class Policy(Section):
    """Who decides. `path` left out: the default policy that ships with ztproxy, driven by the routes' `allow`."""

    engine: Literal["embedded", "opa"] = "embedded"
    path: FilePath | None = None
    decision: DecisionPath = "ztproxy/authz/decision"
    deadline: Wait = 0.25
    opa: OPA | None = None


class AccessLog(Section):
    """Where access records go: `stdout`, `off`, or a file's path."""

    to: Sink = "stdout"


class DecisionLog(Section):
    """Where decision records go. `required`: a request whose decision cannot be recorded is refused."""

    to: Sink = "stdout"
    required: Flag = False


class UpstreamTLS(Section):
    """How `https://` endpoints are verified; always. Default: system CAs and the endpoint's host name."""

    ca: FilePath | None = None
    server_name: HostPattern | None = None


class Upstream(Section):
    """A service and its endpoints, taken in turn."""

    endpoints: Annotated[tuple[EndpointURL, ...], NonEmpty]
    tls: UpstreamTLS = UpstreamTLS()


class Hours(Section):
    """A weekly window in a time zone; `to` is exclusive."""

    days: Annotated[tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...], NonEmpty]
    from_: Annotated[TimeOfDay, Field(alias="from")]
    to: EndOfDay
    zone: Text = "UTC"


class Allow(Section):
    """One entry of a route's `allow`: every key that is present must match; within a key one value is enough."""

    users: Strings | None = None
    groups: Strings | None = None
    claims: Annotated[dict[Text, Annotated[tuple[ClaimValue, ...], NonEmpty]], NonEmpty] | None = None
    issuers: Strings | None = None
    workloads: Strings | None = None
    devices: Strings | None = None
    authenticated: Yes | None = None
    anyone: Yes | None = None
    methods: Strings | None = None
    paths: Strings | None = None
    networks: Annotated[tuple[CIDR, ...], NonEmpty] | None = None
    hours: Hours | None = None


class Authenticate(Section):
    """How a route reads user credentials."""

    issuers: Strings | None = None
    header: Literal["authorization", "proxy-authorization", "none"] = "authorization"
    pass_: Annotated[Flag, Field(alias="pass")] = False
    sign_in: Flag = False


class CORS(Section):
    """`preflight: upstream` lets a CORS preflight go on without credentials and body."""

    preflight: Literal["refuse", "upstream"] = "refuse"


class Rewrite(Section):
    """What changes on the way to the upstream. `host`: the client's, or the endpoint's."""

    strip_prefix: StripPrefix | None = None
    host: Literal["client", "upstream"] = "client"


class HeaderEdit(Section):
    """Header fields to set (replacing) and to remove."""

    set: dict[HeaderName, HeaderValue] = {}
    remove: tuple[HeaderName, ...] = ()


class RouteHeaders(Section):
    """What the upstream is told of the caller, and static edits both ways."""

    identity: tuple[HeaderSet, ...] = ("ztproxy",)
    client_certificate: Literal["none", "xfcc", "rfc9440"] = "none"
    request: HeaderEdit = HeaderEdit()
    response: HeaderEdit = HeaderEdit()


class Timeouts(Section):
    """Per route: to the response head, between any two bytes of a body, and for the whole exchange."""

    response_head: Wait = 30.0
    idle: Wait = 60.0
    lifetime: Wait = 8 * 3600.0


class Route(Section):
    """Which requests go where, and who may make them."""

    name: Name
    host: HostPatterns
    path: PathPattern = "/"
    upstream: Text | None = None
    redirect: WebURL | None = None
    listeners: Strings | None = None
    authenticate: Authenticate = Authenticate()
    decision: DecisionPath | None = None
    encoded_slashes: Literal["refuse", "keep"] = "refuse"
    cors: CORS = CORS()
    rewrite: Rewrite = Rewrite()
    headers: RouteHeaders = RouteHeaders()
    timeouts: Timeouts = Timeouts()
    labels: dict[Name, AnyText] = {}
    portal: RoutePortal = RoutePortal()
    origins: tuple[WebOrigin, ...] = ()
    allow: Annotated[tuple[Allow, ...], NonEmpty] | None = None


class Config(Section):
    """The whole file."""

    version: Version
    trust_domain: TrustDomain
    state_directory: FilePath = STATE_DIRECTORY
    workers: Workers = 1
    listeners: Annotated[tuple[Listener, ...], NonEmpty]
    admin: Admin = Admin()
    health: Health | None = None
    drain: Drain = Drain()
    limits: Limits = Limits()
    identity: Identity = Identity()
    assertion: Assertion | None = None
    sign_in: SignIn | None = None
    session: Session = Session()
    portal: Portal = Portal()
    policy: Policy = Policy()
    access_log: AccessLog = AccessLog()
    decision_log: DecisionLog = DecisionLog()
    upstreams: dict[Name, Upstream] = {}
    routes: Annotated[tuple[Route, ...], NonEmpty]
