"""Where a request wants to go: one host and one path, decided once, or a refusal.

It takes the method, the raw target and the Host values of a head and gives a `Target`. It repairs nothing: routing,
policy and the upstream get the bytes that came, so whatever two servers might read differently is refused here. Every
rule is a row of `RULES`. It must not know routes, and it does not decide what `%2F` is worth: it marks it, and the
route says whether such a target passes.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import Literal
from urllib.parse import unquote_to_bytes

from proxy.errors import CONNECT_REFUSED, HOST_REFUSED, TARGET_REFUSED, Refused, Row
from proxy.http.message import Target

Subject = Literal["line", "target", "path", "segment", "host", "request"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Args:
        name: what tests and the log call it.
        subject: what it looks at: method and target with a space between (`line`), the raw `target`, its raw `path`, a
            decoded `segment`, an authority (`host`), or the `request` as a whole.
        broken: the pattern that is found where the rule is broken; None where no pattern can tell.
        text: the rule.
        row: how a request that breaks it is refused.
    """

    name: str
    subject: Subject
    broken: str | None
    text: str
    row: Row = TARGET_REFUSED


_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_PORT = r"(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"

RULES: tuple[Rule, ...] = (
    # The target as a whole (RFC 9112 section 3.2).
    Rule("connect", "line", r"\ACONNECT ", "the connect method is not offered", CONNECT_REFUSED),
    Rule("asterisk", "line", r"\A(?!OPTIONS ).* \*\Z", "options alone may have the asterisk for a target"),
    Rule("characters", "target", r"[^\x21-\x7e]", "target must be visible ascii"),
    Rule("fragment", "target", r"#", "target must not have a fragment"),
    Rule("form", "target", r"\A(?!/|\*\Z|(?i:https?)://)", "target must be a path or an http or https url"),
    Rule("userinfo", "target", r"\A[A-Za-z]+://[^/?]*@", "target must not have userinfo"),
    # The raw path (RFC 3986 section 3.3). Of other characters those pass that browsers do not encode: [ ] | ^
    Rule("backslash", "path", r"\\|%5[Cc]", "path must not have a backslash"),
    Rule("path_characters", "path", r"[^A-Za-z0-9\-._~!$&'()*+,;=:@/%\[\]|^]", "path must be of uri characters"),
    Rule("percent", "path", r"%(?![0-9A-Fa-f]{2})", "percent must stand before two hexadecimal digits"),
    Rule("control", "path", r"%[01][0-9A-Fa-f]|%7[Ff]", "path must not have control characters"),
    Rule(
        "encoded_alphanumeric",
        "path",
        r"%(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa])",
        "path must not percent-encode letters and digits",
    ),
    Rule("double_encoding", "path", r"%25[0-9A-Fa-f]{2}", "path must not be encoded twice"),
    Rule("empty_segment", "path", r"//", "path must not have empty segments"),
    # Each segment, decoded once, and cut at every %2F. `..;x`, `.. `, `..?` and `..#` are dot segments to servers that
    # cut off parameters and trailing spaces, or that decode before they look for a query.
    Rule("utf8", "segment", None, "path must be valid utf-8"),
    Rule(
        "dot_segment",
        "segment",
        r"\A(?:\.\.?|(?=[ ]*\.)[. ]*[ ][. ]*)(?:[;?#].*)?\Z",
        "path must not have dot segments",
    ),
    Rule("blank_segment", "segment", r"\A;", "path must not have segments of parameters alone"),
    Rule("slash_at_edge", "segment", r"\A\Z", "an encoded slash must stand between characters"),
    Rule("c1_control", "segment", r"[\x80-\x9f]", "path must not have control characters"),
    # Of a segment that is not ascii, the compatibility form (NFKC) that some servers fold it to.
    Rule("folds_to_syntax", "segment", r"[/\\]|%[0-9A-Fa-f]{2}", "path must not fold to a separator or an escape"),
    # The host (RFC 3986 section 3.2.2): one spelling each, so that another spelling cannot find another route.
    Rule("host_missing", "request", None, "an http/1.1 request must have a host", HOST_REFUSED),
    Rule("host_duplicate", "request", None, "a request must have one host", HOST_REFUSED),
    Rule("host_disagrees", "request", None, "host must agree with an absolute target", HOST_REFUSED),
    Rule("host_trailing_dot", "host", r"\A[^\[:]*\.(?::|\Z)", "host must not end in a dot", HOST_REFUSED),
    Rule(
        "host_syntax",
        "host",
        rf"\A(?!(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])(?::[^:\[\]]*)?\Z)",
        "host must be a dns name or an ip address",
        HOST_REFUSED,
    ),
    Rule("host_length", "host", r"\A[^\[:]{254}", "host must have at most 253 characters", HOST_REFUSED),
    Rule("host_port", "host", rf":(?!{_PORT}\Z)[^:\]]*\Z", "port must be a number from 1 to 65535", HOST_REFUSED),
    # 127.1, 0x7f000001 and 2130706433 are one address to many a resolver.
    Rule(
        "host_ipv4",
        "host",
        rf"\A(?=(?:[^\[:]*\.)?(?:[0-9]+|0[Xx][0-9A-Fa-f]*)(?::|\Z))(?!{_OCTET}(?:\.{_OCTET}){{3}}(?::|\Z))",
        "an ipv4 address must be four decimal numbers",
        HOST_REFUSED,
    ),
    Rule("host_ipv6", "host", None, "an ipv6 address must be valid", HOST_REFUSED),
)

_RULE = {rule.name: rule for rule in RULES}


def _patterns(subject: Subject) -> tuple[tuple[re.Pattern[str], Rule], ...]:
    return tuple(
        (re.compile(rule.broken, re.ASCII | re.DOTALL), rule)
        for rule in RULES
        if rule.subject == subject and rule.broken is not None
    )


_LINE = _patterns("line")
_TARGET = _patterns("target")
_PATH = _patterns("path")
_SEGMENT = _patterns("segment")
_HOST = _patterns("host")
_ASCII_SEGMENT = tuple((pattern, rule) for pattern, rule in _SEGMENT if rule.name != "folds_to_syntax")

# What needs no rule: segments of unreserved characters and sub-delims without `;`, none of them a dot segment.
_PLAIN_PATH = re.compile(rb"(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9\-._~!$&'()*+,=:@]+)+/?|/", re.ASCII)
_PLAIN_QUERY = re.compile(rb'[!-"$-~]*', re.ASCII)
_LONGEST_REMEMBERED = 256  # targets come from clients: a memory of long ones would be theirs to fill
_ABSOLUTE = re.compile(rb"([A-Za-z]+)://([^/?]*)(.*)", re.ASCII | re.DOTALL)
_ENCODED_SLASH = re.compile("%2[Ff]", re.ASCII)
_PORTS = {b"http": 80, b"https": 443}


def parse_target(method: bytes, target: bytes, hosts: list[bytes], version: tuple[int, int]) -> Target:
    """Return where a request goes (RFC 9112 section 3.2 and 3.3).

    Args:
        method: the method, as on the wire.
        target: the request target, as on the wire.
        hosts: every value of the Host field.
        version: (1, 0) or (1, 1).

    Raises:
        Refused: a rule of `RULES` is broken.
    """
    if len(hosts) == 1 and method != b"CONNECT":
        plain = plain_target(hosts[0], target)
        if plain is not None:
            return plain
    return _judge_target(method, target, hosts, version)


def plain_target(host: bytes, target: bytes) -> Target | None:
    """Return where a target goes that needs no rule, or None where the rules must say; the method is no CONNECT.

    Args:
        host: the one value of the Host field.
        target: the request target, as on the wire.

    Raises:
        Refused: HOST_REFUSED.
    """
    if len(target) + len(host) <= _LONGEST_REMEMBERED:
        return _remembered_target(host, target)
    return _read_plain_target(host, target)


def _read_plain_target(host: bytes, target: bytes) -> Target | None:
    path, question, query = target.partition(b"?")
    if not (_PLAIN_PATH.fullmatch(path) and _PLAIN_QUERY.fullmatch(query)):
        return None
    name, port = parse_host(host)
    segments = tuple(path.decode("ascii").split("/")[1:])
    return Target(name, port, path, query if question else None, segments)


_remembered_target = lru_cache(maxsize=16384)(_read_plain_target)


def _judge_target(method: bytes, target: bytes, hosts: list[bytes], version: tuple[int, int]) -> Target:
    text = target.decode("latin-1")
    _judge(_LINE, f"{method.decode('latin-1')} {text}")
    _judge(_TARGET, text)
    host, port = _one_host(hosts, version)
    absolute = _ABSOLUTE.fullmatch(target) if not target.startswith(b"/") else None
    if absolute is not None:
        scheme, authority, target = absolute.groups()
        default = _PORTS[scheme.lower()]
        asked = parse_host(authority)
        if hosts and (asked[0], asked[1] or default) != (host, port or default):
            raise _refused("host_disagrees")
        host, port = asked
        if not target.startswith(b"/"):
            # An empty path is `/`, and `*` of an OPTIONS request (RFC 9112 section 3.2.4).
            target = b"*" if method == b"OPTIONS" and not target else b"/" + target
    if target == b"*":
        return Target(host, port, b"*", None)
    path, question, query = target.partition(b"?")
    segments, encoded_slash = _segments(path)
    return Target(host, port, path, query if question else None, segments, encoded_slash)


def _segments(path: bytes) -> tuple[tuple[str, ...], bool]:
    """Return the decoded segments of a raw path, and whether `%2F` is in one."""
    _judge(_PATH, path.decode("ascii"))
    segments = []
    encoded_slash = False
    for raw in path.decode("ascii").split("/")[1:]:
        pieces = [_decode(piece) for piece in _ENCODED_SLASH.split(raw)]
        if raw:  # the last one may be empty
            for piece in pieces:
                _judge_segment(piece)
        encoded_slash = encoded_slash or len(pieces) > 1
        segments.append("%2F".join(pieces))
    return tuple(segments), encoded_slash


def _decode(piece: str) -> str:
    if "%" not in piece:
        return piece
    try:
        return unquote_to_bytes(piece).decode("utf-8")  # strict: no overlong form, no surrogate
    except UnicodeDecodeError:
        raise _refused("utf8") from None


def _judge_segment(segment: str) -> None:
    _judge(_ASCII_SEGMENT, segment)
    if not segment.isascii():
        folded = unicodedata.normalize("NFKC", segment)
        if folded != segment:
            _judge(_SEGMENT, folded)


def _one_host(hosts: list[bytes], version: tuple[int, int]) -> tuple[str, int | None]:
    if len(hosts) == 1:
        return parse_host(hosts[0])
    if hosts:
        raise _refused("host_duplicate")
    if version >= (1, 1):
        raise _refused("host_missing")
    return "", None


@lru_cache(maxsize=1024)
def parse_host(value: bytes) -> tuple[str, int | None]:
    """Return host and port of an authority (RFC 3986 section 3.2), the host lower-case and without its port.

    An IPv6 address keeps its brackets and is given in its canonical form.

    Raises:
        Refused: HOST_REFUSED, a rule of `RULES` is broken.
    """
    text = value.decode("latin-1")
    _judge(_HOST, text)
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host = text
    if host.startswith("["):
        try:
            host = f"[{IPv6Address(host[1:-1]).compressed}]"
        except AddressValueError:
            raise _refused("host_ipv6") from None
    return host.lower(), int(port) if colon else None


def compile_path(pattern: str) -> tuple[tuple[str, ...], bool]:
    """Return the segments that a path pattern begins with, and whether it means only what is below them.

    Args:
        pattern: decoded; `/api` is /api and all below it, `/api/` all below it, `/` everything.

    Raises:
        ValueError: no path can match the pattern.
    """
    if not pattern.startswith("/"):
        raise ValueError("path must begin with a slash")
    segments = pattern.split("/")[1:]
    below = segments[-1] == ""
    prefix = tuple(segments[:-1] if below else segments)
    for segment in prefix:
        if segment in ("", ".", ".."):
            raise ValueError("path must not have empty or dot segments")
        if re.search(r"%(?!2F)[0-9A-Fa-f]{2}", segment):
            raise ValueError("path must be decoded, save for %2F")
    return prefix, below and bool(prefix)


def match_path(pattern: str, segments: tuple[str, ...]) -> bool:
    """Tell whether a path lies at or below a pattern, by whole decoded segments; see `compile_path`."""
    prefix, below = compile_path(pattern)
    return segments[: len(prefix)] == prefix and (not below or len(segments) > len(prefix))


def _judge(rules: tuple[tuple[re.Pattern[str], Rule], ...], value: str) -> None:
    for pattern, rule in rules:
        if pattern.search(value):
            raise Refused(rule.row, rule.text)


def _refused(name: str) -> Refused:
    rule = _RULE[name]
    return Refused(rule.row, rule.text)
