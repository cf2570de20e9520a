"""Where things are: socket addresses (`host:port`, `[v6]:port`, `unix:/path`) and http(s) URLs, strictly read.

Whatever URL libraries would repair is refused: userinfo, control characters, backslashes, ports out of range, numbers
that only look like an IPv4 address (CVE-2021-29921: a leading zero is octal to one reader and decimal to the next).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_PORT = re.compile(r"0|[1-9][0-9]{0,4}", re.ASCII)
_URL = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[^/?#@:\[\]\\]+)(?::([0-9]+))?(/[^?#]*)?(\?[^#]*)?", re.ASCII | re.I)
_VISIBLE = re.compile(r"[\x21-\x7e]+", re.ASCII)
_UNIX_PATH_BYTES = 107  # sun_path of Linux holds 108 with its final NUL


@dataclass(frozen=True, slots=True)
class Address:
    """A socket address to listen on. `port` 0 is any free port; `path` is empty unless it is a Unix socket."""

    kind: Literal["tcp", "unix"]
    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def is_loopback(self) -> bool:
        """Whether nobody outside this machine can reach it."""
        return self.kind == "unix" or is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class URL:
    """An http or https URL. `host` is lower case, an IPv6 address without brackets; `path` holds the query too."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    path: str

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine by its very name."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its very name (RFC 6761 section 6.3)."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_address(text: str) -> Address:
    """Return the address that `host:port`, `[v6]:port` or `unix:/path` names. Raise ValueError with the rule."""
    if text.startswith("unix:"):
        return _unix(text.removeprefix("unix:"))
    host, colon, port = text.rpartition(":")
    if not colon or not host or (":" in host and not host.startswith("[")):
        raise ValueError("must be host:port, [v6]:port or unix:/path")
    return Address("tcp", host=parse_host(host), port=_port(port))


def parse_url(text: str) -> URL:
    """Return the parts of an http or https URL. Raise ValueError with the rule that is broken."""
    if not _VISIBLE.fullmatch(text) or "\\" in text or '"' in text:
        raise ValueError("must be a URL of visible ASCII characters, others percent-encoded")
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError("must be an absolute URL, http:// or https://, without user name or fragment")
    scheme, host, port, path, query = match.groups()
    if query and not path:
        raise ValueError("must have a path before its query")
    secure = scheme.lower() == "https"
    number = _port(port) if port is not None else 443 if secure else 80
    if number == 0:
        raise ValueError("must have a port from 1 to 65535")
    return URL("https" if secure else "http", parse_host(host), number, (path or "") + (query or ""))


def parse_host(text: str) -> str:
    """Return a host name in lower case, or an address in its shortest spelling without brackets."""
    host = text.lower()
    if host.startswith("[") and host.endswith("]"):
        if "%" in host:
            raise ValueError("must hold an IPv6 address without a zone in its brackets")
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise ValueError("must hold a valid IPv6 address in its brackets") from None
    if not host.isascii():
        raise ValueError("must spell international names in ASCII (xn--…)")
    if len(host) > 253 or not _HOST.fullmatch(host):
        raise ValueError("must name a valid host")
    last = host.rpartition(".")[2]
    if last.isdigit() or last.startswith("0x"):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise ValueError("must not end in a number unless it is a valid IPv4 address") from None
    return host


def _unix(path: str) -> Address:
    if not path.startswith("/") or path.endswith("/"):
        raise ValueError("must be unix: and the absolute path of a socket")
    if len(path.encode()) > _UNIX_PATH_BYTES:
        raise ValueError(f"must be a path of at most {_UNIX_PATH_BYTES} bytes: a Unix socket's limit")
    return Address("unix", path=path)


def _port(text: str) -> int:
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise ValueError("must have a port from 0 to 65535")
    return int(text)
