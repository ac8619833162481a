"""A task that several callers share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from ..errors import NotLoggedIn

__all__ = ["SharedTask"]


class _Run:
    """One run of the task, and the number of callers that wait for its end."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self.task = task
        self.waiting = 0


class SharedTask:
    """A task that several callers wait for. It is cancelled when all of them are."""

    def __init__(self) -> None:
        self._run: _Run | None = None

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]], *, name: str) -> None:
        """Start the task, or join the one that runs, and wait for its end. Raises its error.

        Raises:
            NotLoggedIn: `cancel()` ended the task.
        """
        run = self._run
        if run is None or run.task.done():
            run = self._run = _Run(asyncio.create_task(work(), name=name))
        run.waiting += 1
        try:
            await asyncio.shield(run.task)
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if me is not None and not me.cancelling():
                raise NotLoggedIn("the client was logged out during the login") from None
            if run.waiting == 1:
                run.task.cancel()
                await asyncio.gather(run.task, return_exceptions=True)
            raise
        finally:
            run.waiting -= 1

    async def cancel(self) -> None:
        """Cancel the task, and wait until it has ended. Do nothing if no task runs, or if the task itself is the caller."""
        run = self._run
        if run is not None and not run.task.done() and run.task is not asyncio.current_task():
            run.task.cancel()
            await asyncio.gather(run.task, return_exceptions=True)
