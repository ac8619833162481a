"""One SQLite file: a writer thread that commits together all that waits, and a reader thread. Used by both sides.

A write resolves after the COMMIT that holds it is synced to disk (WAL, synchronous=FULL), and writes are carried out in
the order they were submitted. Nobody waits to be batched: what comes in while a commit is under way goes into the next.
A write that raises is undone alone; a commit that fails (disk full) fails all that were in it. A batch may be carried out
twice before it is committed once: a write changes nothing but the file.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .errors import StorageError, StoreDamaged, TimimError
from .failpoint import reach

T = TypeVar("T")
Op = Callable[[sqlite3.Connection], T]

BATCH_LIMIT = 512  # writes in one transaction: bounds how long the first of them waits
QUEUE_LIMIT = 20_000  # writes, and reads, that wait; past it the disk is not keeping up and callers are told
BUSY_TIMEOUT_S = 10.0
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@dataclass(slots=True)
class _Job:
    op: Op[Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


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
        self._writes: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._reads: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._waiting = 0
        self._threads: list[threading.Thread] = []

    async def open(self) -> None:
        """Open the file, migrate it, start the threads. Raises StorageError when it cannot be opened or written."""
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = self._loop.create_future()
        self._start("timim-writer", self._write_all, opened)
        await opened
        if self._path is not None:
            ready: asyncio.Future[None] = self._loop.create_future()
            self._start("timim-reader", self._read_all, ready)
            await ready

    async def close(self) -> None:
        """Carry out what waits, then close the file. Afterwards every call raises StorageError."""
        threads, self._threads = self._threads, []
        self._loop = None
        self._writes.put(None)
        self._reads.put(None)
        await asyncio.shield(asyncio.to_thread(_join, threads))

    def submit(self, op: Op[T]) -> asyncio.Future[T]:
        """Queue a write now; the future resolves after its commit. Raises StorageError when closed or overloaded."""
        if self._loop is None:
            raise StorageError("the database is closed")
        if self._waiting >= QUEUE_LIMIT:
            raise StorageError(f"{QUEUE_LIMIT} writes wait already: the disk does not keep up")
        self._waiting += 1
        job = _Job(op, self._loop.create_future())
        self._writes.put(job)
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
        if self._reads.qsize() >= QUEUE_LIMIT:
            raise StorageError(f"{QUEUE_LIMIT} reads wait already: the disk does not keep up")
        job = _Job(op, self._loop.create_future())
        self._reads.put(job)
        result: T = await job.future
        return result

    def _start(self, name: str, target: Callable[..., None], opened: asyncio.Future[None]) -> None:
        thread = threading.Thread(target=target, args=(self._loop, opened), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path or ":memory:", isolation_level=None, timeout=BUSY_TIMEOUT_S, cached_statements=256
        )
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={self._synchronous}")
        return connection

    def _write_all(self, loop: asyncio.AbstractEventLoop, opened: asyncio.Future[None]) -> None:
        try:
            connection = self._connect()
            self._migrate(connection)
        except (sqlite3.Error, OSError, TimimError) as exc:
            _call(loop, _fail, opened, self._translated(exc, f"cannot open {self._path}"))
            return
        _call(loop, _succeed, opened, None)
        while (job := self._writes.get()) is not None:
            batch = [job]
            stop = False
            while len(batch) < BATCH_LIMIT and not self._writes.empty():
                if (job := self._writes.get()) is None:
                    stop = True
                    break
                batch.append(job)
            self._commit(connection, batch)
            _call(loop, self._settle, batch)
            if stop:
                break
        connection.close()

    def _commit(self, connection: sqlite3.Connection, batch: list[_Job]) -> None:
        """Carry out a batch in one transaction, and commit it."""
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                for job in batch:
                    job.result = job.op(connection)
            except Exception:  # noqa: BLE001  who submitted it hears of it below
                connection.execute("ROLLBACK")
                connection.execute("BEGIN IMMEDIATE")
                self._each_alone(connection, batch)
            reach("before-commit")
            connection.execute("COMMIT")
            reach("after-commit")
        except sqlite3.Error as exc:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for job in batch:
                job.error = self._translated(exc, "nothing was stored")

    def _each_alone(self, connection: sqlite3.Connection, batch: list[_Job]) -> None:
        """Once more, because one of them raised: it is undone alone, and the others stand."""
        for job in batch:
            connection.execute("SAVEPOINT one")
            try:
                job.result = job.op(connection)
            except Exception as exc:  # noqa: BLE001  handed to who submitted it
                job.error = exc if isinstance(exc, TimimError) else self._translated(exc, "a write failed")
                connection.execute("ROLLBACK TO one")
            connection.execute("RELEASE one")

    def _settle(self, batch: list[_Job]) -> None:
        self._waiting -= len(batch)
        for job in batch:
            _settle(job)

    def _read_all(self, loop: asyncio.AbstractEventLoop, opened: asyncio.Future[None]) -> None:
        try:
            connection = self._connect()
            connection.execute("PRAGMA query_only=ON")
        except sqlite3.Error as exc:
            _call(loop, _fail, opened, self._translated(exc, f"cannot open {self._path}"))
            return
        _call(loop, _succeed, opened, None)
        while (job := self._reads.get()) is not None:
            try:
                job.result = job.op(connection)
            except Exception as exc:  # noqa: BLE001  handed to who submitted it
                job.error = exc if isinstance(exc, TimimError) else self._translated(exc, "a read failed")
            _call(loop, _settle, job)
        connection.close()

    def _translated(self, exc: Exception, what: str) -> Exception:
        """sqlite3's and the disk's errors as StorageError; a programming error stays what it is."""
        if not isinstance(exc, sqlite3.Error | OSError):
            return exc
        error = StorageError(f"{what}: {exc}")
        if getattr(exc, "sqlite_errorcode", None) in _DAMAGE:
            error = StoreDamaged(f"{what}: {exc}")
            if self._damaged is not None:
                self._damaged()
        error.__cause__ = exc
        return error


def _join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: object) -> None:
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:
        pass  # the loop is closed: nobody waits any more


def _settle(job: _Job) -> None:
    if job.future.done():
        return  # the caller was cancelled
    if job.error is not None:
        job.future.set_exception(job.error)
    else:
        job.future.set_result(job.result)


def _succeed(future: asyncio.Future[None], _: None) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
