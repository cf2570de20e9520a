"""The line between a supervisor and a worker."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator

import pytest

from proxy.server.channel import Channel
from tests.gateway import PATIENCE


@pytest.fixture
async def ends() -> Iterator[tuple[Channel, Channel]]:
    channels = tuple(map(Channel, socket.socketpair()))
    yield channels
    for channel in channels:
        channel.close()


async def test_a_descriptor_comes_with_its_message_and_is_a_copy(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        for number in range(3):
            here.send({"do": "socket", "number": number}, listening.fileno())
            here.send({"do": "nothing"})
    for number in range(3):
        message = await there.receive()
        assert message is not None
        assert message["number"] == number
        with socket.socket(fileno=message["descriptor"]) as handed:
            assert handed.getsockname()[1] == port
            assert not os.get_inheritable(handed.fileno())
        assert await there.receive() == {"do": "nothing"}


async def test_a_long_answer_comes_whole_and_to_the_question_that_was_asked(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    text = "x" * 5_000_000  # more than a socket holds

    async def answer() -> None:
        first, second = await there.receive(), await there.receive()
        assert first is not None
        assert second is not None
        there.answer(second, {"text": "short"})
        there.answer(first, {"text": text})

    long, short, _ = await asyncio.gather(
        here.ask({"do": "long"}, PATIENCE), here.ask({"do": "short"}, PATIENCE), answer()
    )
    assert (long["text"], short["text"]) == (text, "short")


async def test_a_question_fails_when_the_other_end_is_gone_or_silent(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    with pytest.raises(TimeoutError):
        await here.ask({"do": "metrics"}, 0.05)
    there.close()
    with pytest.raises(ConnectionError):
        await here.ask({"do": "metrics"}, PATIENCE)
    assert await here.receive() is None
    with pytest.raises(ConnectionError):
        await here.ask({"do": "metrics"}, PATIENCE)


async def test_what_was_never_sent_is_let_go(ends: tuple[Channel, Channel]) -> None:
    here, _ = ends
    reading, writing = os.pipe()
    here.send({"do": "fill", "text": "x" * 5_000_000})
    here.send({"do": "socket"}, writing)
    os.close(writing)
    here.close()
    assert os.read(reading, 1) == b""  # no copy is left open
    os.close(reading)
