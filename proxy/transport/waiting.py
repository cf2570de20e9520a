"""What waiting on a stream is made of: how control is given back, and what a wait ends with.

This file is interpreted always: generators that are awaited, and errors of the operating system's kind, are nothing
that the compiler takes.
"""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


class StreamClosed(ConnectionError):  # noqa: N818 - a state of the stream
    """The other side is gone while something was still to be written."""


class StreamTimeout(TimeoutError):  # noqa: N818 - a state of the stream
    """The stream's deadline passed while its coroutine waited on it."""


@types.coroutine
def pause() -> Generator[None, None, None]:
    """Give control back to the driver."""
    yield


@types.coroutine
def need_task() -> Generator[bool, None, None]:
    """Ask the driver for a task to go on in."""
    yield True


@types.coroutine
def carry_on(begun: Coroutine[Any, None, T]) -> Generator[Any, Any, T]:
    """Go on, in a task, with a coroutine that was begun without one."""
    return (yield from begun.__await__())


async def fail(error: BaseException) -> Any:
    """Raise, in a task, what ended a coroutine without one."""
    raise error
