"""The one door to `create_task`: every task has an owner that ends it, and none fails in silence."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def tell_failure(what: str, error: BaseException) -> None:
    """Say on stderr what failed, and where."""
    sys.stderr.write(f"ztproxy: {what} failed: {''.join(traceback.format_exception(error))}")


async def outlive(work: Awaitable[T], task: asyncio.Task[Any]) -> T:
    """Wait for work, and end a task with it, however it ends."""
    try:
        return await work
    finally:
        task.cancel()
        await asyncio.wait([task])


class Tasks:
    """A set of tasks with one owner."""

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start a task that this owner will end; what it raises is told on stderr."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def end(self) -> None:
        """Cancel every task and wait until all have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def finish(self, seconds: float) -> bool:
        """Wait until every task has ended by itself; return False when `seconds` pass first."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        return not self._tasks

    def __len__(self) -> int:
        return len(self._tasks)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            tell_failure(task.get_name(), error)
