"""An upstream that costs as little as it can: 128 bytes for every request, on uvloop. It prints its port."""

from __future__ import annotations

import asyncio
import sys

import uvloop

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 128\r\n\r\n" + b"x" * 128


class Server(asyncio.Protocol):
    """Answers at the end of each head; its requests have no body."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._begun = b""

    def data_received(self, data: bytes) -> None:
        data = self._begun + data
        heads = data.count(b"\r\n\r\n")
        self._begun = data[data.rfind(b"\r\n\r\n") + 4 :] if heads else data
        self._transport.write(ANSWER * heads)  # type: ignore[attr-defined]


async def main() -> None:
    """Serve until ended."""
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        uvloop.run(main())
    except KeyboardInterrupt:
        sys.exit(0)
