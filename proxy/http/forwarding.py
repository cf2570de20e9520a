"""What we tell the upstream of a request: its way here, who makes it, and the client certificate.

It writes fields and, where a trusted proxy sent them, continues those that came. It is given the words (addresses,
names, facts of a certificate) and knows no identity; whatever it is given leaves as safe field content.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Protocol
from urllib.parse import quote

from proxy.errors import INPUT_REFUSED, REQUEST_MALFORMED, Refused
from proxy.http.message import Headers
from proxy.http.target import parse_host

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_TCHARS = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PAIR = rf'({_TCHARS})=({_TCHARS}|"(?:[\t !#-\[\]-~]|\\[\t -~])*")'
_PAIRS = re.compile(_PAIR, re.ASCII)
# An element of Forwarded (RFC 7239 section 4) with the comma behind it.
_ELEMENT = re.compile(rf"[ \t]*(?:{_PAIR})?(?:;(?:{_PAIR})?)*[ \t]*(?:,|\Z)", re.ASCII)
# A node: an address, an IPv6 one in brackets where a port follows (RFC 7239 section 6; some proxies in XFF too).
_NODE = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?|([0-9.]+)(?::[0-9]{1,5})?|([0-9A-Fa-f:.]+)", re.ASCII)
_REQUEST_ID = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}", re.ASCII)
_TRACEPARENT = re.compile(rb"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})", re.ASCII)
_TRACESTATE = re.compile(rb"[\t -~]{1,512}", re.ASCII)

_MOST_HOPS = 32

# Visible ASCII without `%`: what an identity field spells as it is. Space is not in it: its edges are trimmed.
_SPELLED = "!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
_PLAIN = re.compile(r"[!-$&-~]*", re.ASCII)
_PLAIN_GROUP = re.compile(r"[!-$&-+\--~]*", re.ASCII)


def source_of(forwarded: Headers, header: str, remote: str, trusted: Sequence[Network]) -> str:
    """Return the address that a request came from: the rightmost that is not a trusted proxy's.

    Args:
        forwarded: forwarding fields of a sender that is trusted, or none.
        header: the one field that trusted proxies write: `x-forwarded-for` or `forwarded`.
        remote: the address at the other end of the connection.
        trusted: the networks of trusted proxies.

    Raises:
        Refused: REQUEST_MALFORMED, a trusted proxy's field does not say an address where one is needed.
    """
    source = remote
    for element in reversed(_elements(forwarded, header)):
        address = _address(element)
        if address is None:
            raise Refused(REQUEST_MALFORMED, f"{header} of a trusted proxy must name an ip address")
        source = str(address)
        if not any(address in network for network in trusted):
            break
    return source


def forwarding_fields(
    forwarded: Headers,
    *,
    remote: str,
    scheme: str,
    authority: str,
    request_id: str,
    trace: tuple[str, str],
    header: str = "x-forwarded-for",
) -> Headers:
    """Return the fields that tell the way of a request.

    X-Forwarded-For and Forwarded tell the same way: that of the believed field, as far as it names addresses, and then
    `remote`. A field that the trusted proxies do not write may have come through them from anybody.

    Args:
        forwarded: forwarding fields of a sender that is trusted, or none.
        remote: the address at the other end of the connection, or empty for a Unix socket.
        scheme: `http` or `https`, of the connection.
        authority: the request's host and port.
        request_id: ours, or what `request_id_of` gave.
        trace: a fresh trace ID and span ID, lower-case hexadecimal (W3C Trace Context).
        header: the one field that trusted proxies write: `x-forwarded-for` or `forwarded`.
    """
    proto, host, span = scheme.encode(), authority.encode(), trace[1].encode()
    first_proto, first_host = proto, host
    parent, state = b"00-%b-%b-00" % (trace[0].encode(), span), b""
    if forwarded:
        way, node = _way(forwarded, header, remote)
        first_proto, first_host = _first_hop(forwarded, header, proto, host)
        parent, state = _trace(forwarded, span) or (parent, state)
    else:
        way, node = remote, _node(remote)
    fields = [
        (b"x-forwarded-proto", first_proto),
        (b"forwarded", b'%b;host="%b";proto=%b' % (node.encode(), host, proto)),
        (b"x-request-id", request_id.encode()),
        (b"traceparent", parent),
    ]
    if way:
        fields.append((b"x-forwarded-for", way.encode()))
    if first_host:  # HTTP/1.0 may have none
        fields.append((b"x-forwarded-host", first_host))
    if state:
        fields.append((b"tracestate", state))
    return fields


def way_fields(remote: str, scheme: str, authority: str) -> Headers:
    """Return the part of `forwarding_fields` that is the same for all requests of a client that is no trusted proxy.

    Args:
        remote, scheme, authority: as of `forwarding_fields`.
    """
    fields = forwarding_fields(
        [], remote=remote, scheme=scheme, authority=authority, request_id="", trace=("", ""), header="x-forwarded-for"
    )
    return [field for field in fields if field[0] not in (b"x-request-id", b"traceparent")]


def request_id_of(forwarded: Headers) -> str | None:
    """Return a trusted proxy's request ID if it is one token of at most 128 characters."""
    values = [value for name, value in forwarded if name == b"x-request-id"]
    return values[0].decode("ascii") if len(values) == 1 and _REQUEST_ID.fullmatch(values[0]) else None


def _values(forwarded: Headers, name: bytes) -> list[bytes]:
    return [value for field, value in forwarded if field == name]


def _first_hop(forwarded: Headers, header: str, proto: bytes, host: bytes) -> tuple[bytes, bytes]:
    """Return scheme and authority that the client used towards the trusted proxy, where it says so; else ours."""
    if header == "forwarded":
        hop = (_parse_forwarded(forwarded) or [{}])[-1]
        protos, hosts = [hop.get("proto", "").encode()], [hop.get("host", "").encode()]
    else:
        protos, hosts = _values(forwarded, b"x-forwarded-proto"), _values(forwarded, b"x-forwarded-host")
    if protos in ([b"http"], [b"https"]):
        proto = protos[0]
    try:
        if len(hosts) == 1 and hosts[0]:
            parse_host(hosts[0])
            host = hosts[0]
    except Refused:
        pass  # it is told, not routed by: what is no host is not told
    return proto, host


def _trace(forwarded: Headers, span: bytes) -> tuple[bytes, bytes] | None:
    """Return traceparent and tracestate of a trace that goes on, with our span for the parent."""
    parents = _values(forwarded, b"traceparent")
    match = _TRACEPARENT.fullmatch(parents[0]) if len(parents) == 1 else None
    if match is None:
        return None
    state = b",".join(_values(forwarded, b"tracestate"))
    if not _TRACESTATE.fullmatch(state):
        state = b""
    return b"00-%b-%b-%b" % (match[1], span, match[2]), state


def _way(forwarded: Headers, header: str, remote: str) -> tuple[str, str]:
    """Return the way in X-Forwarded-For's spelling and in Forwarded's: the hops after an unknown one, and `remote`."""
    addresses = [remote]
    for element in reversed(_elements(forwarded, header)):
        address = _address(element)
        if address is None:
            break
        addresses.append(str(address))
    addresses.reverse()
    return ", ".join(filter(None, addresses)), ", ".join(map(_node, addresses))


def _node(address: str) -> str:
    if not address:
        return "for=unknown"  # RFC 7239 section 6.2: a Unix socket has no address
    return f'for="[{address}]"' if ":" in address else f"for={address}"


def _elements(forwarded: Headers, header: str) -> list[str]:
    """Return the nodes that the believed field names, the latest ones, in order; one without a name is empty."""
    if header == "forwarded":
        return [hop.get("for", "") for hop in _parse_forwarded(forwarded)[-_MOST_HOPS:]]
    text = ",".join(value.decode("latin-1") for value in _values(forwarded, b"x-forwarded-for"))
    return [element.strip(" \t") for element in text.rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]] if text else []


def _parse_forwarded(forwarded: Headers) -> list[dict[str, str]]:
    """Return the pairs of each element of Forwarded; none of an element that says one thing twice.

    A quote that a client left open may swallow what a proxy wrote behind it, so one malformed element spoils the field.
    """
    text = ",".join(value.decode("latin-1") for value in _values(forwarded, b"forwarded"))
    hops = []
    position = 0
    while position < len(text):
        element = _ELEMENT.match(text, position)
        if element is None:
            raise Refused(REQUEST_MALFORMED, "forwarded of a trusted proxy must be well-formed")
        position = element.end()
        pairs = [(name.lower(), _unquoted(value)) for name, value in _PAIRS.findall(element[0])]
        hops.append(dict(pairs) if len(dict(pairs)) == len(pairs) else {})
    return hops


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _address(node: str) -> Address | None:
    match = _NODE.fullmatch(node)
    if match is None:
        return None
    try:
        address = ip_address(match[1] or match[2] or match[3])
    except ValueError:
        return None
    # ::ffff:10.0.0.1 is 10.0.0.1, and must match the networks that 10.0.0.1 matches.
    return getattr(address, "ipv4_mapped", None) or address


def identity_fields(subject: str, email: str, groups: Sequence[str]) -> Headers:
    """Return the fields that tell the upstream who is calling; none for an empty subject, which is nobody.

    Whatever is not visible ASCII is percent-encoded as UTF-8, and so are `%` and, in groups, the comma between them.

    Raises:
        Refused: INPUT_REFUSED, a value holds a lone surrogate.
    """
    if not subject:
        return []
    fields = [(b"x-ztproxy-subject", _spell(subject))]
    if email:
        fields.append((b"x-ztproxy-email", _spell(email)))
    if groups:
        fields.append((b"x-ztproxy-groups", b",".join([_spell_group(group) for group in groups])))
    return fields


def _spell(text: str) -> bytes:
    return text.encode() if _PLAIN.fullmatch(text) else _quote(text, _SPELLED)


def _spell_group(text: str) -> bytes:
    return text.encode() if _PLAIN_GROUP.fullmatch(text) else _quote(text, _SPELLED.replace(",", ""))


def _quote(text: str, safe: str) -> bytes:
    try:
        return quote(text, safe=safe).encode()
    except UnicodeEncodeError:
        raise Refused(INPUT_REFUSED, "an identity must be of unicode scalar values") from None


class Certificate(Protocol):
    """What an upstream may be told of a client certificate; the identity room's facts have it."""

    @property
    def der(self) -> bytes: ...
    @property
    def sha256(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def uri(self) -> str: ...
    @property
    def dns(self) -> tuple[str, ...]: ...
    @property
    def chain(self) -> tuple[bytes, ...]: ...


def client_certificate_fields(mode: str, forwarded: Headers, certificate: Certificate | None) -> Headers:
    """Return the fields that tell the upstream of the client certificate.

    Args:
        mode: `none`, `xfcc` (Envoy's X-Forwarded-Client-Cert) or `rfc9440`.
        forwarded: forwarding fields of a sender that is trusted, or none; its XFCC elements stand before ours.
        certificate: the connection's, or None.
    """
    if mode == "xfcc":
        elements = _values(forwarded, b"x-forwarded-client-cert")
        if certificate is not None:
            elements.append(_xfcc(certificate))
        return [(b"x-forwarded-client-cert", b",".join(elements))] if elements else []
    if mode == "rfc9440" and certificate is not None:
        fields = [(b"client-cert", _binary(certificate.der))]
        if certificate.chain:
            fields.append((b"client-cert-chain", b", ".join(map(_binary, certificate.chain))))
        return fields
    return []


def _binary(der: bytes) -> bytes:
    return b":" + b64encode(der) + b":"  # a byte sequence of RFC 8941


def _xfcc(certificate: Certificate) -> bytes:
    pairs = [f"Hash={certificate.sha256}", f"Subject={_quoted(certificate.subject)}"]
    if certificate.uri:  # a device's certificate seldom has one
        pairs.append(f"URI={_value(certificate.uri)}")
    pairs += [f"DNS={_value(name)}" for name in certificate.dns]
    return ";".join(pairs).encode("ascii")


def _value(text: str) -> str:
    return text if re.fullmatch(r"[!#-+\--:<>-\[\]-~]+", text, re.ASCII) else _quoted(text)


def _quoted(text: str) -> str:
    """Quote for XFCC. A subject is the client's choice of words: neither `"` nor a backslash may end the string."""
    escaped = re.sub(r'(["\\])', r"\\\1", text)
    plain = re.sub(r"[^ -~]", lambda match: quote(match[0], safe="", errors="replace"), escaped)
    return f'"{plain}"'
