"""An upstream that costs as little as it can, on uvloop: 128 bytes for every request, 10 MiB below /large/.

    python -m bench.upstream PORT

It takes bodies that have a content-length, and answers once it has them whole.
"""

from __future__ import annotations

import asyncio
import re
import sys

import uvloop

LARGE = 10 * 1024 * 1024


def answer(size: int) -> bytes:
    """Return the bytes of an answer with a body of a size."""
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size


SMALL, LARGE_ANSWER = answer(128), answer(LARGE)
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
END = b"\r\n\r\n"


class Server(asyncio.Protocol):
    """Answers at the end of each head or of its body."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._head = b""
        self._body = 0  # bytes that are still to come

    def data_received(self, data: bytes) -> None:
        if self._body:
            data = self._skip(data)
            if self._body:
                return
        data = self._head + data
        while (end := data.find(END)) >= 0:
            head, data = data[:end], data[end + len(END) :]
            data = self._begin(head, data)
        self._head = data

    def _begin(self, head: bytes, rest: bytes) -> bytes:
        """Answer a request, or wait for its body; return what follows it."""
        if head.startswith(b"GET /large/"):
            self._transport.write(LARGE_ANSWER)  # type: ignore[attr-defined]
            return rest
        if not head.startswith(b"POST"):
            self._transport.write(SMALL)  # type: ignore[attr-defined]
            return rest
        length = LENGTH.search(head)
        assert length is not None
        self._body = int(length[1])
        return self._skip(rest)

    def _skip(self, data: bytes) -> bytes:
        taken = min(len(data), self._body)
        self._body -= taken
        if self._body == 0:
            self._transport.write(SMALL)  # type: ignore[attr-defined]
        return data[taken:]


async def main(port: int) -> None:
    """Serve until ended."""
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        uvloop.run(main(int(sys.argv[1])))
    except KeyboardInterrupt:
        sys.exit(0)
