"""The line between a supervisor and a worker: JSON messages both ways, and descriptors from the one to the other.

One end asks and the other answers, by number. A message is four bytes of length and its JSON. A descriptor rides on
the first byte of its message (SCM_RIGHTS), so that it is there when the message is.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections import deque
from itertools import count
from typing import Any

Message = dict[str, Any]

_LENGTH = 4
_READ = 256 * 1024


class Channel:
    """One end.

    Args:
        sock: a connected Unix stream socket, ours from here on.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[Message]] = {}
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue()
        self._descriptors: deque[int] = deque()
        self._read = bytearray()
        self._unsent: deque[tuple[memoryview, int | None]] = deque()
        self._open = True
        self._loop.add_reader(sock.fileno(), self._readable)

    def send(self, message: Message, descriptor: int | None = None) -> None:
        """Send a message, and with it a copy of an open descriptor. What the other end is too slow for waits here."""
        if not self._open:
            return
        if descriptor is not None:
            message = {**message, "descriptor": True}
            descriptor = os.dup(descriptor)  # it may be closed here before it is sent
        data = json.dumps(message, separators=(",", ":")).encode()
        self._unsent.append((memoryview(len(data).to_bytes(_LENGTH, "big") + data), descriptor))
        if len(self._unsent) == 1:
            self._writable()

    async def ask(self, message: Message, seconds: float) -> Message:
        """Send a message and return its answer. Raise ConnectionError where the other end is gone, or TimeoutError."""
        if not self._open:
            raise ConnectionResetError("channel is closed")
        number = next(self._numbers)
        answer: asyncio.Future[Message] = self._loop.create_future()
        self._asked[number] = answer
        self.send({**message, "number": number})
        try:
            async with asyncio.timeout(seconds):
                return await answer
        finally:
            del self._asked[number]

    def answer(self, question: Message, message: Message) -> None:
        """Answer a message that was asked."""
        self.send({**message, "answers": question["number"]})

    async def receive(self) -> Message | None:
        """Return the next message that is no answer, its `descriptor` open and ours; None at the end."""
        return await self._messages.get()

    def close(self) -> None:
        """End it: what was asked fails."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        for _, descriptor in self._unsent:
            if descriptor is not None:
                os.close(descriptor)
        for descriptor in self._descriptors:
            os.close(descriptor)
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(ConnectionResetError("channel has ended"))
        self._messages.put_nowait(None)

    def _writable(self) -> None:
        try:
            while self._unsent:
                data, descriptor = self._unsent[0]
                if descriptor is not None:
                    sent = socket.send_fds(self._socket, [data], [descriptor])
                    os.close(descriptor)
                else:
                    sent = self._socket.send(data)
                if sent < len(data):
                    self._unsent[0] = (data[sent:], None)
                else:
                    self._unsent.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._socket.fileno(), self._writable)
        except OSError:
            self.close()
        else:
            self._loop.remove_writer(self._socket.fileno())

    def _readable(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, _READ, 1)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        self._descriptors.extend(descriptors)
        self._read += data
        while len(self._read) >= _LENGTH:
            end = _LENGTH + int.from_bytes(self._read[:_LENGTH], "big")
            if len(self._read) < end:
                break
            message: Message = json.loads(self._read[_LENGTH:end])
            del self._read[:end]
            self._take(message)
        if not data:
            self.close()

    def _take(self, message: Message) -> None:
        if message.get("descriptor"):
            message["descriptor"] = self._descriptors.popleft()
        number = message.get("answers")
        if number is None:
            self._messages.put_nowait(message)
        elif (answer := self._asked.get(number)) is not None and not answer.done():
            answer.set_result(message)
