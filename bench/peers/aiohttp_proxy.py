"""A plain reverse proxy of aiohttp's server and client on uvloop, as one would write it: no decision, a record each.

python -m bench.peers.aiohttp_proxy PORT UPSTREAM LOG CERTIFICATE KEY CA
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import uvloop
from aiohttp import ClientSession, DummyCookieJar, TCPConnector, web

from bench.peers.peer import Peer

ROOT = Path(__file__).resolve().parents[2]
HOP_BY_HOP = frozenset({"connection", "keep-alive", "te", "transfer-encoding", "upgrade"})
PIECE = 256 * 1024


class Aiohttp(Peer):
    """The proxy in this file."""

    def commands(self) -> Sequence[Sequence[str]]:
        file = self.world.file
        arguments = [str(self.port), str(self.upstream), str(self.access_log)]
        arguments += [file("edge.pem"), file("edge.key"), file("ca.pem")]
        return [["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "bench.peers.aiohttp_proxy", *arguments]]


class Proxy:
    """One request after the other.

    Args:
        upstream: scheme and authority.
        client: of all connections to it.
        log: where records go.
    """

    def __init__(self, upstream: str, client: ClientSession, log: TextIO) -> None:
        self._upstream, self._client, self._log = upstream, client, log

    async def forward(self, request: web.BaseRequest) -> web.StreamResponse:
        """Pass a request on and its answer back."""
        began, reference = time.perf_counter(), uuid.uuid4().hex
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP]
        headers += [
            ("X-Request-Id", reference),
            ("X-Forwarded-For", str(request.remote)),
            ("X-Forwarded-Proto", "https"),
        ]
        body = request.content if request.body_exists else None
        async with self._client.request(
            request.method, self._upstream + request.raw_path, headers=headers, data=body, allow_redirects=False
        ) as upstream:
            answer = web.StreamResponse(status=upstream.status)
            for name, value in upstream.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    answer.headers.add(name, value)
            await answer.prepare(request)
            async for piece in upstream.content.iter_chunked(PIECE):
                await answer.write(piece)
            await answer.write_eof()
        self._record(request, answer, reference, time.perf_counter() - began)
        return answer

    def _record(self, request: web.BaseRequest, answer: web.StreamResponse, reference: str, seconds: float) -> None:
        record = {
            "time": time.time(),
            "request_id": reference,
            "source": request.remote,
            "method": request.method,
            "host": request.host,
            "path": request.path,
            "status": answer.status,
            "upstream": self._upstream,
            "bytes_in": request.content_length,
            "bytes_out": answer.body_length,
            "duration": seconds,
        }
        self._log.write(json.dumps(record) + "\n")


async def serve(port: int, upstream: int, log: str, certificate: str, key: str, ca: str) -> None:
    """Serve until ended."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
    context.load_cert_chain(certificate, key)
    context.verify_mode, context.num_tickets = ssl.CERT_OPTIONAL, 0
    connections = TCPConnector(limit=0)
    with Path(log).open("a", encoding="utf-8") as file:  # noqa: ASYNC230 - before it serves
        async with ClientSession(connector=connections, auto_decompress=False, cookie_jar=DummyCookieJar()) as client:
            proxy = Proxy(f"http://127.0.0.1:{upstream}", client, file)
            runner = web.ServerRunner(web.Server(proxy.forward, access_log=None))
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context, backlog=1024).start()
            while True:
                await asyncio.sleep(0.25)
                file.flush()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
