"""One SQLite file: a connection that writes and a connection that reads, through aiosqlite alone. Used by both sides.

A write resolves after the commit that holds it is synced to disk (WAL, synchronous=FULL). Writes are executed in the order
in which they were given. What waits is written in one transaction and in one hop to aiosqlite's thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ..errors import StorageError
from .batching_queue import QUEUE_LIMIT, BatchingQueue
from .connection import AsyncConnection, TaskConnection
from .tasks import BatchOperation, CallTask, ErrorTranslator, Operation, Write, WriteTask, on_snapshot

__all__ = ["Database", "Schema"]

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741  an item
R = TypeVar("R")


class Schema(Protocol):
    """The tables of a file."""

    def migrate(self, connection: sqlite3.Connection) -> None:
        """Bring a new or old file to the current schema."""
        ...


class Database:
    """One file, or memory when `path` is None.

    The open connections are held by an asynchronous generator: an event loop that ends (`asyncio.run`) closes them when their
    owner forgot to, and so ends aiosqlite's threads, for which the process would wait for ever.
    """

    def __init__(
        self,
        path: Path | None,
        schema: Schema,
        *,
        synchronous: str = "FULL",
        fresh_reads: bool = False,
        suspect: Path | None = None,
    ) -> None:
        """Do no I/O.

        Args:
            path: The file.
            schema: What makes and migrates its tables.
            synchronous: SQLite's pragma of that name.
            fresh_reads: A read sees every write that was given before it, committed or not; otherwise what is committed.
            suspect: A file that is made when SQLite finds that the database is corrupt.
        """
        self._path = path
        self._schema = schema
        self._synchronous = synchronous
        self._fresh_reads = fresh_reads
        self._errors = ErrorTranslator(suspect)
        self._writes: BatchingQueue[Write, Any] = BatchingQueue(self)
        self._reads = 0  # that wait
        self._opened = AsyncExitStack()
        self._connections: dict[str, AsyncConnection] = {}
        self._is_open = False

    def make_connection(self, *args: Any, **options: Any) -> TaskConnection:
        """Make a connection, in aiosqlite's thread; tests put it on a disk of their own."""
        return TaskConnection(*args, **options)

    async def open(self) -> None:
        """Open the file and migrate it. Raises StorageError when it cannot be opened or written."""
        opening = asyncio.create_task(self._opened.enter_async_context(self._connected()), name="timim database open")
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.gather(opening, return_exceptions=True)
            await self.close()
            raise
        self._is_open = True

    async def close(self) -> None:
        """Execute what waits, then close the file. Afterwards every call raises StorageError."""
        self._is_open = False
        self._writes.flush()
        await asyncio.shield(asyncio.create_task(self._close(), name="timim database close"))

    async def _close(self) -> None:
        await self._writes.drain()
        await self._opened.aclose()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.callback(self._connections.clear)
            self._connections["writer"] = await self._connect(self._prepare_writer, stack)
            if self._path is not None:
                self._connections["reader"] = await self._connect(self._prepare_reader, stack)
            yield

    async def _connect(self, prepare: Operation[None], stack: AsyncExitStack) -> AsyncConnection:
        failure = f"cannot open {self._path}"
        try:
            connection = await AsyncConnection.open(self._path, self.make_connection)
        except sqlite3.Error as exc:
            raise StorageError(f"{failure}: {exc}") from exc
        stack.push_async_callback(connection.close)
        task = CallTask(prepare, self._errors, failure=failure)
        await connection.execute(task)
        task.result()
        return connection

    def _prepare_writer(self, connection: sqlite3.Connection) -> None:
        self._set_pragmas(connection)
        self._schema.migrate(connection)

    def _prepare_reader(self, connection: sqlite3.Connection) -> None:
        self._set_pragmas(connection)
        connection.execute("PRAGMA query_only=ON")

    def _set_pragmas(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={self._synchronous}")

    def add(
        self, operation: BatchOperation[I, R], item: I, on_done: Callable[[R | Exception], None], *, defer: bool = False
    ) -> None:
        """Write one item of an operation that takes many: neighbours are executed by one call.

        Args:
            operation: A function of a module, so that its neighbours are recognised.
            item: What the operation takes.
            on_done: As for `BatchingQueue.add`.
            defer: Let the item wait for the next write, read or `flush()`.
        """
        if defer:
            self._writes.defer(Write(operation, item), on_done)
        else:
            self._writes.add(Write(operation, item), on_done)

    def submit_item(self, operation: BatchOperation[I, R], item: I) -> asyncio.Future[R]:
        """Write one item of an operation that takes many, as `add` does. Returns a future of its result."""
        return self._writes.submit(Write(operation, item))

    def flush(self) -> None:
        """Write the deferred items now."""
        self._writes.flush()

    def submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Queue a write. The future resolves after its commit. Raises StorageError when closed or overloaded."""
        if not self._is_open:
            raise _closed()
        if len(self._writes) >= QUEUE_LIMIT:
            raise _overloaded("writes")
        self._writes.flush()
        return self._writes.submit(Write(partial(_call_alone, operation), None))

    async def write(self, operation: Operation[T]) -> T:
        """Execute a write. Cancelling stops the waiting, not the write."""
        return await self.submit(operation)

    async def read(self, operation: Operation[T]) -> T:
        """Execute a read, on one snapshot. Raises StorageError when closed or overloaded."""
        self._writes.flush()
        if self._path is None or (self._fresh_reads and len(self._writes)):
            return await self.submit(operation)
        if not self._is_open:
            raise _closed()
        if self._reads >= QUEUE_LIMIT:
            raise _overloaded("reads")
        task = CallTask(partial(on_snapshot, operation), self._errors, failure="a read failed")
        self._reads += 1
        try:
            await self._connections["reader"].execute(task)
        finally:
            self._reads -= 1
        return task.result()

    async def execute_batch(self, writes: Sequence[Write]) -> Sequence[Any]:
        """Execute writes in one transaction; called by the queue."""
        if "writer" not in self._connections:
            raise _closed()
        task = WriteTask(writes, self._errors)
        await self._connections["writer"].execute(task)
        return task.results


def _call_alone(operation: Operation[T], connection: sqlite3.Connection, _: Sequence[None]) -> Sequence[T]:
    return [operation(connection)]


def _closed() -> StorageError:
    return StorageError("the database is closed")


def _overloaded(what: str) -> StorageError:
    return StorageError(f"{QUEUE_LIMIT} {what} wait already: the disk does not keep up")
