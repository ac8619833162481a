"""One SQLite file: a lane of writes that commits together all that waits, and a lane of reads. Used by both sides.

A write resolves after the COMMIT that holds it is synced to disk (WAL, synchronous=FULL), and writes are carried out in
the order they were submitted. Nobody waits to be batched: what comes in while a commit is under way goes into the next.
A write that raises is undone alone; a commit that fails (disk full) fails all that were in it. A batch may be carried out
twice before it is committed once: a write changes nothing but the file.

The lanes of all files of a process share a few threads: `sqlite_lanes.py`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ..errors import StorageError, StoreCorrupted, TimimError
from ..util.failpoints import failpoint
from .lanes import Job, Lane, Op, ReadLane, Rest, threads

T = TypeVar("T")

BATCH_LIMIT = 512  # writes in one transaction: bounds how long the first of them waits
QUEUE_LIMIT = 20_000  # writes, and reads, that wait; past it the disk is not keeping up and callers are told
BUSY_TIMEOUT_S = 10.0
SIZES = (128, 64, 32, *range(16, 0, -1))  # rows of one statement; few sizes, so that each stays prepared
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Database:
    """`path` None keeps everything in memory. `migrate` brings a new or old file to the current schema.

    `fresh_reads`: a read sees every write that was submitted before it, committed or not; otherwise what is committed.
    `damaged` is called, in a thread of the database, each time SQLite finds that the file is not whole.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        migrate: Callable[[sqlite3.Connection], None],
        synchronous: str = "FULL",
        fresh_reads: bool = False,
        damaged: Callable[[], None] | None = None,
    ) -> None:
        self._path = path
        self._migrate = migrate
        self._synchronous = synchronous
        self._fresh_reads = fresh_reads
        self._damaged = damaged
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._writes = Lane(self._write_all, limit=BATCH_LIMIT)
        self._reads = ReadLane(self._read, limit=1)
        self._waiting = 0

    async def open(self) -> None:
        """Open the file and migrate it. Raises StorageError when it cannot be opened or written."""
        loop = asyncio.get_running_loop()
        self._writer = await _in_thread(loop, self._open_writer)
        if self._path is not None:
            self._reader = await _in_thread(loop, self._open_reader)
        self._loop = loop

    async def close(self) -> None:
        """Carry out what waits, then close the file. Afterwards every call raises StorageError."""
        loop, self._loop = self._loop or asyncio.get_running_loop(), None
        last = [(lane, Job(lambda _: None, loop.create_future())) for lane in (self._writes, self._reads)]
        self._waiting += 1
        for lane, job in last:
            lane.put(job)
        ended = asyncio.gather(*(job.future for _, job in last), return_exceptions=True)
        await asyncio.shield(asyncio.ensure_future(self._end(ended, loop)))

    async def _end(self, ended: asyncio.Future[list[Any]], loop: asyncio.AbstractEventLoop) -> None:
        await ended
        connections = [connection for connection in (self._reader, self._writer) if connection is not None]
        self._reader = self._writer = None
        for connection in connections:
            await _in_thread(loop, connection.close)

    def submit(self, op: Op[T], *, urgent: bool = False) -> asyncio.Future[T]:
        """Queue a write now; the future resolves after its commit. Raises StorageError when closed or overloaded.

        `urgent`: before what waits of other files; of this file, all keep their order.
        """
        if self._loop is None:
            raise StorageError("the database is closed")
        if self._waiting >= QUEUE_LIMIT:
            raise StorageError(f"{QUEUE_LIMIT} writes wait already: the disk does not keep up")
        self._waiting += 1
        job = Job(op, self._loop.create_future())
        self._writes.put(job, urgent=urgent)
        return job.future

    async def write(self, op: Op[T]) -> T:
        """Carry out a write. Cancelling stops the waiting, not the write."""
        return await self.submit(op)

    async def read(self, op: Op[T]) -> T:
        """Carry out a read, on a snapshot."""
        if self._path is None or (self._fresh_reads and self._waiting):
            return await self.submit(op)
        if self._loop is None:
            raise StorageError("the database is closed")
        if len(self._reads) >= QUEUE_LIMIT:
            raise StorageError(f"{QUEUE_LIMIT} reads wait already: the disk does not keep up")
        job = Job(op, self._loop.create_future())
        self._reads.put(job)
        result: T = await job.future
        return result

    def _connect(self) -> sqlite3.Connection:
        connection = self._open_file()
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={self._synchronous}")
        return connection

    def _open_file(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self._path or ":memory:",
            isolation_level=None,
            timeout=BUSY_TIMEOUT_S,
            cached_statements=256,
            check_same_thread=False,  # one thread at a time: its lane sees to that
        )

    def _open_writer(self) -> sqlite3.Connection:
        try:
            connection = self._connect()
            try:
                self._migrate(connection)
            except BaseException:
                connection.close()
                raise
        except (sqlite3.Error, OSError, TimimError) as exc:
            raise self._translated(exc, f"cannot open {self._path}") from exc
        return connection

    def _open_reader(self) -> sqlite3.Connection:
        try:
            connection = self._connect()
            connection.execute("PRAGMA query_only=ON")
        except sqlite3.Error as exc:
            raise self._translated(exc, f"cannot open {self._path}") from exc
        return connection

    def _write_all(self, batch: list[Job]) -> Rest:
        """Carry out the statements of a batch; what is left is to commit them, and to tell who waits."""
        failed = self._carry_out(self._writer, batch) if self._writer is not None else None
        return partial(self._commit, self._writer, batch, failed)

    def _carry_out(self, connection: sqlite3.Connection, batch: list[Job]) -> sqlite3.Error | None:
        """In one transaction. Why there is none: the disk, or the file."""
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                for job in batch:
                    job.result = job.op(connection)
            except Exception:  # noqa: BLE001  who submitted it hears of it below
                connection.execute("ROLLBACK")
                connection.execute("BEGIN IMMEDIATE")
                self._each_alone(connection, batch)
        except sqlite3.Error as exc:
            return exc
        return None

    def _commit(self, connection: sqlite3.Connection | None, batch: list[Job], failed: sqlite3.Error | None) -> None:
        if connection is not None:
            try:
                if failed is not None:
                    raise failed
                failpoint("before-commit")
                connection.execute("COMMIT")
                failpoint("after-commit")
            except sqlite3.Error as exc:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                for job in batch:
                    job.error = self._translated(exc, "nothing was stored")
        _call(batch[0].future.get_loop(), self._settle, batch)

    def _each_alone(self, connection: sqlite3.Connection, batch: list[Job]) -> None:
        """Once more, because one of them raised: it is undone alone, and the others stand."""
        for job in batch:
            connection.execute("SAVEPOINT one")
            try:
                job.result = job.op(connection)
            except Exception as exc:  # noqa: BLE001  handed to who submitted it
                job.error = exc if isinstance(exc, TimimError) else self._translated(exc, "a write failed")
                connection.execute("ROLLBACK TO one")
            connection.execute("RELEASE one")

    def _settle(self, batch: list[Job]) -> None:
        self._waiting -= len(batch)
        for job in batch:
            _settle(job)

    def _read(self, batch: list[Job]) -> None:
        for job in batch:
            try:
                job.result = job.op(self._reader) if self._reader is not None else None
            except Exception as exc:  # noqa: BLE001  handed to who submitted it
                job.error = exc if isinstance(exc, TimimError) else self._translated(exc, "a read failed")
            _call(job.future.get_loop(), _settle, job)

    def _translated(self, exc: Exception, what: str) -> Exception:
        """sqlite3's and the disk's errors as StorageError; a programming error stays what it is."""
        if not isinstance(exc, sqlite3.Error | OSError):
            return exc
        error = StorageError(f"{what}: {exc}")
        if getattr(exc, "sqlite_errorcode", None) in _DAMAGE:
            error = StoreCorrupted(f"{what}: {exc}")
            if self._damaged is not None:
                self._damaged()
        error.__cause__ = exc
        return error


def in_parts(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Rows by as many as one statement takes.

    Each statement gives the interpreter away and has to win it back, which costs more than a row where a busy loop holds it.
    """
    first = 0
    while first < len(rows):
        size = next(size for size in SIZES if size <= len(rows) - first)
        yield rows[first : first + size]
        first += size


async def _in_thread(loop: asyncio.AbstractEventLoop, work: Callable[[], T]) -> T:
    """What `work` returns, from one of the shared threads. Cancelling stops the waiting, not the work."""
    future: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = work()
        except Exception as exc:  # noqa: BLE001  handed to who waits
            _call(loop, _fail, future, exc)
        else:
            _call(loop, _succeed, future, result)

    threads().run(run)
    return await future


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: object) -> None:
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        pass  # the loop is closed: nobody waits any more


def _settle(job: Job) -> None:
    if job.future.done():
        return  # the caller was cancelled
    if job.error is not None:
        job.future.set_exception(job.error)
    else:
        job.future.set_result(job.result)


def _succeed(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
