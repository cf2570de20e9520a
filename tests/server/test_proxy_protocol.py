"""PROXY protocol headers, as literal bytes."""

from __future__ import annotations

import struct

import pytest

from proxy.server.proxy_protocol import SIGNATURE, Incomplete, ProxyHeader, parse_proxy_header


def v2(command: int, family: int, payload: bytes, size: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(payload) if size is None else size) + payload


IPV4 = bytes([192, 0, 2, 7, 10, 0, 0, 1]) + struct.pack("!HH", 50000, 443)
IPV6 = bytes.fromhex("20010db8000000000000000000000007" * 2) + struct.pack("!HH", 50000, 443)

GOOD = {
    "version 1 over IPv4": (b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 443\r\n", ("192.0.2.7", 50000)),
    "version 1 over IPv6": (b"PROXY TCP6 2001:db8::7 2001:db8::1 50000 443\r\n", ("2001:db8::7", 50000)),
    "version 1 unknown": (b"PROXY UNKNOWN\r\n", None),
    "version 1 unknown with addresses": (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
    "version 2 over IPv4": (v2(0x21, 0x11, IPV4), ("192.0.2.7", 50000)),
    "version 2 over IPv6": (v2(0x21, 0x21, IPV6), ("2001:db8::7", 50000)),
    "version 1 of a mapped address": (b"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 50000 443\r\n", ("192.0.2.7", 50000)),
    "version 2 with TLVs": (v2(0x21, 0x11, IPV4 + b"\x02\x00\x01a"), ("192.0.2.7", 50000)),
    "version 2 local": (v2(0x20, 0x00, b""), None),
}

BAD = {
    "no header at all": b"GET / HTTP/1.1\r\n",
    "TLS": b"\x16\x03\x01\x00\x05",
    "lower case": b"proxy TCP4 192.0.2.7 10.0.0.1 50000 443\r\n",
    "two spaces": b"PROXY  TCP4 192.0.2.7 10.0.0.1 50000 443\r\n",
    "a family that its addresses are not of": b"PROXY TCP4 2001:db8::7 2001:db8::1 50000 443\r\n",
    "a family that one address is not of": b"PROXY TCP4 192.0.2.7 2001:db8::1 50000 443\r\n",
    "a port out of range": b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 443\r\n",
    "no port": b"PROXY TCP4 192.0.2.7 10.0.0.1\r\n",
    "no address": b"PROXY TCP4 192.0.2 10.0.0.1 50000 443\r\n",
    "a line without end": b"PROXY TCP4 " + b"1" * 120,
    "version 2 of a later version": v2(0x31, 0x11, IPV4),
    "version 2 with an unknown command": v2(0x22, 0x11, IPV4),
    "version 2 over UDP": v2(0x21, 0x12, IPV4),
    "version 2 too short for its family": v2(0x21, 0x21, IPV4),
    "version 2 longer than its bound": v2(0x21, 0x11, b"", size=65535),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_header_tells_the_clients_address(name: str) -> None:
    data, source = GOOD[name]
    assert parse_proxy_header(data + b"GET /") == ProxyHeader(len(data), source)


@pytest.mark.parametrize("name", GOOD)
def test_every_beginning_of_a_header_asks_for_more(name: str) -> None:
    data, _ = GOOD[name]
    for end in range(len(data)):
        with pytest.raises(Incomplete):
            parse_proxy_header(data[:end])


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_header_is_refused(name: str) -> None:
    with pytest.raises(ValueError):
        parse_proxy_header(BAD[name])
