"""Where a service answers, as values: compiled from the config, without a socket."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from proxy.config import Mistake
from proxy.config.mistake import Location
from proxy.config.schema import Upstream


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of a service.

    Args:
        host, port: what is dialled.
        tls: the verifying client context of an `https://` endpoint, or None.
        server_name: the name that the certificate must bear.
        authority: host and port as a Host header spells them.
        name: what records call it.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None
    server_name: str
    authority: str
    name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{self.host}:{self.port}")

    def __str__(self) -> str:
        return self.name


def build_endpoints(upstream: Upstream, location: Location) -> tuple[tuple[Endpoint, ...], list[Mistake]]:
    """Compile an upstream's endpoints; a CA file that cannot be read is a mistake."""
    tls: ssl.SSLContext | None = None
    if any(url.startswith("https://") for url in upstream.endpoints):
        try:
            tls = _client_context(upstream.tls.ca)
        except (OSError, ssl.SSLError) as error:
            reason = error.strerror or "holds no certificate"
            return (), [Mistake((*location, "tls", "ca"), f"cannot read {upstream.tls.ca}: {reason}")]
    return tuple(_endpoint(url, tls, upstream.tls.server_name) for url in upstream.endpoints), []


def _endpoint(url: str, tls: ssl.SSLContext | None, server_name: str | None) -> Endpoint:
    parts = urlsplit(url)
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    return Endpoint(
        host=host,
        port=parts.port or (443 if secure else 80),
        tls=tls if secure else None,
        server_name=server_name or host,
        authority=parts.netloc,
    )


def _client_context(ca: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
