"""One SQLite file with a writing and a reading connection, through aiosqlite. Client and server use this module.

A write is done after its commit is synced to disk (WAL, synchronous=FULL), unless it is queued as one that needs no sync.
Writes are executed in the order of the calls. All queued writes are executed in one transaction, by one call of aiosqlite's
thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from ..errors import StorageError
from ..util.private_files import private_file
from .batching_queue import QUEUE_LIMIT, BatchingQueue, Together, resolve
from .connection import AsyncConnection, TaskConnection
from .tasks import BatchOperation, CallTask, ErrorTranslator, Operation, Write, WriteTask, on_snapshot

__all__ = ["Database", "OnWritten", "Schema", "batch_callback", "report_together"]

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741  an item
R = TypeVar("R")
S = TypeVar("S")  # the class of a method


class Schema(Protocol):
    """The schema of a file."""

    def migrate(self, connection: sqlite3.Connection) -> None:
        """Migrate a new or old file to the current schema."""
        ...


OnWritten: TypeAlias = Together[Write, Any] | Callable[[R | Exception], None]


def report_together(on_done: Callable[[Sequence[I], Sequence[R | Exception]], None]) -> Together[Write, Any]:
    """Return a callback of `Database.add` that gets the items of a batch, and their results, in one call."""
    return Together(lambda writes, results: on_done([write.item for write in writes], results))


def batch_callback(method: Callable[[S, Sequence[I], Sequence[Any]], None]) -> cached_property[Together[Write, Any]]:
    """Decorate a method that gets items and their results: the attribute of an object is one callback of `Database.add`."""
    return cached_property(lambda owner: report_together(partial(method, owner)))


class Database:
    """One file, or a database in memory if `path` is None.

    The connections are owned by an asynchronous generator. If the owner does not close them, the end of the event loop
    (`asyncio.run`) does, and ends aiosqlite's threads; otherwise the process would wait for these threads forever.
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
        """Create a closed database, without I/O.

        Args:
            path: The file.
            schema: Creates and migrates the tables.
            synchronous: SQLite's pragma of that name, for synced writes.
            fresh_reads: A read sees all writes that were queued before it; otherwise only committed ones.
            suspect: A marker file, created when SQLite reports that the database is corrupt.
        """
        self._path = path
        self._schema = schema
        self._synchronous = synchronous
        self._level = synchronous  # the pragma of the writing connection now
        self._is_synced = True
        self._fresh_reads = fresh_reads
        self._errors = ErrorTranslator(suspect)
        self._writes: BatchingQueue[Write, Any] = BatchingQueue(self)
        self._reads = 0  # unfinished reads
        self._opened = AsyncExitStack()
        self._connections: dict[str, AsyncConnection] = {}
        self._is_open = False

    def make_connection(self, *args: Any, **options: Any) -> TaskConnection:
        """Create a connection, in aiosqlite's thread; tests override this method to simulate disk faults."""
        return TaskConnection(*args, **options)

    def _make_private_connection(self, *args: Any, **options: Any) -> TaskConnection:
        if self._path is not None:
            _make_private(self._path)
        return self.make_connection(*args, **options)

    async def open(self) -> None:
        """Open the file and migrate it. Raises StorageError if the file cannot be opened or written."""
        opening = asyncio.create_task(self._opened.enter_async_context(self._connected()), name="timim database open")
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.gather(opening, return_exceptions=True)
            await self.close()
            raise
        self._is_open = True

    async def close(self) -> None:
        """Execute the queued writes, then close the file. Later calls raise StorageError."""
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
            connection = await AsyncConnection.open(self._path, self._make_private_connection)
        except sqlite3.Error as exc:
            raise StorageError(f"{failure}: {exc}") from exc
        stack.push_async_callback(connection.close)
        task = CallTask(prepare, self._errors, failure=failure)
        await connection.execute(task)
        task.result()
        return connection

    def _prepare_writer(self, connection: sqlite3.Connection) -> None:
        self._set_pragmas(connection)
        self._level = self._synchronous
        self._schema.migrate(connection)

    def _prepare_reader(self, connection: sqlite3.Connection) -> None:
        self._set_pragmas(connection)
        connection.execute("PRAGMA query_only=ON")

    def _set_pragmas(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={self._synchronous}")

    def add(
        self, operation: BatchOperation[I, R], item: I, on_done: OnWritten[R], *, defer: bool = False, synced: bool = True
    ) -> None:
        """Queue one item of a batch operation; consecutive items of one operation are executed by one call.

        Args:
            operation: A module-level function, so that equal operations compare equal.
            item: The item.
            on_done: Called with the result or the error, see `BatchingQueue.add` and `report_together`.
            defer: Let the item wait for the next write, read or `flush()`.
            synced: False for a write that a power cut may undo, until a later synced write or `sync()`. The death of the
                process does not undo it.
        """
        if defer:
            self._writes.defer(Write(operation, item, synced), on_done)
        else:
            self._writes.add(Write(operation, item, synced), on_done)

    def submit_item(self, operation: BatchOperation[I, R], item: I) -> asyncio.Future[R]:
        """Queue one item of a batch operation, as `add` does; return a future of its result."""
        return self._writes.submit(Write(operation, item))

    def flush(self) -> None:
        """Start writing the deferred items now."""
        self._writes.flush()

    def add_alone(self, operation: Operation[R], on_done: OnWritten[R]) -> None:
        """Queue a write after all earlier ones; `on_done` is called with its result or the error, see `BatchingQueue.add`."""
        self._writes.flush()
        self._writes.add(Write(partial(_call_alone, operation), None), on_done)

    def submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Queue a write; return a future that is done after the commit.

        Raises:
            StorageError: The database is closed, or its queue is full.
        """
        if not self._is_open:
            raise _closed()
        if len(self._writes) >= QUEUE_LIMIT:
            raise _overloaded("writes")
        self._writes.flush()
        return self._writes.submit(Write(partial(_call_alone, operation), None))

    async def write(self, operation: Operation[T]) -> T:
        """Execute a write and return its result. Cancelling does not stop the write."""
        return await self.submit(operation)

    async def read(self, operation: Operation[T]) -> T:
        """Execute a read on one snapshot. Raises StorageError if the database is closed or its queue is full."""
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

    async def sync(self) -> None:
        """Sync all earlier writes to disk, which a power cut may undo otherwise. Raises StorageError."""
        self._writes.flush()
        if len(self._writes) or not self._is_synced:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._add_sync(partial(resolve, done))
            await done

    def sync_soon(self, on_failure: Callable[[Exception], None]) -> None:
        """Queue a sync of all earlier writes, unless they are synced."""
        if not self._is_synced:
            self._add_sync(lambda result: on_failure(result) if isinstance(result, Exception) else None)

    def _add_sync(self, on_done: Callable[[Exception | None], None]) -> None:
        def on_committed(result: Exception | None) -> None:  # before the next commit
            self._is_synced = result is None
            on_done(result)

        self._writes.add(Write(_write_header, None), on_committed)

    async def execute_batch(self, writes: Sequence[Write]) -> Sequence[Any]:
        """Execute writes in one transaction; the queue calls this method."""
        if "writer" not in self._connections:
            raise _closed()
        synced = any(write.synced for write in writes)
        level = self._synchronous if synced or self._synchronous == "OFF" else "NORMAL"
        pragma = f"PRAGMA synchronous={level}" if level != self._level else ""
        self._level = level
        task = WriteTask(writes, self._errors, pragma=pragma)
        await self._connections["writer"].execute(task)
        if not synced:
            self._is_synced = False
        elif task.changed:
            self._is_synced = True
        return task.results


def _write_header(connection: sqlite3.Connection, syncs: Sequence[None]) -> Sequence[None]:
    """Write the header of the file: SQLite does not sync a transaction that changes nothing."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version={version}")
    return syncs


def _call_alone(operation: Operation[T], connection: sqlite3.Connection, _: Sequence[None]) -> Sequence[T]:
    return [operation(connection)]


def _make_private(path: Path) -> None:
    """Let only the owner read the file; SQLite gives the files beside it the same rights.

    Raises:
        StorageError: The file cannot be created.
    """
    try:
        private_file(path)
        for end in ("-wal", "-shm"):
            if (beside := path.with_name(path.name + end)).exists():
                private_file(beside)
    except OSError as exc:
        raise StorageError(f"cannot open {path}: {exc.strerror}") from exc


def _closed() -> StorageError:
    return StorageError("the database is closed")


def _overloaded(operations: str) -> StorageError:
    return StorageError(f"{QUEUE_LIMIT} {operations} are queued, which is the limit: the disk is too slow; retry later")
