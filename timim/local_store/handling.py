"""The messages that no handler has finished yet, the dead letters, and the keys of finished `once` blocks.

A row of `handling` is inserted in the transaction that stores a message for a handler, and deleted after the handlers have
returned. Rows that are left after a crash are delivered again. A row with `dead_at` is a dead letter.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

from .file import StoreFile

__all__ = ["HandlingRow", "HandlingTable", "add_unhandled"]


class HandlingRow(NamedTuple):
    """The begun attempts at a message, and for a dead letter the last error and the time in Unix seconds."""

    attempts: int
    error: str
    dead_at: float


def add_unhandled(connection: sqlite3.Connection, local_ids: Iterable[int]) -> None:
    """Note that handlers have to handle these messages; the first attempt counts as begun."""
    connection.execute(
        "INSERT OR IGNORE INTO handling(local_id) SELECT value FROM json_each(?)", (json.dumps(list(local_ids)),)
    )


class HandlingTable:
    """The messages of one account that are not handled, by the `local_id` of their rows."""

    def __init__(self, file: StoreFile) -> None:
        self._file = file

    def remove(self, local_ids: Sequence[int]) -> asyncio.Future[None]:
        """Queue the note that messages were handled. Raises StorageError, as does the returned future."""
        return self._file.submit(partial(_remove, text=json.dumps(local_ids)))

    async def begin(self, local_id: int, attempt: int) -> None:
        """Store that a further attempt at a message begins."""
        sql = "UPDATE handling SET attempts=max(attempts, ?) WHERE local_id=?"
        await self._file.write_statement(sql, (attempt, local_id))

    async def bury(self, local_id: int, row: HandlingRow) -> None:
        """Make a message a dead letter."""
        sql = (
            "INSERT INTO handling(local_id, attempts, error, dead_at) SELECT local_id,?,?,? FROM messages WHERE local_id=?"
            " ON CONFLICT DO UPDATE SET attempts=excluded.attempts, error=excluded.error, dead_at=excluded.dead_at"
        )
        await self._file.write_statement(sql, (*row, local_id))

    async def revive(self, local_id: int) -> bool:
        """Make a dead letter a message to handle, without begun attempts. Return False if it is no dead letter."""
        sql = "UPDATE handling SET attempts=0, error='', dead_at=NULL WHERE local_id=? AND dead_at IS NOT NULL"
        return await self._file.write_statement(sql, (local_id,)) > 0

    async def drop(self, local_id: int) -> bool:
        """Remove a dead letter; return False if it is none."""
        sql = "DELETE FROM handling WHERE local_id=? AND dead_at IS NOT NULL"
        return await self._file.write_statement(sql, (local_id,)) > 0

    async def rows(self, *, dead: bool) -> dict[int, HandlingRow]:
        """Return the dead letters, or the messages to handle, by their local_ids."""

        def read(connection: sqlite3.Connection) -> dict[int, HandlingRow]:
            sql = "SELECT local_id, attempts, error, dead_at FROM handling WHERE (dead_at IS NOT NULL)=?"
            return {row[0]: HandlingRow(row[1], row[2], row[3] or 0.0) for row in connection.execute(sql, (dead,))}

        return await self._file.read(read)

    async def is_done(self, key: str) -> bool:
        """Return whether the `once` block of this key has finished."""

        def read(connection: sqlite3.Connection) -> bool:
            return connection.execute("SELECT 1 FROM once WHERE key=?", (key,)).fetchone() is not None

        return await self._file.read(read)

    async def set_done(self, key: str, now_s: float) -> None:
        """Store that the `once` block of this key has finished."""
        await self._file.write_statement("INSERT OR IGNORE INTO once VALUES(?,?)", (key, now_s))


def _remove(connection: sqlite3.Connection, *, text: str) -> None:
    sql = "DELETE FROM handling WHERE dead_at IS NULL AND local_id IN (SELECT value FROM json_each(?))"
    connection.execute(sql, (text,))
