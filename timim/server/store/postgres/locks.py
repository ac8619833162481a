"""Claims as PostgreSQL's advisory locks: of one connection, which nothing else uses. They end when it does.

A node that dies loses its connection at once; one whose machine vanishes, after the keep-alives below.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

import asyncpg

from ....errors import StorageError

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

TIMEOUT_S = 5.0
KEEP_ALIVE = {"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3"}  # found out in 11 s
_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class PostgresLocks:
    """Connects when the first claim is made, and again after a loss. The constructor does no I/O."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None
        self._held: set[str] = set()
        self._turn = asyncio.Lock()  # a connection carries one statement at a time

    async def try_acquire(self, name: str) -> bool:
        async with self._turn:
            if name in self._held:
                return False
            try:
                connection = await self._connected()
                free = bool(await connection.fetchval("SELECT pg_try_advisory_lock($1)", _key(name)))
            except _LOST as exc:
                self._lose()
                raise StorageError(f"the database does not answer: {exc!r}") from exc
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
                self._lose()  # with all that is held, or nobody could ever have this one

    async def close(self) -> None:
        """All are free."""
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
    """Return a lock's number. Two names that share one only wait for each other."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
