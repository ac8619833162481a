"""The store on one SQLite file: every write waits for a commit that is on disk, and shares it with all that wait."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from ...sqlite import Database
from . import schema
from .claims import LocalClaims
from .sql import SqlStore
from .steps import Op, Rows, RunMany

T = TypeVar("T")


class SqliteEngine:
    """`path` None keeps nothing. The constructor does no I/O."""

    def __init__(self, path: Path | None, *, synchronous: str = "FULL") -> None:
        self._database = Database(path, migrate=_migrate, synchronous=synchronous)

    async def open(self) -> None:
        await self._database.open()

    async def close(self) -> None:
        await self._database.close()

    def submit(self, op: Op[T]) -> Awaitable[T]:
        return self._database.submit(_bound(op))

    async def write(self, op: Op[T]) -> T:
        return await self._database.write(_bound(op))

    async def read(self, op: Op[T]) -> T:
        return await self._database.read(_bound(op))


class SqliteStore(SqlStore):
    """`path` None keeps nothing."""

    def __init__(self, path: Path | None, *, synchronous: str = "FULL") -> None:
        super().__init__(SqliteEngine(path, synchronous=synchronous), LocalClaims())


def _bound(op: Op[T]) -> Callable[[sqlite3.Connection], T]:
    """The operation as a function of a connection."""

    def run(connection: sqlite3.Connection) -> T:
        steps = op()
        rows: Rows = ()
        try:
            step = next(steps)
            while True:
                if type(step) is RunMany:
                    connection.executemany(*step)
                    rows = ()
                else:
                    rows = connection.execute(*step).fetchall()
                step = steps.send(rows)
        except StopIteration as end:
            result: T = end.value
            return result

    return run


def _migrate(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > schema.VERSION:
        raise sqlite3.DatabaseError(schema.too_new(version))
    if version < schema.VERSION:
        steps = " ".join(schema.STEPS[version:])
        connection.executescript(f"BEGIN; {steps} PRAGMA user_version={schema.VERSION}; COMMIT;")
