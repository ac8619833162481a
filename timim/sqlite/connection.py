"""An aiosqlite connection that executes any number of statements by one call of aiosqlite's thread.

Each call of aiosqlite switches to its thread, which costs more than a statement. aiosqlite's `commit()` calls `commit()` of
the sqlite3 connection, and the connection class here executes a whole task in that method. Only the documented interface of
aiosqlite is used: `connect(factory=…)`, `commit()` and `close()`.
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
    """Statements that are executed together. A task stores its results and errors."""

    def execute(self, connection: sqlite3.Connection) -> None:
        """Execute the statements, in aiosqlite's thread. Must not raise."""
        ...


class TaskConnection(sqlite3.Connection):
    """A connection whose `commit()` executes the first queued task."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._tasks: deque[ThreadTask] = deque()  # appending and popping are thread-safe

    def queue(self, task: ThreadTask) -> None:
        """Queue a task for a later `commit()`. This method is thread-safe."""
        self._tasks.append(task)

    def commit(self) -> None:
        """Execute one task, which commits its own transaction."""
        self._tasks.popleft().execute(self)


ConnectionFactory = Callable[..., TaskConnection]


class _Opening:
    """A connection that aiosqlite's thread is opening."""

    def __init__(self, factory: ConnectionFactory) -> None:
        self._factory = factory
        self._threads: list[threading.Thread] = []
        self.made: list[TaskConnection] = []

    def make(self, *args: Any, **options: Any) -> TaskConnection:
        self._threads.append(threading.current_thread())
        self.made.append(self._factory(*args, **options))
        return self.made[0]

    def join(self) -> None:
        """Wait until the thread has ended."""
        for thread in self._threads:
            thread.join()


_pending: set[object] = set()  # adding and discarding are thread-safe


def pending_tasks() -> int:
    """Return the number of unfinished calls to database threads in this process."""
    return len(_pending)


class AsyncConnection:
    """An open connection and its aiosqlite thread, created by `open()`."""

    def __init__(self, connection: TaskConnection, hops: aiosqlite.Connection) -> None:
        self._connection = connection
        self._hops = hops

    @classmethod
    async def open(cls, path: Path | None, factory: ConnectionFactory) -> AsyncConnection:
        """Open a file, or a database in memory if `path` is None. Raises sqlite3.Error."""
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
        except BaseException:  # aiosqlite stops its thread, but does not wait for the thread's end
            await asyncio.to_thread(opening.join)
            raise
        finally:
            _pending.discard(opening)
        return cls(opening.made[0], hops)

    async def execute(self, task: ThreadTask) -> None:
        """Execute a task after all earlier ones. Cancelling does not stop the task.

        Raises:
            StorageError: The connection is closed.
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
        """Execute the queued tasks, close the connection, and end the thread."""
        _pending.add(self)
        try:
            await self._hops.close()
        finally:
            _pending.discard(self)
