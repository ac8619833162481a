"""One aiosqlite connection that executes any number of statements in one hop to aiosqlite's thread.

aiosqlite hops to its thread once a call, and a hop costs more than a statement. Its call `commit()` takes no arguments and
calls `commit()` of the sqlite3 connection; the one made here executes a whole task then. Only what aiosqlite documents is used:
`connect(factory=…)`, `commit()` and `close()`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import aiosqlite

from ..errors import StorageError

__all__ = ["AsyncConnection", "TaskConnection", "ThreadTask", "pending_tasks"]

BUSY_TIMEOUT_S = 10.0
CACHED_STATEMENTS = 256


class ThreadTask(Protocol):
    """Statements that are executed together. A task keeps its results and its errors."""

    def execute(self, connection: sqlite3.Connection) -> None:
        """Execute the statements, in aiosqlite's thread. Must not raise."""
        ...


class TaskConnection(sqlite3.Connection):
    """A connection whose `commit()` executes the task that was queued first."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._tasks: deque[ThreadTask] = deque()  # both ends of a deque are safe without a lock

    def queue(self, task: ThreadTask) -> None:
        """Queue a task for a later `commit()`. Any thread may call this."""
        self._tasks.append(task)

    def commit(self) -> None:
        """Execute one task. It commits its own transaction."""
        self._tasks.popleft().execute(self)


ConnectionFactory = Callable[..., TaskConnection]


class _Opening:
    """A connection while aiosqlite's thread makes it."""

    def __init__(self, factory: ConnectionFactory) -> None:
        self._factory = factory
        self._threads: list[threading.Thread] = []
        self.made: list[TaskConnection] = []

    def make(self, *args: Any, **options: Any) -> TaskConnection:
        self._threads.append(threading.current_thread())
        self.made.append(self._factory(*args, **options))
        return self.made[0]

    def join(self) -> None:
        """Wait for the end of the thread."""
        for thread in self._threads:
            thread.join()


_pending: set[object] = set()  # adding and discarding are safe without a lock


def pending_tasks() -> int:
    """Return how many calls to threads of this process have not come back to their event loop yet."""
    return len(_pending)


class AsyncConnection:
    """An open connection and its aiosqlite thread. `open()` makes one."""

    def __init__(self, connection: TaskConnection, hops: aiosqlite.Connection) -> None:
        self._connection = connection
        self._hops = hops

    @classmethod
    async def open(cls, path: Path | None, factory: ConnectionFactory) -> AsyncConnection:
        """Open a file, or memory when `path` is None. Raises sqlite3.Error."""
        opening = _Opening(factory)
        _pending.add(opening)
        try:
            hops = await aiosqlite.connect(
                path or ":memory:",
                factory=opening.make,
                isolation_level=None,
                timeout=BUSY_TIMEOUT_S,
                cached_statements=CACHED_STATEMENTS,
            )
        except BaseException:  # aiosqlite has told its thread to end, and does not wait for it
            await asyncio.to_thread(opening.join)
            raise
        finally:
            _pending.discard(opening)
        return cls(opening.made[0], hops)

    async def execute(self, task: ThreadTask) -> None:
        """Execute a task behind all that were given before. Cancelling stops the waiting, not the task.

        Raises StorageError when the connection is closed.
        """
        self._connection.queue(task)
        _pending.add(task)
        try:
            await self._hops.commit()
        except ValueError as exc:  # aiosqlite's "Connection closed"
            raise StorageError("the database is closed") from exc
        finally:
            _pending.discard(task)

    async def close(self) -> None:
        """Execute the tasks that were given, close the connection, end the thread."""
        _pending.add(self)
        try:
            await self._hops.close()
        finally:
            _pending.discard(self)
