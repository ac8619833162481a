"""Named values of the local store, and the epoch of its server."""

from __future__ import annotations

import sqlite3
from functools import partial

from ..errors import WrongStore
from . import timeline_state
from .file import StoreFile

__all__ = ["MetaTable"]


class MetaTable:
    """Named values of one account."""

    def __init__(self, file: StoreFile) -> None:
        self._file = file

    async def check_account(self, account: str) -> None:
        """Check that the file belongs to this account, or to none yet.

        Raises:
            WrongStore: The file belongs to another account.
        """
        await self._file.read(partial(_check_account, account=account))

    async def claim(self, account: str, instance: str) -> str:
        """Store the account that owns the file, and return the stored id of this device; without one, store `instance`.

        Raises:
            WrongStore: The file belongs to another account.
        """

        def write(connection: sqlite3.Connection) -> str:
            _check_account(connection, account)
            values = (("account", account), ("instance", instance))
            connection.executemany("INSERT INTO meta VALUES(?,?) ON CONFLICT DO NOTHING", values)
            return _value(connection, "instance") or instance

        return await self._file.write(write)

    async def get(self, name: str, default: str) -> str:
        """Return the value of a name, or `default` if there is none."""
        return await self._file.read(partial(_value, name=name)) or default

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


def _value(connection: sqlite3.Connection, name: str) -> str | None:
    row: tuple[str] | None = connection.execute("SELECT value FROM meta WHERE key=?", (name,)).fetchone()
    return row and row[0]


def _check_account(connection: sqlite3.Connection, account: str) -> None:
    owner = _value(connection, "account")
    if owner is not None and owner != account:
        raise WrongStore(f"the local store belongs to {owner}, not to {account}; give another data_dir")
