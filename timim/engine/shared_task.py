"""A task that several callers share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from ..errors import NotLoggedIn

__all__ = ["SharedTask"]


class SharedTask:
    """A task that several callers wait for. It is cancelled when all of them are."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._waiting = 0

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]], *, name: str) -> None:
        """Start the task, or join the one that runs, and wait for its end. Raises its error.

        Raises:
            NotLoggedIn: `cancel()` ended the task.
        """
        if self._task is None or self._task.done():
            self._task, self._waiting = asyncio.create_task(work(), name=name), 0
        task = self._task
        self._waiting += 1
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if me is not None and not me.cancelling():
                raise NotLoggedIn("the client was logged out during the login") from None
            if self._waiting == 1:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            raise
        finally:
            self._waiting -= 1

    async def cancel(self) -> None:
        """Cancel the task, and wait until it has ended. Does nothing if none runs, and in the task itself."""
        task = self._task
        if task is not None and not task.done() and task is not asyncio.current_task():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
