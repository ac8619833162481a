"""The local store's file: open in one process at a time, set aside when it is damaged.

Damage is found when SQLite meets it; the file is marked then, and read whole when it is opened the next time.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

from ..errors import StorageError, StoreCorrupted, StoreInUse
from ..sqlite.database import Database

T = TypeVar("T")


class StoreFile:
    """`path` None keeps everything in memory. `migrate` brings a new or old file to the current schema."""

    def __init__(self, path: Path | None, *, migrate: Callable[[sqlite3.Connection], None]) -> None:
        self._path = path
        self._migrate = migrate
        self._database = self._new_database()
        self._lock: int | None = None
        self.set_aside: Path | None = None
        self.is_open = False

    async def open(self) -> None:
        """Raises StoreInUse when it is open elsewhere, StorageError when it cannot be written or read.

        A file that is not whole is set aside: `set_aside` names it then, and a fresh one is open.
        """
        self.set_aside = None
        if self._path is not None:
            self._lock = await asyncio.to_thread(_lock, self._path)
        try:
            try:
                await self._open()
            except StoreCorrupted:
                await self._database.close()
                assert self._path is not None
                self.set_aside = await asyncio.to_thread(_set_aside, self._path)
                self._database = self._new_database()
                await self._database.open()
        except BaseException:
            self._unlock()
            raise
        self.is_open = True

    async def _open(self) -> None:
        await self._database.open()
        if self._path is not None and await asyncio.to_thread(_suspect(self._path).exists):
            await self._read(_check)
            await asyncio.to_thread(_suspect(self._path).unlink)

    async def close(self) -> None:
        """Close the file; it can be opened again."""
        self.is_open = False
        self.flush()
        await self._database.close()
        self._unlock()
        self._database = self._new_database()

    def _submit(self, op: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        return self._database.submit(op)

    def _submit_urgent(self, op: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        return self._database.submit(op, urgent=True)

    async def _write(self, op: Callable[[sqlite3.Connection], T]) -> T:
        self.flush()
        return await self._database.write(op)

    async def _read(self, op: Callable[[sqlite3.Connection], T]) -> T:
        self.flush()
        return await self._database.read(op)

    def flush(self) -> None:
        """Queue what was given and not queued yet; called before each operation, which has to see it."""

    def _new_database(self) -> Database:
        path = self._path
        damaged = _suspect(path).touch if path is not None else None
        return Database(path, migrate=self._migrate, fresh_reads=True, damaged=damaged)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _suspect(path: Path) -> Path:
    """Stands beside a file in which damage was found, until it is opened the next time."""
    return path.with_name(f"{path.name}.suspect")


def _check(connection: sqlite3.Connection) -> None:
    """Raises StoreCorrupted when the file is not whole; reads all of it."""
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise StoreCorrupted(f"the local store is not whole: {found}")


def _set_aside(path: Path) -> Path:
    """Rename the file and its log; returns the new name, which no other has."""
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


def _lock(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as exc:
        raise StorageError(f"cannot write to the data folder {path.parent}: {exc.strerror}") from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(descriptor)
        raise StoreInUse(f"the data folder {path.parent} is open in another client") from exc
    return descriptor
