"""The catalogue: every way a request can be refused or fail, a row each.

It imports nothing of the project. A row holds what a client may see (status, public sentence, Proxy-Status token of
RFC 9209) and what the proxy does (whose fault it is, whether the connection survives, whether another attempt is
safe). `Refused` carries a row and a detail; the detail goes to the log and never to the client.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Fault(Enum):
    """Whose fault a refusal is: the question that an operator asks first."""

    DOWNSTREAM = "downstream"
    UPSTREAM = "upstream"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Row:
    """One way to be refused.

    `closes`: the downstream connection cannot be used again (its framing is in doubt, or its identity has gone).
    `retry_unanswered`: the attempt may be made again if nothing of an answer was received on a *reused* connection.
    """

    code: str
    status: int
    fault: Fault
    public: str
    proxy_status: str
    closes: bool = False
    retry_after: int | None = None
    retry_unanswered: bool = False


class Refused(Exception):  # noqa: N818 - the field's word: a refusal is an outcome, not an accident
    """A request that is not forwarded, or not answered by its upstream.

    Args:
        row: the catalogue's row.
        detail: the rule that was broken, for the log; lower case, no full stop, no secret.
        headers: further answer headers, lower-case names (`www-authenticate`, `location` …).
        public_reason: the policy's sentence for the person, or None.
        status: the policy's own status (300 to 599), or None for the row's.
        body: the policy's own body, or None for the rendered refusal.
    """

    __slots__ = ("body", "detail", "headers", "public_reason", "row", "status")

    def __init__(
        self,
        row: Row,
        detail: str = "",
        *,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        public_reason: str | None = None,
        status: int | None = None,
        body: bytes | None = None,
    ) -> None:
        super().__init__(row.code, detail)
        self.row = row
        self.detail = detail
        self.headers = headers
        self.public_reason = public_reason
        self.status = status or row.status
        self.body = body

    def __str__(self) -> str:
        return f"{self.row.code}: {self.detail}" if self.detail else self.row.code


@dataclass(slots=True)
class _Catalogue:
    rows: dict[str, Row] = field(default_factory=dict)

    def row(
        self,
        code: str,
        status: int,
        fault: Fault,
        public: str,
        proxy_status: str,
        *,
        closes: bool = False,
        retry_after: int | None = None,
        retry_unanswered: bool = False,
    ) -> Row:
        if code in self.rows:
            raise ValueError(f"code must be new: {code}")
        self.rows[code] = Row(code, status, fault, public, proxy_status, closes, retry_after, retry_unanswered)
        return self.rows[code]


_catalogue = _Catalogue()
_row = _catalogue.row
_DOWN, _UP, _IN = Fault.DOWNSTREAM, Fault.UPSTREAM, Fault.INTERNAL

# The request itself is wrong (RFC 9110, 9112). The connection closes where its framing is in doubt.
REQUEST_MALFORMED = _row(
    "request_malformed", 400, _DOWN, "The request is malformed.", "http_request_error", closes=True
)
FRAMING_REFUSED = _row(
    "framing_refused", 400, _DOWN, "The request's body framing is ambiguous.", "http_request_error", closes=True
)
TARGET_REFUSED = _row("target_refused", 400, _DOWN, "The request target is not accepted.", "http_request_error")
HOST_REFUSED = _row(
    "host_refused", 400, _DOWN, "The request's host is not accepted.", "http_request_error", closes=True
)
AUTHORIZATION_DUPLICATE = _row(
    "authorization_duplicate", 400, _DOWN, "The request has more than one credential.", "http_request_error"
)
INPUT_REFUSED = _row(
    "input_refused", 400, _DOWN, "The request holds values that policy cannot read.", "http_request_error"
)
HEAD_TIMEOUT = _row("head_timeout", 408, _DOWN, "The request was too slow.", "http_request_error", closes=True)
BODY_TIMEOUT = _row("body_timeout", 408, _DOWN, "The request's body was too slow.", "http_request_error", closes=True)
BODY_TOO_LARGE = _row(
    "body_too_large", 413, _DOWN, "The request's body is too large.", "http_request_error", closes=True
)
TARGET_TOO_LONG = _row(
    "target_too_long", 414, _DOWN, "The request target is too long.", "http_request_error", closes=True
)
EXPECTATION_FAILED = _row(
    "expectation_failed", 417, _DOWN, "The request's expectation cannot be met.", "http_request_error", closes=True
)
HEADERS_TOO_LARGE = _row(
    "headers_too_large", 431, _DOWN, "The request's header fields are too large.", "http_request_error", closes=True
)
METHOD_UNKNOWN = _row("method_unknown", 501, _DOWN, "The method is not implemented.", "http_request_error", closes=True)
CONNECT_REFUSED = _row("connect_refused", 501, _DOWN, "CONNECT is not offered here.", "http_request_error", closes=True)
UPGRADE_REFUSED = _row(
    "upgrade_refused", 501, _DOWN, "The protocol upgrade is not offered here.", "http_upgrade_failed", closes=True
)
WEBSOCKET_REFUSED = _row(
    "websocket_refused", 400, _DOWN, "The WebSocket handshake is malformed.", "http_upgrade_failed", closes=True
)
CLIENT_GONE = _row("client_gone", 499, _DOWN, "The client closed the connection.", "connection_terminated", closes=True)

# Where the request goes.
ROUTE_NOT_FOUND = _row("route_not_found", 404, _DOWN, "There is nothing here.", "destination_not_found")
MISDIRECTED = _row(
    "misdirected", 421, _DOWN, "This host is not served on this connection.", "http_request_error", closes=True
)
GATEWAY_UNKNOWN = _row("gateway_unknown", 403, _DOWN, "Only a configured gateway may ask here.", "http_request_denied")

# Who is calling. 401: prove who you are. 403: proven, or provable by a certificate alone, and not permitted.
CREDENTIALS_MISSING = _row("credentials_missing", 401, _DOWN, "Sign in to continue.", "http_request_denied")
TOKEN_INVALID = _row("token_invalid", 401, _DOWN, "The access token is not accepted.", "http_request_denied")
CERTIFICATE_REFUSED = _row(
    "certificate_refused", 401, _DOWN, "The client certificate is not accepted.", "http_request_denied", closes=True
)
CERTIFICATE_LAPSED = _row(
    "certificate_lapsed", 401, _DOWN, "The client certificate has lapsed.", "http_request_denied", closes=True
)
CERTIFICATE_MISSING = _row(
    "certificate_missing", 403, _DOWN, "A client certificate is required.", "http_request_denied"
)
TOKEN_KEYS_UNAVAILABLE = _row(
    "token_keys_unavailable",
    503,
    _IN,
    "Sign-in is unavailable for the moment.",
    "proxy_internal_response",
    retry_after=5,
)

CROSS_SITE_REFUSED = _row(
    "cross_site_refused", 403, _DOWN, "Another site may not do this in your name.", "http_request_denied"
)

# What policy says. Denied and undefined are answers (403); the rest could not decide, so closed (503).
POLICY_DENIED = _row("policy_denied", 403, _DOWN, "You are not permitted to do this.", "http_request_denied")
POLICY_UNDEFINED = _row("policy_undefined", 403, _IN, "You are not permitted to do this.", "http_request_denied")
STEP_UP_REQUIRED = _row(
    "step_up_required", 401, _DOWN, "A fresher or stronger sign-in is required.", "http_request_denied"
)
POLICY_MALFORMED = _row(
    "policy_malformed", 503, _IN, "Access could not be decided.", "proxy_internal_error", retry_after=5
)
POLICY_FAILED = _row("policy_failed", 503, _IN, "Access could not be decided.", "proxy_internal_error", retry_after=5)
POLICY_TOO_SLOW = _row(
    "policy_too_slow", 503, _IN, "Access could not be decided.", "proxy_internal_error", retry_after=1
)
POLICY_UNREACHABLE = _row(
    "policy_unreachable", 503, _IN, "Access could not be decided.", "proxy_internal_error", retry_after=1
)
POLICY_PANICKED = _row(
    "policy_panicked", 503, _IN, "Access could not be decided.", "proxy_internal_error", retry_after=5
)
DECISION_LOG_UNAVAILABLE = _row(
    "decision_log_unavailable", 503, _IN, "Access could not be recorded.", "proxy_internal_error", retry_after=5
)
# What lasts longer than what it was permitted by. Told of in records alone, for an answer has begun by then.
ACCESS_ENDED = _row("access_ended", 403, _DOWN, "You are no longer permitted to do this.", "http_request_denied")
TUNNEL_TIMEOUT = _row("tunnel_timeout", 504, _DOWN, "The connection was idle for too long.", "connection_timeout")

# The portal: signing in and out.
SIGN_IN_EXPIRED = _row(
    "sign_in_expired", 400, _DOWN, "This sign-in has expired, or was begun in another browser.", "http_request_denied"
)
SIGN_IN_REFUSED = _row("sign_in_refused", 403, _DOWN, "The sign-in was not accepted.", "http_request_denied")
SIGN_IN_REPEATED = _row(
    "sign_in_repeated", 403, _DOWN, "Signing in again and again does not open this.", "http_request_denied"
)
SIGN_IN_UNAVAILABLE = _row(
    "sign_in_unavailable",
    503,
    _UP,
    "Sign-in is unavailable for the moment.",
    "proxy_internal_response",
    retry_after=5,
)
SESSIONS_UNAVAILABLE = _row(
    "sessions_unavailable",
    503,
    _IN,
    "Sign-in is unavailable for the moment.",
    "proxy_internal_error",
    retry_after=5,
)
FORM_REFUSED = _row("form_refused", 403, _DOWN, "This form is no longer valid.", "http_request_denied")
METHOD_REFUSED = _row("method_refused", 405, _DOWN, "This cannot be done here.", "http_request_error")
LOGOUT_TOKEN_REFUSED = _row(
    "logout_token_refused", 400, _DOWN, "The logout token is not accepted.", "http_request_denied"
)

# Too many at once.
OVERLOADED = _row("overloaded", 503, _IN, "Too many requests at once.", "proxy_internal_response", retry_after=1)
POOL_EXHAUSTED = _row(
    "pool_exhausted", 503, _IN, "Too many requests at once.", "connection_limit_reached", retry_after=1
)

# The upstream.
UPSTREAM_DNS_FAILED = _row("upstream_dns_failed", 502, _UP, "The service cannot be found.", "dns_error")
UPSTREAM_REFUSED = _row("upstream_refused", 502, _UP, "The service cannot be reached.", "connection_refused")
UPSTREAM_CONNECT_TIMEOUT = _row(
    "upstream_connect_timeout", 504, _UP, "The service cannot be reached in time.", "connection_timeout"
)
UPSTREAM_TLS_FAILED = _row("upstream_tls_failed", 502, _UP, "The service cannot be verified.", "tls_certificate_error")
UPSTREAM_MALFORMED = _row("upstream_malformed", 502, _UP, "The service gave a malformed answer.", "http_protocol_error")
UPSTREAM_CLOSED = _row(
    "upstream_closed",
    502,
    _UP,
    "The service closed the connection early.",
    "http_response_incomplete",
    retry_unanswered=True,
)
UPSTREAM_TIMEOUT = _row("upstream_timeout", 504, _UP, "The service was too slow.", "http_response_timeout")

INTERNAL_ERROR = _row("internal_error", 500, _IN, "Something went wrong.", "proxy_internal_error", closes=True)

CATALOGUE: dict[str, Row] = _catalogue.rows
