"""Dial an endpoint, and say in the catalogue's words why that failed."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

from proxy import errors
from proxy.errors import Refused
from proxy.transport.deadlines import Deadlines
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.endpoint import Endpoint

if TYPE_CHECKING:
    from proxy.upstream.pool import Pool


async def dial(endpoint: Endpoint, pool: Pool, deadlines: Deadlines, timeout: float) -> UpstreamConnection:  # noqa: ASYNC109 - the budget covers name, TCP and TLS together
    """Return a new connection.

    Args:
        endpoint: where to; its TLS context verifies always.
        pool: the pool that the connection belongs to.
        timeout: seconds for name resolution, TCP and TLS together.

    Raises:
        Refused: UPSTREAM_DNS_FAILED, UPSTREAM_REFUSED, UPSTREAM_TLS_FAILED or UPSTREAM_CONNECT_TIMEOUT.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            connection = UpstreamConnection(loop, deadlines, pool)
            await loop.create_connection(
                connection.as_protocol,
                endpoint.host,
                endpoint.port,
                ssl=endpoint.tls,
                server_hostname=endpoint.server_name if endpoint.tls else None,
            )
    except TimeoutError as error:
        raise Refused(errors.UPSTREAM_CONNECT_TIMEOUT, f"{endpoint} took longer than {timeout:g} s") from error
    except socket.gaierror as error:
        raise Refused(errors.UPSTREAM_DNS_FAILED, f"{endpoint.host}: {error.strerror}") from error
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or "handshake failed"
        raise Refused(errors.UPSTREAM_TLS_FAILED, f"{endpoint}: {reason}") from error
    except OSError as error:
        raise Refused(errors.UPSTREAM_REFUSED, f"{endpoint}: {error.strerror or error}") from error
    return connection
