"""Which header fields pass, which are dropped, and which we write: tables of names, and what reads them.

It judges by name alone and keeps no state but memories of names. A field that tells an upstream who is calling, from
where, or over what is ours to write, so every spelling of it that a client sends is dropped first: to CGI, WSGI and
PHP servers `X_Forwarded_For` is `X-Forwarded-For`. It must not know what an identity is; it is given the words.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TypeVar

from proxy.errors import FRAMING_REFUSED, Refused
from proxy.http.learned import Learned
from proxy.http.message import Block, Headers, RequestHead

V = TypeVar("V")


class Kind(IntEnum):
    """What becomes of a field on its way to the upstream."""

    KEPT = 0
    DROPPED = 1
    FORWARDING = 2  # dropped, and handed back for the case that a trusted proxy sent it
    CONNECTION = 3  # dropped, and what it names as well
    COOKIE = 4  # kept, without our own cookies


# One hop alone (RFC 9110 section 7.6.1, RFC 9113 section 8.2.2), or written anew by whoever sends the message.
HOP_BY_HOP = frozenset({
    b"connection", b"keep-alive", b"te", b"upgrade", b"http2-settings", b"transfer-encoding", b"content-length",
})  # fmt: skip
# Set by the request's own sender for us, or rebuilt for the upstream.
_REQUEST_HOP = frozenset({b"host", b"expect", b"max-forwards"})

# What a trusted proxy may contribute: the way that a request came.
FORWARDING = frozenset({
    b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded", b"x-request-id", b"traceparent",
    b"tracestate", b"x-forwarded-client-cert",
})  # fmt: skip

# Names that some gateway gives to an upstream to say who is calling or from where. Ours are among them.
IDENTITY = frozenset({
    b"client-cert", b"client-cert-chain",  # RFC 9440
    b"remote-user", b"remote-groups", b"remote-name", b"remote-email",  # Authelia
    b"x-remote-user", b"x-remote-group",  # Kubernetes
    b"x-authenticated-user", b"x-authenticated-userid", b"x-userinfo", b"x-jwt-assertion", b"x-token-subject",
    b"x-goog-iap-jwt-assertion", b"teleport-jwt-assertion",
    b"x-client-cert", b"x-client-certificate", b"x-client-dn", b"x-client-verify", b"x-ssl-cert",
    b"x-consumer-id", b"x-consumer-username", b"x-consumer-custom-id", b"x-credential-identifier",  # Kong
    b"x-real-ip", b"x-client-ip", b"client-ip", b"x-cluster-client-ip", b"true-client-ip", b"cf-connecting-ip",
    b"fastly-client-ip", b"x-appengine-user-ip", b"x-azure-clientip", b"wl-proxy-client-ip", b"x-originating-ip",
    b"x-remote-ip", b"x-remote-addr", b"remote-addr", b"forwarded-for", b"x-original-forwarded-for",
})  # fmt: skip
IDENTITY_PREFIXES = (
    b"x-ztproxy", b"x-forwarded", b"x-auth-request-", b"x-pomerium-", b"x-authentik-", b"cf-access-", b"x-webauth-",
    b"x-goog-authenticated-user-", b"x-amzn-oidc-", b"x-amzn-mtls-", b"x-ms-client-principal", b"x-ms-token-",
    b"x-token-user-", b"x-remote-extra-", b"x-ssl-client-", b"ssl-client-", b"x-envoy-", b"l5d-",
)  # fmt: skip
# Names that make a server see another target or method than the policy saw; `proxy` becomes HTTP_PROXY (CVE-2016-5385).
OVERRIDES = frozenset({
    b"x-original-url", b"x-original-uri", b"x-rewrite-url", b"x-original-host", b"x-original-method", b"x-host",
    b"x-http-method", b"x-http-method-override", b"x-method-override", b"x-http-destinationurl", b"proxy",
})  # fmt: skip

# Twice in a request is a contradiction: one reader takes the first, another the last (RFC 9110 section 5.3).
SINGLETONS = frozenset({
    b"content-length", b"transfer-encoding", b"content-type", b"content-range", b"date", b"expect",
    b"from", b"if-modified-since", b"if-range", b"if-unmodified-since", b"max-forwards", b"origin", b"range",
    b"referer", b"user-agent", b"access-control-request-method",
})  # fmt: skip

# Not in trailers: what frames, routes, authenticates, modifies or describes the content (RFC 9110 section 6.5.1).
TRAILERS_REFUSED = frozenset({b"content-length", b"transfer-encoding", b"host"})
_TRAILERS_DROPPED = frozenset({
    b"authorization", b"cookie", b"set-cookie", b"www-authenticate", b"authentication-info", b"content-encoding",
    b"content-type", b"content-range", b"content-location", b"content-disposition", b"cache-control", b"pragma",
    b"expires", b"age", b"vary", b"date", b"location", b"retry-after", b"range", b"trailer", b"warning", b"origin",
    b"accept", b"accept-encoding", b"accept-language", b"referer", b"user-agent", b"if-match", b"if-none-match",
    b"if-modified-since", b"if-unmodified-since", b"if-range", b"allow", b"status", b"strict-transport-security",
    b"content-security-policy",
})  # fmt: skip

# What nobody but the proxy itself writes: neither a policy nor a static edit.
RESERVED = HOP_BY_HOP | _REQUEST_HOP | FORWARDING | IDENTITY | OVERRIDES

# All that a CORS preflight needs (Fetch standard, section 4.8); it carries no credentials.
PREFLIGHT = frozenset({
    b"origin", b"access-control-request-method", b"access-control-request-headers",
    b"access-control-request-private-network", b"user-agent", b"accept", b"accept-language", b"accept-encoding",
})  # fmt: skip

OUR_COOKIES = b"ztproxy"  # what our cookies are called begins with this, behind `__Host-` or `__Secure-`
OUR_TOKENS = (b"ztst_", b"ztcl_")  # what our tokens begin with: those of services, and those of people's programs

_FOLD = bytes(ord(c.lower()) if (c := chr(i)).isascii() and c.isalnum() else ord("-") for i in range(256))
_FRAMING = {b"transferencoding": b"transfer-encoding", b"contentlength": b"content-length"}


def fold(name: bytes) -> bytes:
    """Return the name that servers take a spelling for: lower-case, `-` for whatever is no letter or digit."""
    return name.translate(_FOLD)


def _spell(name: bytes) -> bytes:
    lower = name.lower()
    framing = _FRAMING.get(bytes(c for c in lower if 0x61 <= c <= 0x7A))
    if framing is not None and framing != lower:
        raise Refused(FRAMING_REFUSED, f"{framing.decode()} must be spelled with its hyphen alone")
    return lower


# Lower-case spelling of a raw name. Raises where it is a false spelling of a name that frames the body.
SPELLED: Learned[bytes] = Learned(_spell)


def _kind(name: bytes) -> Kind:
    folded = fold(name)
    if folded == b"connection":
        return Kind.CONNECTION
    if name == b"cookie":
        return Kind.COOKIE
    if folded in FORWARDING:
        return Kind.FORWARDING if folded == name else Kind.DROPPED
    if folded in RESERVED:
        return Kind.DROPPED
    if folded.startswith(b"proxy-") or folded.startswith(IDENTITY_PREFIXES):
        return Kind.DROPPED
    return Kind.KEPT


_REQUEST_KINDS: Learned[Kind] = Learned(_kind)
_DROPPED = Kind.DROPPED
_PERSISTENCE = frozenset({b"keep-alive", b"close"})


def clean_request(headers: Headers) -> tuple[Headers, Headers]:
    """Return a client's fields that pass, and its forwarding fields, which pass if it is trusted.

    Host and the framing fields are dropped; the caller writes them anew. `authorization` stays.
    """
    kinds = _REQUEST_KINDS
    kept: Headers = []
    special: Headers = []
    for pair in headers:
        if not (kind := kinds[pair[0]]):
            kept.append(pair)
        elif kind is not _DROPPED:
            special.append(pair)
    forwarded: Headers = []
    named: set[bytes] = set()
    for name, value in special:
        kind = kinds[name]
        if kind is Kind.FORWARDING:
            forwarded.append((name, value))
        elif kind is Kind.COOKIE:
            kept += [(name, cookies)] if (cookies := _without_our_cookies(value)) else []
        elif value not in _PERSISTENCE:
            named.update(tokens([value]))
    if named:
        kept = [pair for pair in kept if pair[0] not in named]
    return kept, forwarded


def clean_head(head: RequestHead) -> Block:
    """Return what passes of a request's fields, `authorization` left out; heads that share a block are cleaned once."""
    block = head.block
    if block.passing is None:
        kept, block.forwarded = clean_request(head.headers)
        block.passing = [field for field in kept if field[0] != b"authorization"]
        credentials = [value for name, value in kept if name == b"authorization"]
        block.passes_authorization = bool(credentials) and not any(map(is_our_token, credentials))
    return block


def tokens(values: Iterable[bytes]) -> list[bytes]:
    """Return the lower-case elements of a list of tokens, such as Connection's (RFC 9110 section 5.6.1)."""
    return [token.strip(b" \t").lower() for value in values for token in value.split(b",") if token.strip(b" \t")]


def is_our_token(credential: bytes) -> bool:
    """Return whether a credential is one that the proxy has given out; whatever a route says, no upstream gets it."""
    scheme, _, token = credential.partition(b" ")
    return scheme.lower() == b"bearer" and token.strip(b" \t").startswith(OUR_TOKENS)


def is_our_cookie(cookie: bytes) -> bool:
    """Return whether a `name=value` is a cookie of the proxy."""
    name = cookie.partition(b"=")[0].strip(b" \t")
    return name.lower().removeprefix(b"__host-").removeprefix(b"__secure-").startswith(OUR_COOKIES)


def _without_our_cookies(value: bytes) -> bytes:
    if OUR_COOKIES not in value.lower():
        return value
    return b"; ".join(cookie.strip(b" \t") for cookie in value.split(b";") if not is_our_cookie(cookie))


def _dropped_from_response(name: bytes) -> bool:
    folded = fold(name)
    return folded in HOP_BY_HOP or (folded.startswith(b"proxy-") and folded != b"proxy-status")


_RESPONSE_DROPPED: Learned[bool] = Learned(_dropped_from_response)


def clean_response(headers: Headers) -> Headers:
    """Return an upstream's fields that pass to the client: none of one hop, none that frames, no cookie of ours."""
    dropped = _RESPONSE_DROPPED
    named = set(tokens(value for name, value in headers if name == b"connection"))
    return [
        (name, value)
        for name, value in headers
        if not dropped[name] and name not in named and not (name == b"set-cookie" and is_our_cookie(value))
    ]


def clean_trailers(trailers: Headers) -> Headers:
    """Return trailers that pass, in either direction: none that frames, routes, authenticates or identifies."""
    return [
        (name, value)
        for name, value in trailers
        if _REQUEST_KINDS[name] is Kind.KEPT and fold(name) not in _TRAILERS_DROPPED
    ]
