"""The store on one SQLite file. Every write waits until its commit is on disk; waiting writes share one commit."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from ...errors import MsgIdConflict
from ...sqlite.blank import copy_blank, is_empty
from ...sqlite.database import Database
from . import schema, timelines
from .base import Appended, NewEntry, Store
from .locks import LocalLocks
from .operation import ExecuteMany, Rows, StartOperation

T = TypeVar("T")


class SqliteEngine:
    """An engine that executes operations in one SQLite file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self) -> None:
        await self._database.open()

    async def close(self) -> None:
        await self._database.close()

    def append(self, entry: NewEntry) -> Awaitable[Appended]:
        """Queue an append. Appends of one loop iteration, and those queued during a write, share one transaction."""
        if entry.is_stored_alone or entry.has_requests or entry.checks:  # rare: more statements
            return self.submit(partial(timelines.append, entry))
        return self._database.submit_item(_append_all, entry)

    def submit(self, op: StartOperation[T]) -> Awaitable[T]:
        return self._database.submit(bound(op))

    async def write(self, op: StartOperation[T]) -> T:
        return await self.submit(op)

    async def read(self, op: StartOperation[T]) -> T:
        return await self._database.read(bound(op))


class SqliteStore(Store):
    """The store on SQLite. With `path` None the data is in memory only. The constructor does no I/O."""

    def __init__(self, path: Path | None, *, synchronous: str = "FULL") -> None:
        self.engine = SqliteEngine(Database(path, SqliteSchema(), synchronous=synchronous))
        super().__init__(self.engine, LocalLocks())


def _append_all(connection: sqlite3.Connection, entries: Sequence[NewEntry]) -> Sequence[Appended | MsgIdConflict]:
    return bound(partial(timelines.append_all, entries))(connection)


def bound(op: StartOperation[T]) -> Callable[[sqlite3.Connection], T]:
    """Return the operation as a function that takes a connection."""

    def run(connection: sqlite3.Connection) -> T:
        steps = op()
        rows: Rows = ()
        try:
            step = next(steps)
            while True:
                if type(step) is ExecuteMany:
                    rows = [(connection.executemany(*step).rowcount,)]
                else:
                    rows = connection.execute(*step).fetchall()
                step = steps.send(rows)
        except StopIteration as end:
            result: T = end.value
            return result

    return run


class SqliteSchema:
    """The server's tables in SQLite."""

    def migrate(self, connection: sqlite3.Connection) -> None:
        """Migrate a new or old file to the current schema. Raises sqlite3.DatabaseError if a newer timim wrote the file."""
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > schema.VERSION:
            raise sqlite3.DatabaseError(schema.too_new(version))
        if version == 0 and is_empty(connection):
            copy_blank(_build, connection)
        elif version < schema.VERSION:
            _upgrade(connection, version)


def _build(connection: sqlite3.Connection) -> None:
    _upgrade(connection, 0)


def _upgrade(connection: sqlite3.Connection, version: int) -> None:
    steps = " ".join(schema.STEPS[version:])
    connection.executescript(f"BEGIN; {steps} PRAGMA user_version={schema.VERSION}; COMMIT;")
