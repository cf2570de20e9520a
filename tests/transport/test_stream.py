"""Streams over real sockets, and deadlines over a clock that the test moves."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine

import pytest
import pytest_asyncio

from proxy.transport.deadlines import Deadlines
from proxy.transport.stream import FOREVER, READ_HIGH_WATER, WRITE_HIGH_WATER, Stream
from proxy.transport.waiting import StreamClosed, StreamTimeout


class Pair:
    """A stream, and the socket at its other end."""

    def __init__(self, stream: Stream, deadlines: Deadlines, other: socket.socket) -> None:
        self.stream = stream
        self.deadlines = deadlines
        self.other = other

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.other, data)


@pytest_asyncio.fixture
async def pair() -> AsyncIterator[Pair]:
    loop, deadlines = asyncio.get_running_loop(), Deadlines()
    ours, other = socket.socketpair()
    ours.setblocking(False)
    other.setblocking(False)
    _, stream = await loop.create_connection(lambda: Stream(loop, deadlines), sock=ours)
    yield Pair(stream, deadlines, other)
    stream.abort()
    other.close()
    await until(lambda: stream.lost)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop turn until a condition holds; no event tells of it."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_fill_returns_when_the_buffer_has_grown(pair: Pair) -> None:
    waiting = asyncio.ensure_future(pair.stream.fill(FOREVER))
    await pair.send(b"abc")
    assert await waiting
    assert pair.stream.buffer == b"abc"


async def test_fill_says_when_nothing_more_will_come(pair: Pair) -> None:
    pair.other.close()
    assert not await pair.stream.fill(FOREVER)
    assert not await pair.stream.fill(FOREVER)


async def test_a_deadline_ends_the_wait_and_leaves_the_stream_open(pair: Pair) -> None:
    loop = asyncio.get_running_loop()
    waiting = asyncio.ensure_future(pair.stream.fill(loop.time() + 5))
    await asyncio.sleep(0)
    pair.deadlines.sweep(loop.time() + 4)
    assert not waiting.done()
    pair.deadlines.sweep(loop.time() + 6)
    with pytest.raises(StreamTimeout):
        await waiting
    assert not pair.stream.lost
    await pair.send(b"x")
    assert await pair.stream.fill(FOREVER)


async def test_a_sink_takes_what_arrives_and_the_buffer_keeps_what_it_leaves(pair: Pair) -> None:
    taken = bytearray()

    def take_three(data: bytes) -> bytes:
        taken.extend(data[:3])
        return data[3:]

    pair.stream.sink = take_three
    waiting = asyncio.ensure_future(pair.stream.fill(FOREVER))
    await asyncio.sleep(0)
    pair.stream.data_received(b"abc")
    await asyncio.sleep(0)
    assert not waiting.done()
    pair.stream.data_received(b"defgh")
    assert await waiting
    assert (taken, pair.stream.buffer) == (b"abcdef", b"gh")
    pair.stream.data_received(b"ij")  # it must not overtake what waits
    assert (taken, pair.stream.buffer) == (b"abcdef", b"ghij")


async def test_a_sink_rouses_the_coroutine_that_waits_or_will_wait(pair: Pair) -> None:
    waiting = asyncio.ensure_future(pair.stream.fill(FOREVER))
    await asyncio.sleep(0)
    pair.stream.rouse()
    assert await waiting
    pair.stream.rouse()
    assert await pair.stream.fill(FOREVER)


async def test_a_postponed_deadline_is_that_of_the_fill_under_way_alone(pair: Pair) -> None:
    pair.stream.postpone(1.0)
    pair.deadlines.sweep(2.0)
    waiting = asyncio.ensure_future(pair.stream.fill(3.0))
    await asyncio.sleep(0)
    pair.stream.postpone(5.0)
    pair.deadlines.sweep(4.0)
    assert not waiting.done()
    pair.deadlines.sweep(5.0)
    with pytest.raises(StreamTimeout):
        await waiting


async def test_reading_that_is_paused_goes_on_with_the_next_fill(pair: Pair) -> None:
    pair.stream.pause_reading()
    await pair.send(b"abc")
    for _ in range(100):
        await asyncio.sleep(0)
    assert not pair.stream.buffer
    assert await pair.stream.fill(FOREVER)


async def test_reading_pauses_while_nobody_parses(pair: Pair) -> None:
    sending = asyncio.ensure_future(pair.send(bytes(8 * READ_HIGH_WATER)))
    await until(lambda: len(pair.stream.buffer) >= READ_HIGH_WATER)
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(pair.stream.buffer) < 5 * READ_HIGH_WATER
    assert not sending.done()
    received = 0
    while received < 8 * READ_HIGH_WATER:
        received += len(pair.stream.buffer)
        pair.stream.buffer.clear()
        if received < 8 * READ_HIGH_WATER:
            assert await pair.stream.fill(FOREVER)
    await sending


async def test_drain_waits_until_the_other_side_takes_what_was_written(pair: Pair) -> None:
    pair.stream.write(bytes(4 * WRITE_HIGH_WATER))
    waiting = asyncio.ensure_future(pair.stream.drain())
    for _ in range(50):
        await asyncio.sleep(0)
    assert not waiting.done()
    taken = 0
    while taken < 4 * WRITE_HIGH_WATER:
        taken += len(await asyncio.get_running_loop().sock_recv(pair.other, 1 << 20))
    await waiting


async def test_a_write_that_makes_progress_is_given_its_patience_again(pair: Pair) -> None:
    loop = asyncio.get_running_loop()
    pair.stream.patience = 5
    pair.stream.write(bytes(8 * WRITE_HIGH_WATER))
    waiting = asyncio.ensure_future(pair.stream.drain())
    await asyncio.sleep(0)
    before = pair.stream.transport.get_write_buffer_size()
    while pair.stream.transport.get_write_buffer_size() == before:
        await loop.sock_recv(pair.other, 1 << 16)
        await asyncio.sleep(0)
    pair.deadlines.sweep(loop.time() + 6)
    await asyncio.sleep(0)
    assert not waiting.done()
    pair.deadlines.sweep(loop.time() + 12)
    with pytest.raises(StreamTimeout):
        await waiting


async def test_a_lost_connection_ends_a_drain_and_refuses_writes(pair: Pair) -> None:
    pair.stream.write(bytes(4 * WRITE_HIGH_WATER))
    waiting = asyncio.ensure_future(pair.stream.drain())
    await asyncio.sleep(0)
    pair.stream.abort()
    with pytest.raises(StreamClosed):
        await waiting
    with pytest.raises(StreamClosed):
        pair.stream.write(b"x")
    with pytest.raises(StreamClosed):
        await pair.stream.drain()


async def test_an_interrupt_ends_the_wait_and_every_later_one(pair: Pair) -> None:
    waiting = asyncio.ensure_future(pair.stream.fill(FOREVER))
    await asyncio.sleep(0)
    pair.stream.interrupt(KeyError("reason"))
    for _ in range(2):
        with pytest.raises(KeyError):
            await waiting
        waiting = asyncio.ensure_future(pair.stream.fill(FOREVER))
    with pytest.raises(KeyError):
        await waiting


async def test_an_idle_stream_whose_deadline_passes_is_closed(pair: Pair) -> None:
    loop = asyncio.get_running_loop()
    pair.stream.close_by = loop.time() + 1
    pair.deadlines.sweep(loop.time() + 2)
    await until(lambda: pair.stream.lost)
    assert await loop.sock_recv(pair.other, 1) == b""


async def test_a_plain_stream_stays_half_open_for_its_answer(pair: Pair) -> None:
    pair.other.shutdown(socket.SHUT_WR)
    assert not await pair.stream.fill(FOREVER)
    pair.stream.write(b"answer")
    assert await asyncio.get_running_loop().sock_recv(pair.other, 10) == b"answer"


async def test_a_drain_that_ends_leaves_the_deadline_of_a_fill_alone(pair: Pair) -> None:
    loop = asyncio.get_running_loop()
    filling = asyncio.ensure_future(pair.stream.fill(loop.time() + 5))
    pair.stream.write(bytes(4 * WRITE_HIGH_WATER))
    draining = asyncio.ensure_future(pair.stream.drain())
    taken = 0
    while taken < 4 * WRITE_HIGH_WATER:
        taken += len(await loop.sock_recv(pair.other, 1 << 20))
    await draining
    pair.deadlines.sweep(loop.time() + 6)
    with pytest.raises(StreamTimeout):
        await asyncio.wait_for(filling, 5)


async def test_fills_that_end_do_not_give_a_drain_its_patience_again(pair: Pair) -> None:
    loop = asyncio.get_running_loop()
    pair.stream.patience = 5
    pair.stream.write(bytes(8 * WRITE_HIGH_WATER))
    draining = asyncio.ensure_future(pair.stream.drain())
    await asyncio.sleep(0)
    await pair.send(b"x")
    assert await pair.stream.fill(loop.time() + 100)
    filling = asyncio.ensure_future(pair.stream.fill(loop.time() + 100))
    await asyncio.sleep(0)
    pair.deadlines.sweep(loop.time() + 6)
    with pytest.raises(StreamTimeout):
        await asyncio.wait_for(draining, 5)
    assert not filling.done()
    filling.cancel()


# --- a coroutine that no task runs


class ByHand:
    """A driver that notes how it is asked to go on, and lets the test do so."""

    def __init__(self, stream: Stream) -> None:
        self.direct = True
        self.asked: list[BaseException | None] = []
        stream.driver = self

    def resume(self) -> None:
        self.asked.append(None)

    def throw(self, error: BaseException) -> None:
        self.asked.append(error)


def _waits(stream: Stream, deadline: float = FOREVER) -> Coroutine[None, None, bool]:
    """Return a `fill` that has come to its wait."""
    filling = stream.fill(deadline)
    assert filling.send(None) is None
    return filling


def _ended(filling: Coroutine[None, None, bool]) -> bool:
    with pytest.raises(StopIteration) as end:
        filling.send(None)
    return bool(end.value.value)


async def test_bytes_are_told_to_a_driver_at_once(pair: Pair) -> None:
    driver, filling = ByHand(pair.stream), _waits(pair.stream)
    pair.stream.data_received(b"abc")
    assert driver.asked == [None]
    pair.stream.data_received(b"def")
    assert driver.asked == [None]  # once a wait
    assert _ended(filling)
    assert pair.stream.buffer == b"abcdef"


async def test_a_driver_is_not_asked_while_its_coroutine_is_elsewhere(pair: Pair) -> None:
    driver = ByHand(pair.stream)
    pair.stream.data_received(b"abc")
    assert driver.asked == []
    with pytest.raises(StopIteration):
        pair.stream.fill(FOREVER).send(None)  # they are there already


async def test_the_end_is_told_to_a_driver(pair: Pair) -> None:
    driver, filling = ByHand(pair.stream), _waits(pair.stream)
    pair.other.close()
    await until(lambda: driver.asked)
    assert driver.asked == [None]
    assert not _ended(filling)


async def test_a_deadline_and_an_interrupt_are_thrown_by_a_driver(pair: Pair) -> None:
    loop = asyncio.get_running_loop()
    driver, filling = ByHand(pair.stream), _waits(pair.stream, loop.time() + 5)
    pair.deadlines.sweep(loop.time() + 4)
    assert driver.asked == []
    pair.deadlines.sweep(loop.time() + 6)
    (late,) = driver.asked
    assert isinstance(late, StreamTimeout)
    with pytest.raises(StreamTimeout):
        filling.throw(late)
    filling, reason = _waits(pair.stream), KeyError("reason")
    pair.stream.interrupt(reason)
    assert driver.asked == [late, reason]
    filling.close()


async def test_a_fill_that_was_ended_from_outside_wakes_nobody(pair: Pair) -> None:
    loop = asyncio.get_running_loop()
    driver, filling = ByHand(pair.stream), _waits(pair.stream, loop.time() + 5)
    with pytest.raises(asyncio.CancelledError):
        filling.throw(asyncio.CancelledError())
    pair.deadlines.sweep(loop.time() + 6)
    pair.stream.data_received(b"abc")
    assert driver.asked == []


async def test_a_deadline_is_hastened_for_a_driver_too(pair: Pair) -> None:
    loop = asyncio.get_running_loop()
    driver, filling = ByHand(pair.stream), _waits(pair.stream)
    pair.stream.hasten(loop.time() + 5)
    pair.deadlines.sweep(loop.time() + 6)
    assert isinstance(driver.asked[0], StreamTimeout)
    filling.close()


async def test_a_coroutine_that_its_driver_gave_to_a_task_waits_as_a_task(pair: Pair) -> None:
    driver = ByHand(pair.stream)
    driver.direct = False
    filling = asyncio.ensure_future(pair.stream.fill(FOREVER))
    await pair.send(b"abc")
    assert await filling
    assert driver.asked == []
