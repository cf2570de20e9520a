"""Whether the issuers and the endpoints that a config names can be reached, for `ztproxy check`."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from typing import Final

import typer

from proxy.config.address import parse_url
from proxy.config.mistake import Location, Mistake
from proxy.config.schema import Config
from proxy.identity.issuers import build_issuers
from proxy.identity.keys import KeySource
from proxy.identity.oidc import FetchFailed
from proxy.upstream.endpoint import Endpoint, build_endpoints

_PATIENCE: Final = 3.0  # seconds for one issuer or endpoint
_AT_ONCE: Final = 32  # looks at a time


async def unreachable(config: Config) -> list[Mistake]:
    """Look at every issuer and endpoint once; a network that is down must not stop a gateway from starting."""
    places = list(_looks(config))
    if places and sys.stderr.isatty():
        typer.echo(f"looking at {len(places)} issuers and endpoints …", err=True)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def look(location: Location, what: str, attempt: Awaitable[object]) -> Mistake | None:
        async with gate:
            reason = await _failure(attempt)
        return Mistake(location, f"{what} cannot be reached: {reason}", "warning") if reason else None

    found = await asyncio.gather(*(look(*place) for place in places))
    return [mistake for mistake in found if mistake is not None]


def _looks(config: Config) -> Iterator[tuple[Location, str, Awaitable[object]]]:
    issuers, _ = build_issuers(config.identity, config.limits, None, lambda event, fields: None)
    for name, source in issuers.sources.items():
        yield ("identity", "issuers", name), "issuer", _fetch(source)
    for name, upstream in config.upstreams.items():
        at: Location = ("upstreams", name)
        for index, endpoint in enumerate(build_endpoints(upstream, at)[0]):
            yield (*at, "endpoints", index), "endpoint", _connect(endpoint)
    if config.policy.opa is not None:
        url = parse_url(config.policy.opa.url)
        plain = Endpoint(url.host, url.port, tls=None, server_name=url.host, authority=url.host)
        yield ("policy", "opa", "url"), "OPA server", _connect(plain)


async def _fetch(source: KeySource) -> None:
    await source.origin.loader()()


async def _connect(endpoint: Endpoint) -> None:
    name = endpoint.server_name if endpoint.tls else None
    _, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=endpoint.tls, server_hostname=name)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def _failure(attempt: Awaitable[object]) -> str | None:
    """Return why an attempt failed, in words, or None."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await attempt
    except TimeoutError:
        return f"no answer within {_PATIENCE:g} s"
    except socket.gaierror:
        return "its name is not found"
    except ssl.SSLError as error:
        return str(getattr(error, "verify_message", "") or error.reason or "the TLS handshake failed").lower()
    except OSError as error:
        return (os.strerror(error.errno) if error.errno else str(error)).lower()
    except FetchFailed as error:
        return str(error)
    return None
