"""A limit on how many conversations of a client have a running handler at the same time."""

from __future__ import annotations

import asyncio

__all__ = ["CONCURRENCY", "HandlerSlots"]

CONCURRENCY = 1000  # conversations; a program that shares few connections to a database sets fewer


class HandlerSlots:
    """The slots of running handlers: `async with slots` waits until the task has one of `limit` slots."""

    def __init__(self, limit: int) -> None:
        self._free = asyncio.Semaphore(limit)
        self._holders: set[asyncio.Task[object]] = set()

    async def __aenter__(self) -> None:
        await self._free.acquire()
        self._holders.add(_current_task())

    async def __aexit__(self, *exc: object) -> None:
        self.give_up(_current_task())

    def give_up(self, task: asyncio.Task[object]) -> None:
        """Free the slot of a task early, because it waits for other handlers. Does nothing without a slot."""
        if task in self._holders:
            self._holders.remove(task)
            self._free.release()


def _current_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task
