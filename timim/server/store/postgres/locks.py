"""Cluster locks as PostgreSQL's advisory locks, on a connection of their own. They are released when it ends.

If a node dies, its connection ends immediately; if its machine disappears, after the keep-alives below.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

import asyncpg

from ....errors import StorageError
from .pool import error_text

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

TIMEOUT_S = 5.0
KEEP_ALIVE = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}  # detects a lost peer in 11 s
_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class PostgresLocks:
    """The cluster locks of one node.

    The connection is opened for the first lock, and again after a loss. The constructor does no I/O.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None
        self._held: set[str] = set()
        self._turn = asyncio.Lock()  # a connection executes one statement at a time

    async def try_acquire(self, name: str) -> bool:
        async with self._turn:
            if name in self._held:
                return False
            try:
                connection = await self._connected()
                free = bool(await connection.fetchval("SELECT pg_try_advisory_lock($1)", _key(name)))
            except _LOST as exc:
                self._lose()
                raise StorageError(f"PostgreSQL is unavailable: {error_text(exc)}") from exc
            if free:
                self._held.add(name)
            return free

    def holds(self, name: str) -> bool:
        return name in self._held and self._connection is not None and not self._connection.is_closed()

    async def release(self, name: str) -> None:
        async with self._turn:
            if name not in self._held:
                return
            self._held.discard(name)
            try:
                connection = await self._connected()
                await connection.execute("SELECT pg_advisory_unlock($1)", _key(name))
            except _LOST:
                self._lose()  # releases all locks of this connection: otherwise no node could ever acquire this one

    async def close(self) -> None:
        """Release all locks."""
        self._lose()

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._lose()
            settings = {"application_name": "timim claims", **KEEP_ALIVE}
            self._connection = await asyncpg.connect(
                self._url, timeout=TIMEOUT_S, command_timeout=TIMEOUT_S, server_settings=settings
            )
        return self._connection

    def _lose(self) -> None:
        self._held.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def _key(name: str) -> int:
    """Return the number of a lock. Two names with the same number only exclude each other."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
