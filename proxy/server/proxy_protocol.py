"""The PROXY protocol, versions 1 and 2 (HAProxy's specification): the client's address, told by a load balancer.

Sans-io: bytes in, a header out. It is spoken before TLS, so it is read from the bare socket.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from dataclasses import dataclass

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
LONGEST_V1 = 107
LONGEST = 16 + 1024  # version 2: 16 bytes and what follows; addresses take 36, the rest is TLVs
_V1 = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]{0,92})?|TCP([46]) ([0-9a-fA-F:.]+) ([0-9a-fA-F:.]+) ([0-9]{1,5}) ([0-9]{1,5}))"
)
_V2_ADDRESSES = {0x11: ("!4s4sHH", 12), 0x21: ("!16s16sHH", 36)}
_LOCAL, _PROXY = 0x20, 0x21


class Incomplete(Exception):  # noqa: N818 - no error: more bytes are to come
    """More bytes are needed."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A parsed header.

    Args:
        length: its bytes on the wire.
        source: the client's address and port, or None where the balancer speaks for itself (LOCAL, UNKNOWN).
    """

    length: int
    source: tuple[str, int] | None


def parse_proxy_header(data: bytes) -> ProxyHeader:
    """Read the header at the beginning of a connection.

    Raises:
        Incomplete: more bytes are needed.
        ValueError: it is not a header, or one that breaks a rule.
    """
    if data[: len(SIGNATURE)] == SIGNATURE[: len(data)]:
        return _parse_v2(data)
    if data[:6] == b"PROXY "[: len(data)]:
        return _parse_v1(data)
    raise ValueError("connection must begin with a PROXY protocol header")


def _parse_v1(data: bytes) -> ProxyHeader:
    end = data.find(b"\r\n", 0, LONGEST_V1)
    if end < 0:
        if len(data) >= LONGEST_V1:
            raise ValueError("PROXY protocol header must end within 107 bytes")
        raise Incomplete
    match = _V1.fullmatch(data, 0, end)
    if match is None:
        raise ValueError("PROXY protocol header must be well formed")
    if match[1] is None:
        return ProxyHeader(end + 2, None)
    source = ipaddress.ip_address(match[2].decode("ascii"))
    destination = ipaddress.ip_address(match[3].decode("ascii"))
    port, destination_port = int(match[4]), int(match[5])
    if {source.version, destination.version} != {int(match[1])} or max(port, destination_port) > 65535:
        raise ValueError("PROXY protocol addresses must be of the family that it names")
    return ProxyHeader(end + 2, (_plain(source), port))


def _parse_v2(data: bytes) -> ProxyHeader:
    if len(data) < 16:
        raise Incomplete
    command, family, size = struct.unpack("!BBH", data[12:16])
    length = 16 + size
    if length > LONGEST:
        raise ValueError(f"PROXY protocol header must not be longer than {LONGEST} bytes")
    if len(data) < length:
        raise Incomplete
    if command == _LOCAL:
        return ProxyHeader(length, None)
    if command != _PROXY or family not in _V2_ADDRESSES:
        raise ValueError("PROXY protocol header must carry a TCP address over IPv4 or IPv6")
    form, needed = _V2_ADDRESSES[family]
    if size < needed:
        raise ValueError("PROXY protocol header must hold both addresses")
    source, _, port, _ = struct.unpack(form, data[16 : 16 + needed])
    return ProxyHeader(length, (_plain(ipaddress.ip_address(source)), port))


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Spell an address; an IPv4 address that is mapped into IPv6 is the IPv4 address, or no rule for it would match."""
    return str(getattr(address, "ipv4_mapped", None) or address)
