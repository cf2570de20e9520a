"""What each field of the input document is, in a line: what `ztproxy policy input` says beside a value.

`docs/policy.md` says the same, and a test holds the two together. The schema for editors and for OPA's own type checker
is made of this table too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class Term(NamedTuple):
    """A field: its path from the root of the input, its type in words, and what it is."""

    path: str
    type: str
    text: str


GLOSSARY: Final = (
    Term("schema", "string", "ztproxy/1"),
    Term(
        "principal",
        "object",
        "whom the decision is about: the token's user; without a token the workload on the connection; without "
        "either, nobody, also on a device",
    ),
    Term("principal.kind", "string", "user, workload or anonymous"),
    Term("principal.id", "string", "the token's sub, the SPIFFE ID, or empty"),
    Term(
        "principal.issuer",
        "string",
        "a user's issuer, by its name in the configuration; a workload's trust domain; or empty. An identity is an "
        "issuer and an id, and kind says which sort of issuer: compare all three",
    ),
    Term("principal.issuer_url", "string", "the token's iss, or empty"),
    Term(
        "principal.email",
        "string",
        "the e-mail address where its issuer says that it is verified and its domain is among the issuer's "
        "email_domains, the domain in lower case; else empty",
    ),
    Term("principal.groups", "list of strings", "a user's groups; empty for everybody else"),
    Term("principal.claims", "object", "every claim of the token; empty without one"),
    Term("principal.method", "string", "how it was proven: bearer, session, service_token, assertion, mtls or none"),
    Term(
        "principal.authenticated_at",
        "number or null",
        "POSIX seconds: a token's auth_time, else its iat; the beginning of a workload's certificate",
    ),
    Term(
        "principal.authentication",
        "object",
        "how the user signed in, as their session or token says; who did not sign in has a method and nothing else",
    ),
    Term("principal.authentication.method", "string", "principal.method"),
    Term(
        "principal.authentication.time",
        "number",
        "POSIX seconds of the sign-in (auth_time). Not there where nobody knows it: a token's iat is renewed without "
        "anybody signing in",
    ),
    Term(
        "principal.authentication.age",
        "number",
        "seconds since then, rounded up to a whole minute, so that age <= 900 is exact. Not there without a time, nor"
        " with one in the future",
    ),
    Term(
        "principal.authentication.amr",
        "list of strings",
        "by what they proved to be it (RFC 8176), such as pwd, otp, hwk; empty where it is unknown",
    ),
    Term("principal.authentication.acr", "string", "the authentication context class, or empty"),
    Term(
        "peer",
        "object or null",
        "the workload or the device whose certificate is on the connection, also where a user rides along",
    ),
    Term("peer.kind", "string", "workload or device"),
    Term("peer.id", "string", "a workload's SPIFFE ID, or a device's NAME:ID, such as mdm:C02XL0GTJGH5"),
    Term("peer.trust_domain", "string", "the SPIFFE ID's trust domain; of a device empty"),
    Term("peer.path", "string", "the SPIFFE ID's path, which begins with /, or empty"),
    Term("request", "object", "the request's head; a body is not read before the decision"),
    Term("request.id", "string", "X-Request-Id"),
    Term("request.method", "string", "as on the wire"),
    Term("request.scheme", "string", "http or https, as the client connected"),
    Term("request.host", "string", "lower case, without port"),
    Term("request.authority", "string", "host, and the port where the client named one"),
    Term("request.path", "string", "the raw path that the upstream gets, before a prefix is stripped, without query"),
    Term(
        "request.path_segments",
        "list of strings",
        'its segments, decoded once: / is [""], /a/ is ["a", ""]. With encoded_slashes: keep a %2F stays these three '
        "characters inside its segment",
    ),
    Term("request.query", "string", "the raw query without ?, or empty"),
    Term(
        "request.headers",
        "object",
        "header fields by lower-case name; several of one name are joined by ,  (cookies by ; ). Hop-by-hop fields "
        "and every spelling of identity and forwarding fields have been taken out",
    ),
    Term("request.protocol", "string", "HTTP/1.1 or HTTP/1.0"),
    Term("request.has_body", "boolean", "whether a body follows"),
    Term("route", "object", "the route that was found"),
    Term("route.name", "string", "its name"),
    Term("route.labels", "object", "its labels"),
    Term("listener", "string", "the listener's name"),
    Term("tls", "object or null", "null on a listener without TLS"),
    Term("tls.version", "string", "such as TLSv1.3"),
    Term("tls.sni", "string or null", "the server name that the client asked for"),
    Term("tls.client_certificate", "object or null", "facts of the peer's certificate"),
    Term("tls.client_certificate.sha256", "string", "its fingerprint, lower-case hexadecimal"),
    Term("tls.client_certificate.subject", "string", "the subject in the form of RFC 4514"),
    Term("tls.client_certificate.serial", "string", "the serial number, lower-case hexadecimal"),
    Term("tls.client_certificate.not_before", "number", "POSIX seconds"),
    Term("tls.client_certificate.not_after", "number", "POSIX seconds"),
    Term("tls.client_certificate.dns", "list of strings", "its DNS names"),
    Term(
        "tls.client_certificate.uri",
        "string",
        "its one URI, of a workload the SPIFFE ID; empty where it has none, or several",
    ),
    Term("source", "object", "where the request comes from"),
    Term(
        "source.address",
        "string",
        "the client's IP address (behind a trusted proxy, that proxy's client), IPv4 wherever IPv6 only wraps it; "
        "empty where there is none",
    ),
    Term("source.port", "number", "the port of the connection"),
    Term(
        "time",
        "object",
        "when the request came. Use it rather than time.now_ns: a test and a replay then decide as the request did",
    ),
    Term("time.now", "string", "RFC 3339, UTC"),
    Term("time.unix_ns", "number", "nanoseconds since 1970, to the microsecond"),
    Term(
        "time.minute_ns",
        "number",
        "the same, cut to the whole minute: what time.clock and time.weekday take, where minutes are enough. A "
        "decision that reads now or unix_ns cannot be remembered; one that reads these four can",
    ),
    Term("time.minute", "number", "0 to 59, UTC"),
    Term("time.hour", "number", "0 to 23, UTC"),
    Term("time.weekday", "string", "Monday to Sunday, UTC"),
    Term("attributes.source", "object", "address, and principal where there is a peer"),
    Term("attributes.request.time", "string", "time.now"),
    Term(
        "attributes.request.http",
        "object",
        "id, method, headers (with :authority, :method, :path), host, path with the query, protocol, scheme",
    ),
    Term("attributes.contextExtensions", "object", "empty"),
    Term("attributes.metadataContext", "object", "empty"),
    Term("attributes.tlsSession", "object", "sni, where there is one"),
    Term(
        "parsed_path",
        "list of strings",
        "the path, decoded and then split, so that a kept %2F separates here and not in request.path_segments",
    ),
    Term(
        "parsed_query",
        "object",
        "lists of decoded values by key. What is no UTF-8 becomes U+FFFD here; request.query has it as it came",
    ),
    Term("truncated_body", "boolean", "whether there is a body, which is not shown"),
    Term("source_principal", "string", "the peer's id, where there is one"),
    Term("version", "object", '{"encoding": "protojson", "ext_authz": "v3"}'),
)
TERMS: Final = {term.path: term for term in GLOSSARY}

# Not there where there is nothing to say.
_OPTIONAL: Final = frozenset(
    {"principal.authentication.time", "principal.authentication.age", "attributes.tlsSession", "source_principal"}
)
# Whose members come from outside, or are another project's business.
_OPEN: Final = frozenset(
    {"principal.claims", "request.headers", "route.labels", "attributes.source", "attributes.request.http",
     "attributes.contextExtensions", "attributes.metadataContext", "attributes.tlsSession", "parsed_query", "version"}
)  # fmt: skip
_TYPES: Final[dict[str, dict[str, Any]]] = {
    "string": {"type": "string"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "list of strings": {"type": "array", "items": {"type": "string"}},
    "number or null": {"type": ["number", "null"]},
    "string or null": {"type": ["string", "null"]},
}


def leaves(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield path and value of each field of a document that the glossary explains and does not take apart."""
    yield from _leaves(document, "")


def _leaves(value: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        below = f"{path}.{name}" if path else name
        if isinstance(item, dict) and below not in _OPEN:
            yield from _leaves(item, below)
        else:
            yield below, item


def input_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the input document."""
    return {
        "$schema": DIALECT,
        "title": "The input of a ztproxy policy",
        **_object("", {"type": "object"}),
    }


def _object(path: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an object of known fields."""
    prefix = f"{path}." if path else ""
    names = dict.fromkeys(
        term.path[len(prefix) :].partition(".")[0] for term in GLOSSARY if term.path.startswith(prefix)
    )
    fields = {name: _field(prefix + name) for name in names}
    required = [name for name in names if prefix + name not in _OPTIONAL]
    return {**schema, "properties": fields, "required": required, "additionalProperties": False}


def _field(path: str) -> dict[str, Any]:
    term = TERMS.get(path, Term(path, "object", ""))
    said = {"description": term.text} if term.text else {}
    if term.type in _TYPES:
        return {**_TYPES[term.type], **said}
    schema: dict[str, Any] = {"type": ["object", "null"] if term.type.endswith("null") else "object", **said}
    return schema if path in _OPEN else _object(path, schema)
