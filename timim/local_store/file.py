"""The local store's file: open in one process at a time, moved aside when it is corrupt.

SQLite reports corruption when it reads a corrupt page. The file is then marked as suspect, and the next `open` checks
the whole file.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from pathlib import Path
from typing import TypeVar

from ..errors import StorageError, StoreCorrupted, StoreInUse
from ..sqlite.database import Database, OnWritten
from ..sqlite.tasks import BatchOperation, Operation
from ..util.file_lock import FileLock
from . import message_rows, schema, timeline_state

__all__ = ["StoreFile"]

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741  an item
R = TypeVar("R")
log = logging.getLogger(__name__)
DEFERRED_S = 0.05  # a deferred write gets a commit of its own after this time
SYNC_S = 0.25  # a write without a sync is synced after this time


class StoreFile:
    """The file of one account, or memory when `path` is None."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._database = self.make_database(path)
        self._lock = FileLock(path.with_name(f"{path.name}.lock")) if path is not None else None
        self._timers: list[asyncio.TimerHandle] = []  # one while a write is deferred
        self._sync_timers: list[asyncio.TimerHandle] = []  # one while a write may not be synced
        self.set_aside: Path | None = None
        self.is_open: bool = False

    def make_database(self, path: Path | None) -> Database:
        """Return a database for the file `path`, which is opened later."""
        return Database(path, schema, fresh_reads=True, suspect=_suspect(path) if path is not None else None)

    async def open(self) -> None:
        """Open the file.

        A corrupt file is moved to the path in `set_aside`, and a new, empty file is opened.

        Raises:
            StoreInUse: Another client has the file open.
            StorageError: The file cannot be read or written.
        """
        opening = asyncio.create_task(self._open(), name="timim store open")
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:  # a thread cannot be cancelled: wait for it, then give back the lock
            await asyncio.gather(opening, return_exceptions=True)
            if self.is_open:
                await self.close()
            raise

    async def _open(self) -> None:
        self.set_aside = None
        if self._path is not None:
            await asyncio.to_thread(self._acquire, self._path)
        try:
            try:
                await self._open_checked()
            except StoreCorrupted:
                await self._database.close()
                assert self._path is not None
                self.set_aside = await asyncio.to_thread(_set_aside, self._path)
                await self._database.open()
        except BaseException:
            self._release()
            raise
        self.is_open = True

    async def _open_checked(self) -> None:
        await self._database.open()
        if self._path is not None and await asyncio.to_thread(_suspect(self._path).exists):
            await self.read(_check)
            await asyncio.to_thread(_suspect(self._path).unlink)

    async def close(self) -> None:
        """Execute the queued writes, sync them and close the file, which can be opened again."""
        self.is_open = False
        self.flush()
        while self._sync_timers:
            self._sync_timers.pop().cancel()
        self._database.sync_soon(_log_failure)
        await self._database.close()
        self._release()

    def abandon(self) -> None:
        """Give back the lock of the file: the event loop has ended, and its end closed the connections."""
        self.is_open = False
        self._sync_timers.clear()
        self._release()

    def add(self, operation: BatchOperation[I, R], item: I, on_done: OnWritten[R], *, synced: bool = True) -> None:
        """Queue an item that is written in one batch with others; see `Database.add`.

        If `synced` is False, the item is synced with the next write, by `sync()`, or after SYNC_S.
        """
        self._database.add(operation, item, on_done, synced=synced)
        if not (synced or self._sync_timers):
            self._sync_timers.append(asyncio.get_running_loop().call_later(SYNC_S, self._sync_late))

    async def sync(self) -> None:
        """Sync all earlier writes to disk. Raises StorageError."""
        await self._database.sync()

    def _sync_late(self) -> None:
        self._sync_timers.clear()
        self._database.sync_soon(_log_failure)

    def defer(self, operation: BatchOperation[I, R], item: I, on_done: OnWritten[R]) -> None:
        """Queue an item that is written before the next read or write, or after DEFERRED_S."""
        if not self._timers:
            self._timers.append(asyncio.get_running_loop().call_later(DEFERRED_S, self.flush))
        self._database.add(operation, item, on_done, defer=True)

    def add_alone(self, operation: Operation[R], on_done: OnWritten[R]) -> None:
        """Queue a write after all earlier ones; see `Database.add_alone`."""
        self.flush()
        self._database.add_alone(operation, on_done)

    def flush(self) -> None:
        """Start the deferred writes now."""
        while self._timers:
            self._timers.pop().cancel()
        self._database.flush()

    def submit(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Queue a write; see `Database.submit`."""
        self.flush()
        return self._database.submit(operation)

    async def write(self, operation: Operation[T]) -> T:
        """Execute a write and return its result. Cancelling does not stop the write."""
        return await self.submit(operation)

    async def read(self, operation: Operation[T]) -> T:
        """Execute a read, which sees all writes that were queued before."""
        self.flush()
        return await self._database.read(operation)

    async def write_statement(self, sql: str, values: tuple[object, ...]) -> int:
        """Execute one statement; return the number of rows that it changed."""
        return await self.write(lambda connection: connection.execute(sql, values).rowcount)

    def _acquire(self, path: Path) -> None:
        assert self._lock is not None
        try:
            self._lock.acquire()
        except BlockingIOError as exc:
            raise StoreInUse(
                f"the data folder {path.parent} is open in another client, perhaps of another process; close that client, or "
                "give another data_dir"
            ) from exc
        except OSError as exc:
            raise StorageError(f"cannot write to the data folder {path.parent}: {exc.strerror}") from exc

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()


def _log_failure(error: Exception) -> None:
    log.error("syncing the local store to the disk failed: %s", error)


def _suspect(path: Path) -> Path:
    """Return the path of the marker file of a database in which SQLite found corruption; the next check removes it."""
    return path.with_name(f"{path.name}.suspect")


def _check(connection: sqlite3.Connection) -> None:
    """Check the whole file. Raises StoreCorrupted if the file is corrupt."""
    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()  # also compares the indexes with their table
    if found != "ok":
        raise StoreCorrupted(f"the local store is corrupt: {found}")
    for row in connection.execute(message_rows.SELECT):
        message_rows.message_of(row)
    for row in connection.execute(timeline_state.SELECT_CONVERSATION).fetchall():
        timeline_state.conversation_of(connection, row)


def _set_aside(path: Path) -> Path:
    """Rename the file and its write-ahead log to an unused name; return the new path."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    for end in ("-wal", "-shm"):
        beside = path.with_name(path.name + end)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + end))
    _suspect(path).unlink(missing_ok=True)
    return aside
