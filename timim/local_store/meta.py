"""Named values of the local store, and the epoch of its server."""

from __future__ import annotations

import sqlite3
from functools import partial

from . import timeline_state
from .file import StoreFile

__all__ = ["MetaTable"]


class MetaTable:
    """Named values of one account."""

    def __init__(self, file: StoreFile) -> None:
        self._file = file

    async def get(self, name: str, default: str) -> str:
        """Return the value of a name; store and return `default` if there is none."""

        def write(connection: sqlite3.Connection) -> str:
            connection.execute("INSERT INTO meta VALUES(?,?) ON CONFLICT DO NOTHING", (name, default))
            value: str = connection.execute("SELECT value FROM meta WHERE key=?", (name,)).fetchone()[0]
            return value

        return await self._file.write(write)

    async def set(self, name: str, value: str) -> None:
        """Store a value under a name."""
        sql = "INSERT INTO meta VALUES(?,?) ON CONFLICT(key) DO UPDATE SET value=excluded.value"
        await self._file.write_statement(sql, (name, value))

    async def enter_epoch(self, epoch: str) -> bool:
        """Store the server's epoch; return True if another epoch was stored before.

        In that case the server has another history: coverage, delivered seqs and the seqs of messages are dropped, but
        no rows.
        """
        return await self._file.write(partial(timeline_state.enter_epoch, epoch=epoch))

    async def forget_history(self) -> None:
        """Drop coverage, delivered seqs and the seqs of messages, but no rows: the server has another history."""
        await self._file.write(timeline_state.forget_history)
